"""The request budget: how many requests may be under way, how fast they follow, and when the server wants silence.

Requests in flight are capped because a client of one process measures its own queue beyond that: 64 in flight pushed
the round trip's median to 634 ms, 8 kept it at 33 ms; a server that is far away gets more (width.py). A claim that the
server keeps waiting for a message (long polling) burdens nobody and soon lends its place. Urgent requests (a claim
whose time matters) go first, though nobody waits for them for ever, and part of a limited rate is kept for them.
"""

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from queueproof.contract import wire
from queueproof.contract.skew import date_s
from queueproof.drive.width import LEAST, Width
from queueproof.errors import UsageError

# A claim that has taken so long is held by the server on purpose; so many of them may lend their places at a time.
LEND_AFTER_S = 0.25
MOST_LENT = 24
# So many urgent requests go before one that is not. With precedence alone, claims that are held a few seconds each, and
# come again and again, kept every publish out for ever; by age, under a limited rate, urgent ones came too late.
URGENT_IN_A_ROW = 8

# A 429 without a readable Retry-After: a second is the shortest that the header could have said.
DEFAULT_PAUSE_S = 1.0
# A server may ask for a minute (its window); longer than that is more than a run can wait for.
LONGEST_PAUSE_S = 65.0
# The contract's own window (section 2.7); a longer one than an hour is not kept evenly.
WINDOW_S = 60.0
LONGEST_WINDOW_S = 3600.0
# What a 429 makes of the rate that was thought to be allowed, down to a part of it: a server that says 429 now and
# then, whatever the rate, would slow a run down for ever.
SLOWER, SLOWEST = 0.9, 0.25
# More than one process of ours sends: nothing to keep to.
UNLIMITED_PER_S = 500.0
# `Reset` above this is a Unix time, below it a number of seconds.
EPOCH_FROM = 1_000_000_000


# Of a limited rate so many requests may come at once; they are taken off the steady part, so that no window of the
# server's ever holds more than it allows. Calls that are not urgent leave the last of them alone.
BURST = 6
KEPT = 2
# Sums of parts of a token are never exact.
TINY = 1e-6
# Clocks differ, and what is sent evenly does not arrive evenly.
MARGIN = 0.97
# Below this rate cases wait for each other, pauses are longer, and what is only told is left out.
TIGHT_PER_S = 12.0


@dataclass(frozen=True, kw_only=True)
class Rate:
    """`requests` in any `per_s` seconds."""

    requests: float
    per_s: float

    @property
    def a_second(self) -> float:
        return self.requests / self.per_s

    def __str__(self) -> str:
        return f"{self.requests:g} requests in {self.per_s:g} s"


def read_rate(text: str) -> Rate:
    """`60/min`, `25/s`, `1000/h`, `100/30s`. Raises UsageError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)?\s*(s|sec|m|min|h|hour)\s*", text)
    if found is None or not float(found[1]) or not float(found[2] or 1):
        raise UsageError(f"--rate-limit {text!r} is no rate", hint="write it like 60/min, 25/s or 100/30s")
    unit_s = {"s": 1, "m": 60, "h": 3600}[found[3][0]]
    return Rate(requests=float(found[1]), per_s=float(found[2] or 1) * unit_s)


class Pace:
    """Tokens at an even rate, of which a few may be saved up. Times: monotonic seconds."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.burst = max(1.0, min(BURST, rate.requests / 4))
        self.kept = min(KEPT, self.burst - 1)
        self.steady = max(rate.requests - self.burst, rate.requests / 2) * MARGIN / rate.per_s
        self._tokens = self.burst
        self._at_s = time.monotonic()

    def wait_s(self, *, urgent: bool) -> float:
        """How long until a request may go; 0 takes a token for it."""
        now_s = time.monotonic()
        self._tokens = min(self.burst, self._tokens + (now_s - self._at_s) * self.steady)
        self._at_s = now_s
        needed = 1.0 if urgent else 1.0 + self.kept
        if self._tokens >= needed - TINY:
            self._tokens -= 1
            return 0.0
        return (needed - self._tokens) / self.steady

    def save_up_s(self, count: int) -> float:
        """How long until `count` requests may go at once, at most a burst; 0 takes their tokens."""
        wanted = min(float(count), self.burst)
        pause_s = self.wait_s(urgent=True)
        if pause_s:
            return pause_s
        self._tokens += 1  # it was only asked for
        if self._tokens >= wanted - TINY:
            self._tokens -= wanted
            return 0.0
        return (wanted - self._tokens) / self.steady


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What an answer's headers say about rates; None where they say nothing."""

    limit: float | None = None  # requests a window
    remaining: float | None = None  # of them, now
    reset_s: float | None = None  # until the window ends


