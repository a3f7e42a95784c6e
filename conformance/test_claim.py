"""CLAIM: taking messages off a queue."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.difference import contrast
from queueproof.drive.lifecycle import moved, resume
from queueproof.drive.optional import answered, publish_with, tolerated
from queueproof.drive.ordering import fitting
from queueproof.drive.outcomes import UNDOCUMENTED, Disturbed, Inconclusive, NotSupported
from queueproof.drive.queue import Delivery, Message, Queue, double_hold
from queueproof.evidence.digest import same_json

S = 1_000_000_000  # ns
HOLD_S = 30


@proves("CLAIM-1")
async def test_claim_returns_a_list(case: Case) -> None:
    """CLAIM-1: Claim MUST return a list in `data`.

    For one message, for several, and with fewer waiting than asked for.
    """
    queue = await case.queue()
    messages = await queue.publish_many(4)
    await queue.take(messages[0])
    await queue.take(*messages[1:], batch_size=10)
    for exchange in case.exchanges:
        if exchange.request.verb == "claim" and exchange.ok:
            case.require(
                isinstance(exchange.data, list),
                "a claim's data is no list",
                expected="data: […]",
                seen=f"data: {spell(exchange.data)}",
                evidence=(exchange,),
            )


@proves("CLAIM-2")
async def test_an_empty_queue_gives_an_empty_list(case: Case) -> None:
    """CLAIM-2: On an empty queue the list MUST be empty, with a 2xx status.

    A new queue, one whose only message is held, one that was emptied, and one whose only message is delayed by an hour;
    for one message and for ten. Then a message is published and delivered (the control).
    """
    queue = await case.queue()
    await empty(case, queue, "a new queue")
    held = await queue.take_one(await queue.publish(), timeout_s=HOLD_S)
    await empty(case, queue, "a queue whose only message is held", held)
    await queue.complete(held)
    await empty(case, queue, "an emptied queue")
    moment = None if case.world.thrift else case.world.moment(3600)  # None: a clock of which nothing is known
    with contextlib.suppress(NotSupported):
        if moment is not None:
            await publish_with(queue, delay_until=moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
            await empty(case, queue, "a queue whose only message is delayed")
    await queue.take_one(await queue.publish())


async def empty(case: Case, queue: Queue, what: str, *held: Delivery) -> None:
    """Two claims of different size bring an empty list: at once, since a server may let them wait."""
    if queue.unsettled:
        raise Disturbed("a call of unknown result may have left a message")
    sizes = {1, min(10, case.world.dialect.batch_max)}

    def claimed(size: int) -> Awaitable[Exchange]:
        request = wire.claim(queue.scope, queue.id, batch_size=size, visibility_timeout_s=HOLD_S)
        return answered(case, request, fields={"timeout_s": HOLD_S, "limit": size})

    for exchange in await asyncio.gather(*map(claimed, sizes)):
        queue.holding(*held)
        case.require(
            exchange.ok and exchange.data == [],
            f"a claim on {what} was not answered with an empty list",
            expected="2xx, data: []",
            seen=f"{exchange.status}: {exchange.answer.text[:200] if exchange.answer else ''}",
            evidence=(exchange,),
        )


PLAIN_LABELS: tuple[dict[str, str], ...] = (
    {"region": "eu"},
    {"a": "1", "b": "2", "c": "x-y"},
    {"a": "2", "d": "true"},
)
# Which names and values a label may have is not documented: these may be refused, but not changed.
ODD_LABELS: tuple[dict[str, str], ...] = (
    {"qp-a": "1", "qp-b": "", "qp-c": "a,b;c=d", "qp-d": "x y"},
    {"größe": "ü😀"},
    {"qp-a": "2", "QP-A": "3", "qp.e": "4"},
    {f"qp-{number}": str(number) for number in range(20)},
    {"qp-long": "0123456789" * 30},
    {"_qp": "hidden", "$qp": "a name"},
    {" qp ": " padded ", "q" * 100: "long"},
    {"": "nameless"},
    {"qp-d": "Mixed CaSe", "qp-a": "EU"},
)


@proves("CLAIM-3")
async def test_a_claimed_item_is_whole(case: Case) -> None:
    """CLAIM-3: A claimed item MUST contain the full `body`, `labels`, and `attempts`.

    Labels of several kinds, and none, in single claims, in a batch, and when redelivered, twice where retries allow it.
    Labels that a server adds are its own business; those of the message are all there, and no other message's.
    """
    queue = await case.lasting_queue()
    messages = [await queue.publish(labels=labels, root="CLAIM-3") for labels in PLAIN_LABELS]
    for labels in ODD_LABELS:
        with tolerated():
            messages.append(await queue.publish(labels=labels, root=UNDOCUMENTED))
    messages.append(await queue.publish(labels=None, root="PUB-2"))
    again = case.world.dialect.timeout_s + case.world.bound_s
    for delivery in [
        *await queue.take(messages[0]),
        *await queue.take(*messages[1:], batch_size=10),
        *await queue.take(*messages, batch_size=10, root="VIS-2", within_s=again),
    ]:
        whole(case, delivery, {name for m in messages for name in labels_of(m)})
    if case.world.thrift:
        return
    with contextlib.suppress(Inconclusive):  # they may be dead letters by now
        for delivery in await queue.take(*messages, batch_size=10, root="VIS-2", within_s=again):
            whole(case, delivery, {name for m in messages for name in labels_of(m)})


def labels_of(message: Message) -> dict[str, Any]:
    return dict(message.fields.get("labels") or {})


def whole(case: Case, delivery: Delivery, ours: set[str]) -> None:
    """One item has body, its labels and no other message's, and a whole number of attempts."""
    evidence = (delivery.message.publish, delivery.claim)
    case.require(
        same_json(delivery.body, delivery.message.body),
        "a claimed item lacks its full body",
        **contrast(delivery.message.body, delivery.body),
        evidence=evidence,
    )
    own = labels_of(delivery.message)
    labels = delivery.item.get("labels", wire.ABSENT)
    if not own and labels in (None, wire.ABSENT):
        labels = {}
    seen = {name: value for name, value in labels.items() if name in ours} if isinstance(labels, dict) else labels
    case.require(
        isinstance(seen, dict) and same_json(seen, own),
        "a claimed item lacks its labels",
        expected=f"labels: {spell(own)}",
        seen="no labels" if labels is wire.ABSENT else f"labels: {spell(labels)}",
        evidence=evidence,
    )
    case.require(
        wire.attempts(delivery.item) is not None,
        "a claimed item lacks its attempts",
        expected="attempts, a whole number",
        seen="no attempts" if delivery.attempts is wire.ABSENT else f"attempts: {spell(delivery.attempts)}",
        evidence=evidence,
    )


