"""Q1 to Q8 of the contract's open questions: one observer each, on queues of its own."""

import asyncio
import time
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import Case
from queueproof.drive.client import Exchange
from queueproof.drive.observe import Seen, observes
from queueproof.drive.optional import answered, change, dead_letter_queue, queue_with
from queueproof.drive.outcomes import NotSupported
from queueproof.drive.queue import Delivery, Message, Queue

S = 1_000_000_000  # ns
HOLD_S = 60
# So long a wait for something that may or may not come back.
PATIENCE_S = 8.0
POLL_S = 0.2
# Shorter than this is at once: a poll and a round trip.
AT_ONCE_S = 0.5


def told(exchange: Exchange) -> str:
    """ "409 SCAIQUEUE_QUEUE_FULL", "201"."""
    return exchange.told()


async def next_delivery(queue: Queue, message: Message, *, hold_s: float = HOLD_S) -> tuple[Delivery | None, float]:
    """The message's next delivery and the seconds until it; None when it does not come in PATIENCE_S.

    What the first claim brings took no time at all, however slow the line is.
    """
    begun = time.monotonic()
    empty = 0
    while True:
        claim = await queue.claim(1, hold_s)
        found = claim.of(message)
        took_s = time.monotonic() - begun
        if found:
            return found[0], took_s if empty else 0.0
        empty += 1
        if took_s > PATIENCE_S:
            return None, took_s
        await _pause(queue)


async def _pause(queue: Queue) -> None:
    await asyncio.sleep(queue.pause_s(POLL_S))


def about(found: Delivery | None, took_s: float) -> str:
    """How long something took, in steps that two runs of one server agree on."""
    if found is None:
        return f"not back within {PATIENCE_S:g} s"
    return "at once" if took_s < AT_ONCE_S else f"about {round(took_s) or 1} s"


@observes(
    "Q1",
    "another body under a used idempotency key is answered",
    "a publish into a full queue is answered",
    "a publish into a paused queue is answered",
    "a publish into a paused scope is answered",
    "a claim from an unknown queue is answered",
    "completing an unknown message is answered",
    "completing a pending message is answered",
    "a known key without a scheme is answered",
    "a known key under the scheme Basic is answered",
)
async def codes(case: Case, seen: Seen) -> None:
    """Statuses and codes of what is refused."""
    queue = await case.queue()
    message = await queue.publish(idempotency_key=case.world.token())
    other = {**message.fields, "body": {"qp": message.token, "other": 1}}
    seen["another body under a used idempotency key is answered"] = told(
        await ask(case, wire.publish(queue.scope, queue.id, other))
    )
    unknown = wire.claim(queue.scope, f"{queue.id}.none", batch_size=1, visibility_timeout_s=HOLD_S)
    seen["a claim from an unknown queue is answered"] = told(await ask(case, unknown))
    seen["completing an unknown message is answered"] = told(
        await ask(case, wire.complete(queue.scope, f"{message.id}.none"))
    )
    seen["completing a pending message is answered"] = told(await ask(case, wire.complete(queue.scope, message.id)))
    for scheme, spelled in (("without a scheme", ""), ("under the scheme Basic", "Basic ")):
        exchange = await ask(case, wire.read_scope(queue.scope), authorization=spelled + case.world.client.key)
        seen[f"a known key {scheme} is answered"] = told(exchange)
    full = await case.queue(max_depth=1)
    first = await full.publish()
    seen["a publish into a full queue is answered"] = told(await published(case, full, first))
    scope = await case.own_scope()
    place = await case.queue(scope=scope)
    model = await place.publish()
    for statement, verb, request in (
        ("a publish into a paused queue is answered", "queue", wire.change_queue(scope, place.id, "pause")),
        ("a publish into a paused scope is answered", "scope", wire.change_scope(scope, "pause")),
    ):
        try:
            await change(case, request)
        except NotSupported as end:
            seen[statement] = f"not seen: {end.summary}"
            continue
        seen[statement] = told(await published(case, place, model))
        if verb == "queue":
            await change(case, wire.change_queue(scope, place.id, "resume"))


async def published(case: Case, queue: Queue, like: Message, **fields: Any) -> Exchange:
    """One more publish of the message's form, whatever comes of it."""
    token = case.world.token()
    sent = {**like.fields, "body": {"qp": token}, **fields}
    sent |= {"idempotency_key": token} if "idempotency_key" in like.fields else {}
    request = wire.publish(queue.scope, queue.id, sent)
    exchange = await answered(case, request, fields=queue.described(token, sent))
    if exchange.ok and wire.identity(exchange.data):
        message = Message(id="", token=token, body=sent["body"], fields=sent, publish=exchange)
        queue.adopt(wire.identity(exchange.data), message)
    return exchange


@observes("Q2", "a message that failed once is back", "a message that failed twice is back")
async def backoff_of_fail(case: Case, seen: Seen) -> None:
    """The backoff of the first failures."""
    queue = await queue_with(case, shown="max_retries", max_retries=10)
    message = await queue.publish()
    held = await queue.take_one(message, timeout_s=HOLD_S)
    for times in ("once", "twice"):
        await queue.act("fail", held, root="FAIL-1", reason="queueproof looks")
        found, took_s = await next_delivery(queue, message)
        seen[f"a message that failed {times} is back"] = about(found, took_s)
        if found is None:
            return
        held = found


