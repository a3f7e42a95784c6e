"""Is there any legal course of events of a correct queue that a tiny history can be told by? Exhaustive search.

A course is an order of the calls' effects, and of what may happen by itself. Every bound on a time is a lower one (not
before the invocation, not before the effect before it, not before a lock's end) or the call's own return, so the
earliest times are the best ones, and only orders have to be searched. The server may do whatever the contract leaves
open: refund or not, take back what it could not deliver, answer ok to calls that had nothing to do, return messages to
any place; its clock may run as fast as the margins allow.
"""

from dataclasses import dataclass, replace
from functools import cache

from queueproof.checks.finding import CLOCK_DRIFT, CLOCK_STEP_NS

FIFO_GATE_NS = 5_000_000


@dataclass(frozen=True)
class Call:
    """One call of a tiny history; times in ns, `ret` None when unknown."""

    verb: str
    inv: int
    ret: int | None
    result: str  # ok, rejected, not_sent, unknown
    message: str = ""
    timeout: int = 0
    limit: int = 1
    items: tuple[tuple[str, int | None], ...] = ()


@dataclass(frozen=True)
class Row:
    """A message as the server has it."""

    id: str
    made: int  # place in the order of publishes
    state: str = "pending"  # pending, claimed, completed
    attempts: int = 0
    end: int = 0  # earliest end of its lock
    undoable: bool = False  # held by a claim whose answer was lost
    touched: bool = False  # was claimed, failed or released before: its place is the server's choice


def explains(calls: tuple[Call, ...]) -> bool:
    """Whether a correct fifo queue may have behaved so."""
    effective = tuple(call for call in calls if call.result in ("ok", "unknown"))
    publishes = {call.message: call for call in effective if call.verb == "publish"}

    @cache
    def search(left: frozenset[int], now: int, rows: tuple[Row, ...]) -> bool:
        if all(effective[index].result == "unknown" for index in left):
            return True
        return any(
            search(left - {index}, then, after) for index in left for then, after in steps(effective[index], now, rows)
        )

    def steps(call: Call, now: int, rows: tuple[Row, ...]) -> list[tuple[int, tuple[Row, ...]]]:
        at = max(now, call.inv)
        found: list[tuple[int, tuple[Row, ...]]] = []
        if call.verb == "publish":
            found = [(at, (*rows, Row(call.message, len(rows))))]
        elif call.verb == "claim" and call.result == "ok":
            found = _deliver(call, at, rows, publishes)
        elif call.verb == "claim":
            found = [taken for size in range(call.limit + 1) for taken in _take_any(call, at, rows, size)]
        else:
            found = _on_message(call, at, rows)
        return [(then, after) for then, after in found if call.ret is None or then <= call.ret]

    return search(frozenset(range(len(effective))), 0, ())


def _end(at: int, timeout: int) -> int:
    return at + int(timeout * (1 - CLOCK_DRIFT)) - CLOCK_STEP_NS


def _free_states(row: Row, at: int) -> list[tuple[int, Row]]:
    """The ways in which a row may be pending at `at` or at the earliest later time."""
    if row.state == "pending":
        return [(at, row)]
    if row.state != "claimed":
        return []
    lapsed = [(max(at, row.end), replace(row, state="pending", undoable=False, touched=True))]
    if row.undoable:
        lapsed.append((at, replace(row, state="pending", attempts=row.attempts - 1, undoable=False, touched=True)))
    return lapsed


def _deliver(
    call: Call, at: int, rows: tuple[Row, ...], publishes: dict[str, Call]
) -> list[tuple[int, tuple[Row, ...]]]:
    courses = [(at, rows)]
    for message, attempts in call.items:
        after = []
        for then, table in courses:
            for index, row in enumerate(table):
                if row.id == message:
                    for start, free in _free_states(row, then):
                        if attempts in (None, free.attempts + 1) and _may_go(free, table, call, publishes):
                            taken = replace(
                                free,
                                state="claimed",
                                attempts=free.attempts + 1,
                                end=_end(start, call.timeout),
                                touched=True,
                            )
                            after.append((start, (*table[:index], taken, *table[index + 1 :])))
        courses = after
    return courses


def _may_go(row: Row, table: tuple[Row, ...], call: Call, publishes: dict[str, Call]) -> bool:
    """No untouched older message is left waiting, unless it is in the same answer or of the same time stamp."""
    if row.touched:
        return True
    together = {message for message, _ in call.items}
    for other in table:
        if other.made < row.made and not other.touched and other.state == "pending" and other.id not in together:
            returned = publishes[other.id].ret
            if returned is not None and publishes[row.id].inv - returned > FIFO_GATE_NS:
                return False
    return True


def _take_any(call: Call, at: int, rows: tuple[Row, ...], size: int) -> list[tuple[int, tuple[Row, ...]]]:
    """An unknown claim takes any `size` messages that it can get."""
    courses = [(at, rows)]
    for _ in range(size):
        courses = [
            (
                start,
                (
                    *table[:index],
                    replace(
                        free,
                        state="claimed",
                        attempts=free.attempts + 1,
                        end=_end(start, call.timeout),
                        undoable=True,
                        touched=True,
                    ),
                    *table[index + 1 :],
                ),
            )
            for then, table in courses
            for index, row in enumerate(table)
            for start, free in _free_states(row, then)
        ]
    return courses


def _on_message(call: Call, at: int, rows: tuple[Row, ...]) -> list[tuple[int, tuple[Row, ...]]]:
    for index, row in enumerate(rows):
        if row.id == call.message:
            return [(then, (*rows[:index], after, *rows[index + 1 :])) for then, after in _changed(call, at, row)]
    return [(at, rows)] if call.result == "unknown" else []


def _changed(call: Call, at: int, row: Row) -> list[tuple[int, Row]]:
    if row.state == "completed":
        return [(at, row)]  # answered ok with nothing to do
    if call.verb == "complete":
        return [(at, replace(row, state="completed"))]
    if call.verb == "extend":
        longer = [(at, replace(row, end=_end(at, call.timeout)))] if row.state == "claimed" else []
        return [*longer, (max(at, row.end), row)]  # or there was nothing left to extend
    free = replace(row, state="pending", undoable=False, touched=True)
    found = [(at, free)]
    if call.verb == "release" and row.state == "claimed":
        found.append((at, replace(free, attempts=row.attempts - 1)))
    return found
