"""AUTH: what another tenant's key must not change, and what a consumer's key is given."""

import asyncio
import json
import time
from collections.abc import Sequence

from queueproof.contract import wire
from queueproof.drive.asking import ask, holds
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.deeds import deeds, no_key_was_idle, succeeds, working_keys
from queueproof.drive.outcomes import Disturbed, Inconclusive
from queueproof.drive.queue import Message, Queue
from queueproof.evidence.operation import Result

HOLD_S = 60
# Claims that come back empty though a message waits: so many are no chance.
EMPTY_IN_A_ROW = 5
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
    none_granted(case, answers)
    for message in messages:
        await queue.complete(held[message], root="AUTH-6")
    await queue.take(await queue.publish(), batch_size=2, timeout_s=HOLD_S)


def none_granted(case: Case, answers: Sequence[Exchange]) -> None:
    """What another tenant's key asked for was refused; a key that is no key anywhere shows nothing."""
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


@proves("AUTH-6")
async def test_another_tenant_moves_nothing(case: Case) -> None:
    """AUTH-6: A scope of another tenant MUST NOT be readable; 404 SHOULD be used.

    Nor may it be paused, its queue paused, a queue created in it, and both deleted by the other tenant's key. What a
    deletion is answered is free, as long as the queue is there afterwards; the owner publishes and claims (the
    control). Where the other key sees a scope of this id, which may be one of its own tenant's, nothing is tried.
    """
    foreign = case.key("foreign")
    scope = await case.own_scope()
    queue = await case.queue(scope=scope)
    seen = await ask(case, wire.read_scope(scope), key=foreign)
    if seen.status not in {401, 403, 404}:
        raise Inconclusive(f"the other tenant's key is answered {seen.told()} for this id", evidence=(seen.op,))
    moves = [
        wire.change_queue(scope, queue.id, "pause"),
        wire.change_scope(scope, "pause"),
        wire.create_queue(scope, case.queue_form()),
    ]
    none_granted(case, [await ask(case, request, key=foreign) for request in moves])
    before = await ask(case, wire.read_queue(scope, queue.id))
    deletions = [
        await ask(case, r, key=foreign) for r in (wire.delete_queue(scope, queue.id), wire.delete_scope(scope))
    ]
    after = await ask(case, wire.read_queue(scope, queue.id))
    case.require(
        not before.ok or after.status != 404,
        "a queue was deleted by another tenant's key",
        expected=before.told(),
        seen=after.told(),
        evidence=(*deletions, before, after),
    )
    await queue.take(await queue.publish(), timeout_s=HOLD_S)


def settling(scope: str, verb: str, message: str) -> wire.Request:
    if verb == "fail":
        return wire.fail(scope, message, reason="queueproof")
    if verb == "extend":
        return wire.extend(scope, message, visibility_timeout_s=HOLD_S)
    return wire.complete(scope, message) if verb == "complete" else wire.release(scope, message)


@proves("AUTH-6")
async def test_an_idempotency_key_is_its_tenants_own(case: Case) -> None:
    """AUTH-6: A scope of another tenant MUST NOT be readable; 404 SHOULD be used.

    Nor by way of a scope of the other tenant's: the owner's queue and message are not found in it. Nor by idempotency
    keys: the same key and body, published by the other tenant into a queue of its own, gives a message of its own. The
    owner's is the fourth of its scope, so that ids which count in each scope differ too. The other tenant's scope is
    deleted again; the owner completes the message (the control).
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
        await finds_nothing_there(case, queue, message, scope, foreign)
        await same_publish(case, queue, message, scope, foreign)
    finally:
        await case.send(wire.delete_scope(scope), key=foreign)


async def finds_nothing_there(case: Case, queue: Queue, message: Message, scope: str, foreign: str) -> None:
    """Paths of the other tenant's scope with the owner's ids in them show nothing of the owner's, and settle nothing.

    Ids may be counted in each tenant: what is shown is known by its body, what is settled by the owner's completion.
    """
    paths = [
        claiming_in(scope, queue.id),
        wire.list_queue_messages(scope, queue.id),
        wire.read_message(scope, message.id),
    ]
    for request in paths:
        answer = await ask(case, request, key=foreign)
        case.require(
            not (answer.ok and holds(answer.data, message.token)),
            f"another tenant's key was answered {request.verb} by way of its own scope",
            expected="404 (or another refusal)",
            seen=f"{answer.told()}, with body {spell(message.fields['body'])}",
            evidence=(message.publish, answer),
        )
    delivery = await queue.take_one(message, timeout_s=HOLD_S)
    await ask(case, wire.complete(scope, message.id), key=foreign)
    await queue.complete(delivery, root="AUTH-6")


def claiming_in(scope: str, queue: str) -> wire.Request:
    return wire.claim(scope, queue, batch_size=4, visibility_timeout_s=HOLD_S)


async def same_publish(case: Case, queue: Queue, message: Message, scope: str, foreign: str) -> None:
    """The message's publish, sent by the other tenant into a new queue of its scope, gives another id or a refusal."""
    place = await ask(case, wire.create_queue(scope, case.queue_form()), key=foreign)
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


