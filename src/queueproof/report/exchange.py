"""Finds, in the history of a run, the few operations that a reader needs to see beside one failure.

Two passes over the files, and nothing kept but what is asked for: a history of millions of operations costs time, not
memory. Both passes are skipped when nothing failed.
"""

import bisect
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from queueproof.errors import CorruptRunError
from queueproof.evidence.history import WRITER_SHIFT, read_records
from queueproof.evidence.operation import Clock, Invoke, Item, Result, Return

# More than this beside one failure hides what matters; the rest is counted, and stays in the history.
MOST_EXCHANGES: Final = 40
# Ids that several operations of the evidence share are what it is about; without one, only a handful can be followed.
_MOST_SUBJECTS: Final = 5
# Calls of the same queue about other messages: a few set the scene, more would bury what the verdict rests on.
_MOST_BESIDE: Final = 6
_FREES: Final = frozenset({"complete", "fail", "release"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """One call with its answer, as the history holds it. Its texts are the server's own: show them through `plain`."""

    op: int  # unique in the run
    at_ns: int  # invoked; comparable within the run, also between machines (for display only)
    until_ns: int | None  # answered; None when no answer was recorded
    invoke: Invoke
    answer: Return | None
    evidence: bool = False  # the verdict rests on it

    @property
    def result(self) -> Result:
        return self.answer.result if self.answer else Result.UNKNOWN

    @property
    def verb(self) -> str:
        return self.invoke.verb

    @property
    def name(self) -> str:
        """ "#12", or "#2.12" for the twelfth operation of the second writer."""
        writer, number = divmod(self.op, 1 << WRITER_SHIFT)
        return f"#{writer}.{number}" if writer else f"#{number}"

    @property
    def items(self) -> tuple[Item, ...]:
        return self.answer.items if self.answer and self.answer.result is Result.OK else ()

    @property
    def may_free(self) -> bool:
        """Whether it may have ended a claim of its message."""
        return self.verb in _FREES and self.result in {Result.OK, Result.UNKNOWN}

    def messages(self) -> set[str]:
        """Every message id that the call or its answer names."""
        named = {item.id for item in self.items} | {self.invoke.message, self.answer.message if self.answer else ""}
        return named - {""}

    def tokens(self) -> set[str]:
        return ({item.token for item in self.items} | {self.invoke.token}) - {""}

    def delivers(self, subjects: Iterable[str]) -> tuple[Item, ...]:
        wanted = set(subjects)
        return tuple(item for item in self.items if not wanted or item.id in wanted)


@dataclass(frozen=True, kw_only=True)
class Want:
    """What one failure names: operation ids, and the message where it is about one."""

    operations: frozenset[int]
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Picked:
    """What was found for one Want, by time."""

    exchanges: tuple[Exchange, ...] = ()
    subjects: tuple[str, ...] = ()  # ids of the messages that it is about
    omitted: int = 0  # related operations beyond the cap
    missing: int = 0  # operations named that the history does not hold


@dataclass
class _Search:
    """One Want on its way to a Picked."""

    want: Want
    cap: int
    evidence: list[Exchange] = field(default_factory=list)
    subjects: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    queues: set[tuple[str, str]] = field(default_factory=set)
    related: list[tuple[int, int, Exchange]] = field(default_factory=list)  # rank, distance in ns
    moments: list[int] = field(default_factory=list)  # invocations of the evidence, by time
    end_ns: int = 0
    omitted: int = 0

    def settle(self) -> None:
        """After the first pass: what the evidence is about."""
        counts = Counter(name for exchange in self.evidence for name in exchange.messages())
        shared = {name for name, times in counts.items() if times > 1}
        if self.want.message:
            self.subjects = {self.want.message}
        else:
            self.subjects = shared or (set(counts) if len(counts) <= _MOST_SUBJECTS else set())
        if not self.subjects or len(self.evidence) == 1:
            self.tokens = {token for exchange in self.evidence for token in exchange.tokens()}
        self.moments = [exchange.at_ns for exchange in self.evidence]
        self.end_ns = max((exchange.until_ns or exchange.at_ns for exchange in self.evidence), default=0)
        self.queues = {(e.invoke.scope, e.invoke.queue) for e in self.evidence if e.invoke.queue}

    def consider(self, exchange: Exchange, rank: int) -> None:
        """Second pass. Rank 0: it touches the same message; 1: the same queue, which counts only meanwhile."""
        if rank and not self.moments[0] <= exchange.at_ns <= self.end_ns:
            return
        if exchange.op in self.want.operations:
            return
        self.related.append((rank, self._distance(exchange), exchange))
        if len(self.related) > 8 * self.cap:
            self._prune(4 * self.cap)

    def _distance(self, exchange: Exchange) -> int:
        """To the nearest operation of the evidence, in ns."""
        place = bisect.bisect(self.moments, exchange.at_ns)
        return min(abs(exchange.at_ns - moment) for moment in self.moments[max(0, place - 1) : place + 1])

    def _prune(self, keep: int) -> None:
        self.related.sort(key=lambda entry: entry[:2])
        self.omitted += len(self.related[keep:])
        del self.related[keep:]

    def _thin(self) -> None:
        """Of calls about other messages the nearest; those that came back empty share a lane and may stay."""
        self.related.sort(key=lambda entry: entry[:2])
        others = [entry for entry in self.related if entry[0] and entry[2].messages()][_MOST_BESIDE:]
        gone = {id(entry) for entry in others}
        self.related = [entry for entry in self.related if id(entry) not in gone]
        self.omitted += len(others)

    def finish(self) -> Picked:
        kept = self.evidence
        if len(kept) > self.cap:  # the beginning sets the scene, the end is where it broke
            head = self.cap // 3
            kept = kept[:head] + kept[head - self.cap :]
        self._thin()
        self._prune(self.cap - len(kept))
        found = sorted(
            [*kept, *(entry[2] for entry in self.related)], key=lambda exchange: (exchange.at_ns, exchange.op)
        )
        return Picked(
            exchanges=tuple(found),
            subjects=tuple(sorted(self.subjects)),
            omitted=self.omitted + len(self.evidence) - len(kept),
            missing=len(self.want.operations) - len(self.evidence),
        )


def pick(directory: Path, wants: Sequence[Want], *, cap: int = MOST_EXCHANGES) -> tuple[list[Picked], list[str]]:
    """For each Want its Picked, and a note for each history file that could not be read to its end."""
    searches = [_Search(want=want, cap=cap) for want in wants]
    by_operation: dict[int, list[_Search]] = {}
    for search in searches:
        for op in search.want.operations:
            by_operation.setdefault(op, []).append(search)
    if not by_operation:
        return [search.finish() for search in searches], []
    notes: list[str] = []
    for exchange in exchanges(directory, notes, evidence=frozenset(by_operation)):
        for search in by_operation.get(exchange.op, ()):
            search.evidence.append(exchange)
    for search in searches:
        search.evidence.sort(key=lambda exchange: (exchange.at_ns, exchange.op))
        search.settle()
    _relate(directory, [search for search in searches if search.evidence])
    return [search.finish() for search in searches], notes


def _relate(directory: Path, searches: list[_Search]) -> None:
    about: dict[str, list[_Search]] = {}
    queues: dict[tuple[str, str], list[_Search]] = {}
    for search in searches:
        for name in search.subjects | search.tokens:
            about.setdefault(name, []).append(search)
        for place in search.queues:
            queues.setdefault(place, []).append(search)
    for exchange in exchanges(directory, []) if about or queues else ():
        names = exchange.messages() | exchange.tokens()
        touched = {id(search): search for name in names for search in about.get(name, ())}
        for search in touched.values():
            search.consider(exchange, 0)
        for search in queues.get((exchange.invoke.scope, exchange.invoke.queue), ()):
            if id(search) not in touched:
                search.consider(exchange, 1)


def exchanges(directory: Path, notes: list[str], *, evidence: frozenset[int] | None = None) -> Iterator[Exchange]:
    """Every call of a run's histories, or those of `evidence`; calls without an answer come at their file's end.

    What cannot be read ends its file early and is added to `notes`.
    """
    offsets: dict[str, int] = {}
    for path in sorted(directory.glob("history-*.ndjson")):
        waiting: dict[int, Invoke] = {}
        base = offset = 0
        try:
            for record in read_records(path):
                if isinstance(record, Clock):
                    base = record.writer << WRITER_SHIFT
                    # Within one machine the monotonic clock orders; the wall clock only lays machines side by side.
                    offset = offsets.setdefault(record.domain, record.wall_us * 1_000 - record.at_ns)
                elif isinstance(record, Invoke):
                    if evidence is None or base | record.op in evidence:
                        waiting[base | record.op] = record
                elif isinstance(record, Return):
                    invoke = waiting.pop(base | record.op, None)
                    if invoke is not None:
                        yield _exchange(base | record.op, invoke, record, offset, evidence is not None)
        except CorruptRunError as error:
            notes.append(error.message)
        except OSError as error:
            notes.append(f"{path.name} cannot be read: {error.strerror or error}")
        for op, invoke in waiting.items():
            yield _exchange(op, invoke, None, offset, evidence is not None)


def _exchange(op: int, invoke: Invoke, answer: Return | None, offset: int, evidence: bool) -> Exchange:
    return Exchange(
        op=op,
        at_ns=invoke.at_ns + offset,
        until_ns=None if answer is None else answer.at_ns + offset,
        invoke=invoke,
        answer=answer,
        evidence=evidence,
    )


def as_curl(invoke: Invoke) -> str:
    """The call as a command for a shell: host and key come from the environment, so that no secret is in it.

    What does not print is written as a JSON escape, so that pasting it types nothing else.
    """
    url = '"$SCAIGRID_HOST"' + shlex.quote(_typed(invoke.path))
    parts = [f"curl -sS -X {shlex.quote(_typed(invoke.method or 'GET'))} {url}"]
    parts.append('-H "Authorization: Bearer $SCAIGRID_API_KEY"')
    if invoke.request:
        parts.append("-H 'Content-Type: application/json'")
        parts.append(f"--data-raw {shlex.quote(_typed(invoke.request))}")
    return " \\\n  ".join(parts)


def _typed(text: str) -> str:
    return "".join(
        c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else json.dumps(c)[1:-1] for c in text
    )
