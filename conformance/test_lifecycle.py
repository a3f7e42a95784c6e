"""LIFE: scopes and queues that are paused, archived or drained take nothing and hand out nothing."""

import asyncio
import contextlib

from queueproof.contract import wire
from queueproof.drive.case import Case, proves
from queueproof.drive.client import Exchange
from queueproof.drive.lifecycle import place, resume, verb
from queueproof.drive.optional import answered, change, queue_with, tolerated, try_publish
from queueproof.drive.outcomes import UNDOCUMENTED, NotSupported
from queueproof.drive.queue import Queue

HOLD_S = 60
# A pause that ends by itself does so within this, if it does so within a case.
LATER_S = 1.6
# A delay that ends between two claims on what is closed.
DELAY_S = 1.5


CODES = {"queue": wire.QUEUE_PAUSED, "scope": wire.SCOPE_PAUSED}


# What a server may be tempted to let in all the same.
URGENT = {"priority": {"tier": "critical", "score": 1000}, "labels": {"urgent": "yes"}}


async def refuses(case: Case, queue: Queue, level: str, state: str, *, urgent: bool = False) -> Exchange:
    """A publish is refused with the code of its level; an urgent one has no idempotency key."""
    more = URGENT if urgent else None
    exchange = await try_publish(queue, forbidden=case.requirement, more=more, keyed=not urgent)
    case.require(
        not exchange.ok,
        f"a publish to a {state} {level} was taken",
        expected=f"4xx {CODES[level]}",
        seen=exchange.told(),
        evidence=(exchange,),
    )
    case.require(
        exchange.code == CODES[level] and 400 <= exchange.status < 500,
        f"a publish to a {state} {level} is refused in other words",
        expected=f"4xx {CODES[level]}",
        seen=exchange.told(),
        evidence=(exchange,),
    )
    return exchange


async def refuses_delayed(case: Case, queue: Queue, level: str) -> None:
    """A publish that is delayed is refused while its queue or scope is paused, perhaps because of the delay."""
    exchange = await try_publish(queue, forbidden=case.requirement, more={"delay_until": case.world.in_an_hour()})
    case.require(
        not exchange.ok,
        f"a delayed publish to a paused {level} was taken",
        expected=f"4xx {CODES[level]}",
        seen=exchange.told(),
        evidence=(exchange,),
    )


@proves("LIFE-1")
async def test_a_paused_queue_takes_nothing(case: Case) -> None:
    """LIFE-1: Publish to a paused queue MUST fail with `SCAIQUEUE_QUEUE_PAUSED`.

    At once and a while later, for a message of the highest priority too, and for one that is delayed (which may also be
    refused in other words); its neighbour goes on taking messages meanwhile, and so does the queue itself before the
    pause and after its end (the controls). Nothing of what was refused is handed out or counted. A second pause is like
    the first.
    """
    await takes_nothing(case, "queue")


@proves("LIFE-2")
async def test_a_paused_scope_takes_nothing(case: Case) -> None:
    """LIFE-2: Publish in a paused scope MUST fail with `SCAIQUEUE_SCOPE_PAUSED`.

    The same for two queues of a scope, one of them ordered by priority, beside a scope that is not paused; and for a
    queue that is made during the pause, where a server makes one then.
    """
    await takes_nothing(case, "scope")


async def counted(case: Case, queue: Queue, pending: int) -> tuple[int, int] | None:
    """The counters, once they show so many pending and none claimed or have had their time; None where none is read."""
    with contextlib.suppress(NotSupported):
        seen: tuple[int, int] = await case.eventually(queue.counters, lambda pair: pair == (pending, 0))
        return seen
    return None


