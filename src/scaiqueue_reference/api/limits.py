"""Rate limits: how many calls a key and a tenant may make in a sliding window, and the headers that say so.

Counted by all processes together where there is Redis. While it is away, and without it, each process counts by itself:
several behind one port then allow up to that many times the limit.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from math import ceil
from typing import Protocol

from scaiqueue_reference.auth import Caller
from scaiqueue_reference.errors import RateLimited
from scaiqueue_reference.pending import PendingAway

Headers = tuple[tuple[bytes, bytes], ...]
Window = tuple[str, int]  # its name and its limit


class SharedWindows(Protocol):
    """Windows that several processes count in."""

    async def count(self, windows: Sequence[Window], window_s: float) -> tuple[int, int, float]:
        """As `_OwnWindows.count`; raises PendingAway."""


class RateLimits:
    """`per_key` and `per_tenant` calls a window of `window_s` seconds; 0 is no limit."""

    def __init__(
        self,
        per_key: int,
        per_tenant: int,
        window_s: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        shared: SharedWindows | None = None,
    ) -> None:
        self.wanted = per_key > 0 or per_tenant > 0
        self._limits = (per_key, per_tenant)
        self._window_s = window_s
        self._shared = shared
        self._own = _OwnWindows(clock)

    async def count(self, caller: Caller) -> Headers:
        """Counts one call and returns the headers of its answer; raises RateLimited, which carries them too.

        A refused call is not counted: a client that waits for `retry_after` is served.
        """
        names = (f"key:{caller.tenant_id}/{caller.actor.id}", f"tenant:{caller.tenant_id}")
        windows = [window for window in zip(names, self._limits, strict=True) if window[1]]
        if not windows:
            return ()
        nearest, room, wait_s = await self._counted(windows)
        limit = windows[nearest][1]
        if room <= 0:
            whole_s = max(1, ceil(wait_s))
            raise RateLimited(retry_after=whole_s, headers=_headers(limit, 0, whole_s))
        return _headers(limit, room - 1, ceil(wait_s))

    async def _counted(self, windows: Sequence[Window]) -> tuple[int, int, float]:
        if self._shared is not None:
            try:
                return await self._shared.count(windows, self._window_s)
            except PendingAway:
                pass  # better a limit a process than no service, or no limit
        return self._own.count(windows, self._window_s)


class _OwnWindows:
    """This process's: the times of the calls in each."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls: dict[str, deque[float]] = {}

    def count(self, windows: Sequence[Window], window_s: float) -> tuple[int, int, float]:
        """Counts a call in all of `windows` or in none.

        Which has the least room, its room before this call (0 or less: refused), and the seconds until its oldest
        call leaves it.
        """
        now = self._clock()
        states = [(limit, self._recent(name, now - window_s)) for name, limit in windows]
        rooms = [limit - len(calls) for limit, calls in states]
        room = min(rooms)
        nearest = rooms.index(room)
        if room > 0:
            for _, calls in states:
                calls.append(now)
        oldest = states[nearest][1]
        return nearest, room, (oldest[0] if oldest else now) + window_s - now

    def _recent(self, name: str, since: float) -> deque[float]:
        calls = self._calls.setdefault(name, deque())
        while calls and calls[0] <= since:
            calls.popleft()
        return calls


def _headers(limit: int, remaining: int, reset_s: int) -> Headers:
    return (
        (b"x-scaigrid-ratelimit-limit", str(limit).encode()),
        (b"x-scaigrid-ratelimit-remaining", str(remaining).encode()),
        (b"x-scaigrid-ratelimit-reset", str(reset_s).encode()),
    )
