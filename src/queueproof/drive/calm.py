"""Waits until a target has come to rest after a window that was too much for it: the next is not to suffer for it.

Rest is several reads in a row about as quick as the first ones were. A target that never rests is measured all the
same, and said so: it may simply be slow.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from queueproof.contract import wire
from queueproof.errors import TargetError

IN_A_ROW: Final = 5
# Beyond three times the first readings, and beyond what a busy machine does to any read, a target is still at work.
SLOWER: Final = 3.0
ALWAYS_CALM_S: Final = 0.05
PAUSE_S: Final = 0.1
LONGEST_S: Final = 30.0


@dataclass(kw_only=True)
class Calm:
    """Remembers how quick a target at rest is. `read` does one read: its seconds, or None without an answer."""

    read: Callable[[], float | None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    first: list[float] = field(default_factory=list)

    def wait(self) -> str:
        """ "" when it rests; else what it was like when patience ended. Raises TargetError when it does not answer."""
        until = self.clock() + LONGEST_S
        row, last = 0, None
        while row < IN_A_ROW:
            last = self.read()
            calm = last is not None and (len(self.first) < IN_A_ROW or last <= self._limit_s)
            if calm and last is not None and len(self.first) < IN_A_ROW:
                self.first.append(last)
            row = row + 1 if calm else 0
            if row < IN_A_ROW and self.clock() > until:
                if last is None:
                    raise TargetError(
                        f"the target did not answer for {LONGEST_S:g} s after a window", hint="see the target's log"
                    )
                return f"the target still took {last * 1000:.0f} ms for a read, {LONGEST_S:g} s after the window before"
            if not calm:
                self.sleep(PAUSE_S)
        return ""

    @property
    def _limit_s(self) -> float:
        return max(ALWAYS_CALM_S, SLOWER * statistics.median(self.first))


def reader(url: str, key: str) -> Callable[[], float | None]:
    """Reads a scope that is not there: the cheapest call that a server answers at all, whatever the answer."""
    path = wire.read_scope("queueproof-rest").path
    client = httpx.Client(timeout=5.0, headers={"Authorization": f"Bearer {key}"}, trust_env=False)

    def read() -> float | None:
        began = time.monotonic()
        try:
            client.get(f"{url}{path}")
        except httpx.HTTPError:
            return None
        return time.monotonic() - began

    return read
