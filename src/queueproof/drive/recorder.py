"""Between a client and the history: numbers operations, shortens what is long, and takes secrets out."""

import json
import time
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from queueproof.evidence.operation import Invoke, Item, Record, Result, Return

# Enough of a body to recognise a message by; the digest stands for the rest.
TEXT_LIMIT = 2_000
SECRET = "[secret]"  # noqa: S105 -- what stands in a secret's place
# Taking a shorter key out would hide nothing, and would take every text apart that holds its letters.
SHORTEST_SECRET = 6


class Sink(Protocol):
    """Where records go: `evidence.history.HistoryWriter`, or a list in a test."""

    def write(self, record: Record) -> None: ...


class Recorder:
    """Writes an invocation before its first byte is sent, and a return after its answer is read."""

    def __init__(self, sink: Sink, *, secrets: Iterable[str] = ()) -> None:
        self._sink = sink
        long = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        spelt = long | {json.dumps(secret)[1:-1] for secret in long}  # and as JSON writes it
        self._secrets = sorted(spelt, key=len, reverse=True)
        self._next = 0

    def invoke(self, *, request: str = "", **fields: Any) -> Invoke:
        self._next += 1
        named = {name: self._kept(value) for name, value in fields.items()}
        record = Invoke(op=self._next, at_ns=time.monotonic_ns(), request=self.clean(request), **named)
        self._sink.write(record)
        return record

    def back(
        self, op: int, result: Result, *, answer: str = "", why: str = "", items: tuple[Item, ...] = (), **fields: Any
    ) -> Return:
        named = {name: self._kept(value) for name, value in fields.items()}
        record = Return(
            op=op,
            at_ns=time.monotonic_ns(),
            result=result,
            answer=self.clean(answer),
            why=self.clean(why),
            items=tuple(self._item(item) for item in items),
            **named,
        )
        self._sink.write(record)
        return record

    def hide(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, SECRET)
        return text

    def hide_bytes(self, content: bytes) -> bytes:
        """The same for what has not been decoded yet: a server may say a key back."""
        for secret in self._secrets:
            content = content.replace(secret.encode(), SECRET.encode())
        return content

    def clean(self, text: str) -> str:
        """The text without secrets, no longer than TEXT_LIMIT, and such that UTF-8 can carry it."""
        text = self.hide(text)
        if len(text) > TEXT_LIMIT:
            text = f"{text[:TEXT_LIMIT]}… ({len(text)} characters)"
        return _carried(text)

    def begun(self, content: bytes, more_than: int) -> str:
        """The beginning of an answer that was given up after `more_than` bytes, ending with a word that it was cut."""
        told = f"… (more than {more_than} bytes)"
        return self.hide_bytes(content).decode("utf-8", "replace")[: TEXT_LIMIT - len(told)] + told

    def _kept(self, value: Any) -> Any:
        """A member by which records are matched: whole, however long."""
        return _carried(self.hide(value)) if isinstance(value, str) else value

    def _item(self, item: Item) -> Item:
        texts = (item.id, item.token, item.queue)
        if all(text.isascii() for text in texts) and all(self.hide(text) == text for text in texts):
            return item
        return msgspec.structs.replace(
            item, id=self._kept(item.id), token=self._kept(item.token), queue=self._kept(item.queue)
        )


def _carried(text: str) -> str:
    """The text as UTF-8 can carry it; a lone surrogate, which JSON can spell, becomes "?"."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
