"""The history of a run: append-only, two records a call, readable after `kill -9`.

Writing: one `write(2)` a record and nothing kept in the process, so that what was under way when the harness died is
known. Reading: a torn last line is legal and dropped; a torn line elsewhere is a corrupt file. For the checks the
records become two polars tables, `calls` and `deliveries` (columns: CALLS and DELIVERIES below).
"""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from queueproof.errors import CorruptRunError
from queueproof.evidence.operation import Clock, Invoke, Mark, Record, Result, Return, Shape

# Operation ids of several writers meet in one table: id = writer << WRITER_SHIFT | op.
WRITER_SHIFT = 40

CALLS: dict[str, Any] = {
    "op": pl.Int64,  # unique in the run
    "verb": pl.String,
    "inv": pl.Int64,  # ns
    "ret": pl.Int64,  # ns; null when the result is unknown or no return was recorded: it may act at any later time
    "result": pl.String,  # ok | rejected | not_sent | unknown
    "code": pl.String,  # error.code, "" when none
    "case": pl.String,
    "scope": pl.String,
    "queue": pl.String,
    "message": pl.String,  # acted upon, or (ok publish) the id that the server gave; "" when none
    "token": pl.String,  # published token, "" when none
    "key": pl.String,  # published idempotency key; null when none
    "body": pl.String,  # published body's digest
    "rest": pl.String,  # published: digest of all but body and key, "" when not recorded
    "timeout": pl.Int64,  # ns; claim, extend; null when none
    "limit": pl.Int64,  # claim
    "rank": pl.Int64,  # published place under priority and deadline ordering, smaller first; null when none
    "untimed": pl.Boolean,  # published with a delay, a ttl or a deadline
    "domain": pl.String,  # clock domain
}

DELIVERIES: dict[str, Any] = {
    "op": pl.Int64,  # of the claim
    "position": pl.Int64,  # in its answer, from 0
    "message": pl.String,
    "token": pl.String,  # found in the body, "" when none
    "attempts": pl.Int64,  # null when absent
    "body": pl.String,  # digest of the body
    "inv": pl.Int64,  # of the claim, ns
    "ret": pl.Int64,  # of the claim, ns
    "timeout": pl.Int64,  # of the claim, ns
    "scope": pl.String,
    "queue": pl.String,  # the queue that was claimed from
    "domain": pl.String,
}


@dataclass(frozen=True, kw_only=True)
class History:
    """What the checks read: every call, and every message of every claim answered ok."""

    calls: pl.DataFrame  # columns CALLS, sorted by inv
    deliveries: pl.DataFrame  # columns DELIVERIES, sorted by inv, position
    marks: tuple[Mark, ...] = ()


