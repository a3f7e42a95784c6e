"""The history of a load, written as it happens at the price of one `write(2)` a call.

An invocation is on its way to the disk before its request leaves. A return may wait in this process for the next
invocation, at most a tick: when the process is killed in between, the call is read as unknown, which is sound.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from queueproof.evidence.history import clock_domain
from queueproof.evidence.operation import Clock, Invoke, Mark, Record, Return

FLUSH_BYTES = 32_768  # returns wait for no longer than this


class Ledger:
    """Appends to one history file from one process's hub and greenlets."""

    def __init__(self, path: Path | None, *, run: str, writer: int, on_failure: Callable[[], None]) -> None:
        """`path` None: no history is kept. `on_failure`: called once when the disk takes no more.

        Raises OSError when the file cannot be made.
        """
        self.failure: OSError | None = None
        self.records = 0
        self._on_failure = on_failure
        self._encoder = msgspec.json.Encoder()
        self._buffer = bytearray()
        self._op = 0
        self._descriptor = -1
        if path is not None:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            now_ns = time.monotonic_ns()
            self._put(
                Clock(domain=clock_domain(), at_ns=now_ns, wall_us=time.time_ns() // 1000, run=run, writer=writer)
            )
            self.flush()

    @property
    def kept(self) -> bool:
        return self._descriptor >= 0

    def operation(self) -> int:
        """The next operation's number."""
        self._op += 1
        return self._op

    def invoke(self, record: Invoke) -> bool:
        """Before the request leaves; False when it could not be written: then it must not leave."""
        if self._descriptor < 0:
            return self.failure is None
        self._put(record)
        return self.flush()

    def back(self, record: Return) -> None:
        """After the answer was parsed."""
        if self._descriptor >= 0:
            self._put(record)
            if len(self._buffer) > FLUSH_BYTES:
                self.flush()

    def mark(self, name: str, detail: str = "") -> None:
        if self._descriptor >= 0:
            self._put(Mark(at_ns=time.monotonic_ns(), name=name, detail=detail))
            self.flush()

    def flush(self) -> bool:
        """Writes what waits; False, and `failure`, when the disk takes no more."""
        if self._descriptor < 0 or not self._buffer:
            return self.failure is None
        data = self._buffer
        try:
            written = os.write(self._descriptor, data)
            while written < len(data):  # a nearly full disk takes a part: the rest follows, or raises
                written += os.write(self._descriptor, data[written:])
            data.clear()
        except OSError as error:
            self.failure = error
            self.close()
            self._on_failure()
            return False
        return True

    def close(self) -> None:
        """Calling it twice is fine."""
        if self.failure is None:
            self.flush()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _put(self, record: Record) -> None:
        self.records += 1
        self._encoder.encode_into(record, self._buffer, -1)
        self._buffer += b"\n"
