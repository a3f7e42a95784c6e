"""LIFE, LOSS, ORD, DONE: what pauses, archives and drains leave to be had afterwards."""

import asyncio
import time

from queueproof.contract import wire
from queueproof.drive.case import Case, proves
from queueproof.drive.counters import counters_are
from queueproof.drive.lifecycle import bring_back, moved, place, resume, verb
from queueproof.drive.optional import answered, change, publish_with, row_of, try_publish
from queueproof.drive.ordering import in_order, spaced
from queueproof.drive.outcomes import Inconclusive, NotSupported, Violation
from queueproof.drive.queue import BACKOFF_S, Message, Queue
from queueproof.drive.world import CADENCE_S

S = 1_000_000_000  # ns
HOLD_S = 60
# One delay that ends while its scope is archived, and one that ends after it.
DELAYS_S = (2.0, 4.0)


@proves("LIFE-5")
async def test_one_resume_ends_two_pauses(case: Case) -> None:
    """LIFE-5: `POST .../resume` MUST make publish and claim work again; messages pending before the pause MUST still
    be there.

    A queue, and a scope, that is paused twice, whatever the second pause is answered, and resumed once.
    """
    told = await asyncio.gather(*(paused_twice(case, level) for level in ("queue", "scope")))
    if not any(told):
        raise NotSupported("neither queues nor scopes can be paused")


async def paused_twice(case: Case, level: str) -> bool:
    """Whether it could be paused; then one resume made publishes and claims work."""
    queue, messages = await place(case, level)
    if not await moved(case, queue, level, "pause"):
        return False
    await answered(case, verb(queue, level, "pause"))
    await resume(case, queue, level)
    messages.append(await queue.publish(root="LIFE-5"))
    await queue.take(*messages, batch_size=len(messages), timeout_s=HOLD_S, root="LIFE-5")
    return True


@proves("ORD-1")
async def test_fifo_outlasts_a_pause_of_its_scope(case: Case) -> None:
    """ORD-1: `fifo`: sequentially published messages MUST be claimed oldest first.

    Messages from before and after a pause of the whole scope, one at a time.
    """
    queue = await case.queue(scope=await case.own_scope(), ordering="fifo")
    queue.unmodelled = True  # paused: this case alone judges it
    messages = await spaced(queue, [{}] * 4)
    await change(case, verb(queue, "scope", "pause"))
    await resume(case, queue, "scope")
    messages += await spaced(queue, [{}] * 2, root="LIFE-5")
    found = await queue.take(*messages, timeout_s=HOLD_S, root="LIFE-5")
    in_order(case, queue, found, messages, "published earlier")


CLOSED = (("scope", "archive"), ("queue", "drain"), ("scope", "pause"), ("queue", "archive"), ("scope", "drain"))


@proves("LOSS-3")
async def test_a_hold_ends_though_its_queue_is_closed(case: Case) -> None:
    """LOSS-3: A message MUST NOT stay claimed beyond every lock that was ever given for it.

    A hold each lapses while its queue or scope is archived, draining or paused. Where that can be undone, so that a
    message that is published then is taken and handed out (the control), the older one is handed out as well.
    """
    probes = CLOSED[:2] if case.world.thrift else CLOSED
    told = await asyncio.gather(*(lapses_closed(case, level, name) for level, name in probes))
    if not any(told):
        raise NotSupported("nothing that was archived, drained or paused could be brought back")


async def lapses_closed(case: Case, level: str, name: str) -> bool:
    """Whether the move was there, and undone; then a message whose hold lapsed meanwhile came back."""
    scope = await case.own_scope() if level == "scope" else ""
    queue = await case.lasting_queue(scope=scope)
    queue.unmodelled = True  # closed: this case alone judges it
    message = await queue.publish()
    held = await queue.take_one(message)
    if not await moved(case, queue, level, name):
        return False
    await asyncio.sleep(max(0.0, (held.over_ns - time.monotonic_ns()) / S) + CADENCE_S)
    await bring_back(case, queue, level, name)
    if not (await try_publish(queue, forbidden="LIFE-3")).ok or not await served(queue):
        return False
    if queue.counts[message] == 1:
        await queue.take(
            message,
            timeout_s=HOLD_S,
            root="LOSS-3",
            within_s=held.timeout_s + case.world.bound_s,
            doing=f"a message whose hold ended after the {name} of its {level} was not handed out when that was undone",
        )
    return True


async def served(queue: Queue) -> bool:
    """Whether claims bring the queue's last message."""
    control = queue.known[-1]
    end = time.monotonic() + queue.world.bound_s
    while time.monotonic() < end:
        if (await queue.claim(5, HOLD_S)).of(control):
            return True
        await asyncio.sleep(queue.pause_s())
    return False


