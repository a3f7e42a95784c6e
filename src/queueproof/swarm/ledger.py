"""The history of a load, on its way to the disk before a request leaves, without a system call a record.

The file is mapped into memory, a window at a time: a record that was copied into the mapping belongs to the kernel, as
after `write(2)`, and survives a `kill -9` of this process. The room for a window is taken from the disk beforehand, so
that a full one is an error and no signal. What a killed process leaves behind its last record reads as a torn line.
"""

import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from queueproof.evidence.history import clock_domain
from queueproof.evidence.operation import Clock, Invoke, Mark, Record, Return, Shape

WINDOW = 1 << 20  # bytes of the file that are mapped at a time: some 10,000 records


class Ledger:
    """Appends to one history file from one process's hub and greenlets."""

    def __init__(self, path: Path | None, *, run: str, writer: int, on_failure: Callable[[], None]) -> None:
        """`path` None: no history is kept. `on_failure`: called once when the disk takes no more.

        Raises OSError when the file cannot be made.
        """
        self.failure: OSError | None = None
        self.records = 0
        self._on_failure = on_failure
        self._encode = msgspec.json.Encoder().encode
        self._op = 0
        self._shapes: dict[tuple[object, ...], int] = {}
        self._descriptor = -1
        self._map: mmap.mmap | None = None
        self._base = 0  # where in the file the window begins …
        self._room = 0  # … how long it is …
        self._at = 0  # … and where in it the next record goes
        if path is not None:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
            now_ns = time.monotonic_ns()
            self._put(
                Clock(domain=clock_domain(), at_ns=now_ns, wall_us=time.time_ns() // 1000, run=run, writer=writer)
            )

    @property
    def size(self) -> int:
        """Bytes written."""
        return self._base + self._at

    @property
    def kept(self) -> bool:
        return self._descriptor >= 0

    def operation(self) -> int:
        """The next operation's number."""
        self._op += 1
        return self._op

    def shape(self, of: str, *names: str, **common: str | float | None) -> int:
        """The number of a shape (evidence/operation.py), written when it is new."""
        key = (of, names, *common.items())
        number = self._shapes.get(key, 0)
        if not number:
            self._shapes[key] = number = len(self._shapes) + 1
            if self._descriptor >= 0 and self._put(Shape(number=number, of=of, names=names, common=common)):
                self.records -= 1  # it is none
        return number

    def brief(self, *values: str | int) -> bool:
        """A record by its shape: number and values. False when it could not be written: then it must not leave."""
        if self._descriptor < 0:
            return self.failure is None
        line = self._encode(values) + b"\n"
        at = self._at
        end = at + len(line)
        if end > self._room:
            return self._put(values)
        self._map[at:end] = line  # type: ignore[index]  # there is room, so there is a map
        self._at = end
        self.records += 1
        return True

    def invoke(self, record: Invoke) -> bool:
        """Before the request leaves; False when it could not be written: then it must not leave."""
        return self._put(record) if self._descriptor >= 0 else self.failure is None

    def back(self, record: Return) -> None:
        """After the answer was parsed."""
        if self._descriptor >= 0:
            self._put(record)

    def mark(self, name: str, detail: str = "") -> None:
        if self._descriptor >= 0:
            self._put(Mark(at_ns=time.monotonic_ns(), name=name, detail=detail))

    def close(self) -> None:
        """Cuts off the room that was not needed. Calling it twice is fine."""
        if self._map is not None:
            self._map.close()
            self._map = None
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, self.size)
            os.close(self._descriptor)
            self._descriptor = -1

    def _put(self, record: Record | Shape | tuple[str | int, ...]) -> bool:
        line = self._encode(record) + b"\n"
        end = self._at + len(line)
        if end > self._room:
            try:
                self._advance(len(line))
            except OSError as error:
                self.failure = error
                self.close()
                self._on_failure()
                return False
            end = self._at + len(line)
        self._map[self._at : end] = line  # type: ignore[index]  # `_advance` has made it
        self._at = end
        self.records += 1
        return True

    def _advance(self, length: int) -> None:
        """Maps the next window, with room for a record of `length`; raises OSError when the disk is full."""
        if self._map is not None:
            self._map.close()
            self._map = None
        size = self.size
        self._base = size // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        self._at = size - self._base
        self._room = 0  # until it is there
        room = self._at + max(WINDOW, length)
        _take_room(self._descriptor, size, self._base + room - size)
        self._room = room
        self._map = mmap.mmap(self._descriptor, self._room, offset=self._base)


def _take_room(descriptor: int, offset: int, length: int) -> None:
    """Makes sure that the disk has these bytes; raises OSError when it has not."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, offset, length)
        return
    written = 0
    while written < length:
        written += os.pwrite(descriptor, bytes(length - written), offset + written)
