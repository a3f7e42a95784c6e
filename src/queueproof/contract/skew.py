"""How far a server's clock is from ours, read off the `Date` headers of its answers, else off its time stamps."""

import time
from collections.abc import Iterable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from queueproof.contract import wire

# `Date` has whole seconds, cut off: the moment is somewhere inside the second that it names.
RESOLUTION_S = 1.0
# A time stamp may be rounded as well as cut.
ROUNDED_S = 0.5
# Servers write the header anew once a second and send it until then, so that it may be older by as much.
STALE_S = 1.0
# A clock that NTP slews drifts by this much in minutes against the monotonic one.
SLEW_S = 0.1
# A time stamp farther than this from what Date tells is another clock's: a proxy may write one, a database the other.
APART_S = 5.0


class Skew:
    """Between which bounds the server's clock is ahead of ours, in seconds (negative: behind).

    An answer's Date was written between the call and its return: each answer bounds the difference, all of them
    together more narrowly. Bounds that cross (the clock was set in between) are given as the last answer's own. Where
    no answer has a Date, the time stamps of what was made bound it, as long as they are near our own clock.
    """

    def __init__(self) -> None:
        self._dated, self._made = _Bounds(), _Bounds()
        self._offset_s = time.time() - time.monotonic()
        self.contradicted = False  # by a time stamp: which of its clocks the server goes by is not known
        self._stamped_s = 0.0  # how far ahead time stamps were at most

    def note(self, answer: wire.Answer | None, inv_ns: int, ret_ns: int) -> None:
        """Takes in one answer; the times of its call in ns of this machine's monotonic clock."""
        said_s = date_s(answer)
        if said_s is None:
            return
        self._dated.narrow(
            said_s - (ret_ns / 1e9 + self._offset_s), said_s + RESOLUTION_S - (inv_ns / 1e9 + self._offset_s)
        )

    def stamped(self, value: Any, inv_ns: int, ret_ns: int) -> None:
        """Takes in the time stamp of something that was made between those times; what is no text is passed over."""
        said = moment_of(value)
        if said is None:
            return
        at_least_s = said.timestamp() - (ret_ns / 1e9 + self._offset_s)
        at_most_s = said.timestamp() - (inv_ns / 1e9 + self._offset_s)
        self._stamped_s = max(self._stamped_s, at_most_s)
        low, high = self._dated.both or (0.0, 0.0)  # without a Date: that it is this machine's would be a guess
        self.contradicted |= at_most_s < low - APART_S or at_least_s > high + APART_S
        self._made.narrow(at_least_s - ROUNDED_S, at_most_s + RESOLUTION_S)

    def past(self, value: Any, *, by_s: float) -> bool:
        """Whether a moment that the server tells lies back so far for certain, by its clock and by ours."""
        moment = moment_of(value)
        if moment is None or self.contradicted or self.elsewhere:
            return False
        return moment.timestamp() + by_s < time.time() + min(0.0, self.bounds[0] if self.bounds else 0.0)

    def after(self, value: Any, at_ns: int) -> bool:
        """Whether a moment that the server tells comes after that one (ns, monotonic) for certain."""
        moment = moment_of(value)
        return moment is not None and moment.timestamp() > at_ns / 1e9 + self._offset_s + (self.bounds or (0.0, 0.0))[1]

    @property
    def bounds(self) -> tuple[float, float] | None:
        """(at least, at most) ahead; None without a Date, and without a time stamp near our own clock."""
        return self._dated.both or (None if self.contradicted else self._made.both)

    @property
    def farthest_s(self) -> float:
        """How far any clock that the server goes by may be ahead of ours, as far as its answers tell; at least 0."""
        return max(0.0, self._stamped_s, self.bounds[1] + STALE_S if self.bounds else 0.0)

    @property
    def apart_s(self) -> float:
        """How far the server's clock is ahead of ours, about; 0 where it may be the same, or nothing is known of it."""
        return 0.0 if self.bounds is None or self._agrees else sum(self.bounds) / 2

    def most_ahead_s(self, *, same_machine: bool) -> float | None:
        """How far the server's clock may be ahead of ours; None where nothing is known of it, or it may have two.

        On the same machine there is one clock, unless the answers contradict. A Date far from ours may be the word of
        whoever writes the headers, while delays go by the time as it is.
        """
        if self.contradicted or self.elsewhere:
            return None
        if self.bounds is None:
            return 0.0 if same_machine else None
        return 0.0 if same_machine and self._agrees else self.bounds[1] + STALE_S

    def spread_s(self, *, same_machine: bool) -> float:
        """By how much the server's clock may be less ahead than `most_ahead_s`."""
        if self.bounds is None or (same_machine and self._agrees):
            return 0.0
        low, high = self.bounds
        return high + STALE_S - low

    @property
    def elsewhere(self) -> bool:
        """Whether Date is surely of a clock far from ours."""
        low, high = self.bounds or (0.0, 0.0)
        return low > APART_S or high + STALE_S < -APART_S

    @property
    def _agrees(self) -> bool:
        """Whether Date may be of our own clock."""
        low, high = self.bounds or (0.0, 0.0)
        return low <= SLEW_S and high + STALE_S >= -SLEW_S


class _Bounds:
    """What lies within several bounds: their intersection, or the last of them where there is none."""

    def __init__(self) -> None:
        self._low, self._high = float("-inf"), float("inf")
        self._last: tuple[float, float] | None = None

    def narrow(self, low: float, high: float) -> None:
        self._last = low, high
        self._low, self._high = max(self._low, low), min(self._high, high)

    @property
    def both(self) -> tuple[float, float] | None:
        return self._last if self._last is None or self._low > self._high else (self._low, self._high)


def clock_skew_s(answers: Iterable[tuple[wire.Answer | None, int, int]]) -> tuple[float, float] | None:
    """The bounds that those answers give together, each with its call's beginning and end (Skew.note)."""
    skew = Skew()
    for answer, inv_ns, ret_ns in answers:
        skew.note(answer, inv_ns, ret_ns)
    return skew.bounds


def moment_of(value: Any) -> datetime | None:
    """The moment that a time stamp names; None for what is no text of RFC 3339 with its zone."""
    try:
        said = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return said if said.tzinfo is not None else None


def date_s(answer: wire.Answer | None) -> float | None:
    """The Unix time that the answer's `Date` header names; None where it names none."""
    text = answer.headers.get("date", "") if answer else ""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
