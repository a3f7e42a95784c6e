"""DLQ: several dead letters at once and of one key, what they keep, and where a released one goes."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from queueproof.contract import wire
from queueproof.drive.burial import (
    HOLD_S,
    REASON,
    all_buried,
    bury,
    claimed,
    graveyard,
    mortal_queue,
    undisturbed,
)
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.optional import answered, publish_with, queue_with
from queueproof.drive.ordering import ranked_fields
from queueproof.drive.outcomes import UNDOCUMENTED, Blocked, NotSupported
from queueproof.drive.queue import BACKOFF_S, Message, Queue
from queueproof.evidence.digest import same_json
from queueproof.evidence.margins import FRESH_NS

S = 1_000_000_000  # ns
# What a released dead letter would be seen in its old queue within, beyond the next message's delivery.
HOME_S = 0.5


@proves("DLQ-2")
async def test_all_that_failed_at_once_are_dead_letters(case: Case) -> None:
    """DLQ-2: The message MUST appear in the same scope's `_dead_letter`, with its body.

    Five messages of one queue that allows one attempt, of which three fail at the same moment: each of the five is
    there, and where claims bring some of them they bring each.
    """
    scope = await case.own_scope()
    letters = await graveyard(case, scope)
    queue = await mortal_queue(case, scope)
    queue.unmodelled = True  # its messages are completed in another queue
    messages = await queue.publish_many(5)
    found = await queue.take(*messages, batch_size=len(messages), timeout_s=HOLD_S)
    held = {delivery.message: delivery for delivery in found}
    await queue.act("fail", held[messages[0]], root="FAIL-1", reason=REASON)
    together = (held[message] for message in messages[1:4])
    await asyncio.gather(*(queue.act("fail", d, root="FAIL-1", burst=True, reason=REASON) for d in together))
    await queue.act("fail", held[messages[4]], root="FAIL-1", reason=REASON)
    await all_buried(case, letters, dict.fromkeys(messages, queue))


@proves("DLQ-2")
async def test_every_ordering_has_its_dead_letters(case: Case) -> None:
    """DLQ-2: The message MUST appear in the same scope's `_dead_letter`, with its body.

    Messages of queues of each ordering, with labels and without.
    """
    if case.world.client.budget.rationed:
        raise NotSupported("the server counts requests: the other orderings are left out there")
    scope = await case.own_scope()
    letters = await graveyard(case, scope)
    spent: dict[Message, Queue] = {}
    for ordering, more in {"fifo": {}, **ranked_fields(case.world)}.items():
        queue = await queue_with(case, scope=scope, shown="max_retries", max_retries=1, ordering=ordering)
        queue.unmodelled = True  # its messages are completed in another queue
        for labels in ({"qp": "yes"}, {}):
            message = await publish_with(queue, labels=labels or None, **more)
            held = await queue.take_one(message, timeout_s=HOLD_S)
            await queue.act("fail", held, root="FAIL-1", reason=REASON)
            spent[message] = queue
    await all_buried(case, letters, spent)


@proves("DLQ-2")
async def test_dead_letters_of_one_key_are_two(case: Case) -> None:
    """DLQ-2: The message MUST appear in the same scope's `_dead_letter`, with its body.

    Two messages of two queues that were published with one idempotency key, where a server takes both as messages of
    their own.
    """
    scope = await case.own_scope()
    letters = await graveyard(case, scope)
    queues = [await mortal_queue(case, scope), await mortal_queue(case, scope)]
    for queue in queues:
        queue.unmodelled = True  # its message is completed in another queue
    key = case.world.token()
    first = await queues[0].publish(root="PUB-3", idempotency_key=key)
    try:
        second = await queues[1].publish(root=UNDOCUMENTED, idempotency_key=key)
    except Blocked as end:
        if end.root != UNDOCUMENTED:
            raise
        raise NotSupported("an idempotency key counts in other queues too", evidence=end.evidence) from end
    if first.id == second.id:
        raise NotSupported("an idempotency key counts in other queues too", evidence=(second.publish.op,))
    spent = {first: queues[0], second: queues[1]}
    for message, queue in spent.items():
        held = await queue.take_one(message, timeout_s=HOLD_S)
        await queue.act("fail", held, root="FAIL-1", reason=REASON)
    await all_buried(case, letters, spent)


KIND = "qp.dead"
PRIORITY = {"tier": "high", "score": 700}
MEMBERS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "type": wire.message_type,
    "priority tier": lambda item: wire.priority(item)[0],
    "priority score": lambda item: wire.priority(item)[1],
}


@proves("DLQ-2")
async def test_a_dead_letter_keeps_its_type_and_priority(case: Case) -> None:
    """DLQ-2: The message MUST appear in the same scope's `_dead_letter`, with its body.

    A message that is claimed there under its own id was moved, and is the same: it shows the type and the priority that
    its own queue's claim showed, where both show them. What a copy with an id of its own keeps is not documented.
    """
    buried = await bury(case, type=KIND, priority=PRIORITY)
    for item, exchange in buried.claimed:
        if wire.identity(item) != buried.message.id:
            continue
        aged = exchange.ret_ns - buried.message.publish.inv_ns > FRESH_NS  # by then its priority may have been raised
        for name, read in MEMBERS.items():
            before, after = read(buried.held.item), read(item)
            if before is wire.ABSENT or after is wire.ABSENT or (aged and name != "type"):
                continue
            case.require(
                same_json(before, after),
                f"a dead letter has another {name}",
                expected=f"{name} {spell(before)}, as it was claimed",
                seen=f"{name} {spell(after)}",
                evidence=(buried.message.publish, buried.held.claim, *buried.fails, exchange),
            )


@proves("DLQ-1")
async def test_a_released_dead_letter_stays_one(case: Case) -> None:
    """DLQ-1: Fail with `attempts >= max_retries` MUST leave nothing claimable in the source queue for that message.

    Nor does the release of the dead letter, where it can be claimed and released: claims of its old queue bring a
    message that is published afterwards (the control) and not this one, which is found in `_dead_letter` again.
    """
    buried = await bury(case)
    queue, message = buried.queue, buried.message
    released = await answered(case, wire.release(queue.scope, await claimed(case, buried)))
    if not released.ok:
        raise NotSupported(f"a dead letter cannot be released: {released.told()}", evidence=(released.op,))
    control = await queue.publish()
    found = await queue.take(control, timeout_s=HOLD_S)
    await asyncio.sleep(queue.pause_s(HOME_S))
    found += (await queue.claim(1, HOLD_S)).deliveries
    for delivery in found:
        case.require(
            delivery.message is not message,
            "a dead letter that was released can be claimed from its old queue again",
            expected=f"nothing of {message.id}, which stays in _dead_letter",
            seen=f"a delivery, attempts {spell(delivery.attempts)}",
            evidence=(message.publish, *buried.fails, released, delivery.claim),
        )
    again = await case.eventually(
        lambda: buried.letters.find(message), lambda seen: seen is not None, within_s=BACKOFF_S
    )
    if again is None:
        undisturbed(case, buried)
        case.refuse(
            "LOSS-1",
            "a dead letter that was released is gone",
            expected=f"{message.id} in _dead_letter",
            seen=f"neither there, for {BACKOFF_S:g} s, nor in its old queue",
            evidence=(message.publish, *buried.fails, released, case.exchanges[-1]),
            liveness=True,
        )


# So long after its failure a message is looked for at least, beyond the time that its twin takes.
RETURNS_WITHIN_S = 4.0
# And so long after the end of the claim that failed: the enforcer's second, and a little.
LAPSE_S = 1.2


@proves("DLQ-1")
async def test_no_retries_are_none(case: Case) -> None:
    """DLQ-1: Fail with `attempts >= max_retries` MUST leave nothing claimable in the source queue for that message.

    With `max_retries` 0, where the queue's row shows it: the first failure is the last, by any count. A message of a
    queue that allows more is failed at the same moment, and claims go on until it is back (the control), and for a
    while longer, beyond the end of the claim that failed; a message that is published then is claimed.
    """
    hold_s = case.world.dialect.timeout_s + case.world.room_s(2)
    queue = await queue_with(case, scope=await case.own_scope(), shown="max_retries", max_retries=0)
    other = await case.lasting_queue()
    message, twin = await queue.publish(), await other.publish()
    held = [await other.take_one(twin, timeout_s=HOLD_S), await queue.take_one(message, timeout_s=hold_s)]
    failed = await queue.act("fail", held[1], root="FAIL-1", reason=REASON)
    queue.holding(held[1])
    await other.act("fail", held[0], root="FAIL-1", reason=REASON)
    await other.take_one(twin, timeout_s=HOLD_S, root="FAIL-1", within_s=BACKOFF_S)
    seen_ns = max(failed.ret_ns + round(RETURNS_WITHIN_S * S), held[1].over_ns + round(LAPSE_S * S))
    await asyncio.sleep(max(0.0, (seen_ns - time.monotonic_ns()) / S))
    found = await queue.take(await queue.publish(), batch_size=2, timeout_s=HOLD_S)
    for delivery in found:
        case.require(
            delivery.message is not message,
            "a message that has failed was handed out again by a queue of max_retries 0",
            expected=f"nothing of {message.id}",
            seen=f"a delivery, attempts {spell(delivery.attempts)}",
            evidence=(message.publish, held[1].claim, failed, delivery.claim),
        )