@proves("CLAIM-4")
async def test_attempts_count_deliveries(case: Case) -> None:
    """CLAIM-4: `attempts` MUST be 1 on the first claim and grow by one per later claim.

    Three messages, published at different times, are left to lapse: each one's own deliveries are counted, whatever
    happens to its neighbours.
    """
    queue = await case.lasting_queue()
    first = await queue.publish()
    counted: dict[Message, int] = {}
    await count(case, queue, counted, first)
    others = await queue.publish_many(2)
    for _ in range(2):
        await count(case, queue, counted, first, *others)


@proves("CLAIM-4")
async def test_attempts_of_a_batch_are_each_message_s_own(case: Case) -> None:
    """CLAIM-4: `attempts` MUST be 1 on the first claim and grow by one per later claim.

    Eight messages that one claim takes, and takes again when their holds have lapsed: wherever each stands in a batch.
    """
    if case.world.client.budget.rationed:
        raise NotSupported("the server counts requests: larger batches are left out there")
    queue = await case.lasting_queue()
    messages = await queue.publish_many(8)
    counted: dict[Message, int] = {}
    for _ in range(2):
        await count(case, queue, counted, *messages)


@proves("CLAIM-4")
async def test_attempts_are_not_moved_by_others(case: Case) -> None:
    """CLAIM-4: `attempts` MUST be 1 on the first claim and grow by one per later claim.

    A message is read and listed between its deliveries, and extended, also while its queue is paused, which counts
    nothing; then it is released, which may give its own attempt back (that is not documented), but none of the earlier
    ones.
    """
    queue = await case.lasting_queue()
    queue.unmodelled = True  # paused: this case alone judges it
    message = await queue.publish()
    counted: dict[Message, int] = {}
    for _ in range(2):
        await count(case, queue, counted, message)
        with contextlib.suppress(NotSupported):
            await queue.read(message)
        await case.send(wire.list_queue_messages(queue.scope, queue.id))
    wait_s = case.world.dialect.timeout_s + case.world.bound_s
    again = await queue.take_one(message, timeout_s=HOLD_S, root="VIS-2", within_s=wait_s)
    extend = wire.extend(queue.scope, again.id, visibility_timeout_s=HOLD_S)
    await answered(case, extend, fields={"timeout_s": HOLD_S})
    if await moved(case, queue, "queue", "pause"):
        await answered(case, extend, fields={"timeout_s": HOLD_S})
        await resume(case, queue, "queue")
    try:
        await queue.act("release", again, root="VIS-6")
    except NotSupported:
        return
    last = await queue.given_back(message)
    if queue.unsure_until_ns:
        raise Disturbed("a claim of unknown result may have counted too")
    case.require(
        same_json(last.attempts, 3) or same_json(last.attempts, 4),
        "after a release a message shows fewer attempts than were made before it, or more than in all",
        expected="attempts: 3 (the released one given back) or 4",
        seen=f"attempts: {spell(last.attempts)}",
        evidence=(message.publish, again.claim, last.claim),
    )


