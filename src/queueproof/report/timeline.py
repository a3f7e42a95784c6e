"""Lays the operations of one failure out in time: lanes of bars, from which characters and SVG are drawn.

A call acted somewhere between its invocation and its answer, so that span is drawn as uncertain. A claim's lock is
drawn solid only where the message was held for certain: from the answer until the earliest moment at which the lock
can have lapsed, or at which a call that may have freed it left. What comes after, until the latest moment, is
uncertain again. Pure: exchanges in, a layout out.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from queueproof.evidence.margins import certain_hold_ns
from queueproof.evidence.operation import Result
from queueproof.report.exchange import Exchange
from queueproof.report.text import NS_PER_S

# Checks whose first delivery among the evidence, not the last, is the illegal one: it overtook.
_FIRST_IS_WRONG: Final = frozenset({"order"})
# How far beyond the last event a lock or a deadline is still drawn, in lengths of the whole.
_FAR: Final = 6.0
_NEAR: Final = 1.5
_OTHERS: Final = "other messages"
# From this many lanes on, runs of alike operations beside the evidence share one.
_FOLD_FROM: Final = 8


class Shade(StrEnum):
    """How sure the reader may be of what a bar shows."""

    CALL = "call"  # under way: it acted somewhere in here, or (refused) did not
    HELD = "held"  # the message is certainly held
    MAYBE = "maybe"  # the lock may be live, or over
    OPEN = "open"  # no answer, or one that does not tell (a 500): it may act at any later time


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A span of a lane, in ns from the layout's start."""

    start_ns: int
    end_ns: int
    shade: Shade
    exchange: Exchange
    ringed: bool = False  # where the promise breaks


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A moment that matters, in ns from the layout's start, on one lane."""

    at_ns: int
    label: str


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One operation, or several alike that share a line."""

    label: str
    detail: str
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...] = ()
    evidence: bool = False


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Lanes over one time axis that begins at 0 with the first operation and ends at `end_ns`."""

    lanes: tuple[Lane, ...]
    end_ns: int
    origin_ns: int  # the first operation's time, on the clock of Exchange.at_ns
    ticks: tuple[int, ...]

    def has(self, shade: Shade) -> bool:
        return any(bar.shade is shade for lane in self.lanes for bar in lane.bars)

    @property
    def ringed(self) -> bool:
        return any(bar.ringed for lane in self.lanes for bar in lane.bars)


def lay_out(
    exchanges: Sequence[Exchange], *, subjects: Iterable[str] = (), check: str = "", slack_s: float = 0.0
) -> Layout | None:
    """The layout of `exchanges` (by time); None when there are none.

    `subjects`: ids of the messages whose claims are drawn. `slack_s`: how much later than its timeout a message may
    come back; 0 draws no such mark.
    """
    if not exchanges:
        return None
    wanted = frozenset(subjects)
    origin = exchanges[0].at_ns
    wrong = _wrong(exchanges, wanted, check)
    drawer = _Drawer(origin, wanted, wrong, exchanges, slack_s)
    folded = _fold(exchanges, wanted) if len(exchanges) >= _FOLD_FROM else [[exchange] for exchange in exchanges]
    lanes = tuple(drawer.lane(group) for group in folded)
    end = drawer.end_ns(lanes)
    return Layout(lanes=lanes, end_ns=end, origin_ns=origin, ticks=tuple(_ticks(end)))


def _wrong(exchanges: Sequence[Exchange], subjects: frozenset[str], check: str) -> int | None:
    """The operation where the promise breaks, when the evidence shows one: an id, else None.

    - the evidence ends with another call than a claim: that one, by its answer;
    - no delivery among it: the only claim, else what is missing cannot be ringed;
    - a delivery after an ok complete, or not the first of its message: the last one (the first, where it overtook).
    """
    evidence = [exchange for exchange in exchanges if exchange.evidence]
    if not evidence:
        return None
    if evidence[-1].verb != "claim" or len(evidence) == 1:
        return evidence[-1].op
    deliveries = [exchange for exchange in evidence if exchange.delivers(subjects)]
    if not deliveries:
        return None
    if check in _FIRST_IS_WRONG:
        return deliveries[0].op
    last = deliveries[-1]
    before = [exchange for exchange in exchanges if exchange.at_ns < last.at_ns]
    done = any(e.verb == "complete" and e.result is Result.OK for e in before if e.evidence)
    again = any(exchange.delivers(subjects) for exchange in before)
    names = [item.id for item in last.delivers(subjects)]
    return last.op if done or again or len(names) > len(set(names)) else None


def _fold(exchanges: Sequence[Exchange], subjects: frozenset[str]) -> list[list[Exchange]]:
    """Neighbours that are alike, and no evidence, in one group: forty empty claims are one lane."""
    groups: list[list[Exchange]] = []
    for exchange in exchanges:
        if groups and not exchange.evidence and _kind(groups[-1][0], subjects) == _kind(exchange, subjects):
            groups[-1].append(exchange)
        else:
            groups.append([exchange])
    return groups


def _kind(exchange: Exchange, subjects: frozenset[str]) -> tuple[object, ...]:
    if exchange.evidence or exchange.delivers(subjects):
        return (exchange.op,)
    code = exchange.answer.code if exchange.answer else ""
    return (exchange.verb, exchange.result, code, exchange.invoke.message, bool(exchange.items))