@proves("LOSS-1")
async def test_a_delayed_message_outlasts_an_archive(case: Case) -> None:
    """LOSS-1: A message whose publish was acknowledged MUST NOT be lost before it is completed or expires.

    Two delayed messages of a scope that is archived and brought back, one of which is due meanwhile: both are handed
    out, as is one that is published afterwards (the control).
    """
    queue = await case.queue(scope=await case.own_scope())
    queue.unmodelled = True  # archived: this case alone judges it
    queue.ordering = ""  # delayed ones come later than what was published after them
    delayed, wait_s = [], 0.0
    for delay_s in DELAYS_S:
        due = case.world.moment(delay_s)
        if due is None:
            raise NotSupported("the server's clock may be another one")
        wait_s = case.world.come_s(delay_s)  # by then it is due by any clock that the answers allow
        delayed.append(await publish_with(queue, delay_until=due.strftime("%Y-%m-%dT%H:%M:%SZ")))
    end_s = time.monotonic() + wait_s
    await change(case, verb(queue, "scope", "archive"))
    await asyncio.sleep(DELAYS_S[0] + 0.5)
    await change(case, verb(queue, "scope", "unarchive"))
    await answered(case, verb(queue, "scope", "resume"))  # perhaps unarchiving has done so already
    if not (await try_publish(queue, forbidden="LIFE-3")).ok or not await served(queue):
        raise NotSupported("an archived scope does not work again when it is unarchived and resumed")
    missing = [message for message in delayed if message not in queue.latest]
    if missing:
        await queue.take(
            *missing,
            timeout_s=HOLD_S,
            root="LOSS-1",
            within_s=max(0.0, end_s - time.monotonic()) + case.world.bound_s,
            doing="a delayed message was not handed out after its scope was archived and brought back",
        )


@proves("LOSS-1")
async def test_what_is_given_back_during_a_pause_is_there(case: Case) -> None:
    """LOSS-1: A message whose publish was acknowledged MUST NOT be lost before it is completed or expires.

    Messages that are released and that fail while their queue, or its scope, is paused, where a server lets them: after
    the resume each is handed out again, as is one that is published then (the control).
    """
    told = await asyncio.gather(*(given_back(case, level) for level in ("queue", "scope")))
    if not any(told):
        raise NotSupported("nothing can be paused, or released or failed in a pause")


async def given_back(case: Case, level: str) -> bool:
    """Whether something could be given back in a pause; then it came after it."""
    queue = await case.lasting_queue(scope=await case.own_scope() if level == "scope" else "")
    queue.unmodelled = True  # paused: this case alone judges it
    messages = await queue.publish_many(2)
    held = [await queue.take_one(message, timeout_s=HOLD_S) for message in messages]
    if not await moved(case, queue, level, "pause"):
        return False
    sent = [
        await answered(case, wire.release(queue.scope, held[0].id)),
        await answered(case, wire.fail(queue.scope, held[1].id, reason="queueproof: in a pause")),
    ]
    await resume(case, queue, level)
    await queue.publish(root="LIFE-5")
    if not await served(queue):
        return False
    for message, exchange in zip(messages, sent, strict=True):
        if exchange.ok and queue.counts[message] == 1:
            verb_in_pause = f"a {exchange.request.verb} during a pause of its {level}"
            await comes_back(queue, message, f"after {verb_in_pause} a message was not handed out again")
    return any(exchange.ok for exchange in sent)


async def comes_back(queue: Queue, message: Message, doing: str) -> None:
    """The message is handed out again; how long it may back off is not documented, nor that it may not be buried."""
    try:
        await queue.take(message, timeout_s=HOLD_S, root="LOSS-1", within_s=BACKOFF_S, doing=doing)
    except Violation as end:
        row = await row_of(queue, message)
        if row and wire.state(row) == "pending" and not (row.get("visible_at") or row.get("delay_until")):
            raise
        raise Inconclusive(f"{doing} within {BACKOFF_S:g} s: it may be elsewhere", evidence=end.evidence) from end


@proves("DONE-3")
async def test_a_completion_counts_during_a_pause(case: Case) -> None:
    """DONE-3: Complete MUST lower `depth_claimed` by one.

    Also where the queue is paused and takes the completion all the same; read after the resume, and given the time to
    settle.
    """
    queue = await case.queue()
    queue.unmodelled = True  # paused: this case alone judges it
    messages = await queue.publish_many(3)
    found = await queue.take(*messages[:2], batch_size=2, timeout_s=HOLD_S)
    held = list({delivery.message: delivery for delivery in found}.values())
    waiting = len(messages) - len(held)
    await counters_are(case, queue, waiting, len(held), root="CLAIM-7")
    await change(case, verb(queue, "queue", "pause"))
    completed = await answered(case, wire.complete(queue.scope, held[0].id))
    await resume(case, queue, "queue")
    if not completed.ok:
        raise NotSupported(f"a paused queue takes no completions: {completed.told()}", evidence=(completed.op,))
    doing = "a completion in a paused queue did not lower depth_claimed by one"
    await counters_are(case, queue, waiting, len(held) - 1, root="DONE-3", summary=doing)