async def count(case: Case, queue: Queue, counted: dict[Message, int], *messages: Message) -> None:
    """Takes each message once more and compares its attempts with the deliveries that were seen of it."""
    if any(message in counted for message in messages):
        await case.world.late_in()
    wait_s = case.world.dialect.timeout_s + case.world.bound_s
    root = "VIS-2" if any(message in counted for message in messages) else "CLAIM-1"
    for delivery in await queue.take(*messages, batch_size=10, root=root, within_s=wait_s):
        if queue.unsure_until_ns:
            raise Disturbed("a claim of unknown result may have counted too")
        counted[delivery.message] = counted.get(delivery.message, 0) + 1
        case.require(
            same_json(delivery.attempts, counted[delivery.message]),
            f"delivery {counted[delivery.message]} of a message shows another number of attempts",
            expected=f"attempts: {counted[delivery.message]}",
            seen="no attempts" if delivery.attempts is wire.ABSENT else f"attempts: {spell(delivery.attempts)}",
            evidence=(delivery.message.publish, delivery.claim),
        )


@proves("CLAIM-5")
async def test_no_more_than_asked_for(case: Case) -> None:
    """CLAIM-5: At most `batch_size` items MUST be returned.

    Sizes from one to fifty, each with more messages waiting than are asked for; in the end every one was delivered.
    """
    queue = await case.queue()
    most = case.world.dialect.batch_max
    sizes = [size for size in (1, 2, 3, 1, 7, 10, 11, 20) if size <= most]
    messages = await queue.publish_many(sum(sizes) + 1)
    missing = set(messages)
    for size in sizes:
        claim = await queue.claim(size, HOLD_S)
        listed = wire.rows(claim.exchange.data) or []
        case.require(
            len(listed) <= size,
            f"a claim for {size} brought {len(listed)} messages",
            expected=f"at most {size}",
            seen=len(listed),
            proof=f"{len(listed)} > {size}",
            evidence=(claim.exchange,),
        )
        missing -= {delivery.message for delivery in claim.deliveries}
        apart(case, claim.deliveries)
    if missing and not queue.unsure_until_ns:
        await queue.take(*missing, batch_size=5, timeout_s=HOLD_S)


def apart(case: Case, deliveries: list[Delivery]) -> None:
    """One answer lists no message twice."""
    ids = [delivery.id for delivery in deliveries]
    if len(set(ids)) < len(ids):
        case.refuse(
            "CLAIM-6",
            "one claim's answer lists a message twice",
            expected="each message once",
            seen=spell(ids),
            evidence=(deliveries[0].claim,),
        )


