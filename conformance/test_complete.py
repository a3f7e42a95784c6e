"""DONE: completing a claimed message."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.optional import released, tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, Disturbed, NotSupported
from queueproof.drive.queue import Delivery, Message, Queue
from queueproof.evidence.digest import same_json

S = 1_000_000_000  # ns
HOLD_S = 60


@proves("DONE-1")
async def test_complete_sets_the_state(case: Case) -> None:
    """DONE-1: Complete on a claimed message MUST set `state` `completed`.

    With and without a response; one message out of a batch, whose neighbours stay claimed.
    """
    queue = await case.queue()
    messages = await queue.publish_many(5)
    held = {d.message: d for d in await queue.take(*messages, batch_size=5, timeout_s=HOLD_S)}
    done = [messages[1], messages[3], messages[0]]
    told: list[str] = []
    for message, response in zip(done, ({"shipped": True}, wire.ABSENT, {}), strict=True):
        exchange = await queue.complete(held[message], response=response)
        state = exchange.data.get("state") if isinstance(exchange.data, dict) else None
        told += [state] if isinstance(state, str) else []
        case.require(
            state in {None, "completed"},
            "a completion was answered with another state than completed",
            expected='"state": "completed"',
            seen=f'"state": {spell(state)}',
            evidence=(held[message].claim, exchange),
        )
    try:
        for message in messages:
            await has_state(case, queue, held[message], "completed" if message in done else "claimed")
    except NotSupported:
        if len(told) < len(done):
            raise


@proves("DONE-1")
async def test_a_second_holder_completes(case: Case) -> None:
    """DONE-1: Complete on a claimed message MUST set `state` `completed`.

    A message whose first lock lapsed, completed by the consumer that claimed it next.
    """
    queue = await case.lasting_queue()
    message = await queue.publish()
    first = await queue.take_one(message)
    await asyncio.sleep(max(0.0, (first.over_ns - time.monotonic_ns()) / S))
    second = await queue.take_one(message, timeout_s=HOLD_S, root="VIS-2", within_s=case.world.bound_s)
    await queue.complete(second, response={"by": "the second"})
    await has_state(case, queue, second, "completed")


async def has_state(case: Case, queue: Queue, delivery: Delivery, state: str) -> None:
    """The message's row shows the state, once it had the time to."""

    async def read() -> Any:
        return (await queue.read(delivery.message)).get("state")

    seen = await case.eventually(read, lambda value: value == state)
    if state == "claimed":
        queue.holding(delivery)
    doing = "a completed message's row shows" if state == "completed" else "a message that is still claimed shows"
    case.require(
        seen == state,
        f"{doing} another state",
        expected=f'"state": "{state}"',
        seen=f'"state": {spell(seen)}',
        evidence=(delivery.claim, case.exchanges[-1]),
    )


# What a consumer hands on: a structured result, by the quickstart's word …
STRUCTURED: tuple[Any, ...] = (
    {"shipped": True},
    {"nested": {"list": [1, {"a": None}, "é😀"], "empty": {}}, "text": "x" * 2000},
    {"zero": 0, "no": False, "nothing": None, "empty": ""},
    {},
)
# … and what a server may refuse, but must not change; those that are false in many languages among them.
OTHER: tuple[Any, ...] = ([], [{"one": 1}], [1, "1", True, None], "done", "", 0, 42, False, True)


@proves("DONE-2")
async def test_the_response_is_kept(case: Case) -> None:
    """DONE-2: `response` MUST be stored on the message and readable afterwards.

    A dozen responses, the empty and the false ones among them, each read off its own message's row; two of the messages
    belong to one chain.
    """
    queue = await case.queue()
    responses = [*STRUCTURED, *OTHER]
    chain = {"correlation_id": f"{case.world.token()}.chain"} if case.world.dialect.correlation else {}
    messages = [*await queue.publish_many(2, **chain), *await queue.publish_many(len(responses) - 2)]
    held = {d.message: d for d in await queue.take(*messages, batch_size=5, timeout_s=HOLD_S)}
    completions: dict[Message, Exchange] = {}
    for number, (message, response) in enumerate(zip(messages, responses, strict=True)):
        root = "DONE-2" if number < len(STRUCTURED) else UNDOCUMENTED
        with tolerated():
            completions[message] = await queue.complete(held[message], response=response, root=root)
    for message, response in zip(messages, responses, strict=True):
        if message not in completions:
            continue

        doing = "a message's row does not show the response that it was completed with"
        await shows(case, queue, message, response, doing, completions[message])


