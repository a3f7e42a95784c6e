"""DONE-6, DLQ-4: the events that a webhook is told, seen by a receiver of the run's own."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import holds
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.hooks import Receiver, reachable, webhook
from queueproof.drive.optional import queue_with
from queueproof.drive.queue import BACKOFF_S, Delivery, Message, Queue
from queueproof.evidence.digest import same_json

HOLD_S = 60
# Events go out when the server comes to it, again and again until they are taken: longer than any verb may take.
EVENT_WITHIN_S = 15.0


async def event_of(
    case: Case,
    receiver: Receiver,
    message: Message,
    kind: str,
    *,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> dict[str, Any]:
    """The event of one message; ends the case when none comes. `meanwhile` is done before each look."""

    async def look() -> dict[str, Any] | None:
        if meanwhile is not None:
            await meanwhile()
        of_it = (e for e in receiver.events if holds(e, message.id) or _chained(e, message))
        return next((event for event in of_it if event.get("event_type") == kind), None)

    within_s = EVENT_WITHIN_S + (BACKOFF_S if meanwhile is not None else 0.0)
    found: dict[str, Any] | None = await case.eventually(look, lambda event: event is not None, within_s=within_s)
    if found is None:
        reachable(case)
    case.require(
        found is not None,
        f"no {kind} came for a message",
        expected=f"an event that names {message.id} or its correlation_id",
        seen=f"{len(receiver.events)} other events in {within_s:g} s",
        evidence=(message.publish, case.exchanges[-1]),
        liveness=True,
    )
    assert found is not None
    return found


def _chained(event: dict[str, Any], message: Message) -> bool:
    return bool(message.correlation) and holds(event, message.correlation)


@proves("DONE-6")
async def test_completion_emits_its_event(case: Case) -> None:
    """DONE-6: Completion MUST emit `scaiqueue.message.completed` with the original `correlation_id` and the `response`.

    Three messages with responses of different kinds, one of them of several kilobytes, are completed, one in a batch,
    one after it was handed out twice. Not run where the target could not reach a receiver (--webhook-host).
    """
    async with webhook(case, wire.COMPLETED_EVENT) as receiver:
        queue = await case.lasting_queue()
        long = {"done": True, "n": 1.5, "é": None, "text": "0123456789 é" * 500}
        responses: list[Any] = [long, ["a", 0, False], "text"]
        messages = await queue.publish_many(len(responses))
        await queue.take_one(messages[0])
        deliveries = {d.message: d for d in await queue.take(*messages, batch_size=3, timeout_s=HOLD_S, root="VIS-2")}
        for message, response in zip(messages, responses, strict=True):
            await queue.complete(deliveries[message], response=response)
        for message, response in zip(messages, responses, strict=True):
            event = await event_of(case, receiver, message, wire.COMPLETED_EVENT)
            payload = event.get("payload")
            told = payload if isinstance(payload, dict) else {}
            case.require(
                same_json(told.get("response"), response)
                and (not message.correlation or told.get("correlation_id") == message.correlation),
                "a completion's event tells another correlation_id or response than its message has",
                expected=f"correlation_id {message.correlation}, response {spell(response)}",
                seen=spell(event),
                evidence=(message.publish, queue.done[message]),
            )


@proves("DLQ-4")
async def test_dead_lettering_emits_its_event(case: Case) -> None:
    """DLQ-4: Dead-lettering MUST emit `scaiqueue.message.dead_lettered`.

    Two messages use up their retries in a queue that allows one attempt. Not run where the target could not reach a
    receiver (--webhook-host).
    """
    async with webhook(case, wire.DEAD_LETTERED_EVENT) as receiver:
        queue = await queue_with(case, scope=await case.own_scope(), shown="max_retries", max_retries=1)
        for _ in range(2):
            message = await queue.publish()
            await fail_next(queue, message, await queue.take_one(message, timeout_s=HOLD_S))
            again = partial(fail_again, queue, message)
            await event_of(case, receiver, message, wire.DEAD_LETTERED_EVENT, meanwhile=again)


async def fail_again(queue: Queue, message: Message) -> None:
    """Fails the message once more where its queue hands it out again: one page counts attempts, another retries."""
    for delivery in (await queue.claim(1, HOLD_S)).of(message):
        await fail_next(queue, message, delivery)


async def fail_next(queue: Queue, message: Message, delivery: Delivery) -> None:
    await queue.act("fail", delivery, root="FAIL-1", reason=f"planned for {message.id}")