@observes("Q2", "a released message is back", "release refunds the attempt")
async def release(case: Case, seen: Seen) -> None:
    """Whether a release backs off, and whether it counts."""
    queue = await case.queue()
    message = await queue.publish()
    held = await queue.take_one(message, timeout_s=HOLD_S)
    await queue.act("release", held, root="VIS-6")
    found, took_s = await next_delivery(queue, message)
    seen["a released message is back"] = about(found, took_s)
    if found is not None and isinstance(found.attempts, int) and isinstance(held.attempts, int):
        seen["release refunds the attempt"] = found.attempts == held.attempts


@observes("Q2", "a lapsed message is back after its timeout", "its second lapse is back after its timeout")
async def backoff_of_lapse(case: Case, seen: Seen) -> None:
    """Whether a reclaim backs off."""
    queue = await case.lasting_queue()
    message = await queue.publish()
    timeout_s = case.world.dialect.timeout_s
    held = await queue.take_one(message, timeout_s=timeout_s)
    for statement in ("a lapsed message is back after its timeout", "its second lapse is back after its timeout"):
        await _until(held.over_ns)
        found, took_s = await next_delivery(queue, message, hold_s=timeout_s)
        # The enforcer's pass comes within a second: what it takes is no backoff.
        seen[statement] = "within 2 s" if found and took_s <= 2 else about(found, took_s)
        if found is None:
            return
        held = found


async def _until(at_ns: int) -> None:
    await asyncio.sleep(max(0.0, (at_ns - time.monotonic_ns()) / S))


@observes("Q3", "a message whose last allowed delivery lapses", "the state that its row shows then")
async def last_lapse(case: Case, seen: Seen) -> None:
    """Does a reclaim with no attempt left dead-letter?"""
    queue = await queue_with(case, shown="max_retries", max_retries=1)
    message = await queue.publish()
    held = await queue.take_one(message)
    await _until(held.over_ns)
    found, _ = await next_delivery(queue, message)
    seen["a message whose last allowed delivery lapses"] = (
        "is handed out again" if found else f"is not handed out again within {PATIENCE_S:g} s"
    )
    seen["the state that its row shows then"] = wire.state(await queue.read(message)) or "none"


@observes(
    "Q4",
    "the state of a dead-lettered message",
    "a dead-lettered message keeps its id",
    "a dead-lettered message's row names the dead-letter queue",
)
async def dead_letters(case: Case, seen: Seen) -> None:
    """What becomes of a message's row when it is dead-lettered."""
    scope = await case.own_scope()
    queue = await queue_with(case, scope=scope, shown="max_retries", max_retries=1)
    message = await queue.publish()
    held = await queue.take_one(message, timeout_s=HOLD_S)
    await queue.act("fail", held, root="DLQ-1", reason="queueproof looks")
    place = await dead_letter_queue(case, scope)

    async def read() -> Any:
        return await queue.read(message)

    row = await case.eventually(read, lambda found: wire.state(found) not in {"claimed", ""}, within_s=3.0)
    seen["the state of a dead-lettered message"] = wire.state(row) or "none"
    if place:
        seen["a dead-lettered message's row names the dead-letter queue"] = row.get("queue_id") == place
        listed = await ask(case, wire.list_queue_messages(scope, place))
        rows = [found for found in wire.rows(listed.data) or [] if isinstance(found, dict)]
        if rows:
            seen["a dead-lettered message keeps its id"] = message.id in {wire.identity(found) for found in rows}


@observes("Q5", "another key's completion of a held message is answered")
async def another_key(case: Case, seen: Seen) -> None:
    """Who may settle what somebody else holds."""
    key = case.key("consume")
    queue = await case.queue()
    held = await queue.take_one(await queue.publish(), timeout_s=HOLD_S)
    exchange = await ask(case, wire.complete(queue.scope, held.id), key=key)
    seen["another key's completion of a held message is answered"] = told(exchange)


@observes(
    "Q5",
    "completing after the timeout, before anyone claimed it again, is answered",
    "failing a pending message is answered",
    "releasing a pending message is answered",
    "extending a pending message is answered",
)
async def late_owner(case: Case, seen: Seen) -> None:
    """What a late holder may still do, and anyone without a claim."""
    queue = await case.queue()
    pending, late = await queue.publish_many(2)
    for statement, request in (
        ("failing", wire.fail(queue.scope, pending.id, reason="queueproof looks")),
        ("releasing", wire.release(queue.scope, pending.id)),
        ("extending", wire.extend(queue.scope, pending.id, visibility_timeout_s=HOLD_S)),
    ):
        seen[f"{statement} a pending message is answered"] = told(await ask(case, request))
    await queue.take_one(pending, timeout_s=HOLD_S, within_s=3.0)
    held = await queue.take_one(late)
    await _until(held.over_ns + 2 * S)
    statement = "completing after the timeout, before anyone claimed it again, is answered"
    seen[statement] = told(await ask(case, wire.complete(queue.scope, held.id)))


