"""IDEM, LOSS: keys that are many, replayed often, or used before in vain."""

import asyncio
import time
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import Case, proves
from queueproof.drive.client import Exchange
from queueproof.drive.difference import contrast
from queueproof.drive.optional import answered, change, queue_with
from queueproof.drive.ordering import fitting
from queueproof.drive.outcomes import NotSupported
from queueproof.drive.queue import Message, Queue
from queueproof.evidence.digest import same_json
from queueproof.evidence.operation import Result

HOLD_S = 60
REPLAYS = 12
KEYS, AT_ONCE = 150, 30
REPLAYED = 8
# How long a key is kept is not documented: within so long it is hardly forgotten for its age.
FRESH_S = 10.0
LIMIT = 2


@proves("IDEM-1")
async def test_a_key_outlasts_many_replays(case: Case) -> None:
    """IDEM-1: Same key + same body twice MUST return the same message id.

    One publish is repeated a dozen times: each gives the first one's id. So does one in a queue of each other ordering,
    repeated once.
    """
    queue = await case.queue()
    message = await queue.publish(idempotency_key=case.world.token())
    for number in range(REPLAYS):
        await replayed(case, queue, message, f"for the {number + 1}th time" if number > 2 else "once more")
    for ordering in () if case.world.thrift else ("priority", "deadline"):
        other = await case.queue(ordering=ordering, root="QUEUE-3")
        message = await fitting(other, idempotency_key=case.world.token())
        await replayed(case, other, message, f"in a queue ordered by {ordering}")


@proves("IDEM-1")
async def test_many_keys_push_out_none(case: Case) -> None:
    """IDEM-1: Same key + same body twice MUST return the same message id.

    As many as 150 keys are used in one queue, all of whose messages wait; the first of them, and one from the middle,
    still give their ids. Fewer where the server is slow: how long a key is kept is not documented.
    """
    queue = await case.queue()
    begun = time.monotonic()
    messages: list[Message] = []
    while len(messages) < (AT_ONCE if case.world.thrift else KEYS) and time.monotonic() < begun + 0.7 * FRESH_S:
        publishes = (queue.publish(idempotency_key=case.world.token()) for _ in range(AT_ONCE))
        messages += await asyncio.gather(*publishes)
    for message in [*messages[:REPLAYED], messages[len(messages) // 2]]:
        if time.monotonic() > begun + FRESH_S:
            return
        await replayed(case, queue, message, f"after {len(messages) - 1} others with keys of their own")


async def replayed(case: Case, queue: Queue, message: Message, when: str) -> None:
    """The message's publish again, letter by letter, gives its id."""
    request = wire.publish(queue.scope, queue.id, message.fields)
    replay = await ask(case, request, fields=queue.described(message.token, message.fields), urgent=True)
    case.require(
        replay.ok and wire.identity(replay.data) == message.id,
        f"the same publish again, {when}, did not give the first message's id",
        expected=f"id {message.id}",
        seen=f"id {wire.identity(replay.data)}" if replay.ok else replay.told(),
        evidence=(message.publish, replay),
    )


@proves("LOSS-1")
async def test_a_refused_publish_holds_no_key(case: Case) -> None:
    """LOSS-1: A message whose publish was acknowledged MUST NOT be lost before it is completed or expires.

    A publish under a key is refused, because the queue is full, because it is paused, or because a member of it is
    invalid; then it is sent again when nothing is in its way. What is acknowledged then is a message, and is delivered.
    """
    told = await asyncio.gather(*(tried(part, case) for part in (when_full, when_paused, when_invalid)))
    if not any(told):
        raise NotSupported("no publish could be made that is refused first and acknowledged then")


async def tried(part: Any, case: Case) -> bool:
    try:
        await part(case)
    except NotSupported:
        return False
    return True


async def when_full(case: Case) -> None:
    """A publish is refused for want of room, which is made then."""
    queue = await queue_with(case, shown="max_depth", max_depth=LIMIT, overflow_policy="reject")
    messages = await queue.publish_many(LIMIT, root="DEPTH-3")
    fields = keyed(case)
    first = await refused(queue, fields)
    for delivery in await queue.take(*messages, timeout_s=HOLD_S):
        await queue.complete(delivery)
    second = await case.eventually(
        lambda: sent(queue, fields), lambda answer: answer.ok or answer.code != wire.QUEUE_FULL
    )
    await delivered(queue, fields, first, second)


async def when_paused(case: Case) -> None:
    """A publish is refused because of a pause, which is ended then."""
    queue = await case.queue()
    queue.unmodelled = True
    await change(case, wire.change_queue(queue.scope, queue.id, "pause"))
    fields = keyed(case)
    first = await refused(queue, fields)
    await change(case, wire.change_queue(queue.scope, queue.id, "resume"))
    await delivered(queue, fields, first, await sent(queue, fields))


async def when_invalid(case: Case) -> None:
    """A publish is refused because of a tier that there is not, and then made with one that there is."""
    queue = await case.queue()
    fields = keyed(case)
    first = await refused(queue, {**fields, "priority": {"tier": "queueproof", "score": 500}})
    await delivered(queue, fields, first, await sent(queue, fields))


def keyed(case: Case) -> dict[str, Any]:
    token = case.world.token()
    priority = {"tier": "normal", "score": 500}
    return {"type": "qp.case", "priority": priority, "body": {"qp": token}, "idempotency_key": token}


async def sent(queue: Queue, fields: dict[str, Any]) -> Exchange:
    """What comes of a publish with these fields; the case starts anew where an earlier try may have had its effect."""
    request = wire.publish(queue.scope, queue.id, fields)
    described = queue.described(wire.token(fields["body"]), fields)
    return await answered(queue.case, request, echoes=True, fields=described)


async def refused(queue: Queue, fields: dict[str, Any]) -> Exchange:
    """A publish that the server refuses; another case asks whether it has to."""
    exchange = await sent(queue, fields)
    if exchange.result is not Result.REJECTED:
        raise NotSupported(f"a publish was not refused: {exchange.told()}", evidence=(exchange.op,))
    return exchange


async def delivered(queue: Queue, fields: dict[str, Any], first: Exchange, second: Exchange) -> None:
    """What the second publish acknowledged is delivered, with its body. Where that one is refused as well, the server
    remembers refusals: nothing says that it must not, and nothing can be lost.
    """
    case = queue.case
    found = wire.identity(second.data) if second.ok else ""
    if not found:
        raise NotSupported(f"the key of a refused publish is not taken again: {second.told()}", evidence=(second.op,))
    token, body = fields["idempotency_key"], fields["body"]
    message = queue.adopt(found, Message(id="", token=token, body=body, fields=fields, publish=second))
    doing = "a publish that was refused once, and acknowledged the second time, is not delivered"
    again = await queue.take_one(message, timeout_s=HOLD_S, root="LOSS-1", doing=doing)
    case.require(
        same_json(again.body, message.body),
        "a publish that was refused once, and acknowledged the second time, is delivered with another body",
        **contrast(message.body, again.body),
        evidence=(first, second, again.claim),
    )
    await queue.complete(again)
