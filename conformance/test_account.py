"""LOSS, GHOST, PHANTOM: every acknowledged message is accounted for after a crowd has worked on one queue."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.optional import row_of
from queueproof.drive.outcomes import Disturbed
from queueproof.drive.queue import BACKOFF_S, Delivery, Message, Queue

S = 1_000_000_000  # ns
PUBLISHERS, CONSUMERS = 4, 3
EACH, EACH_RATIONED = 9, 3
# What consumers do with their deliveries, in turn; what is left alone lapses.
DEEDS = ("complete", "complete", "release", "complete", "leave", "complete", "release")


@dataclass
class Account:
    """What a crowd did with one queue, and what it came to."""

    queue: Queue
    messages: list[Message]
    seen: dict[Message, list[Delivery]] = field(default_factory=dict)
    settled: dict[Message, Exchange] = field(default_factory=dict)  # completed, or perhaps so
    over_ns: int = 0  # from then on no lock that a claim took is live
    last: Exchange | None = None  # the last claim, which brought nothing

    @property
    def missing(self) -> list[Message]:
        """Acknowledged, not completed, and not to be claimed any more."""
        return [message for message in self.messages if message not in self.settled]


async def account(case: Case) -> Account:
    """Publishes, claims, completes, releases and lets lapse, all at once; then drains the queue."""
    queue = await case.lasting_queue()
    book = Account(queue, [])
    publishing = [asyncio.ensure_future(publish(case, book)) for _ in range(PUBLISHERS)]
    deeds = cycle(DEEDS)
    consuming = [asyncio.ensure_future(consume(book, publishing, deeds)) for _ in range(CONSUMERS)]
    try:
        await asyncio.gather(*publishing, *consuming)
    finally:
        for task in (*publishing, *consuming):
            task.cancel()
        await asyncio.gather(*publishing, *consuming, return_exceptions=True)
    await drain(case, book)
    return book


async def publish(case: Case, book: Account) -> None:
    for _ in range(EACH_RATIONED if case.world.client.budget.rate_limited else EACH):
        book.messages.append(await book.queue.publish())


async def consume(book: Account, publishing: "Sequence[asyncio.Future[None]]", deeds: "cycle[str]") -> None:
    """Claims and settles until everything is published and nothing was found for a moment."""
    idle = 0
    while not all(task.done() for task in publishing) or idle < 3:
        deliveries = await claim(book, 3)
        idle = 0 if deliveries else idle + 1
        for delivery in deliveries:
            # at most once is a message given back, so that no server has reason to dead-letter it
            deed = next(deeds) if len(book.seen[delivery.message]) == 1 else "complete"
            if deed == "complete":
                await complete(book, delivery)
            elif deed == "release":
                await book.queue.case.send(wire.release(book.queue.scope, delivery.id))
        if not deliveries:
            await asyncio.sleep(book.queue.pause_s())


async def claim(book: Account, size: int) -> list[Delivery]:
    """One claim, noted down."""
    found = await book.queue.claim(size)
    hold_ns = round(book.queue.case.world.dialect.timeout_s * S)
    if found.deliveries or not found.sure:
        book.over_ns = max(book.over_ns, found.exchange.ret_ns + hold_ns)
    for delivery in found.deliveries:
        book.seen.setdefault(delivery.message, []).append(delivery)
    book.last = found.exchange
    return found.deliveries


async def complete(book: Account, delivery: Delivery) -> None:
    """Completes a delivery; one whose answer is lost counts as settled, since it may be."""
    exchange = await book.queue.case.send(wire.complete(book.queue.scope, delivery.id), urgent=True)
    if exchange.ok or exchange.answer is None or exchange.status >= 500:
        book.settled[delivery.message] = exchange


async def drain(case: Case, book: Account) -> None:
    """Claims and completes until all is settled, or nothing has come for longer than a lock or a backoff lasts."""
    quiet_ns = time.monotonic_ns()
    while book.missing:
        deliveries = await claim(book, 10)
        for delivery in deliveries:
            await complete(book, delivery)
        if deliveries:
            quiet_ns = time.monotonic_ns()
            continue
        now_ns = time.monotonic_ns()
        if now_ns > max(quiet_ns, book.over_ns) + round(max(BACKOFF_S, 2 * case.world.bound_s) * S):
            break
        await asyncio.sleep(book.queue.pause_s())
    if book.missing:
        if book.queue.unsettled:
            raise Disturbed("a call of unknown result may have taken a message")
        await book.queue.take_one(await book.queue.publish(), root="CLAIM-1")


def told(case: Case, book: Account, message: Message, summary: str, expected: str, seen: str) -> None:
    """Ends the case: something of this message is missing."""
    claims = [delivery.claim for delivery in book.seen.get(message, [])]
    case.require(
        False,
        summary,
        expected=expected,
        seen=f"{seen}, {len(claims)} deliveries; claims have come back without it since",
        evidence=(message.publish, *claims[-2:], *([book.last] if book.last else [])),
        liveness=True,
    )


@proves("LOSS-1")
async def test_no_message_is_lost(case: Case) -> None:
    """LOSS-1: A message whose publish was acknowledged MUST NOT be lost before it is completed or expires.

    Three dozen messages by four publishers, while three consumers complete, release and leave what they claim; then
    the queue is drained, and every acknowledged message was delivered and completed.
    """
    book = await account(case)
    readable = bool(book.missing and book.settled) and await row_of(book.queue, next(iter(book.settled))) is not None
    for message in book.missing:
        row = await row_of(book.queue, message)
        if message not in book.seen:
            told(
                case,
                book,
                message,
                "an acknowledged message was never delivered",
                "a delivery",
                f"row {spell(row.get('state') if row is not None else 'not readable')}",
            )
        if row is None and readable:
            told(case, book, message, "an acknowledged message is gone", "its row", "no row")
        if row is not None and row.get("state") == "completed":
            told(case, book, message, "a message is completed that nobody completed", "pending", "state completed")


@proves("LOSS-2")
async def test_no_message_is_out_of_reach(case: Case) -> None:
    """LOSS-2: A pending message MUST NOT stay out of reach of claims for ever.

    The same crowd: after the drain no row says pending that no claim brings.
    """
    book = await account(case)
    for message in book.missing:
        row = await row_of(book.queue, message)
        if row is not None and row.get("state") == "pending":
            told(case, book, message, "a pending message cannot be claimed", "a delivery", "state pending")


@proves("LOSS-3")
async def test_no_message_stays_claimed(case: Case) -> None:
    """LOSS-3: A message MUST NOT stay claimed beyond every lock that was ever given for it.

    The same crowd: after the drain no row says claimed, since every lock is over by then.
    """
    book = await account(case)
    for message in book.missing:
        row = await row_of(book.queue, message)
        if row is not None and row.get("state") == "claimed":
            told(case, book, message, "a message stays claimed beyond every lock", "pending again", "state claimed")


@proves("GHOST-1")
async def test_one_publish_makes_one_message(case: Case) -> None:
    """GHOST-1: One publish MUST NOT create more than one message.

    The same crowd: no body is delivered under two ids, and no publish is answered with the id of another; after the
    drain nothing is left.
    """
    book = await account(case)
    ids = {message.id for message in book.messages}
    case.require(
        len(ids) == len(book.messages),
        "two publishes were answered with one id",
        expected=f"{len(book.messages)} ids",
        seen=len(ids),
        evidence=[message.publish for message in book.messages],
    )
    await nothing_left(case, book)


@proves("PHANTOM-1")
async def test_nothing_comes_from_nowhere(case: Case) -> None:
    """PHANTOM-1: A claim MUST NOT return a message that nobody published.

    The same crowd: every delivery is of a body that was published to this queue, also those that come when it is
    empty.
    """
    await nothing_left(case, await account(case))


async def nothing_left(case: Case, book: Account) -> None:
    """Claims on the drained queue, single and in batches, bring nothing that is not one of its messages."""
    for size in (1, 10, 1, 10):
        await claim(book, size)
        await asyncio.sleep(book.queue.pause_s())