async def shows(case: Case, queue: Queue, message: Message, response: Any, doing: str, *evidence: Exchange) -> None:
    """The message's row shows the response, once it had the time to; `doing`: what it did if it does not.

    Nor does it show a response that says something as the message's body.
    """
    row: Mapping[str, Any] = {}

    async def read() -> Any:
        nonlocal row
        row = await queue.read(message)
        return row.get("response", wire.ABSENT)

    seen = await case.eventually(read, partial(same_json, response), within_s=2.0)
    body = row.get("body", wire.ABSENT)
    case.require(
        not response or same_json(body, message.body) or not same_json(body, response),
        "a message's row shows its response as its body",
        expected=f"body: {spell(message.body)}",
        seen=f"body: {spell(body)}",
        evidence=(*evidence, case.exchanges[-1]),
    )
    case.require(
        same_json(seen, response),
        doing,
        expected=f"response: {spell(response)}",
        seen="no response" if seen is wire.ABSENT else f"response: {spell(seen)}",
        evidence=(*evidence, case.exchanges[-1]),
    )


@proves("DONE-2")
async def test_the_response_outlives_the_lock(case: Case) -> None:
    """DONE-2: `response` MUST be stored on the message and readable afterwards.

    Read again after the lock under which it was given would have lapsed.
    """
    queue = await case.queue()
    message = await queue.publish()
    held = await queue.take_one(message)
    completion = await queue.complete(held, response={"kept": [1, 2, 3]}, root="DONE-2")
    await asyncio.sleep(max(0.0, (held.over_ns - time.monotonic_ns()) / S + 1.5))
    doing = "a message's response is gone after its lock would have lapsed"
    await shows(case, queue, message, {"kept": [1, 2, 3]}, doing, held.claim, completion)


@proves("DONE-2")
async def test_the_response_of_a_second_delivery_is_kept(case: Case) -> None:
    """DONE-2: `response` MUST be stored on the message and readable afterwards.

    A message whose first hold lapsed, completed by its second holder.
    """
    queue = await case.lasting_queue()
    message = await queue.publish()
    first = await queue.take_one(message)
    await asyncio.sleep(max(0.0, (first.over_ns - time.monotonic_ns()) / S))
    held = await queue.take_one(message, timeout_s=HOLD_S, root="VIS-2", within_s=case.world.bound_s)
    response = {"second": True}
    completion = await queue.complete(held, response=response, root="DONE-2")
    doing = "the row of a message that was completed by its second holder does not show the response"
    await shows(case, queue, message, response, doing, first.claim, held.claim, completion)


