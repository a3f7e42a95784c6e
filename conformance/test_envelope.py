"""ENV: what every answer looks like, whatever it is about."""

import re
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.outcomes import CaseEnd, Inconclusive
from queueproof.drive.queue import Queue


@proves("ENV-1")
async def test_success_carries_data(case: Case) -> None:
    """ENV-1: A success body MUST be a JSON object with `data`.

    Every answered call of a walk through the quickstart, empty claims and reads included, and of the verbs beside it,
    where they are to be had and requests are not counted; an answer without a body (204) is none.
    """
    end = await walk(case)
    for exchange in answered(case):
        document = exchange.answer.document if exchange.answer else None
        case.require(
            isinstance(document, dict) and "data" in document,
            f"the answer to {exchange.request.verb} has no data",
            expected='a JSON object with "data"',
            seen=spell(document) if exchange.answer and exchange.answer.json else exchange.told(),
            evidence=(exchange,),
        )
    if end is not None:
        raise end


@proves("ENV-2")
async def test_success_says_ok(case: Case) -> None:
    """ENV-2: If `status` is present on success it MUST be `"ok"`.

    Looked for in every answered call of a walk through the quickstart and the verbs beside it, and in the answers to
    requests that have to be refused: an error is told by its HTTP status, too.
    """
    end = await walk(case)
    if end is None:
        await mistakes(case)
    for exchange in case.exchanges:
        if exchange.answer is None or not exchange.answer.success:
            continue
        document = exchange.answer.document
        status = document.get("status", "ok") if isinstance(document, dict) else "ok"
        case.require(
            status == "ok",
            f'the answer to {exchange.request.verb} has another status than "ok"',
            expected='"status": "ok", or no status',
            seen=f'{exchange.status} with "status": {spell(status)}',
            evidence=(exchange,),
        )
    if end is not None:
        raise end


@proves("ENV-3")
async def test_errors_say_what_they_are(case: Case) -> None:
    """ENV-3: An error body MUST have `status: "error"`, string `error.code`, string `error.message`.

    Errors of several kinds: no key, an unknown key, an idempotency conflict, a body that is no JSON, fields of a
    wrong type, ids that do not exist, a message that nobody holds. What a server does not refuse is no error and is
    passed over.
    """
    refused = await mistakes(case)
    errors = [exchange for exchange in refused if 400 <= exchange.status < 500 and exchange.status not in {408, 429}]
    for exchange in errors:
        flaw = flaw_of_error(exchange)
        case.require(
            not flaw,
            f"the error answer to {exchange.request.verb} {flaw}",
            expected='{"status": "error", "error": {"code": "…", "message": "…"}}',
            seen=f"{exchange.status}: {exchange.answer.text[:300] if exchange.answer else ''}",
            evidence=(exchange,),
        )
    if not errors:
        raise Inconclusive("no request was refused, so no error body was seen", evidence=tuple(e.op for e in refused))


async def mistakes(case: Case) -> list[Exchange]:
    """Requests of several kinds that a server refuses; what it answers to a second complete is its own choice."""
    queue = await case.queue()
    again = await twice(case, queue)
    message = await queue.publish(idempotency_key=case.world.token())
    return [
        *again,
        await case.send(wire.read_scope(queue.scope), authorization=""),
        await case.send(wire.claim(queue.scope, queue.id, batch_size=1, visibility_timeout_s=5), key="sgk_" + "0" * 32),
        await case.send(wire.publish(queue.scope, queue.id, {**message.fields, "body": {"other": 1}})),
        await case.send(wire.publish(queue.scope, other_id(queue.id), message.fields)),
        await case.send(wire.complete(queue.scope, other_id(message.id))),
        await case.send(wire.claim(other_id(queue.scope), queue.id, batch_size=1, visibility_timeout_s=5)),
        await case.send(odd_claim(queue.scope, queue.id)),
        await case.send(torn(wire.publish(queue.scope, queue.id, {"type": "qp", "body": {}}))),
    ]


async def twice(case: Case, queue: Queue) -> list[Exchange]:
    """The second complete of a message; nothing where it did not come so far."""
    try:
        message = await queue.publish()
        for delivery in await queue.take(message, timeout_s=30):
            await queue.complete(delivery)
    except CaseEnd:
        return []
    return [await case.send(wire.complete(queue.scope, message.id))]