def odd_claim(queue: Queue, body: bytes | None) -> wire.Request:
    """A claim with another body."""
    usual = wire.claim(queue.scope, queue.id, batch_size=1, visibility_timeout_s=1)
    return wire.Request(
        verb="claim", method="POST", path=usual.path, body=body, scope=queue.scope, queue=queue.id
    )  # fmt: skip


@observes(
    "Q6",
    "a claim without a body is answered",
    "a claim of {} is answered",
    "batch_size 0 is answered",
    "batch_size 1000 is answered",
    "visibility_timeout_s 0 is answered",
    "visibility_timeout_s 86400 is answered",
    "a claim without batch_size brings, of three messages",
)
async def claim_bounds(case: Case, seen: Seen) -> None:
    """Defaults and bounds of a claim, on an empty queue; then how many come by default."""
    empty = await case.queue()
    for statement, body in (
        ("a claim without a body is answered", None),
        ("a claim of {} is answered", b"{}"),
        ("batch_size 0 is answered", wire.encode({"batch_size": 0, "visibility_timeout_s": HOLD_S})),
        ("batch_size 1000 is answered", wire.encode({"batch_size": 1000, "visibility_timeout_s": HOLD_S})),
        ("visibility_timeout_s 0 is answered", wire.encode({"batch_size": 1, "visibility_timeout_s": 0})),
        ("visibility_timeout_s 86400 is answered", wire.encode({"batch_size": 1, "visibility_timeout_s": 86_400})),
    ):
        seen[statement] = told(await ask(case, odd_claim(empty, body), fields={"timeout_s": HOLD_S, "limit": 1000}))
    queue = await case.queue()
    await queue.publish_many(3)
    request = odd_claim(queue, wire.encode({"visibility_timeout_s": HOLD_S}))
    exchange = await ask(case, request, fields={"timeout_s": HOLD_S, "limit": 1000})
    rows = wire.rows(exchange.data)
    if exchange.ok and rows is not None:
        seen["a claim without batch_size brings, of three messages"] = len(rows)


@observes("Q7", "fail takes its reason as")
async def reason_of_fail(case: Case, seen: Seen) -> None:
    """Under which name a fail's reason is kept."""
    queue = await queue_with(case, shown="max_retries", max_retries=10)
    kept = []
    for name in wire.REASON_FIELDS:
        message = await queue.publish()
        held = await queue.take_one(message, timeout_s=HOLD_S)
        path = f"{wire.message_path(queue.scope, held.id)}/fail"
        body = wire.encode({name: "queueproof looks"})
        request = wire.Request(verb="fail", method="POST", path=path, body=body, scope=queue.scope, message=held.id)
        exchange = await ask(case, request)
        row = await queue.read(message) if exchange.ok else {}
        kept += [name] if row.get("failure_reason") == "queueproof looks" else []
    seen["fail takes its reason as"] = " or ".join(kept) or f"none of {', '.join(wire.REASON_FIELDS)}"


@observes("Q7", "extend counts from")
async def meaning_of_extend(case: Case, seen: Seen) -> None:
    """Whether an extension counts from now or is added to what was left."""
    queue = await case.lasting_queue()
    message = await queue.publish()
    shortest_s = case.world.dialect.timeout_s
    hold_s = shortest_s + 3
    held = await queue.take_one(message, timeout_s=hold_s)
    extended = await queue.act("extend", held, root="VIS-5", visibility_timeout_s=shortest_s)
    await _until(extended.ret_ns + shortest_s * S)
    found, took_s = await next_delivery(queue, message)
    if found is None:
        return
    since_s = shortest_s + took_s
    if since_s < shortest_s + 2:
        seen["extend counts from"] = "now, even where it shortens the hold"
    elif since_s < hold_s + 2:
        seen["extend counts from"] = "now, and never shortens the hold"
    else:
        seen["extend counts from"] = "the end of the hold"


@observes("Q8", "a claim from a draining queue brings", "resuming a draining queue is answered")
async def draining(case: Case, seen: Seen) -> None:
    """Whether a draining queue is still served, and how draining ends."""
    queue = await case.queue()
    message = await queue.publish()
    await change(case, wire.change_queue(queue.scope, queue.id, "drain"))
    exchange = await ask(
        case,
        wire.claim(queue.scope, queue.id, batch_size=1, visibility_timeout_s=HOLD_S),
        fields={"timeout_s": HOLD_S, "limit": 1},
    )
    if exchange.ok:
        found = [wire.identity(item) for item in wire.rows(exchange.data) or []]
        seen["a claim from a draining queue brings"] = "its messages" if message.id in found else "nothing"
    else:
        seen["a claim from a draining queue brings"] = told(exchange)
    resumed = await ask(case, wire.change_queue(queue.scope, queue.id, "resume"))
    seen["resuming a draining queue is answered"] = told(resumed)
