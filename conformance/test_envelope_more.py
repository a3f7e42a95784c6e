"""ENV: what errors say besides their code, and that they are the caller's."""

import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.outcomes import Blocked, Inconclusive
from queueproof.drive.queue import QUICKSTART_PRIORITY, Queue
from queueproof.evidence.digest import digest

HOLD_S = 60


@proves("ENV-4")
async def test_errors_name_their_request(case: Case) -> None:
    """ENV-4: An error body SHOULD have `meta.request_id`.

    In errors of four kinds: no token, an idempotency conflict, a queue that does not exist, a publish without a body.
    Only errors in the documented shape count, since others are ENV-3's.
    """
    queue = await case.queue()
    message = await queue.publish(idempotency_key=case.world.token())
    sent = {**message.fields, "body": {"other": 1}}
    errors = [
        await ask(case, wire.read_scope(queue.scope), authorization=""),
        await ask(case, wire.publish(queue.scope, queue.id, sent), fields=queue.described("", sent)),
        await ask(case, wire.claim(queue.scope, f"{queue.id}.none", batch_size=1, visibility_timeout_s=5)),
        await ask(case, wire.publish(queue.scope, queue.id, {"type": "qp.case"})),
    ]
    errors = [exchange for exchange in errors if exchange.code and not exchange.ok]
    for exchange in errors:
        document = exchange.answer.document if exchange.answer else None
        meta = document.get("meta") if isinstance(document, dict) else None
        named = meta.get("request_id") if isinstance(meta, dict) else None
        case.require(
            isinstance(named, str) and named,
            f"the error answer to {exchange.request.verb} has no meta.request_id",
            expected='"meta": {"request_id": "req_…"}',
            seen=f"{exchange.status}: {spell(document)}",
            evidence=(exchange,),
        )
    if not errors:
        raise Inconclusive("no request was refused with a code, so no error body was seen")


@proves("ENV-5")
async def test_invalid_requests_are_told_by_field(case: Case) -> None:
    """ENV-5: A schema-invalid request body MUST give 422 `VALIDATION_ERROR`, with `error.details[]` of
    `{field, message}`.

    Requests that are wrong by any reading: a publish without its body, an object where a slug, a type or a number
    belongs, a list where labels do, two such mistakes at once, and a number, a text or a list where all the fields
    belong; and an object as a tier, score or ordering, where another value out of its range is refused, as it should
    be. Each of them in its right form succeeds (the control).
    """
    queue = await case.queue(ordering="priority", root="QUEUE-3")  # where a tier and a score have a meaning
    message = await queue.publish()
    await queue.take(message)
    for what, request in [*invalid_requests(case, queue), *await odd_ranks(case, queue)]:
        exchange = await ask(case, request)
        case.require(
            not exchange.ok,
            f"{what} was accepted",
            expected="422 VALIDATION_ERROR",
            seen=exchange.told(),
            evidence=(exchange,),
        )
        flaw = flaw_of_validation(exchange)
        case.require(
            not flaw,
            f"the answer to {what} {flaw}",
            expected='422 VALIDATION_ERROR with "details": [{"field": "…", "message": "…"}]',
            seen=f"{exchange.status}: {exchange.answer.text[:300] if exchange.answer else ''}",
            evidence=(exchange,),
        )


