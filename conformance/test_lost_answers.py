"""IDEM, DONE, VIS: what holds for a caller whose connection broke before it had read the answer."""

import asyncio
import time

from queueproof.contract import wire
from queueproof.drive.case import Case, proves
from queueproof.drive.optional import answered
from queueproof.drive.queue import Delivery, Message, Queue, S, double_hold

HOLD_S = 60
MANY = 3


@proves("IDEM-2")
async def test_a_publish_whose_answer_was_lost_is_repeated(case: Case) -> None:
    """IDEM-2: After IDEM-1 exactly one message MUST be claimable.

    Three publishes under a key whose answers are lost, each on a connection that is cut: sent again, they give one
    message each, and claims bring each once beside a fresh message (the control).
    """
    queue = await case.queue()
    messages = [await lost_publish(case, queue) for _ in range(MANY)]
    control = await queue.publish()
    first: dict[Message, Delivery] = {}
    for delivery in await queue.take(*messages, control, batch_size=2, timeout_s=HOLD_S, root="IDEM-2", doing=GONE):
        once(case, first.setdefault(delivery.message, delivery), delivery)
    async for claim in queue.watch(time.monotonic_ns() + 1 * S, timeout_s=HOLD_S):
        for delivery in claim.deliveries:
            once(case, first[delivery.message], delivery)


def once(case: Case, first: Delivery, again: Delivery) -> None:
    """No message is delivered twice within a hold (one under another id ends the case in Queue.claim)."""
    proof = "" if again is first else double_hold(first, again)
    case.require(
        not proof,
        "a message whose publish was repeated is delivered twice while it is held",
        expected="one delivery for each key",
        seen=f"id {again.id} twice",
        proof=proof,
        evidence=(first.message.publish, first.claim, again.claim),
    )


GONE = "a message whose publish was repeated after a lost answer is not delivered"


async def lost_publish(case: Case, queue: Queue) -> Message:
    """A message whose first publish was answered to nobody, and whose second gave its id."""
    token = case.world.token()
    fields = {"type": "qp.case", "body": {"qp": token}, "idempotency_key": token}
    fields |= {"correlation_id": f"{token}.{case.requirement}"} if case.world.dialect.correlation else {}
    request = wire.publish(queue.scope, queue.id, fields)
    lost = await case.lose(request, fields=queue.described(token, fields))
    again = await answered(case, request, fields=queue.described(token, fields))
    found = wire.identity(again.data) if again.ok else ""
    if not found:
        case.refuse(
            "IDEM-1",
            "the same publish again, after its answer was lost, did not give the message's id",
            expected="a 2xx answer with data.id",
            seen=again.told(),
            evidence=(lost, again),
        )
    return queue.adopt(found, Message(id="", token=token, body=fields["body"], fields=fields, publish=again))


@proves("DONE-4")
async def test_a_completion_whose_answer_was_lost(case: Case) -> None:
    """DONE-4: A completed message MUST never be claimable again, also after its visibility timeout.

    Three completions whose answers are lost; sent again, they succeed or are refused as done already. After the
    timeout a message that was not completed returns (the control), and none of the three.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(MANY + 1)
    hold_s = max(SHORT_HOLD_S, case.world.dialect.timeout_s) + case.world.room_s(3 * MANY)
    latest = {d.message: d for d in await queue.take(*messages, batch_size=MANY + 1, timeout_s=hold_s)}
    control, *done = messages
    held = [latest[message] for message in done]
    queue.holding(*held)
    lost = {}
    for delivery in held:
        request = wire.complete(queue.scope, delivery.id)
        lost[delivery.message] = await case.lose(request)
        await answered(case, request)  # ok, or a conflict: it is complete already
    queue.holding(*held)
    await asyncio.sleep(max(0.0, (max(d.over_ns for d in held) - time.monotonic_ns()) / S))
    end_ns = time.monotonic_ns() + 2 * S
    found = await queue.take(control, timeout_s=HOLD_S, root="VIS-2", within_s=case.world.bound_s)
    async for claim in queue.watch(end_ns, timeout_s=HOLD_S):
        found += claim.deliveries
    for delivery in found:
        case.require(
            delivery.message is control,
            "a message is delivered again though its completion was answered",
            expected="no delivery after a completion, whether its answer was read or lost",
            seen=f"id {delivery.id}, delivered again",
            evidence=(latest[delivery.message].claim, lost.get(delivery.message, delivery.claim), delivery.claim),
        )


# Long enough for a handful of calls on a slow line, and watched to its end.
SHORT_HOLD_S = 6


@proves("VIS-2")
async def test_what_a_lost_claim_took_comes_back(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    Three messages, and claims whose answers are lost: nobody knows what they hold. All three are delivered once the
    timeout is over, each with its own body.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(MANY)
    hold_s = case.world.dialect.timeout_s
    request = wire.claim(queue.scope, queue.id, batch_size=1, visibility_timeout_s=hold_s)
    for _ in messages:
        lost = await case.lose(request, fields={"timeout_s": hold_s, "limit": 1})
        queue.unsure_until_ns = max(queue.unsure_until_ns, lost.ret_ns + round(hold_s * S))
    await queue.take(
        *messages,
        timeout_s=HOLD_S,
        root="VIS-2",
        within_s=hold_s + case.world.bound_s,
        doing="a message that a lost claim may have taken did not come back",
    )