@dataclass(frozen=True)
class _Drawer:
    """Turns groups of exchanges into lanes."""

    origin: int
    subjects: frozenset[str]
    wrong: int | None
    exchanges: Sequence[Exchange]
    slack_s: float

    def lane(self, group: list[Exchange]) -> Lane:
        first = group[0]
        bars = [bar for exchange in group for bar in self._bars(exchange)]
        return Lane(
            label=f"{first.verb} {first.name}" if len(group) == 1 else f"{first.verb} ×{len(group)}",
            detail=said(first, self.subjects) if len(group) == 1 or not first.items else _OTHERS,
            bars=tuple(bars),
            marks=tuple(self._marks(first)) if len(group) == 1 else (),
            evidence=first.evidence,
        )

    def end_ns(self, lanes: tuple[Lane, ...]) -> int:
        """Shortly after the last thing that happened, and after the marks and locks that explain it.

        A deadline that the verdict rests on is shown though it is far ahead; another only where it is near, so that
        a lock of an hour in a failure of one second leaves something to see.
        """
        last = max((e.until_ns if e.until_ns is not None else e.at_ns) - self.origin for e in self.exchanges)
        last = max(last, NS_PER_S // 100)
        edges = [last]
        for lane in lanes:
            ringed = any(bar.ringed for bar in lane.bars)
            reach = _FAR if lane.evidence and not ringed else _NEAR
            edges += [mark.at_ns for mark in lane.marks if mark.at_ns <= reach * last]
            edges += [bar.end_ns for bar in lane.bars if bar.end_ns <= reach * last]
        return max(edges) * 106 // 100 + 1

    def _bars(self, exchange: Exchange) -> Iterable[Bar]:
        start = exchange.at_ns - self.origin
        end = start if exchange.until_ns is None else exchange.until_ns - self.origin
        ringed = exchange.op == self.wrong
        shade = Shade.OPEN if exchange.result is Result.UNKNOWN else Shade.CALL
        yield Bar(start_ns=start, end_ns=end, shade=shade, exchange=exchange, ringed=ringed)
        for begin, finish, kind in self._locks(exchange):
            if finish > begin:
                yield Bar(start_ns=begin - self.origin, end_ns=finish - self.origin, shade=kind, exchange=exchange)

    def _locks(self, exchange: Exchange) -> Iterable[tuple[int, int, Shade]]:
        """Where the claim, or the extension, holds the message: certainly, then perhaps."""
        held = self._holds(exchange)
        if held is None or exchange.until_ns is None or exchange.invoke.timeout_s is None:
            return
        timeout_ns = round(exchange.invoke.timeout_s * NS_PER_S)
        certain = exchange.at_ns + certain_hold_ns(timeout_ns)
        latest = exchange.until_ns + timeout_ns
        frees = [e for e in self.exchanges if e.may_free and e.invoke.message in held]
        frees = [e for e in frees if e.until_ns is None or e.until_ns > exchange.until_ns]
        freed = min((e.at_ns for e in frees), default=latest)
        over = min((e.until_ns for e in frees if e.result is Result.OK and e.until_ns is not None), default=latest)
        certain = max(exchange.until_ns, min(certain, freed))
        yield exchange.until_ns, certain, Shade.HELD
        yield certain, min(latest, over), Shade.MAYBE

    def _holds(self, exchange: Exchange) -> set[str] | None:
        if exchange.verb == "extend":
            return {exchange.invoke.message} if exchange.result is Result.OK else None
        return {item.id for item in exchange.delivers(self.subjects)} or None

    def _marks(self, exchange: Exchange) -> Iterable[Mark]:
        if self._holds(exchange) is None or exchange.invoke.timeout_s is None:
            return
        end = exchange.at_ns - self.origin + round(exchange.invoke.timeout_s * NS_PER_S)
        yield Mark(at_ns=end, label="T")
        if self.slack_s:
            yield Mark(at_ns=end + round(self.slack_s * NS_PER_S), label="T + slack")


def said(exchange: Exchange, subjects: Iterable[str] = ()) -> str:
    """What the call came to, in a few words: "200, 1 message, attempts 2"."""
    answer = exchange.answer
    if answer is None:
        return "no answer was recorded"
    words = [str(answer.status) if answer.status is not None else answer.result.value.replace("_", " ")]
    if answer.code:
        words.append(answer.code)
    elif answer.result in {Result.UNKNOWN, Result.NOT_SENT} and answer.why:
        words.append(answer.why)
    if exchange.verb == "claim" and answer.result is Result.OK:
        words.append(_delivered(exchange, frozenset(subjects)))
    elif answer.state:
        words.append(answer.state)
    return ", ".join(words)


def _delivered(exchange: Exchange, subjects: frozenset[str]) -> str:
    items = exchange.items
    if not items:
        return "nothing"
    wanted = exchange.delivers(subjects)
    number = "1 message" if len(items) == 1 else f"{len(items)} messages"
    if not wanted:
        return f"{number}, not this one"
    if len(wanted) > len({item.id for item in wanted}):
        return f"{number}, this one {len(wanted)} times"
    attempts = {item.attempts for item in wanted}
    return f"{number}, attempts {attempts.pop()}" if len(attempts) == 1 else number


def _ticks(end_ns: int) -> range:
    """At most nine round moments from 0 to `end_ns`: every 1, 2 or 5 times a power of ten."""
    steps = (factor * 10**power for power in itertools.count() for factor in (1, 2, 5))
    return range(0, end_ns + 1, next(step for step in steps if end_ns <= 8 * step))