async def takes_nothing(case: Case, level: str) -> None:
    queue, messages = await place(case, level)
    blocked = [queue]
    if level == "scope":
        blocked.append(await case.queue(scope=queue.scope, ordering="priority", root="QUEUE-3"))
        blocked[-1].unmodelled = True
    await change(case, verb(queue, level, "pause"))
    if level == "scope" and not case.world.thrift:
        with contextlib.suppress(NotSupported):  # a paused scope may take no queues
            blocked.append(await queue_with(case, scope=queue.scope))
            blocked[-1].unmodelled = True
    free = await case.queue(scope="" if level == "scope" else queue.scope)
    at_rest = (len(messages), 0)
    judged = not case.world.thrift and await counted(case, queue, len(messages)) == at_rest
    for _ in range(2):
        for each in blocked:
            await refuses(case, each, level, "paused")
        await free.publish()
        await asyncio.sleep(LATER_S)
    for each in blocked:
        await refuses(case, each, level, "paused", urgent=True)
    await refuses_delayed(case, queue, level)
    if judged:
        seen = await counted(case, queue, len(messages))
        case.require(
            seen in (None, at_rest) or queue.unsettled,
            f"publishes that a paused {level} refused moved the counters",
            expected=f"depth_pending: {len(messages)}, depth_claimed: 0, as before them",
            seen="" if seen is None else f"depth_pending: {seen[0]}, depth_claimed: {seen[1]}",
            evidence=case.exchanges[-1:],
        )
    await resume(case, queue, level)
    messages.append(await queue.publish(root="LIFE-5"))
    await queue.take(*messages, batch_size=5, timeout_s=HOLD_S, root="LIFE-5")
    await queue.claim(10, HOLD_S)
    await change(case, verb(queue, level, "pause"))
    await refuses(case, queue, level, "paused")
    await resume(case, queue, level)


@proves("LIFE-3")
async def test_archived_and_draining_take_nothing(case: Case) -> None:
    """LIFE-3: Archived or draining MUST refuse publish with the same codes.

    A queue and a scope each that was archived, and that was told to drain, with messages waiting in them; asked for a
    message as any other, and for one of the highest priority.
    """
    probes = [(level, name) for level in ("queue", "scope") for name in ("archive", "drain")]
    told = await asyncio.gather(*(closed(case, level, name) for level, name in probes))
    if not any(told):
        raise NotSupported("neither archive nor drain is there, for queues or scopes")


async def closed(case: Case, level: str, name: str) -> bool:
    """Whether there is such a verb; where there is, publishes are refused after it."""
    queue, _ = await place(case, level)
    try:
        await change(case, verb(queue, level, name))
    except NotSupported:
        return False
    for urgent in (False, True):
        await refuses(case, queue, level, {"archive": "archived", "drain": "draining"}[name], urgent=urgent)
        await asyncio.sleep(0.5)
    return True


@proves("LIFE-4")
async def test_a_paused_queue_hands_out_nothing(case: Case) -> None:
    """LIFE-4: Claim on a paused queue, or in a paused/archived scope, MUST return an empty list and not an error.

    With messages waiting, for one and for several at a time, at once and a while later, when a hold has lapsed and a
    delay is over; after the resume they are claimed (the control). Where requests are not counted, in a queue that is
    ordered by priority as well.
    """
    orderings = ("fifo",) if case.world.thrift else ("fifo", "priority")
    ends = await asyncio.gather(
        *(hands_out_nothing(case, "queue", "pause", ordering=ordering) for ordering in orderings),
        return_exceptions=True,
    )
    for end in ends:
        if isinstance(end, BaseException):
            raise end


@proves("LIFE-4")
async def test_a_paused_scope_hands_out_nothing(case: Case) -> None:
    """LIFE-4: Claim on a paused queue, or in a paused/archived scope, MUST return an empty list and not an error.

    The same for a queue of a paused scope.
    """
    await hands_out_nothing(case, "scope", "pause")


@proves("LIFE-4")
async def test_an_archived_scope_hands_out_nothing(case: Case) -> None:
    """LIFE-4: Claim on a paused queue, or in a paused/archived scope, MUST return an empty list and not an error.

    The same for a queue of an archived scope, which is unarchived and resumed in the end where that is possible.
    """
    await hands_out_nothing(case, "scope", "archive")


