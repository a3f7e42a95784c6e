"""One line of progress on a terminal, rewritten in place: what has ended, what is running, how long it has waited."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, TextIO

_EVERY_S: Final = 0.5
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Counts cases as they end, and shows itself twice a second; writes nothing where no terminal is."""

    def __init__(
        self,
        total: int,
        stream: TextIO,
        *,
        clock: Callable[[], float] = time.monotonic,
        environment: Mapping[str, str] = os.environ,
        quiet: bool = False,
    ) -> None:
        """`clock`: seconds. `quiet`: shows nothing at all."""
        self._on = not quiet and stream.isatty() and environment.get("TERM") != "dumb"
        self._stream = stream
        self._clock = clock
        self._begun = clock()
        self._total = total
        self._ended = 0
        self._failed = 0
        self._stop = threading.Event()
        if self._on:
            threading.Thread(target=self._tick, daemon=True, name="progress").start()

    def done(self, *, failed: bool) -> None:
        """A case ended."""
        self._ended += 1
        self._failed += failed

    def line(self, columns: int) -> str:
        """What is shown, at most one column less than the terminal has: a full line would break into two."""
        waited = f"longest wait {self._clock() - self._begun:.0f} s"
        failed = f", {self._failed} failed" if self._failed else ""
        running = self._total - self._ended
        told = f"{self._ended} of {self._total} cases ended{failed}, {running} running, {waited}"
        short = f"{self._ended}/{self._total} ended{failed}, {self._clock() - self._begun:.0f} s"
        return (told if len(told) < columns else short)[: max(0, columns - 1)]

    def close(self) -> None:
        """Takes the line away."""
        self._stop.set()
        if self._on:
            self._write("")

    def _tick(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._write(self.line(_columns(self._stream)))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(f"{_CLEAR}{text}")
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone, or closed
            self._stop.set()


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 80