RACERS = 12
# As many as a limited rate lets go at once.
FEW_RACERS = 6
# Rounds of a race: no more begin after so long, where so many have been run.
ROUNDS_S, FEWEST_ROUNDS = 15, 3


@proves("CLAIM-6")
async def test_one_message_has_one_winner(case: Case) -> None:
    """CLAIM-6: In a `competing` queue, concurrent claims MUST never both return the same message while its lock is
    live.

    Twelve claims at once for a single message, twelve times over; and six times in a queue ordered by deadline. Fewer
    times where claims wait for a message to come.
    """
    queues = [await case.queue()] * 3
    if not case.world.thrift:
        queues = [*queues[:2], await case.queue(ordering="deadline", root="QUEUE-3")] * 6
    end = time.monotonic() + ROUNDS_S
    for number, queue in enumerate(queues):
        if number >= FEWEST_ROUNDS and time.monotonic() > end:
            break
        message = await fitting(queue)
        won = await race(queue, batch_size=1)
        single(case, won)
        if not won:
            await queue.take(message, timeout_s=HOLD_S)


@proves("CLAIM-6")
async def test_a_crowd_shares_without_doubles(case: Case) -> None:
    """CLAIM-6: In a `competing` queue, concurrent claims MUST never both return the same message while its lock is
    live.

    Twelve consumers empty a queue of forty messages with batches of different size, and one ordered by priority.
    """
    for ordering in ("fifo",) if case.world.thrift else ("fifo", "priority"):
        queue = await case.queue(ordering=ordering, root="QUEUE-3")
        messages = await queue.publish_many(12 if case.world.thrift else 40)
        found: list[Delivery] = []
        missing = set(messages)
        end = time.monotonic() + case.world.bound_s
        while missing and time.monotonic() < end:
            found += await race(queue, batch_size=3)
            missing -= {delivery.message for delivery in found}
            single(case, found)
        if missing and not queue.unsure_until_ns:
            await queue.take(*missing, batch_size=5, timeout_s=HOLD_S)


@proves("CLAIM-6")
async def test_lapsed_messages_are_shared_without_doubles(case: Case) -> None:
    """CLAIM-6: In a `competing` queue, concurrent claims MUST never both return the same message while its lock is
    live.

    Twelve messages lapse at once, and as many consumers wait for them.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(FEW_RACERS if case.world.thrift else RACERS)
    first = await queue.take(*messages, batch_size=RACERS)
    due_ns = max(delivery.over_ns for delivery in first)
    await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / S - 0.2))
    found: list[Delivery] = []
    missing = set(messages)
    end_ns = due_ns + round(case.world.bound_s * S)
    while missing and time.monotonic_ns() < end_ns:
        found += await race(queue, batch_size=2)
        missing -= {delivery.message for delivery in found}
        single(case, found)
        await asyncio.sleep(queue.pause_s(0.1))


async def race(queue: Queue, *, batch_size: int) -> list[Delivery]:
    """What twelve claims bring that are sent at once, with a long hold."""
    racers = FEW_RACERS if queue.world.thrift else RACERS
    await queue.world.client.budget.save_up(racers)
    sizes = [1 + number % batch_size for number in range(racers)]
    claims = await asyncio.gather(*(queue.claim(size, HOLD_S, burst=True) for size in sizes))
    return [delivery for claim in claims for delivery in claim.deliveries]


def single(case: Case, deliveries: list[Delivery]) -> None:
    """No message is held by two for certain (both halves of the inequality)."""
    held: dict[str, Delivery] = {}
    for delivery in sorted(deliveries, key=lambda d: d.claim.inv_ns):
        other = held.setdefault(delivery.id, delivery)
        if other is delivery:
            continue
        case.require(
            not double_hold(other, delivery),
            "one message was handed to two consumers at once",
            expected=f"one holder of {delivery.id} at a time",
            seen=f"two claims returned it, each with a hold of {delivery.timeout_s:g} s",
            proof=double_hold(other, delivery),
            evidence=(delivery.message.publish, other.claim, delivery.claim),
        )