class HistoryWriter:
    """Appends records to one file; safe to use from one thread."""

    def __init__(self, path: Path, *, run: str, writer: int = 0) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._encoder = msgspec.json.Encoder()
        now_ns = time.monotonic_ns()
        self.write(Clock(domain=clock_domain(), at_ns=now_ns, wall_us=time.time_ns() // 1000, run=run, writer=writer))

    def write(self, record: Record) -> None:
        """One line, one `write(2)`; raises OSError (a full disk) rather than lose a record silently."""
        line = self._encoder.encode(record) + b"\n"
        written = os.write(self._descriptor, line)
        while written < len(line):  # a nearly full disk takes a part: the rest follows, or raises
            written += os.write(self._descriptor, line[written:])

    def close(self) -> None:
        os.close(self._descriptor)


def clock_domain() -> str:
    """The machine's boot id, or its host name where there is none: monotonic clocks agree within one domain."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return os.uname().nodename


def read_records(path: Path) -> Iterator[Record]:
    """The records of one history file, in the order written; a torn last line is dropped.

    Raises CorruptRunError, naming the line, for anything else that is no record.
    """
    decoder = _Decoder()
    try:
        file = path.open("rb")
    except OSError as error:
        raise CorruptRunError(
            f"{path} cannot be read: {error.strerror or error}", hint="take an unchanged copy, or run again"
        ) from error
    with file as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if not line.endswith(b"\n"):
                    return
                raise CorruptRunError(
                    f"{path}, line {number}, is no history record: {error}",
                    hint="the file was changed after the run; take an unchanged copy, or run again",
                ) from error
            if record is not None:
                yield record


class _Decoder:
    """Decodes line after line of one file; brief lines by the shapes that came before them."""

    def __init__(self) -> None:
        self._whole = msgspec.json.Decoder(Record | Shape).decode
        self._brief = msgspec.json.Decoder(list[int | str]).decode
        self._shapes: dict[int | str, tuple[_Kind, Shape, dict[str, Any]]] = {}

    def decode(self, line: bytes) -> Record | None:
        """None for a shape, which is no record. Raises msgspec.DecodeError for anything else that is none."""
        if line.startswith(b"["):
            return self._expand(self._brief(line))
        found: Record | Shape = self._whole(line)
        if not isinstance(found, Shape):
            return found
        kind = _KINDS.get(found.of)
        if kind is None:
            raise msgspec.ValidationError(f"there are no records {found.of!r}")
        unknown = {*found.common, *found.names} - set(kind.__struct_fields__)
        if unknown:
            raise msgspec.ValidationError(f"such records have no {', '.join(sorted(unknown))}")
        blank = {name: "" if _is_text(kind, name) else 0 for name in found.names}
        sample = msgspec.convert({**found.common, **blank}, kind)  # raises for a value of another type
        common = {name: getattr(sample, name) for name in found.common}
        self._shapes[found.number] = (kind, found, common)
        return None

    def _expand(self, values: list[int | str]) -> Record:
        known = self._shapes.get(values[0]) if values else None
        if known is None:
            raise msgspec.ValidationError("its shape is not known")
        kind, shape, common = known
        if len(values) != len(shape.names) + 1:
            raise msgspec.ValidationError("it has not as many values as its shape")
        told = dict(zip(shape.names, values[1:], strict=True))
        if any(isinstance(value, str) != _is_text(kind, name) for name, value in told.items()):
            raise msgspec.ValidationError("a value is of another type than its shape says")
        return kind(**{**common, **told})


_Kind = type[Invoke] | type[Return]
_KINDS: dict[str, _Kind] = {"invoke": Invoke, "return": Return}
# The members that a brief line may vary and that are no text.
_NUMBERS: dict[_Kind, frozenset[str]] = {
    Invoke: frozenset({"op", "at_ns", "rank", "limit", "attempt"}),
    Return: frozenset({"op", "at_ns", "status"}),
}


def _is_text(kind: _Kind, name: str) -> bool:
    return name not in _NUMBERS[kind]


def read_history(directory: Path) -> History:
    """All `history-*.ndjson` of a run directory as one history.

    Raises CorruptRunError when there is none, or one cannot be read.
    """
    paths = sorted(directory.glob("history-*.ndjson"))
    if not paths:
        raise CorruptRunError(
            f"{directory} holds no history-*.ndjson", hint="name a run directory, for example reports/latest"
        )
    return tabulate(record for path in paths for record in read_records(path))


def tabulate(records: Iterable[Record]) -> History:
    """Records as tables. Each file's records follow its Clock; a call without a return is unknown, for ever."""
    builder = _Tables()
    for record in records:
        builder.add(record)
    return builder.finish()


class _Tables:
    """Collects columns, not objects: a row an operation, filled in by its return."""

    def __init__(self) -> None:
        self._calls: dict[str, list[Any]] = {name: [] for name in CALLS}
        self._deliveries: dict[str, list[Any]] = {name: [] for name in DELIVERIES}
        self._marks: list[Mark] = []
        self._open: dict[int, int] = {}  # op → row
        self._base = 0
        self._domain = ""

    def add(self, record: Record) -> None:
        if isinstance(record, Invoke):
            self._invoke(record)
        elif isinstance(record, Return):
            self._return(record)
        elif isinstance(record, Clock):
            self._base, self._domain = record.writer << WRITER_SHIFT, record.domain
        else:
            self._marks.append(record)

    def _invoke(self, record: Invoke) -> None:
        op = self._base | record.op
        self._open[op] = len(self._calls["op"])
        row: dict[str, Any] = {
            "op": op,
            "verb": record.verb,
            "inv": record.at_ns,
            "ret": None,
            "result": Result.UNKNOWN.value,
            "code": "",
            "case": record.case,
            "scope": record.scope,
            "queue": record.queue,
            "message": record.message,
            "token": record.token,
            "key": record.key,
            "body": record.body,
            "rest": record.rest,
            "timeout": None if record.timeout_s is None else round(record.timeout_s * 1e9),
            "limit": record.limit,
            "rank": record.rank,
            "untimed": record.untimed,
            "domain": self._domain,
        }
        for name, column in self._calls.items():
            column.append(row[name])

    def _return(self, record: Return) -> None:
        op = self._base | record.op
        row = self._open.pop(op, None)
        if row is None:  # its invocation is in no file that was read: nothing can be said about it
            return
        calls = self._calls
        calls["result"][row] = record.result.value
        calls["code"][row] = record.code
        if record.result is not Result.UNKNOWN:
            calls["ret"][row] = record.at_ns
        if record.message:
            calls["message"][row] = record.message
        if record.result is Result.OK:
            for position, item in enumerate(record.items):
                self._deliver(op, row, position, record.at_ns, item)

    def _deliver(self, op: int, row: int, position: int, ret_ns: int, item: Any) -> None:
        calls = self._calls
        values: dict[str, Any] = {
            "op": op,
            "position": position,
            "message": item.id,
            "token": item.token,
            "attempts": item.attempts,
            "body": item.body,
            "inv": calls["inv"][row],
            "ret": ret_ns,
            "timeout": calls["timeout"][row],
            "scope": calls["scope"][row],
            "queue": calls["queue"][row],
            "domain": calls["domain"][row],
        }
        for name, column in self._deliveries.items():
            column.append(values[name])

    def finish(self) -> History:
        return History(
            calls=pl.DataFrame(self._calls, schema=CALLS).sort("inv", "op"),
            deliveries=pl.DataFrame(self._deliveries, schema=DELIVERIES).sort("inv", "op", "position"),
            marks=tuple(self._marks),
        )