async def hands_out_nothing(case: Case, level: str, name: str, *, ordering: str = "fifo") -> None:
    queue, messages = await place(case, level, ordering=ordering)
    state = {"pause": "paused", "archive": "archived"}[name]
    due = case.world.moment(DELAY_S)
    if due is not None:  # else a clock of which nothing is known
        with tolerated():
            await queue.publish(root=UNDOCUMENTED, delay_until=due.strftime("%Y-%m-%dT%H:%M:%SZ"))
    found = await queue.take(messages[0])
    messages = [message for message in messages if message not in {delivery.message for delivery in found}]
    await change(case, verb(queue, level, name))
    for size in (1, 10, 1, 10, 1):
        capped = min(size, case.world.dialect.batch_max)
        request = wire.claim(queue.scope, queue.id, batch_size=capped, visibility_timeout_s=HOLD_S)
        exchange = await answered(case, request, fields={"timeout_s": HOLD_S, "limit": capped})
        case.require(
            exchange.ok and exchange.data == [],
            f"a claim on a queue that is {state}, or whose scope is, was not answered with an empty list",
            expected="2xx, data: []",
            seen=f"{exchange.told()}: {exchange.answer.text[:200] if exchange.answer else ''}",
            evidence=(exchange,),
        )
        await asyncio.sleep(0.7)
    if name == "archive":
        try:
            await change(case, verb(queue, level, "unarchive"))
        except NotSupported:
            return
        await case.send(verb(queue, level, "resume"))  # perhaps unarchiving has done so already
    else:
        await resume(case, queue, level)
    await queue.take(*messages, batch_size=5, timeout_s=HOLD_S, root="LIFE-5")


@proves("LIFE-5")
async def test_a_resumed_queue_works_again(case: Case) -> None:
    """LIFE-5: `POST .../resume` MUST make publish and claim work again; messages pending before the pause MUST still
    be there.

    Paused twice, with one message held across the pause, which is completed after it, and a dozen that wait.
    """
    await works_again(case, "queue")


@proves("LIFE-5")
async def test_a_resumed_scope_works_again(case: Case) -> None:
    """LIFE-5: `POST .../resume` MUST make publish and claim work again; messages pending before the pause MUST still
    be there.

    The same for a scope, of whose three queues each has a message that waits.
    """
    await works_again(case, "scope")


async def works_again(case: Case, level: str) -> None:
    queue, messages = await place(case, level)
    more = 0 if level == "queue" or case.world.thrift else 2
    others = [await case.queue(scope=queue.scope) for _ in range(more)]
    beside = [await other.publish() for other in others]
    messages += await queue.publish_many(0 if case.world.thrift else 9)
    held = await queue.take_one(messages[0], timeout_s=HOLD_S)
    for _ in range(2):
        await change(case, verb(queue, level, "pause"))
        await asyncio.sleep(0.5)
        await resume(case, queue, level)
        messages.append(await queue.publish(root="LIFE-5"))
    await queue.complete(held)
    for delivery in await queue.take(*messages[1:], batch_size=3, timeout_s=HOLD_S, root="LIFE-5"):
        await queue.complete(delivery)
    for other, message in zip(others, beside, strict=True):
        await other.complete(await other.take_one(message, timeout_s=HOLD_S, root="LIFE-5"))


@proves("LIFE-6")
async def test_an_archived_scope_has_to_be_unarchived(case: Case) -> None:
    """LIFE-6: An archived scope MUST be unarchived before resume works.

    Archived and resumed: whatever the answer to that, publishes stay refused. Unarchived and resumed, where that is
    possible, they are taken (the control).
    """
    queue, _ = await place(case, "scope")
    await change(case, verb(queue, "scope", "archive"))
    resumed = await answered(case, verb(queue, "scope", "resume"))
    exchange = await try_publish(queue, forbidden="LIFE-6")
    case.require(
        not exchange.ok,
        "an archived scope takes messages after a resume alone",
        expected=f"4xx {wire.SCOPE_PAUSED} until it is unarchived",
        seen=f"resume was answered {resumed.told()}, the publish after it {exchange.told()}",
        evidence=(resumed, exchange),
    )
    await change(case, verb(queue, "scope", "unarchive"))
    await case.send(verb(queue, "scope", "resume"))  # perhaps unarchiving has done so already
    await queue.publish(root="LIFE-6")
