"""Between a client and the history: numbers operations, shortens what is long, and takes secrets out."""

import time
from collections.abc import Iterable
from typing import Any, Protocol

from queueproof.evidence.operation import Invoke, Item, Record, Result, Return

# Enough of a body to recognise a message by; the digest stands for the rest.
TEXT_LIMIT = 2_000
SECRET = "[secret]"  # noqa: S105 -- what stands in a secret's place


class Sink(Protocol):
    """Where records go: `evidence.history.HistoryWriter`, or a list in a test."""

    def write(self, record: Record) -> None: ...


class Recorder:
    """Writes an invocation before its first byte is sent, and a return after its answer is read."""

    def __init__(self, sink: Sink, *, secrets: Iterable[str] = ()) -> None:
        self._sink = sink
        self._secrets = sorted((secret for secret in secrets if secret), key=len, reverse=True)
        self._next = 0

    def invoke(self, *, request: str = "", **fields: Any) -> Invoke:
        self._next += 1
        record = Invoke(op=self._next, at_ns=time.monotonic_ns(), request=self.clean(request), **fields)
        self._sink.write(record)
        return record

    def back(
        self, op: int, result: Result, *, answer: str = "", why: str = "", items: tuple[Item, ...] = (), **fields: Any
    ) -> Return:
        record = Return(
            op=op,
            at_ns=time.monotonic_ns(),
            result=result,
            answer=self.clean(answer),
            why=self.clean(why),
            items=items,
            **fields,
        )
        self._sink.write(record)
        return record

    def clean(self, text: str) -> str:
        """The text without secrets, no longer than TEXT_LIMIT, and such that UTF-8 can carry it."""
        for secret in self._secrets:
            text = text.replace(secret, SECRET)
        if len(text) > TEXT_LIMIT:
            text = f"{text[:TEXT_LIMIT]}… ({len(text)} characters)"
        return text.encode("utf-8", "replace").decode()