@proves("AUTH-6")
async def test_a_slug_is_its_tenants_own(case: Case) -> None:
    """AUTH-6: A scope of another tenant MUST NOT be readable; 404 SHOULD be used.

    Nor by making it again: the other tenant's key, which creates a scope with the slug of one that is there, is refused
    or given a scope of its own, with another id. Ids that count in each tenant may meet by chance, but not twice in
    falling order: the later of two scopes is asked for first. What the other tenant made is deleted again.
    """
    foreign = case.key("foreign")
    scopes = [await case.own_scope(), await case.own_scope()]
    slugs = {created.id: slug for slug, created in case.world.ledger.scopes.items()}
    made: list[Exchange] = []
    for scope in reversed(scopes):
        request = wire.create_scope(slugs[scope], f"queueproof {case.world.run} {case.requirement}, another tenant")
        made.append(await ask(case, request, key=foreign))
        given = wire.identity(made[-1].data) if made[-1].ok else ""
        if made[-1].status == 401:
            raise Inconclusive("the key given as --foreign-key is not accepted at all", evidence=(made[-1].op,))
        if given:
            await case.send(wire.delete_scope(given), key=foreign)
        if given != scope:
            return
    case.require(
        False,
        "another tenant that creates a scope with this tenant's slug is given this tenant's scope",
        expected="a refusal, or a scope of its own",
        seen=f"ids {' and '.join(reversed(scopes))}, both this tenant's",
        evidence=made,
    )


@proves("AUTH-4")
async def test_a_consumer_gets_what_others_published(case: Case) -> None:
    """AUTH-4: Creating scopes/queues MUST need `scaiqueue:manage`; publish `scaiqueue:publish`;
    claim/complete/fail/release/extend `scaiqueue:consume`; reads `scaiqueue:view`.

    And claims need no more than that: a key that may only consume is handed a message that another key published. Where
    it is not, a claim with all rights brings the message (the control).
    """
    key = case.key("consume")
    queue = await case.queue()
    message = await queue.publish()
    request = wire.claim(queue.scope, queue.id, batch_size=1, visibility_timeout_s=HOLD_S)
    end = time.monotonic() + case.world.bound_s
    empty = 0
    while time.monotonic() < end or empty < EMPTY_IN_A_ROW:
        claim = await case.send(request, key=key, urgent=True, fields={"timeout_s": HOLD_S, "limit": 1})
        if claim.result is Result.UNKNOWN or time.monotonic() > end + case.world.bound_s:
            raise Disturbed(f"claims are not answered: {claim.told()}", evidence=(claim.op,))
        if claim.refused:
            raise Inconclusive(f"the key given as --consume-key may not claim: {claim.told()}", evidence=(claim.op,))
        for item in (wire.rows(claim.data) or []) if claim.ok else []:
            await case.send(wire.complete(queue.scope, wire.identity(item)), key=key)
            return
        empty += claim.ok
        await asyncio.sleep(queue.pause_s())
    control = await queue.take_one(message, timeout_s=HOLD_S)
    case.require(
        False,
        "a key with scaiqueue:consume is not handed what another key published",
        expected=f"a delivery of {message.id}",
        seen=f"{empty} empty claims; a claim with all rights brought it",
        evidence=(message.publish, claim, control.claim),
        liveness=True,
    )


@proves("AUTH-8")
async def test_a_right_is_enough(case: Case) -> None:
    """AUTH-8: A key with an endpoint's right SHOULD need no other right there.

    Each key that was given, and that works on one endpoint of its right, on all others of it. Where it is refused for
    want of a right, the same request succeeds with all rights (the control).
    """
    queue = await case.queue(scope=await case.own_scope())
    names, idle = await working_keys(case, await case.queue(scope=queue.scope))
    for deed in await deeds(case, queue):
        if deed.right not in names:
            continue
        exchange = await ask(case, deed.request, key=case.key(deed.right), fields=deed.fields)
        if exchange.ok and deed.request.verb == "create-scope":
            slug = json.loads(deed.request.body or b"{}")["slug"]
            case.world.ledger.created(slug, wire.identity(exchange.data))
        denied = (exchange.status, exchange.code) == (403, "AUTHZ_PERMISSION_DENIED")
        if denied and await succeeds(case, deed) is not None:
            case.refuse(
                "AUTH-8",
                f"{deed.name} was refused to a key with scaiqueue:{deed.right}",
                expected="a 2xx answer: each endpoint demands one right",
                seen=exchange.told(),
                evidence=(exchange, case.exchanges[-1]),
            )
    no_key_was_idle(idle)
