"""Between the phases of a plan: rows and counters, as they are shown at rest, against what is certain."""

import time
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case
from queueproof.drive.client import Exchange
from queueproof.drive.delivery import S
from queueproof.drive.outcomes import NotSupported
from queueproof.drive.plan_book import Book, Broken, Entry
from queueproof.drive.queue import Queue

# Rows and counters may trail behind; holds that end sooner than this are in doubt while they are read.
READING_S = 1.0


async def audit(case: Case, queue: Queue, book: Book) -> None:
    """The rows, as the queue's list shows them, and its counters, against what is certain."""
    if case.world.client.budget.rate_limited:
        return
    wrong = await case.eventually(lambda: _wrong_row(case, queue, book), lambda found: found is None)
    if wrong is not None:
        raise wrong
    wrong = await case.eventually(lambda: _wrong_counter(queue, book), lambda found: found is None)
    if wrong is not None:
        raise wrong


async def _wrong_row(case: Case, queue: Queue, book: Book) -> Broken | None:
    exchange = await case.send(wire.list_queue_messages(queue.scope, queue.id))
    rows = wire.rows(exchange.data) if exchange.ok else None
    by_id = {wire.identity(row): row for row in rows or [] if isinstance(row, dict)}
    for entry in book.entries.values():
        row = by_id.get(entry.message.id)
        if row is None:
            continue
        wrong = _row_differs(entry, row, exchange)
        if wrong is not None:
            return wrong
    return None


def _row_differs(entry: Entry, row: dict[str, Any], exchange: Exchange) -> Broken | None:
    entry.pass_time(time.monotonic_ns() + round(READING_S * S))
    state, shown = wire.state(row), row.get("attempts")
    evidence = (*entry.evidence, exchange.op)
    wanted = {"done": "completed", "held": "claimed"}.get(*entry.states) if len(entry.states) == 1 else None
    if state in {"pending", "claimed", "completed"} and wanted not in {None, state}:
        root = "DONE-1" if wanted == "completed" else "SEQ-1"
        return Broken(
            root, f"the row of {entry.name} says {state}", expected=f"state {wanted}", seen=f"state {state}",
            evidence=evidence, entry=entry, liveness=True,
        )  # fmt: skip
    if state == "completed" and "done" not in entry.states:
        return Broken(
            "SEQ-1", f"{entry.name} is completed though nobody completed it", seen="state completed",
            expected=f"it is {' or '.join(sorted(entry.states))}", evidence=evidence, entry=entry, liveness=True,
        )  # fmt: skip
    chain = entry.message.correlation
    traced = row.get("correlation_id")
    entry.traced = entry.traced or (bool(chain) and traced == chain)
    if chain and traced != chain and (entry.traced or traced is not None):
        return Broken(
            "PUB-6", f"the row of {entry.name} shows another correlation_id", seen=f"correlation_id {traced}",
            expected=f"correlation_id {chain}", evidence=evidence, entry=entry, liveness=True,
        )  # fmt: skip
    low, high = entry.attempts
    if isinstance(shown, int) and not low - 1 <= shown <= high - 1 and "dead" not in entry.states:
        return Broken(
            "CLAIM-4", f"the row of {entry.name} shows other attempts than it had", seen=f"attempts {shown}",
            expected=f"attempts {low - 1}" + (f" to {high - 1}" if high > low else ""), evidence=evidence,
            entry=entry, liveness=True,
        )  # fmt: skip
    return None


async def _wrong_counter(queue: Queue, book: Book) -> Broken | None:
    if queue.unsettled:
        return None
    try:
        pending, claimed = await queue.counters()
    except NotSupported:
        return None
    soon = time.monotonic_ns() + round(READING_S * S)
    for entry in book.entries.values():
        entry.pass_time(soon)
    states = [entry.states for entry in book.entries.values()]
    # what failed may be out of sight for a while, as what is delayed is
    backing_off = sum(entry.states == {"pending"} and entry.returned_by == "fail" for entry in book.entries.values())
    for name, seen, sure, maybe in (
        ("depth_pending", pending, {"pending"}, {"pending", "hidden"}),
        ("depth_claimed", claimed, {"held"}, {"held"}),
    ):
        least, most = sum(one == sure for one in states), sum(bool(one & maybe) for one in states)
        least -= backing_off if name == "depth_pending" else 0
        if not least <= seen <= most:
            return Broken(
                "SEQ-1", f"{name} does not count what the queue holds", seen=f"{name} {seen}",
                expected=f"{name} {least}" + (f" to {most}" if most > least else ""), liveness=True,
            )  # fmt: skip
    return None
