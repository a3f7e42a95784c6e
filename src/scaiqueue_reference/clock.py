"""One clock a process: wall time in µs that never steps back, and message ids that sort by it."""

import random
import time

_VARIANT = 0b10 << 62


class Clock:
    """Wall time, read once at the start and carried on by the monotonic clock.

    A step of the machine's wall clock while the process runs therefore never ends a claim early.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self._last_us = 0

    def now_us(self) -> int:
        """µs since 1970-01-01 UTC."""
        return (time.monotonic_ns() + self._offset_ns) // 1000

    def tick_us(self) -> int:
        """As `now_us`, but each reading is later than the one before: two messages never tie."""
        self._last_us = max(self._last_us + 1, self.now_us())
        return self._last_us

    def advance_past(self, earlier_us: int) -> None:
        """Later ticks come after `earlier_us` (the newest row of an earlier process)."""
        self._last_us = max(self._last_us, earlier_us)


def message_id(at_us: int) -> str:
    """A UUIDv7 whose bytes sort by `at_us`: 48 bits of ms, then the µs within it, then 64 random bits."""
    ms, us = divmod(at_us, 1000)
    tail = f"{_VARIANT | random.getrandbits(62):016x}"
    head = f"{ms:012x}"
    return f"{head[:8]}-{head[8:]}-7{us << 2 | random.getrandbits(2):03x}-{tail[:4]}-{tail[4:]}"


def resource_id(prefix: str, at_us: int) -> str:
    """An opaque id such as `sc_0193…`; sorts by `at_us`."""
    return f"{prefix}_{at_us:014x}{random.getrandbits(40):010x}"
