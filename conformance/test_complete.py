"""DONE: completing a claimed message."""

import asyncio
import time
from functools import partial
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.outcomes import NotSupported
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


async def has_state(case: Case, queue: Queue, delivery: Delivery, state: str) -> None:
    """The message's row shows the state, once it had the time to."""

    async def read() -> Any:
        return (await queue.read(delivery.message)).get("state")

    seen = await case.eventually(read, lambda value: value == state)
    doing = "a completed message's row shows" if state == "completed" else "a message that is still claimed shows"
    case.require(
        seen == state,
        f"{doing} another state",
        expected=f'"state": "{state}"',
        seen=f'"state": {spell(seen)}',
        evidence=(delivery.claim, case.exchanges[-1]),
    )


# What a consumer may hand on; those that are false in many languages among them.
RESPONSES: tuple[Any, ...] = (
    {"shipped": True},
    {"nested": {"list": [1, {"a": None}, "é😀"], "empty": {}}, "text": "x" * 2000},
    {},
    [],
    [1, "1", True, None],
    "done",
    "",
    0,
    42,
    False,
    True,
)


@proves("DONE-2")
async def test_the_response_is_kept(case: Case) -> None:
    """DONE-2: `response` MUST be stored on the message and readable afterwards.

    Eleven responses, the empty and the false ones among them, each read off its own message's row.
    """
    queue = await case.queue()
    messages = await queue.publish_many(len(RESPONSES))
    held = {d.message: d for d in await queue.take(*messages, batch_size=5, timeout_s=HOLD_S)}
    completions = {
        message: await queue.complete(held[message], response=response, root="DONE-2")
        for message, response in zip(messages, RESPONSES, strict=True)
    }
    for message, response in zip(messages, RESPONSES, strict=True):

        async def read(message: Message = message) -> Any:
            return (await queue.read(message)).get("response", wire.ABSENT)

        seen = await case.eventually(read, partial(same_json, response), within_s=2.0)
        case.require(
            same_json(seen, response),
            "a message's row does not show the response that it was completed with",
            expected=f"response: {spell(response)}",
            seen="no response" if seen is wire.ABSENT else f"response: {spell(seen)}",
            evidence=(completions[message], case.exchanges[-1]),
        )


@proves("DONE-3")
async def test_complete_lowers_the_claimed_count(case: Case) -> None:
    """DONE-3: Complete MUST lower `depth_claimed` by one.

    Four messages held, completed one after the other; read at rest, and given the time to settle.
    """
    queue = await case.queue()
    messages = await queue.publish_many(5)
    held = await queue.take(*messages[:4], batch_size=4, timeout_s=HOLD_S)
    held = list({delivery.message: delivery for delivery in held}.values())
    before = await settles(case, queue, len(held))
    if before != len(held):
        case.refuse(
            "CLAIM-7",
            "depth_claimed does not count what is claimed",
            expected=f"depth_claimed: {len(held)}",
            seen=f"depth_claimed: {before}",
            evidence=(held[-1].claim, case.exchanges[-1]),
        )
    for left, delivery in zip(reversed(range(len(held))), held, strict=True):
        exchange = await queue.complete(delivery)
        seen = await settles(case, queue, left)
        case.require(
            seen == left,
            "a completion did not lower depth_claimed by one",
            expected=f"depth_claimed: {left}",
            seen=f"depth_claimed: {seen}",
            evidence=(exchange, case.exchanges[-1]),
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

    Completed at once, shortly before the lock's end, by a second holder, and out of a batch; released, failed or
    extended afterwards (which a server may refuse); then claims go on until every lock has lapsed. A neighbour that was not completed returns meanwhile (the control).
    """
    queue = await case.lasting_queue()
    hold_s = case.world.dialect.timeout_s
    twice = await queue.publish()
    lapsing = await queue.take_one(twice)
    await asyncio.sleep(max(0.0, (lapsing.over_ns - time.monotonic_ns()) / S))
    second = await queue.take_one(twice, root="VIS-2", within_s=case.world.bound_s)
    messages = await queue.publish_many(5)
    held = {d.message: d for d in await queue.take(*messages, batch_size=5)}
    done = {twice: await queue.complete(second)}
    control, late, *early = messages
    for message in early:
        done[message] = await queue.complete(held[message], response={"done": 1})
    await asyncio.sleep(max(0.0, (held[late].held_until_ns - time.monotonic_ns()) / S - 0.5))
    done[late] = await queue.complete(held[late])
    for message, verb in zip(early, AFTERWARDS, strict=True):
        await afterwards(case, queue, held[message], verb)
    returned = False
    until_ns = time.monotonic_ns() + round((hold_s + 2) * S)
    async for claim in queue.watch(until_ns, every_s=0.2):
        for again in claim.deliveries:
            returned = returned or again.message is control
            completion = done.get(again.message)
            case.require(
                completion is None or completion.ret_ns >= again.claim.inv_ns,
                "a completed message was delivered again",
                expected=f"no delivery of {again.id} after its completion",
                seen=f"a delivery, attempts {spell(again.attempts)}",
                proof=(
                    f"the claim was sent {(again.claim.inv_ns - completion.ret_ns) / S:.3f} s after the completion "
                    "was acknowledged"
                    if completion is not None
                    else ""
                ),
                evidence=(again.message.publish, completion, again.claim) if completion is not None else (),
            )
    if not returned:
        await queue.take_one(control, root="VIS-2", within_s=case.world.bound_s)