@proves("DONE-3")
async def test_complete_lowers_the_claimed_count(case: Case) -> None:
    """DONE-3: Complete MUST lower `depth_claimed` by one.

    Six messages held, one of them for the second time where release is there, three completed one after the other and
    the rest at once; read at rest, and given the time to settle.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(7)
    if await released(queue, await queue.take_one(messages[0], timeout_s=HOLD_S)):
        await queue.given_back(messages[0], timeout_s=HOLD_S)
    await queue.take(*(m for m in messages[1:6] if m not in queue.latest), batch_size=5, timeout_s=HOLD_S)
    held = list(queue.latest.values())
    before = await settles(case, queue, len(held))
    queue.holding(*held)
    if queue.unsettled:
        raise Disturbed("a call of unknown result may count too")
    if before != len(held):
        case.refuse(
            "CLAIM-7",
            "depth_claimed does not count what is claimed",
            expected=f"depth_claimed: {len(held)}",
            seen=f"depth_claimed: {before}",
            evidence=(held[-1].claim, case.exchanges[-1]),
        )
    left = len(held)
    for group in (*([delivery] for delivery in held[:3]), held[3:]):
        exchanges = await asyncio.gather(*(queue.complete(delivery) for delivery in group))
        left -= len(group)
        seen = await settles(case, queue, left)
        queue.holding(*held)
        case.require(
            seen == left,
            "a completion did not lower depth_claimed by one",
            expected=f"depth_claimed: {left}",
            seen=f"depth_claimed: {seen}",
            evidence=(*exchanges, case.exchanges[-1]),
        )


async def settles(case: Case, queue: Queue, claimed: int) -> int:
    """`depth_claimed` once it is as expected, or after its time."""

    async def read() -> int:
        return (await queue.counters())[1]

    value: int = await case.eventually(read, lambda seen: seen == claimed)
    return value


# What a slow consumer may still send for a message that is completed already.
AFTERWARDS = ("release", "fail", "extend")


async def afterwards(case: Case, queue: Queue, delivery: Delivery, verb: str) -> None:
    """Sends the verb for a completed message, whatever comes of it."""
    if verb == "fail":
        await case.send(wire.fail(queue.scope, delivery.id, reason="too late"))
    elif verb == "release":
        await case.send(wire.release(queue.scope, delivery.id))
    else:
        hold_s = case.world.dialect.timeout_s
        request = wire.extend(queue.scope, delivery.id, visibility_timeout_s=hold_s)
        await case.send(request, fields={"timeout_s": hold_s})


@proves("DONE-4")
async def test_completed_stays_completed(case: Case) -> None:
    """DONE-4: A completed message MUST never be claimable again, also after its visibility timeout.

    Completed at once, shortly before the lock's end, after an extension, by a second holder, and out of a batch;
    released, failed, extended or published once more afterwards (which a server may refuse); then claims go on until
    every lock has lapsed. A neighbour that was not completed returns meanwhile (the control).
    """
    queue = await case.lasting_queue()
    hold_s = case.world.dialect.timeout_s + case.world.room_s(12)
    twice = await queue.publish()
    lapsing = await queue.take_one(twice)
    await asyncio.sleep(max(0.0, (lapsing.over_ns - time.monotonic_ns()) / S))
    second = await queue.take_one(twice, timeout_s=hold_s, root="VIS-2", within_s=case.world.bound_s)
    messages = [await queue.publish(idempotency_key=case.world.token()) for _ in range(7)]
    held = {d.message: d for d in await queue.take(*messages, batch_size=7, timeout_s=hold_s)}
    done = {twice: await queue.complete(second)}
    control, late, later, extended, *early = messages
    for message in early:
        done[message] = await queue.complete(held[message], response={"done": 1})
    with contextlib.suppress(NotSupported):
        await queue.act("extend", held[extended], root="VIS-5", visibility_timeout_s=hold_s)
    done[extended] = await queue.complete(held[extended])
    for message, before_end_s in ((late, 0.7), (later, 0.25)):
        await asyncio.sleep(max(0.0, (held[message].held_until_ns - time.monotonic_ns()) / S - before_end_s))
        with contextlib.suppress(Disturbed):  # it came too late, or was lost: then it is no completion to judge by
            done[message] = await queue.complete(held[message])
    for message, verb in zip(early, AFTERWARDS, strict=True):
        await afterwards(case, queue, held[message], verb)
        await published_again(case, queue, message)
    returned = False
    until_ns = time.monotonic_ns() + round((hold_s + 2) * S)
    async for claim in queue.watch(until_ns, every_s=0.2):
        for again in claim.deliveries:
            returned = returned or again.message is control
            if again.message in done:
                stays_done(case, done[again.message], again)
    if not returned:
        await queue.take_one(control, root="VIS-2", within_s=case.world.bound_s)


def stays_done(case: Case, completion: Exchange, again: Delivery) -> None:
    """No claim that was sent after the completion's answer brings the message."""
    case.require(
        completion.ret_ns >= again.claim.inv_ns,
        "a completed message was delivered again",
        expected=f"no delivery of {again.id} after its completion",
        seen=f"a delivery, attempts {spell(again.attempts)}",
        proof=f"claimed {(again.claim.inv_ns - completion.ret_ns) / S:.3f} s after the completion was acknowledged",
        evidence=(again.message.publish, completion, again.claim),
    )


async def published_again(case: Case, queue: Queue, message: Message) -> None:
    """The publish of a completed message once more: its key may be forgotten by then, which makes a new message."""
    request = wire.publish(queue.scope, queue.id, message.fields)
    exchange = await case.send(request, fields=queue.described(message.token, message.fields))
    found = wire.identity(exchange.data)
    if exchange.ok and found and found != message.id:
        queue.adopt(found, message)
