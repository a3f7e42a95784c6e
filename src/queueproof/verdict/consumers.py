"""How many consumers a window of the capacity search has, so that the target ends first and not they.

Eight consumers that need 7 ms a message carry 1,140 messages a second, whatever the target could; and near that rate
the answer moves with every millisecond. By Little's law a rate keeps `rate x cycle` consumers busy. A window has enough
for 25 ms a message, or for three times the quickest cycle that a window showed, and never fewer than the scenario says:
many targets answer later but carry more when many ask at once (they write what came together in one go). A window
that missed while its consumers were busy says nothing about the target yet: it is run again with more. Where that does
not help either, the target is what they wait for, and so it is at every higher rate; where it helps, later windows have
as many for each message a second.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

HEADROOM: Final = 3.0
AGAIN: Final = 4.0
WORTH: Final = 1.25  # so many times as many, at least, are worth another window
EACH_S: Final = 0.025
MOST: Final = 512  # so many connections a generator has; and who finds nothing asks again twenty times a second
BUSY: Final = 0.75  # share of them; beyond it a message waits for a consumer as often as not


class Crew:
    """The consumers of one search's windows."""

    def __init__(self, least: int, batch_size: int = 1, *, work_s: float = 0.0, fixed: int | None = None) -> None:
        """The scenario's own numbers; `fixed`: how many the user wants, whatever happens."""
        self._least, self._batch_size, self._work_s, self._fixed = least, batch_size, work_s, fixed
        self._cycle_s = math.inf  # of one message, in the quickest window that met
        self._helped = 0.0  # consumers for each message a second that were needed once
        self._again: tuple[float, int] | None = None  # a rate that is run again, with so many
        self._useless = math.inf  # the lowest rate at which more did not help

    @property
    def fixed(self) -> bool:
        """Whether the user said how many."""
        return self._fixed is not None

    def count(self, rate: float) -> int:
        """For a window of this rate, in messages a second."""
        if self._fixed is not None or not self._least:
            return self._fixed or self._least
        if self._again and self._again[0] == rate:
            return self._again[1]
        each_s = EACH_S if self._cycle_s == math.inf else max(EACH_S, HEADROOM * self._cycle_s)
        return self._within(rate * max(each_s, self._helped))

    def _within(self, count: float) -> int:
        return max(self._least, min(MOST, round(count)))

    def busy(self, verbs: Mapping[str, Any], throughput: float, count: int) -> float:
        """Share of them that is busy while the target is slow, 0 to 1; `throughput` in completed messages a second."""
        return min(1.0, throughput * self._cycle(verbs) / count) if count else 0.0

    def short(self, *, rate: float, missed: bool, busy: float, verbs: Mapping[str, Any]) -> bool:
        """Takes note of a window; whether it has to be run again, with more consumers."""
        count = self.count(rate)
        tried = self._again is not None and self._again[0] == rate
        if tried:
            self._again = None
        cycle_s = self._cycle(verbs)
        if not missed:
            self._cycle_s = min(self._cycle_s, cycle_s or math.inf)
            self._helped = max(self._helped, count / rate if tried else 0.0)
            return False
        if self._fixed is not None or busy < BUSY:
            return False
        if tried:
            self._useless = min(self._useless, rate)
        known = self._cycle_s < math.inf  # a target that is slow at every rate shows it in the first window
        more = self._within(min(AGAIN * count if known else MOST, HEADROOM * rate * cycle_s))
        if rate >= self._useless or more < WORTH * count:
            return False
        self._again = (rate, more)
        return True

    def _cycle(self, verbs: Mapping[str, Any]) -> float:
        """Seconds that a message occupies a consumer, for nine in ten the longest; 0 where nothing was claimed.

        No mean and no median: a target slows down for a second, messages wait, and then there have to be enough.
        """
        claim, complete = (verbs.get(verb, {}).get("response", {}).get("p90_us", 0) / 1e6 for verb in _VERBS)
        return claim / self._batch_size + complete + self._work_s if claim else 0.0


_VERBS: Final = ("claim", "complete")