@dataclass
class _Loan:
    """Of a place that its holder does not need while it waits."""

    timer: asyncio.TimerHandle | None = None
    given: bool = False


class RequestBudget:
    """Lets requests through: at most `in_flight` at once, none while the server asked for silence.

    `rate`: a limit that the user sets; without one, the limit that the server announces is kept.
    """

    def __init__(self, in_flight: int = LEAST, *, rate: Rate | None = None) -> None:
        self._pace = Pace(rate) if rate else None
        self._given = rate is not None
        self._longest_reset_s = 0.0
        self._slower = 1.0
        self._saved = 0  # bursts whose turn has come already
        self._width = Width(in_flight)
        self._free = in_flight
        self._over = 0  # places that are no longer there once they are left
        self._lent = 0
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._plain: deque[asyncio.Future[None]] = deque()
        self._in_a_row = 0  # urgent ones that went before one that is not
        self._silent_until = 0.0  # monotonic seconds
        self.rate_limited = 0  # answers 429 seen

    @property
    def rate(self) -> Rate | None:
        """The rate that is kept: the user's, or what the server announces; None when there is none."""
        return self._pace.rate if self._pace else None

    @property
    def tight(self) -> bool:
        """Whether the rate is so low that time and calls have to be saved."""
        return self._pace is not None and self._pace.rate.a_second < TIGHT_PER_S

    @property
    def rationed(self) -> bool:
        """Whether the server, or the user, counts requests."""
        return bool(self.rate_limited) or self._pace is not None

    @property
    def silence_s(self) -> float:
        """How much longer the server wants to hear nothing; 0 or less: not at all."""
        return self._silent_until - time.monotonic()

    @asynccontextmanager
    async def slot(self, *, urgent: bool = False, burst: bool = False, lends: bool = False) -> AsyncIterator[None]:
        """Holds one of the places while the block runs; a burst needs none, and is silent when all are.

        `lends`: what the block waits for may be kept back on purpose, so that its place is another's after a while.
        """
        if burst:
            if self._saved > 0:
                self._saved -= 1
                await self._quiet()
            else:
                await self._turn(urgent=True)
            yield
            return
        await self._enter(urgent)
        loan = _Loan()
        try:
            await self._turn(urgent=urgent)
            if lends:
                loan.timer = asyncio.get_running_loop().call_later(LEND_AFTER_S, self._lend, loan)
            yield
        finally:
            if loan.timer is not None:
                loan.timer.cancel()
            if loan.given:
                self._lent -= 1
            else:
                self._leave()

    def _lend(self, loan: "_Loan") -> None:
        if self._lent < MOST_LENT:
            self._lent += 1
            loan.given = True
            self._leave()

    async def save_up(self, count: int) -> None:
        """Waits until that many bursts may go at once (no more than a limited rate's BURST), and keeps their turn."""
        await self._quiet()
        while self._pace is not None:
            pause_s = self._pace.save_up_s(count)
            if pause_s <= 0:
                self._saved = min(count, int(self._pace.burst))
                return
            await asyncio.sleep(pause_s)
            await self._quiet()

    async def _turn(self, *, urgent: bool) -> None:
        """Waits for silence to end and for the pace."""
        await self._quiet()
        while self._pace is not None:
            pause_s = self._pace.wait_s(urgent=urgent)
            if pause_s <= 0:
                break
            await asyncio.sleep(pause_s)
            await self._quiet()

    async def _quiet(self) -> None:
        """Waits until the server wants to hear us again; another answer may prolong it meanwhile."""
        pause_s = self.silence_s
        while pause_s > 0:
            await asyncio.sleep(pause_s)
            pause_s = self.silence_s

    async def _enter(self, urgent: bool) -> None:
        if self._free > 0:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._plain).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise

    def took(self, seconds: float) -> None:
        """Takes in the round trip of a call that the server had no reason to keep waiting."""
        more = self._width.took(seconds)
        self._over += max(0, -more)
        for _ in range(more):
            self._leave()

    def _leave(self) -> None:
        if self._over > 0:
            self._over -= 1
            return
        while self._urgent or self._plain:
            urgent = bool(self._urgent) and (self._in_a_row < URGENT_IN_A_ROW or not self._plain)
            place = (self._urgent if urgent else self._plain).popleft()
            if not place.done():
                self._in_a_row = self._in_a_row + 1 if urgent else 0
                place.set_result(None)
                return
        self._free += 1

    def learn(self, answer: wire.Answer) -> None:
        """Reads what the answer says about rates; a 429, or none remaining, means silence until it says otherwise."""
        if answer.limits_rate:
            self.rate_limited += 1
            if self._pace is not None and time.monotonic() > self._silent_until:
                self._slower = max(
                    SLOWEST, self._slower * SLOWER
                )  # it was too fast all the same: once a silence, whatever came with it
            asked_s = wire.retry_after_s(answer, now_s=time.time())
            self._silence(DEFAULT_PAUSE_S if asked_s is None else asked_s)
            self._count(stated(answer, now_s=time.time()))
        else:
            said = stated(answer, now_s=time.time())
            if said.remaining == 0 and said.reset_s is not None:
                self._silence(said.reset_s)
            self._count(said)

    def _count(self, said: Stated) -> None:
        """Keeps the announced limit. How long its window is, no header says: the longest reset tells, or a minute."""
        if self._given or said.limit is None or not 0 < said.limit < math.inf:
            return
        if said.reset_s is not None and 0 < said.reset_s < math.inf:
            self._longest_reset_s = max(self._longest_reset_s, math.floor(said.reset_s), 1)
        window_s = self._longest_reset_s or WINDOW_S
        rate = Rate(requests=said.limit * self._slower, per_s=min(window_s, LONGEST_WINDOW_S))
        if rate.a_second >= UNLIMITED_PER_S:
            self._pace = None
        elif self._pace is None or self._pace.rate != rate:
            self._pace = Pace(rate)

    def _silence(self, seconds: float) -> None:
        until = time.monotonic() + min(max(seconds, 0.0), LONGEST_PAUSE_S)
        self._silent_until = max(self._silent_until, until)


def stated(answer: wire.Answer, *, now_s: float) -> Stated:
    """The rate-limit state that the answer tells; `now_s`: Unix time, for a reset that is a moment.

    Such a moment is of the server's clock, as its `Date` header is, however far that is from ours.
    """
    reset = _number(answer, "reset")
    if reset is not None and reset > EPOCH_FROM:
        server_s = date_s(answer)
        reset -= now_s if server_s is None else server_s
    return Stated(limit=_number(answer, "limit"), remaining=_number(answer, "remaining"), reset_s=reset)


def _number(answer: wire.Answer, name: str) -> float | None:
    """The value of `X-Scaigrid-Ratelimit-NAME` or of the same header without its vendor."""
    for header in (f"x-scaigrid-ratelimit-{name}", f"x-ratelimit-{name}", f"ratelimit-{name}"):
        try:
            return float(answer.headers[header])
        except (KeyError, ValueError):
            continue
    return None