def invalid_requests(case: Case, queue: Queue) -> list[tuple[str, wire.Request]]:
    """Requests with one fault each, in words."""
    scope, place = queue.scope, queue.id
    whole = {"type": "qp.case", "body": {"qp": case.world.token()}}
    keyed = {"idempotency_key": case.world.token()} if case.world.dialect.publish_key_needed else {}
    named = case.queue_form()
    claim = wire.claim(scope, place, batch_size=1, visibility_timeout_s=5)
    odd: Any = {"not": "this"}

    return [
        ("a publish without a body", wire.publish(scope, place, {"type": "qp.case", **keyed})),
        ("a publish whose type is an object", wire.publish(scope, place, {**whole, **keyed, "type": odd})),
        ("a publish whose labels are a text", wire.publish(scope, place, {**whole, **keyed, "labels": "none"})),
        ("a publish whose labels are a list", wire.publish(scope, place, {**whole, **keyed, "labels": ["none"]})),
        ("a publish with two mistakes", wire.publish(scope, place, {**whole, **keyed, "type": odd, "labels": "none"})),
        ("a claim of an object of messages", changed(claim, {"batch_size": odd, "visibility_timeout_s": 5})),
        ("a claim for a word's time", changed(claim, {"batch_size": 1, "visibility_timeout_s": "queueproof"})),
        ("a claim of a word's number", changed(claim, {"batch_size": "queueproof", "visibility_timeout_s": 5})),
        ("a scope whose slug is an object", changed(wire.create_scope("", ""), {"slug": odd, "display_name": "qp"})),
        ("a queue whose slug is an object", wire.create_queue(scope, {**named, "slug": odd})),
        ("a publish that is a number", changed(wire.publish(scope, place, whole), 7)),
        ("a publish that is null", changed(wire.publish(scope, place, whole), None)),
        ("a queue that is a text", changed(wire.create_queue(scope, named), "queueproof")),
        ("a claim that is a list", changed(claim, ["queueproof"])),
    ]


async def odd_ranks(case: Case, queue: Queue) -> list[tuple[str, wire.Request]]:
    """The same for what should be refused, and need not be (QUEUE-4, PUB-8): where another odd value is refused."""
    if case.world.thrift:
        return []
    whole = {"type": "qp.case", "body": {"qp": case.world.token()}}
    whole |= {"idempotency_key": case.world.token()} if case.world.dialect.publish_key_needed else {}

    def ranked(**priority: Any) -> wire.Request:
        return wire.publish(queue.scope, queue.id, {**whole, "priority": {**QUICKSTART_PRIORITY, **priority}})

    def ordered(ordering: Any) -> wire.Request:
        return wire.create_queue(queue.scope, case.queue_form(ordering=ordering))

    odd: Any = {"not": "this"}
    pairs = [
        (ranked(tier="qp-unknown"), "a publish whose tier is an object", ranked(tier=odd)),
        (ranked(score=1001), "a publish whose score is an object", ranked(score=odd)),
        (ordered("qp-unknown"), "a queue whose ordering is an object", ordered(odd)),
    ]
    found = []
    for other, what, odder in pairs:
        exchange = await ask(case, other)
        if exchange.refused:
            found.append((what, odder))
        elif exchange.ok and other.verb == "create-queue" and wire.identity(exchange.data):
            case.world.ledger.queue(queue.scope, wire.identity(exchange.data))
    return found


def changed(request: wire.Request, body: Any) -> wire.Request:
    """The same request with another body."""
    return replace(request, body=wire.encode(body))


def flaw_of_validation(exchange: Exchange) -> str:
    """What is wrong with the answer to an invalid request, in words; "" when nothing is."""
    if exchange.status != 422:
        return f"is {exchange.told()}"
    if exchange.code != "VALIDATION_ERROR":
        return "has another code than VALIDATION_ERROR"
    details = exchange.answer.error.get("details") if exchange.answer else None
    if not isinstance(details, list) or not details:
        return "has no error.details"
    for detail in details:
        if not isinstance(detail, dict) or not all(isinstance(detail.get(n), str) for n in ("field", "message")):
            return "has details that are no {field, message}"
    return ""


@proves("ENV-5")
async def test_what_is_no_json_is_refused(case: Case) -> None:
    """ENV-5: A schema-invalid request body MUST give 422 `VALIDATION_ERROR`, with `error.details[]` of
    `{field, message}`.

    Half of a publish, of a claim and of a completion is refused, with whatever 4xx status. A byte that is no UTF-8,
    optional members that are null, a body that is no object, and a scope or queue whose slug is a number or left out
    may be refused or taken, and are no fault of the server's own. The completion as a whole succeeds (the control).
    """
    queue = await case.queue()
    held = await queue.take_one(await queue.publish(), timeout_s=HOLD_S + case.world.room_s(10))
    claim = wire.claim(queue.scope, queue.id, batch_size=1, visibility_timeout_s=5)
    for request in (
        publish_of(queue)[0],
        claim,
        wire.complete(queue.scope, held.id, response={"done": True}),
    ):
        exchange = await ask(case, torn(request))
        case.require(
            400 <= exchange.status < 500,
            f"half of a {request.verb}, which is no JSON, was not refused",
            expected="a 4xx answer",
            seen=exchange.told(),
            evidence=(exchange,),
        )
    for what, (request, fields) in odd_publishes(queue):
        exchange = await ask(case, request, fields=fields)
        no_fault(case, f"a publish {what}", exchange)
    await queue.complete(held)
    if not case.world.client.budget.rationed:
        await odd_slugs(case, queue)


