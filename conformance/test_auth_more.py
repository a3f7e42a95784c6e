"""AUTH: what another tenant's key must not change."""

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import QUICKSTART_QUEUE, Case, proves
from queueproof.drive.client import Exchange
from queueproof.drive.outcomes import Inconclusive
from queueproof.drive.queue import Message, Queue

HOLD_S = 60
VERBS = ("complete", "fail", "release", "extend")


@proves("AUTH-6")
async def test_another_tenant_changes_nothing(case: Case) -> None:
    """AUTH-6: A scope of another tenant MUST NOT be readable; 404 SHOULD be used.

    Nor may it be changed: a message each is held by its owner while the other tenant's key completes, fails, releases
    and extends it, and publishes; all of that is refused. The owner completes each one afterwards, and claims bring
    nothing of the other tenant's (the control).
    """
    foreign = case.key("foreign")
    scope = await case.own_scope()
    queue = await case.queue(scope=scope)
    messages = await queue.publish_many(len(VERBS))
    found = await queue.take(*messages, batch_size=len(VERBS), timeout_s=HOLD_S + case.world.room_s(20))
    held = {delivery.message: delivery for delivery in found}
    token = case.world.token()
    sent = {"type": "qp.case", "body": {"qp": token}, "idempotency_key": token}
    queue.refused[token] = "AUTH-6"
    published = await ask(case, wire.publish(scope, queue.id, sent), key=foreign, fields=queue.described(token, sent))
    answers = [published]
    for verb, message in zip(VERBS, messages, strict=True):
        answers.append(await ask(case, settling(scope, verb, held[message].id), key=foreign))
    if all(answer.status == 401 for answer in answers):
        raise Inconclusive("the key given as --foreign-key is not accepted at all", evidence=(answers[0].op,))
    for answer in answers:
        case.require(
            not answer.ok,
            f"another tenant's key was granted {answer.request.verb}",
            expected="404 (or another refusal)",
            seen=answer.told(),
            evidence=(answer,),
        )
    for message in messages:
        await queue.complete(held[message], root="AUTH-6")
    await queue.take(await queue.publish(), batch_size=2, timeout_s=HOLD_S)


def settling(scope: str, verb: str, message: str) -> wire.Request:
    if verb == "fail":
        return wire.fail(scope, message, reason="queueproof")
    if verb == "extend":
        return wire.extend(scope, message, visibility_timeout_s=HOLD_S)
    return wire.complete(scope, message) if verb == "complete" else wire.release(scope, message)


@proves("AUTH-6")
async def test_an_idempotency_key_is_its_tenants_own(case: Case) -> None:
    """AUTH-6: A scope of another tenant MUST NOT be readable; 404 SHOULD be used.

    Nor by its idempotency keys: the same key and body, published by the other tenant into a queue of its own, gives a
    message of its own. The owner's is the fourth of its scope, so that ids which count in each scope differ too. The
    other tenant's scope is deleted again.
    """
    foreign = case.key("foreign")
    queue = await case.queue(scope=await case.own_scope())
    await queue.publish_many(3)
    message = await queue.publish(idempotency_key=case.world.token())
    slug = case.world.slug(case.requirement)
    made = await ask(case, wire.create_scope(slug, f"queueproof {case.world.run} {case.requirement}"), key=foreign)
    scope = wire.identity(made.data)
    if not made.ok or not scope:
        return  # the key may not make one
    try:
        await same_publish(case, queue, message, scope, foreign)
    finally:
        await case.send(wire.delete_scope(scope), key=foreign)


async def same_publish(case: Case, queue: Queue, message: Message, scope: str, foreign: str) -> None:
    """The message's publish, sent by the other tenant into a new queue of its scope, gives another id or a refusal."""
    fields = {"slug": case.world.slug("foreign"), "display_name": "queueproof", **QUICKSTART_QUEUE, "max_depth": 0}
    place = await ask(case, wire.create_queue(scope, fields), key=foreign)
    if not place.ok:
        return
    again: Exchange = await ask(case, wire.publish(scope, wire.identity(place.data), message.fields), key=foreign)
    case.require(
        not again.ok or wire.identity(again.data) != message.id,
        "a publish of another tenant was answered with the first tenant's message",
        expected="a message of its own",
        seen=f"id {message.id}, of queue {queue.id}",
        evidence=(message.publish, again),
    )
