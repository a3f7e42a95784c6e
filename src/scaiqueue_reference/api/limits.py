"""Rate limits: how many calls a key and a tenant may make in a sliding window, and the headers that say so.

Counted in each process by itself: several processes behind one port allow up to that many times the limit.
"""

import time
from collections import deque
from collections.abc import Callable
from math import ceil

from scaiqueue_reference.auth import Caller
from scaiqueue_reference.errors import RateLimited

Headers = tuple[tuple[bytes, bytes], ...]


class RateLimits:
    """`per_key` and `per_tenant` calls a window of `window_s` seconds; 0 is no limit."""

    def __init__(
        self, per_key: int, per_tenant: int, window_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = (per_key, per_tenant)
        self._window_s = window_s
        self._clock = clock
        self._calls: dict[tuple[int, str], deque[float]] = {}

    def count(self, caller: Caller) -> Headers:
        """Counts one call and returns the headers of its answer; raises RateLimited, which carries them too.

        A refused call is not counted: a client that waits for `retry_after` is served.
        """
        names = (f"{caller.tenant_id}/{caller.actor.id}", caller.tenant_id)
        now = self._clock()
        states = [self._state(kind, name, now) for kind, name in enumerate(names) if self._limits[kind]]
        if not states:
            return ()
        limit, calls = min(states, key=lambda state: state[0] - len(state[1]))
        if len(calls) >= limit:
            wait_s = max(1, ceil(calls[0] + self._window_s - now))
            raise RateLimited(retry_after=wait_s, headers=self._headers(limit, 0, wait_s))
        for _, counted in states:
            counted.append(now)
        return self._headers(limit, limit - len(calls), ceil(calls[0] + self._window_s - now))

    def _state(self, kind: int, name: str, now: float) -> tuple[int, deque[float]]:
        calls = self._calls.setdefault((kind, name), deque())
        while calls and calls[0] <= now - self._window_s:
            calls.popleft()
        return self._limits[kind], calls

    @staticmethod
    def _headers(limit: int, remaining: int, reset_s: int) -> Headers:
        return (
            (b"x-scaigrid-ratelimit-limit", str(limit).encode()),
            (b"x-scaigrid-ratelimit-remaining", str(remaining).encode()),
            (b"x-scaigrid-ratelimit-reset", str(reset_s).encode()),
        )