async def odd_slugs(case: Case, queue: Queue) -> None:
    """A scope or queue whose slug is a number, or that has none, may be made or refused, and is no 500."""
    named = {"display_name": "queueproof"}
    without = {name: value for name, value in case.queue_form().items() if name != "slug"}
    for what, request in (
        ("a scope whose slug is a number", changed(wire.create_scope("", ""), {"slug": time.time_ns(), **named})),
        ("a scope without a slug", changed(wire.create_scope("", ""), named)),
        ("a queue without a slug", wire.create_queue(queue.scope, without)),
    ):
        exchange = await ask(case, request)
        made = wire.identity(exchange.data) if exchange.ok else ""
        if made and request.verb == "create-scope":
            await case.send(wire.delete_scope(made))
        elif made:
            case.world.ledger.queue(queue.scope, made)
        no_fault(case, what, exchange)


def no_fault(case: Case, what: str, exchange: Exchange) -> None:
    """A request that may be taken or refused is no 500."""
    case.require(
        exchange.status < 500,
        f"{what} was answered as a fault of the server's own",
        expected="a 4xx answer, or a 2xx one",
        seen=exchange.told(),
        evidence=(exchange,),
    )


def odd_publishes(queue: Queue) -> Iterator[tuple[str, tuple[wire.Request, dict[str, Any]]]]:
    """Publishes that a server may take or refuse, in words."""
    request, fields = publish_of(queue)
    body = (request.body or b"").replace(b"qp.case", b"qp.case\xff")
    yield "with a byte that is no UTF-8", (replace(request, body=body), fields)
    for names in (("labels",), ("priority",), ("idempotency_key",), ("correlation_id", "delay_until", "ttl_seconds")):
        yield f"whose {', '.join(names)} {'are' if names[1:] else 'is'} null", publish_of(queue, *names)
    values: tuple[Any, ...] = () if queue.world.client.budget.rationed else ([], ["a", 1], "a", 7, True, {})
    for value in values:
        request, fields = publish_of(queue)
        sent = {**json.loads(request.body or b"{}"), "body": value}
        described = {**fields, "token": "", "body": digest(value)}
        yield f"of the body {spell(value)}", (changed(request, sent), described)


def publish_of(queue: Queue, *nulls: str) -> tuple[wire.Request, dict[str, Any]]:
    """A publish whose members of these names are null, and what the history should know of it."""
    token = queue.case.world.token()
    keyed = {"idempotency_key": token} if queue.case.world.dialect.publish_key_needed else {}
    sent = {"type": "qp.case", "body": {"qp": token}, **keyed, **dict.fromkeys(nulls)}
    return wire.publish(queue.scope, queue.id, sent), queue.described(token, sent)


