"""Waits until a target has come to rest after a window that was too much for it: the next is not to suffer for it.

Rest is several reads in a row about as quick as the first ones were. A target that never rests is measured all the
same, and said so: it may simply be slow. Where requests are counted, what the window before used up is waited out.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from queueproof.contract import wire
from queueproof.drive.limits import stated
from queueproof.errors import TargetError

IN_A_ROW: Final = 5
# Beyond three times the first readings, and beyond what a busy machine does to any read, a target is still at work.
SLOWER: Final = 3.0
ALWAYS_CALM_S: Final = 0.05
PAUSE_S: Final = 0.1
LONGEST_S: Final = 30.0
# A rate limit's window is the contract's minute; what is left of it after a longer wait is not waited for.
LONGEST_LIMIT_S: Final = 70.0
# With more left than this share of what a limit allows, hardly any of it was used.
UNTOUCHED: Final = 0.9


@dataclass(kw_only=True)
class Calm:
    """Remembers how quick a target at rest is. `read` does one read: its seconds, or None without an answer.

    `limited_s`: how long, by what the last read was told, until a rate limit is whole again; None where nobody asks.
    """

    read: Callable[[], float | None]
    limited_s: Callable[[], float] | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    first: list[float] = field(default_factory=list)

    def wait(self) -> str:
        """ "" when it rests; else what it was like when patience ended. Raises TargetError when it does not answer."""
        self._wait_out_limit()
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

    def _wait_out_limit(self) -> None:
        """No window is to pay for the requests of the one before."""
        if self.limited_s is None:
            return
        until = self.clock() + LONGEST_LIMIT_S
        while self.read() is not None and (pause_s := self.limited_s()) > 0 and self.clock() < until:
            self.sleep(min(pause_s, max(0.0, until - self.clock())))

    @property
    def _limit_s(self) -> float:
        return max(ALWAYS_CALM_S, SLOWER * statistics.median(self.first))


class Reader:
    """Reads a scope that is not there: the cheapest call that a server answers at all, whatever the answer."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url + wire.read_scope("queueproof-rest").path
        self._client = httpx.Client(timeout=5.0, headers={"Authorization": f"Bearer {key}"}, trust_env=False)
        self._limited_until = 0.0

    def read(self) -> float | None:
        """How long a read took, in seconds; None without an answer."""
        began = time.monotonic()
        try:
            answer = self._client.get(self._url)
        except httpx.HTTPError:
            return None
        ended = time.monotonic()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        self._limited_until = ended + _limited_s(wire.Answer(status=answer.status_code, headers=headers))
        return ended - began

    def close(self) -> None:
        self._client.close()

    def limited_s(self) -> float:
        """How much longer, by what the last read was told, a rate limit is not whole."""
        return max(0.0, self._limited_until - time.monotonic())


def _limited_s(answer: wire.Answer) -> float:
    now_s = time.time()
    said = stated(answer, now_s=now_s)
    if answer.status == 429:
        asked_s = wire.retry_after_s(answer, now_s=now_s)
        return max(1.0, asked_s or 0.0, said.reset_s or 0.0)
    if said.limit is None or said.remaining is None or said.remaining >= UNTOUCHED * said.limit:
        return 0.0
    reset_s = said.reset_s or 0.0
    return reset_s if reset_s <= LONGEST_LIMIT_S else 0.0  # a day's quota is not waited for
