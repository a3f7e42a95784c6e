"""The request budget: how many requests may be under way, and when the server wants to hear nothing.

Requests in flight are capped because a client of one process measures its own queue beyond that: 64 in flight pushed
the round trip's median to 634 ms, 8 kept it at 33 ms. Urgent requests (a claim whose time matters) go first.
"""

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from queueproof.contract import wire

IN_FLIGHT = 8

# A 429 without a readable Retry-After: a second is the shortest that the header could have said.
DEFAULT_PAUSE_S = 1.0
# A server may ask for a minute (its window); longer than that is more than a run can wait for.
LONGEST_PAUSE_S = 65.0
# `Reset` above this is a Unix time, below it a number of seconds.
EPOCH_FROM = 1_000_000_000


class RequestBudget:
    """Lets requests through: at most `in_flight` at once, none while the server asked for silence."""

    def __init__(self, in_flight: int = IN_FLIGHT) -> None:
        self._free = in_flight
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._silent_until = 0.0  # monotonic seconds
        self.rate_limited = 0  # answers 429 seen

    @asynccontextmanager
    async def slot(self, *, urgent: bool = False, burst: bool = False) -> AsyncIterator[None]:
        """Holds one of the places while the block runs; a burst needs none, and is silent when all are."""
        if burst:
            await self._quiet()
            yield
            return
        await self._enter(urgent)
        try:
            await self._quiet()
            yield
        finally:
            self._leave()

    async def _quiet(self) -> None:
        """Waits until the server wants to hear us again; another answer may prolong it meanwhile."""
        pause_s = self._silent_until - time.monotonic()
        while pause_s > 0:
            await asyncio.sleep(pause_s)
            pause_s = self._silent_until - time.monotonic()

    async def _enter(self, urgent: bool) -> None:
        if self._free > 0:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (0 if urgent else 1, next(self._order), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        while self._waiting:
            place = heapq.heappop(self._waiting)[2]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def learn(self, answer: wire.Answer) -> None:
        """Reads what the answer says about rates; a 429, or none remaining, means silence until it says otherwise."""
        if answer.status == 429 and answer.code != wire.QUEUE_FULL:  # a full queue limits no rate
            self.rate_limited += 1
            asked_s = wire.retry_after_s(answer, now_s=time.time())
            self._silence(DEFAULT_PAUSE_S if asked_s is None else asked_s)
        else:
            said = stated(answer, now_s=time.time())
            if said.remaining == 0 and said.reset_s is not None:
                self._silence(said.reset_s)

    def _silence(self, seconds: float) -> None:
        until = time.monotonic() + min(max(seconds, 0.0), LONGEST_PAUSE_S)
        self._silent_until = max(self._silent_until, until)


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What an answer's headers say about rates; None where they say nothing."""

    limit: float | None = None  # requests a window
    remaining: float | None = None  # of them, now
    reset_s: float | None = None  # until the window ends


def stated(answer: wire.Answer, *, now_s: float) -> Stated:
    """The rate-limit state that the answer tells; `now_s`: Unix time, for a reset that is a moment."""
    reset = _number(answer, "reset")
    if reset is not None and reset > EPOCH_FROM:
        reset -= now_s
    return Stated(limit=_number(answer, "limit"), remaining=_number(answer, "remaining"), reset_s=reset)


def _number(answer: wire.Answer, name: str) -> float | None:
    """The value of `X-Scaigrid-Ratelimit-NAME` or of the same header without its vendor."""
    for header in (f"x-scaigrid-ratelimit-{name}", f"x-ratelimit-{name}", f"ratelimit-{name}"):
        try:
            return float(answer.headers[header])
        except (KeyError, ValueError):
            continue
    return None
