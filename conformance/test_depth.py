"""DEPTH: a full queue refuses, and nothing of what it refused is ever handed out."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from queueproof.contract import wire
from queueproof.drive.burial import bury_in, graveyard
from queueproof.drive.case import Case, proves
from queueproof.drive.client import Exchange
from queueproof.drive.optional import all_come, answered, publish_delayed, queue_with, released, try_publish
from queueproof.drive.outcomes import Disturbed, NotSupported
from queueproof.drive.queue import Queue

S = 1_000_000_000  # ns
HOLD_S = 60
LIMIT = 3
# Of a limit that is kept to a tenth, or by halves, three places tell nothing.
LARGER_LIMIT = 12
PUBLISHERS = 10
# Claims right after a publish that show what waited when it was sent: one may come empty, or short.
LOOKS = 4
DELAY_S = 2.0


async def small(case: Case, limit: int = LIMIT, **fields: Any) -> Queue:
    """A queue of a few places whose policy is to refuse."""
    queue = await queue_with(case, max_depth=limit, overflow_policy="reject", **fields)
    row = queue.created.data
    policy = row.get("overflow_policy", "reject") if isinstance(row, dict) else "reject"
    if policy != "reject":
        raise NotSupported(f"the queue's overflow_policy is {policy}, though reject was asked for")
    return queue


async def fill(queue: Queue, limit: int = LIMIT, more: Mapping[str, Any] | None = None) -> None:
    """Publishes as many messages as there are places: each has to be taken."""
    for number in range(limit):
        exchange = await try_publish(queue, forbidden="DEPTH-2", more=more)
        if not exchange.ok:
            queue.case.refuse(
                "PUB-1" if exchange.code != wire.QUEUE_FULL else "DEPTH-3",
                f"publish {number + 1} into a queue of max_depth {limit} was answered {exchange.told()}",
                expected="a 2xx answer",
                seen=exchange.answer.text[:300] if exchange.answer else exchange.told(),
                evidence=(exchange,),
            )


def full(case: Case, exchange: Exchange, limit: int = LIMIT) -> None:
    """The publish was refused, for want of room."""
    case.require(
        not exchange.ok,
        "a full queue took another message",
        expected=f"4xx {wire.QUEUE_FULL}",
        seen=exchange.told(),
        proof=f"{limit} messages of max_depth {limit} were acknowledged before, and none was claimed",
        evidence=(exchange,),
    )
    case.require(
        exchange.code == wire.QUEUE_FULL and 400 <= exchange.status < 500,
        "a full queue refuses in other words",
        expected=f"4xx {wire.QUEUE_FULL}",
        seen=exchange.told(),
        evidence=(exchange,),
    )


@proves("DEPTH-1")
async def test_a_full_queue_refuses(case: Case) -> None:
    """DEPTH-1: With `max_depth` N and policy `reject`, publish N+1 without claims MUST fail with
    `SCAIQUEUE_QUEUE_FULL`.

    Limits of one, of three and of twelve, asked more than once, for a message as any other, for one of the highest
    priority, and for one without an idempotency key.
    """
    highest = {"priority": {"tier": "critical", "score": 1000}, "labels": {"urgent": "yes"}}
    for limit in (1, LIMIT) if case.world.thrift else (1, LIMIT, LARGER_LIMIT):
        queue = await small(case, limit)
        await fill(queue, limit)
        for fields, keyed in (({}, True), (highest, True), ({}, False)):
            full(case, await try_publish(queue, forbidden="DEPTH-2", more=fields, keyed=keyed), limit)


@proves("DEPTH-1")
async def test_every_ordering_has_its_limit(case: Case) -> None:
    """DEPTH-1: With `max_depth` N and policy `reject`, publish N+1 without claims MUST fail with
    `SCAIQUEUE_QUEUE_FULL`.

    Also where the queue is ordered by priority, or by deadline.
    """
    for ordering, more in {"priority": {}, "deadline": {"deadline": case.world.in_an_hour()}}.items():
        queue = await small(case, ordering=ordering)
        await fill(queue, more=more)
        full(case, await try_publish(queue, forbidden="DEPTH-2", more=more))


@proves("DEPTH-1")
async def test_a_crowd_does_not_overfill(case: Case) -> None:
    """DEPTH-1: With `max_depth` N and policy `reject`, publish N+1 without claims MUST fail with
    `SCAIQUEUE_QUEUE_FULL`.

    Ten publishers at once for three places, four times over: no more than three are taken.
    """
    for _ in range(4):
        queue = await small(case)
        crowd = await asyncio.gather(*(try_publish(queue, forbidden="DEPTH-2", burst=True) for _ in range(PUBLISHERS)))
        taken = [exchange for exchange in crowd if exchange.ok]
        case.require(
            len(taken) <= LIMIT,
            f"{len(taken)} of {PUBLISHERS} concurrent publishes were taken by a queue of max_depth {LIMIT}",
            expected=f"at most {LIMIT}",
            seen=len(taken),
            proof=f"{len(taken)} acknowledged, none claimed, {len(taken)} > {LIMIT}",
            evidence=taken,
        )


@proves("DEPTH-1")
async def test_what_was_given_back_takes_its_place(case: Case) -> None:
    """DEPTH-1: With `max_depth` N and policy `reject`, publish N+1 without claims MUST fail with
    `SCAIQUEUE_QUEUE_FULL`.

    Two of the three that fill the queue were held before: the hold of one lapsed, the other one was released. What
    counts while they are held, or wait for a backoff, is not documented: so the counters have to show all three as
    pending, and the next claims to bring them, before it is judged.
    """
    queue = await small(case)
    await fill(queue)
    messages = queue.known
    held = [await queue.take_one(message) for message in messages[:2]]
    await released(queue, held[1])
    over_ns = max(delivery.over_ns for delivery in queue.latest.values())
    await asyncio.sleep(max(0.0, (over_ns - time.monotonic_ns()) / S) + case.world.slack_s)
    if await case.eventually(queue.counters, lambda seen: seen == (LIMIT, 0)) != (LIMIT, 0):
        raise NotSupported("the counters do not show that what was given back waits again")
    exchange = await try_publish(queue, forbidden="DEPTH-2")
    if exchange.ok:
        found = {delivery.message for _ in range(LOOKS) for delivery in (await queue.claim(10, HOLD_S)).deliveries}
        if queue.unsettled or not found.issuperset(messages):
            raise Disturbed("not all of the messages were there to be claimed")
    full(case, exchange)


@proves("DEPTH-2")
async def test_what_was_refused_never_comes(case: Case) -> None:
    """DEPTH-2: A refused publish MUST NOT be claimable later.

    Refused one by one and by a crowd at once; then the accepted ones are claimed and completed (the control), and
    claims go on for a while.
    """
    queue = await small(case)
    await fill(queue)
    refused = [await try_publish(queue, forbidden="DEPTH-2") for _ in range(2)]
    refused += await asyncio.gather(*(try_publish(queue, forbidden="DEPTH-2", burst=True) for _ in range(3)))
    for exchange in refused:
        if exchange.ok:
            case.refuse(
                "DEPTH-1",
                "a full queue took another message",
                expected=f"4xx {wire.QUEUE_FULL}",
                seen=exchange.told(),
                evidence=(exchange,),
            )
    missing = {message.id: message for message in queue.known}
    until_ns = time.monotonic_ns() + round(case.world.bound_s * S)
    quiet_ns = time.monotonic_ns() + 2 * S
    async for claim in queue.watch(until_ns, timeout_s=HOLD_S):
        for delivery in claim.deliveries:
            if missing.pop(delivery.id, None) is not None:
                await queue.complete(delivery)
                quiet_ns = time.monotonic_ns() + 2 * S
        if not missing and time.monotonic_ns() > quiet_ns:
            return
    if queue.unsettled:
        raise Disturbed("a claim of unknown result may hold a message")
    await queue.take(*missing.values(), timeout_s=HOLD_S, root="LOSS-1")


@proves("DEPTH-3")
async def test_there_is_room_again(case: Case) -> None:
    """DEPTH-3: After consuming (claim + complete) one message, one publish MUST succeed.

    Three times over, and after all of it was consumed; a full queue refuses in between (the control).
    """
    queue = await small(case)
    await fill(queue)
    for _ in range(3):
        control = await try_publish(queue, forbidden="DEPTH-2")
        if control.ok:
            case.refuse(
                "DEPTH-1",
                "a full queue took another message",
                expected=f"4xx {wire.QUEUE_FULL}",
                seen=control.told(),
                evidence=(control,),
            )
        await consume(queue, 1)
        await room(case, queue)
    await consume(queue, LIMIT)
    for _ in range(LIMIT):
        await room(case, queue)


@proves("DEPTH-3")
async def test_a_dead_letter_leaves_its_place(case: Case) -> None:
    """DEPTH-3: After consuming (claim + complete) one message, one publish MUST succeed.

    So it must after a message was moved to `_dead_letter`, where it is found: as many messages as there are places are
    buried, one after the other, and then as many are taken.
    """
    scope = await case.own_scope()
    limit = {"max_depth": LIMIT, "overflow_policy": "reject"}
    queue = await queue_with(case, scope=scope, shown="max_retries", max_retries=1, **limit)
    letters = await graveyard(case, scope)
    for _ in range(LIMIT):
        buried = await bury_in(case, queue, letters)
    for _ in range(LIMIT):
        await room(case, queue, "a message had been dead-lettered", [buried.message.publish, *buried.fails])


@proves("DEPTH-3")
async def test_a_delayed_message_leaves_its_place(case: Case) -> None:
    """DEPTH-3: After consuming (claim + complete) one message, one publish MUST succeed.

    In a queue of one place, also where that one was delayed by about two seconds.
    """
    queue = await small(case, 1)
    delayed, until_ns = await publish_delayed(queue, DELAY_S)
    await all_come(queue, delayed, until_ns=until_ns, timeout_s=HOLD_S)
    await queue.complete(queue.latest[delayed])
    await room(case, queue, "a message that had been delayed was consumed")


@proves("DEPTH-4")
async def test_a_limit_is_raised(case: Case) -> None:
    """DEPTH-4: Where `max_depth` can be raised, a full queue MUST take publishes up to the new limit, and refuse beyond
    it.

    From three to five by a PATCH whose effect the queue's row shows, on a full queue that refuses (the control); then
    what was taken before and after comes, each once.
    """
    queue = await small(case)
    await fill(queue)
    full(case, await try_publish(queue, forbidden="DEPTH-2"))
    raised = LIMIT + 2
    patched = await answered(case, wire.update_queue(queue.scope, queue.id, {"max_depth": raised}))
    if not patched.ok:
        raise NotSupported(f"a queue's max_depth cannot be changed: {patched.told()}", evidence=(patched.op,))
    row = await case.eventually(
        lambda: answered(case, wire.read_queue(queue.scope, queue.id)), lambda read: max_depth(read) == raised
    )
    if max_depth(row) != raised:
        raise NotSupported("the queue's row does not show the max_depth that was sent", evidence=(patched.op, row.op))
    for _ in range(raised - LIMIT):
        exchange = await case.eventually(
            lambda: try_publish(queue, forbidden="DEPTH-2"), lambda answer: answer.ok or answer.code != wire.QUEUE_FULL
        )
        case.require(
            exchange.ok,
            "a publish was refused though max_depth had been raised",
            expected="a 2xx answer",
            seen=exchange.told(),
            evidence=(patched, row, exchange),
            liveness=exchange.code == wire.QUEUE_FULL,
        )
    full(case, await try_publish(queue, forbidden="DEPTH-2"), raised)
    await consume(queue, raised)


def max_depth(read: Exchange) -> object:
    """The limit that a queue's row shows."""
    return read.data.get("max_depth") if isinstance(read.data, dict) else None


async def consume(queue: Queue, count: int) -> None:
    """Claims and completes so many messages of those that wait."""
    waiting = [message for message in queue.known if message not in queue.done]
    for message in waiting[:count]:
        delivery = queue.latest.get(message) or await queue.take_one(message, timeout_s=HOLD_S)
        await queue.complete(delivery)


async def room(
    case: Case, queue: Queue, since: str = "a message had been consumed", evidence: Sequence[Exchange] = ()
) -> None:
    """A publish is taken, at once or within the slack: what has gone may be counted a little later."""
    exchange = await case.eventually(
        lambda: try_publish(queue, forbidden="DEPTH-2"), lambda answer: answer.ok or answer.code != wire.QUEUE_FULL
    )
    case.require(
        exchange.ok,
        f"a publish was refused though {since}",
        expected="a 2xx answer",
        seen=exchange.told(),
        evidence=(*(evidence or list(queue.done.values())[-1:]), exchange),
        liveness=exchange.code == wire.QUEUE_FULL,
    )