def flaw_of_error(exchange: Exchange) -> str:
    """What is wrong with an error body, in words; "" when nothing is."""
    document = exchange.answer.document if exchange.answer else None
    if not isinstance(document, dict):
        return "is no JSON object"
    if document.get("status") != "error":
        return 'has no status "error"'
    error = document.get("error")
    if not isinstance(error, dict):
        return "has no error object"
    if not isinstance(error.get("code"), str) or not error["code"]:
        return "has no error.code that is a string"
    if not isinstance(error.get("message"), str):
        return "has no error.message that is a string"
    return ""


async def walk(case: Case) -> CaseEnd | None:
    """The quickstart from end to end, reads, and what else there is; how it ended where it could not go on."""
    try:
        scope = await case.own_scope()
        queue = await case.queue(scope=scope)
        await queue.claim()
        first = await queue.publish()
        second = await queue.publish(idempotency_key=case.world.token())
        await case.send(
            wire.publish(scope, queue.id, second.fields), fields=queue.described(second.token, second.fields)
        )
        for delivery in await queue.take(first, second, timeout_s=30):
            await queue.complete(delivery, response={"done": True})
        await case.send(wire.read_scope(scope))
        await case.send(wire.read_queue(scope, queue.id))
        await case.send(wire.list_queues(scope))
        await case.send(wire.list_queue_messages(scope, queue.id))
        if not case.world.thrift:
            await beside(case, queue)
    except CaseEnd as end:
        return end
    return None


async def beside(case: Case, queue: Queue) -> None:
    """The verbs that no quickstart needs; what a server refuses, or does not have, is no success."""
    scope = queue.scope
    messages = await queue.publish_many(2)
    queue.unmodelled = True  # it is paused in the end
    held = {delivery.message: delivery for delivery in await queue.take(*messages, batch_size=2, timeout_s=30)}
    first, second = (held[message] for message in messages)
    moves = ("pause", "resume")
    for request in (
        wire.extend(scope, first.id, visibility_timeout_s=60),
        wire.release(scope, first.id),
        wire.fail(scope, second.id, reason="queueproof"),
        wire.read_message(scope, second.id),
        wire.trace_messages(scope, messages[0].correlation or "none"),
        wire.audit(scope, limit=5),
        wire.list_scopes(limit=5),
        *(wire.change_queue(scope, queue.id, move) for move in moves),
        *(wire.change_scope(scope, move) for move in moves),
    ):
        await case.send(request)


def answered(case: Case) -> list[Exchange]:
    """The calls that succeeded and brought a body."""
    found = [(exchange, exchange.answer) for exchange in case.exchanges]
    return [exchange for exchange, answer in found if answer and answer.success and answer.text.strip()]


def other_id(known: str) -> str:
    """An id of the same form that does not exist: of a long random one the last letter or digit is another one.

    A short one may be a counter, whose neighbours are other cases' things: it gets many digits more.
    """
    last = re.search(r"[0-9A-Za-z]*$", known)
    if last is None or len(last[0]) < len("b7c9d1e2f3a4"):
        return known + "9" * 12
    return known[:-1] + ("0" if known[-1] != "0" else "1")


def odd_claim(scope: str, queue: str) -> wire.Request:
    """A claim whose numbers are texts that are no numbers."""
    request = wire.claim(scope, queue, batch_size=1, visibility_timeout_s=5)
    return changed(request, {"batch_size": "some", "visibility_timeout_s": "long"})


def torn(request: wire.Request) -> wire.Request:
    """The same request with half of its body."""
    body = request.body or b""
    return wire.Request(
        verb=request.verb,
        method=request.method,
        path=request.path,
        body=body[: len(body) // 2],
        scope=request.scope,
        queue=request.queue,
    )


def changed(request: wire.Request, body: Any) -> wire.Request:
    """The same request with another body."""
    return wire.Request(
        verb=request.verb,
        method=request.method,
        path=request.path,
        body=wire.encode(body),
        scope=request.scope,
        queue=request.queue,
        message=request.message,
    )