def torn(request: wire.Request) -> wire.Request:
    """The same request with half of its body."""
    body = request.body or b""
    return replace(request, body=body[: len(body) // 2])


@proves("ENV-6")
async def test_refusals_are_the_callers(case: Case) -> None:
    """ENV-6: Error HTTP status MUST be 4xx for the four `SCAIQUEUE_*` codes.

    Each code is provoked: by another body under a known key, by a publish into a full queue, into a paused queue, and
    into a queue of a paused scope. A refusal that does not come, or with another code, is what other cases are about.
    """
    ways: list[Callable[[Case], Awaitable[Exchange | None]]] = [conflicted, overfull, queue_paused, scope_paused]
    seen = 0
    for way in ways:
        exchange = await way(case)
        if exchange is None or exchange.code not in wire.MODULE_CODES:
            continue
        seen += 1
        case.require(
            400 <= exchange.status < 500,
            f"{exchange.code} comes with HTTP status {exchange.status}",
            expected=f"4xx {exchange.code}",
            seen=exchange.told(),
            evidence=(exchange,),
        )
    if not seen:
        raise Inconclusive("none of the four codes could be provoked")


async def conflicted(case: Case) -> Exchange:
    queue = await case.queue()
    message = await queue.publish(idempotency_key=case.world.token())
    sent = {**message.fields, "body": {"other": 1}}
    return await ask(case, wire.publish(queue.scope, queue.id, sent), fields=queue.described("", sent))


async def overfull(case: Case) -> Exchange | None:
    """The second publish into a queue for one; None where such a queue cannot be made."""
    for fields in ({"max_depth": 1, "overflow_policy": "reject"}, {"max_depth": 1}):
        try:
            queue = await case.queue(root="max_depth", **fields)
        except Blocked as end:
            if end.root != "max_depth":
                raise
            continue
        await queue.publish()
        return await publish_again(queue)
    return None


async def queue_paused(case: Case) -> Exchange | None:
    """A publish into a paused queue; None where pausing is not to be had: its path is not documented."""
    queue = await case.queue()
    queue.unmodelled = True
    await queue.publish()
    paused = await ask(case, wire.change_queue(queue.scope, queue.id, "pause"))
    return await publish_again(queue) if paused.ok else None


async def scope_paused(case: Case) -> Exchange | None:
    queue = await case.queue(scope=await case.own_scope())
    queue.unmodelled = True
    await queue.publish()
    paused = await ask(case, wire.change_scope(queue.scope, "pause"))
    return await publish_again(queue) if paused.ok else None


async def publish_again(queue: Queue) -> Exchange:
    token = queue.case.world.token()
    sent = {"type": "qp.case", "body": {"qp": token}}
    if queue.case.world.dialect.publish_key_needed:
        sent["idempotency_key"] = token
    return await ask(queue.case, wire.publish(queue.scope, queue.id, sent), fields=queue.described(token, sent))


LONG_ID = 32  # of so many characters no two ids are alike by chance in all but one


@proves("ENV-7")
async def test_what_does_not_exist_breaks_nothing(case: Case) -> None:
    """ENV-7: A request that names a scope, queue or message that does not exist SHOULD NOT be answered 500.

    Every documented verb, and those that settle or read a message, with the id of something else made longer, and,
    where ids are so long that no other one is met by chance, with its last character changed. The message is then
    completed under its own id (the control).
    """
    queue = await case.queue()
    message = await queue.publish()
    held = await queue.take_one(message, timeout_s=HOLD_S + case.world.room_s(20))
    for request in lost(case, queue, message.id):
        exchange = await ask(case, request)
        case.require(
            exchange.status != 500,
            f"{request.verb} of what does not exist was answered {exchange.told()}",
            expected="a 4xx answer",
            seen=exchange.told(),
            evidence=(exchange,),
        )
    await queue.complete(held)


def lost(case: Case, queue: Queue, message: str) -> Iterator[wire.Request]:
    """Requests that lead nowhere."""
    sent = {"type": "qp.case", "body": {"qp": ""}, "idempotency_key": case.world.token()}
    for scope in nowhere(queue.scope):
        yield wire.read_scope(scope)
        yield wire.claim(scope, queue.id, batch_size=1, visibility_timeout_s=5)
        yield wire.complete(scope, message)
    for place in nowhere(queue.id):
        yield wire.read_queue(queue.scope, place)
        yield wire.list_queue_messages(queue.scope, place)
        yield wire.publish(queue.scope, place, sent)
        yield wire.claim(queue.scope, place, batch_size=1, visibility_timeout_s=5)
    for other in nowhere(message):
        yield wire.read_message(queue.scope, other)
        yield wire.complete(queue.scope, other)
        yield wire.fail(queue.scope, other, reason="queueproof")
        yield wire.release(queue.scope, other)
        yield wire.extend(queue.scope, other, visibility_timeout_s=HOLD_S)


def nowhere(known: str) -> list[str]:
    """Ids that nothing has: one of another form, and, where chance meets no other, one of the same."""
    alike = known[:-1] + ("1" if known[-1] != "1" else "2")
    return [f"{known}.none", *([alike] if len(known) >= LONG_ID else [])]
