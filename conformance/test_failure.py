"""FAIL, DLQ: what becomes of a message whose consumer failed, until it is dead-lettered."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.difference import contrast
from queueproof.drive.failing import HOLD_S, REASON, comes_back, fail, forgiving
from queueproof.drive.optional import DeadLetters, dead_letter_queue, queue_with
from queueproof.drive.outcomes import Disturbed, Inconclusive, NotSupported
from queueproof.drive.queue import BACKOFF_S, Delivery, Message, Queue
from queueproof.evidence.digest import same_json

S = 1_000_000_000  # ns
# A backoff shorter than this cannot be told from none over a network.
AT_ONCE_S = 0.1
RETRIES = 2


@proves("FAIL-1")
async def test_a_failed_message_returns(case: Case) -> None:
    """FAIL-1: Fail with `attempts < max_retries` MUST return the message to `pending`; it MUST become claimable again
    eventually.

    Failed twice, the second time without a reason, long before its lock would end; its row says pending in between,
    where rows can be read.
    """
    queue = await forgiving(case)
    message = await queue.publish()
    held = await queue.take_one(message, timeout_s=HOLD_S)
    for reason in (REASON, None):
        failed = await fail(queue, held, reason)
        await is_pending(case, queue, message, failed)
        held = await comes_back(queue, message)


async def is_pending(case: Case, queue: Queue, message: Message, failed: Exchange) -> None:
    """The row says `pending` within the longest backoff."""

    async def read() -> Any:
        return (await queue.read(message)).get("state")

    try:
        seen = await case.eventually(read, lambda state: state == "pending", within_s=BACKOFF_S)
    except NotSupported:
        return
    case.require(
        seen == "pending",
        "a failed message with attempts left did not return to pending",
        expected='"state": "pending"',
        seen=f'"state": {spell(seen)}, {BACKOFF_S:g} s after the fail',
        evidence=(message.publish, failed, case.exchanges[-1]),
        liveness=True,
    )


@proves("FAIL-1")
async def test_one_failure_of_many(case: Case) -> None:
    """FAIL-1: Fail with `attempts < max_retries` MUST return the message to `pending`; it MUST become claimable again
    eventually.

    Three messages of a batch, of which one is failed, one completed and one kept: the failed one alone returns.
    """
    queue = await forgiving(case)
    failing, done, kept = await queue.publish_many(3)
    held = {d.message: d for d in await queue.take(failing, done, kept, batch_size=3, timeout_s=HOLD_S)}
    await queue.complete(held[done])
    await queue.act("fail", held[failing], root="FAIL-1", reason=REASON)
    await queue.complete(await comes_back(queue, failing))


@proves("FAIL-2")
async def test_it_is_the_same_message_after_a_failure(case: Case) -> None:
    """FAIL-2: The re-claimed message MUST show `attempts` one higher, same id and body.

    Two messages, failed twice each, one of them without a reason.
    """
    queue = await forgiving(case)
    messages = await queue.publish_many(2)
    before = {d.message: d for d in await queue.take(*messages, timeout_s=HOLD_S)}
    for _ in range(2):
        for message, reason in zip(messages, (REASON, None), strict=True):
            await fail(queue, before[message], reason)
        for again in await queue.take(*messages, timeout_s=HOLD_S, root="FAIL-1", within_s=BACKOFF_S):
            same_after(case, queue, before[again.message], again)
            before[again.message] = again


def same_after(case: Case, queue: Queue, before: Delivery, again: Delivery) -> None:
    if queue.unsure_until_ns:
        raise Disturbed("a claim of unknown result may have counted too")
    counts = isinstance(before.attempts, int) and not isinstance(before.attempts, bool)
    evidence = (before.message.publish, before.claim, again.claim)
    case.require(
        counts and same_json(again.attempts, before.attempts + 1),
        "a message that comes back from a failure does not show one more attempt",
        expected=f"attempts: {before.attempts + 1 if counts else 'one more than before'}",
        seen=f"attempts: {spell(again.attempts)} after {spell(before.attempts)}",
        evidence=evidence,
    )
    case.require(
        same_json(again.body, before.message.body),
        "a message that comes back from a failure has another body",
        **contrast(before.message.body, again.body),
        evidence=evidence,
    )


@proves("FAIL-3")
async def test_the_reason_is_recorded(case: Case) -> None:
    """FAIL-3: `failure_reason` MUST be recorded.

    Two messages failed for different reasons, each read off its own row; then one of them for another reason.
    """
    queue = await forgiving(case)
    messages = await queue.publish_many(2)
    held = {d.message: d for d in await queue.take(*messages, timeout_s=HOLD_S)}
    reasons = {message: f"{REASON} {number}, é😀" for number, message in enumerate(messages)}
    failed = {
        message: await queue.act("fail", held[message], root="FAIL-1", reason=reasons[message]) for message in messages
    }
    for message, reason in reasons.items():
        await shows_reason(case, queue, message, reason, failed[message])
    again = await comes_back(queue, messages[0])
    another = f"{REASON}, and once more"
    await shows_reason(case, queue, messages[0], another, await queue.act("fail", again, root="FAIL-1", reason=another))


async def shows_reason(case: Case, queue: Queue, message: Message, reason: str, failed: Exchange) -> None:
    """The message's row shows why it failed last."""

    async def read() -> str:
        row = await queue.read(message)
        if "failure_reason" not in row:
            raise NotSupported("a message's row shows no failure_reason")
        return json.dumps(row["failure_reason"], ensure_ascii=False)

    seen = await case.eventually(read, partial(contains, reason), within_s=3.0)
    case.require(
        contains(reason, seen),
        "a failed message's row does not show the reason",
        expected=f"failure_reason: {spell(reason)}",
        seen=f"failure_reason: {seen[:300]}",
        evidence=(failed, case.exchanges[-1]),
    )


def contains(reason: str, shown: str) -> bool:
    """Whether what the row shows, of whatever shape, holds the reason."""
    return reason in shown


@proves("FAIL-4")
async def test_a_failure_backs_off(case: Case) -> None:
    """FAIL-4: The message SHOULD NOT be claimable at once after fail (backoff).

    Claimed right after the answer to the fail, four messages in turn; each comes back in the end (the control).
    """
    queue = await forgiving(case)
    judged = False
    for _ in range(4):
        message = await queue.publish()
        held = await queue.take_one(message, timeout_s=HOLD_S)
        failed = await queue.act("fail", held, root="FAIL-1", reason=REASON)
        claim = await queue.claim(1, HOLD_S)
        after_s = (claim.exchange.ret_ns - failed.inv_ns) / S
        case.require(
            not (claim.of(message) and after_s < AT_ONCE_S),
            "a failed message was claimed again at once",
            expected="a backoff before it can be claimed again",
            seen=f"claimed {after_s:.3f} s after the fail was sent",
            proof=f"the claim had returned {after_s:.3f} s < {AT_ONCE_S} s after the fail was sent",
            evidence=(failed, claim.exchange),
        )
        judged = judged or (claim.sure and not claim.of(message))
        if not claim.of(message):
            held = await comes_back(queue, message)
        await queue.complete(queue.latest[message])
    if not judged:
        raise Inconclusive(f"no claim came back within {AT_ONCE_S} s of its fail, each found the message")


# ── dead letters ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Spent:
    """A message that was failed as often as it may be, and what was seen of it."""

    queue: Queue
    message: Message
    retries: int  # max_retries of its queue
    reason: str | None  # what it fails for
    extended: bool = False  # each hold of it is extended before it fails
    deliveries: list[Delivery] = field(default_factory=list)
    fails: list[Exchange] = field(default_factory=list)
    letters: DeadLetters | None = None
    dead: tuple[dict[str, Any], Exchange] | None = None  # how `_dead_letter` shows it


async def spend(
    case: Case, *, root: str, retries: int = RETRIES, reason: str | None = REASON, extended: bool = False
) -> Spent:
    """Fails a message until it was seen in `_dead_letter`, or until it has not come back for the longest backoff.

    `root`: the promise that is broken when it comes back less often than `max_retries`. More deliveries than one
    beyond that (which one page allows) end the case.
    """
    scope = await case.own_scope()
    queue = await queue_with(case, scope=scope, shown="max_retries", max_retries=retries)
    letters = await letters_of(case, scope)
    spent = Spent(queue, await queue.publish(), retries, reason, extended, letters=letters)
    for _ in range(retries):
        wait_s = BACKOFF_S if spent.fails else None
        await fail_once(spent, await queue.take_one(spent.message, timeout_s=HOLD_S, root=root, within_s=wait_s))
    end = time.monotonic() + BACKOFF_S
    while spent.dead is None and time.monotonic() < end:
        for delivery in (await queue.claim(1, HOLD_S)).of(spent.message):
            if len(spent.deliveries) > retries:
                once_too_often(case, spent, delivery, root)
            await fail_once(spent, delivery)
            end = time.monotonic() + BACKOFF_S
        spent.dead = await letters.find(spent.message) if letters is not None else None
        await asyncio.sleep(queue.pause_s(0.2))
    if queue.unsettled:
        raise Disturbed("a call of unknown result may have taken an attempt")
    return spent


async def letters_of(case: Case, scope: str) -> DeadLetters | None:
    """The scope's dead letters, where its list of queues shows them."""
    try:
        found = await dead_letter_queue(case, scope)
    except NotSupported:
        return None
    return DeadLetters(case, scope, found, hold_s=HOLD_S) if found else None


async def fail_once(spent: Spent, delivery: Delivery) -> None:
    spent.deliveries.append(delivery)
    if spent.extended:
        with contextlib.suppress(NotSupported):
            await spent.queue.act("extend", delivery, root="VIS-5", visibility_timeout_s=HOLD_S)
    spent.fails.append(await fail(spent.queue, delivery, spent.reason))


def once_too_often(case: Case, spent: Spent, delivery: Delivery, root: str) -> None:
    """A delivery after the last one that any page allows."""
    if spent.queue.unsettled:
        raise Disturbed("a call of unknown result may have taken an attempt")
    number = len(spent.deliveries) + 1
    case.refuse(
        case.requirement if case.requirement in {"DLQ-1", "DLQ-3"} else "DLQ-3",
        f"a message of a queue with max_retries {spent.retries} was delivered {number} times, and failed each time",
        expected=f"{spent.retries} deliveries, or {spent.retries + 1} by the more generous reading",
        seen=f"{number} deliveries",
        proof=f"{number} > {spent.retries} + 1",
        evidence=(spent.message.publish, *spent.fails, delivery.claim),
    )


@proves("DLQ-1")
async def test_a_spent_message_leaves_its_queue(case: Case) -> None:
    """DLQ-1: Fail with `attempts >= max_retries` MUST leave nothing claimable in the source queue for that message.

    After the last failure claims on the queue go on for a while; a message that is published then is delivered (the
    control). So it is with one whose holds were extended before it failed.
    """
    await asyncio.gather(*(leaves(case, extended) for extended in ((False,) if case.world.thrift else (False, True))))


async def leaves(case: Case, extended: bool) -> None:
    """A message that was failed as often as it may be leaves its queue."""
    spent = await spend(case, root="FAIL-1", extended=extended)
    queue = spent.queue
    control = await queue.publish()
    met = False
    async for claim in queue.watch(time.monotonic_ns() + 5 * S, timeout_s=HOLD_S, every_s=0.2):
        met = met or bool(claim.of(control))
        for again in claim.of(spent.message):
            if len(spent.deliveries) > spent.retries or spent.dead is not None:
                case.require(
                    False,
                    "a message that has spent its attempts can still be claimed from its queue",
                    expected=f"nothing of {again.id} after {len(spent.fails)} failures, max_retries {spent.retries}",
                    seen=f"a delivery, attempts {spell(again.attempts)}",
                    evidence=(spent.message.publish, *spent.fails, again.claim),
                )
            await fail_once(spent, again)
    if not met:
        await queue.take_one(control, timeout_s=HOLD_S)


@proves("DLQ-2")
async def test_a_spent_message_is_a_dead_letter(case: Case) -> None:
    """DLQ-2: The message MUST appear in the same scope's `_dead_letter`, with its body.

    Looked for by claims and in the list of messages, under its own id or another one.
    """
    spent = await spend(case, root="FAIL-1")
    scope = spent.queue.scope
    if not await dead_letter_queue(case, scope):
        shared = await dead_letter_queue(case, await case.scope())
        case.require(
            not shared,
            "the message's scope has no _dead_letter, though another scope shows one",
            expected="_dead_letter in the list of the scope's queues",
            seen=f"none in scope {scope}",
            evidence=(*spent.fails, case.exchanges[-1]),
            liveness=True,
        )
        await moved(case, spent)
        return
    if spent.dead is None and spent.letters is not None and not spent.letters.readable:
        raise NotSupported("_dead_letter shows no list of its messages, and claims on it may be empty by design")
    case.require(
        spent.dead is not None,
        "a message that has spent its attempts is not in its scope's _dead_letter",
        expected=f"{spent.message.id} in _dead_letter",
        seen=f"not there {BACKOFF_S:g} s after its last failure",
        evidence=(spent.message.publish, *spent.fails, case.exchanges[-1]),
        liveness=True,
    )
    assert spent.dead is not None
    item, exchange = spent.dead
    if "body" not in item and exchange.request.verb != "claim":
        raise NotSupported("the list of messages shows no body, and _dead_letter cannot be claimed from")
    case.require(
        same_json(item.get("body"), spent.message.body),
        "a dead letter has lost its body",
        **contrast(spent.message.body, item.get("body", wire.ABSENT)),
        evidence=(spent.message.publish, exchange),
    )


async def moved(case: Case, spent: Spent) -> None:
    """Where no list shows `_dead_letter`, the message's rows tell whether it is in another queue than its own.

    A server may hide its system queues; what it may not do is to leave the message where it was. Read by id and by
    `correlation_id`, since a dead letter may be another message of the same chain.
    """
    queue, message = spent.queue, spent.message
    rows: list[dict[str, Any]] = [dict(await queue.read(message))]
    chain = await case.send(wire.trace_messages(queue.scope, message.correlation))
    traced = [row for row in wire.rows(chain.data) or [] if isinstance(row, dict)] if chain.ok else []
    rows += traced
    places = {row.get("queue_id") for row in rows}
    if not message.correlation or not traced or not all(isinstance(place, str) for place in places):
        raise NotSupported(
            "the list of queues shows no _dead_letter, and rows do not tell where a message is", lacks=("dead-letter",)
        )
    case.require(
        places != {queue.id},
        "a message that has spent its attempts is in no other queue than its own, and no _dead_letter is shown",
        expected=f"a row of {message.id}, or of its chain, in _dead_letter",
        seen=f"{len(rows)} rows, all in queue {queue.id}",
        evidence=(message.publish, *spent.fails, chain),
        liveness=True,
    )
    dead = next(row for row in rows if row.get("queue_id") != queue.id)
    case.require(
        "body" not in dead or same_json(dead["body"], message.body),
        "a dead letter has lost its body",
        **contrast(message.body, dead.get("body", wire.ABSENT)),
        evidence=(message.publish, chain),
    )


@proves("DLQ-3")
async def test_as_many_deliveries_as_retries(case: Case) -> None:
    """DLQ-3: With `max_retries` N >= 1, deliveries before dead-lettering MUST be N (strict) or N..N+1 (tolerant).

    N is two: the second delivery comes, and no fourth one.
    """
    as_often(case, await spend(case, root="DLQ-3"))


@proves("DLQ-3")
async def test_one_attempt_is_one(case: Case) -> None:
    """DLQ-3: With `max_retries` N >= 1, deliveries before dead-lettering MUST be N (strict) or N..N+1 (tolerant).

    N is one: no third delivery comes, though the failures give no reason. A server with a number of its own would meet
    one N by chance, but not this one and two.
    """
    as_often(case, await spend(case, root="DLQ-3", retries=1, reason=None))


def as_often(case: Case, spent: Spent) -> None:
    """The message was delivered as often as its queue allows."""
    case.require(
        spent.retries <= len(spent.deliveries) <= spent.retries + 1,
        "a message was delivered another number of times than max_retries says",
        expected=f"{spent.retries} or {spent.retries + 1} deliveries",
        seen=len(spent.deliveries),
        evidence=(spent.message.publish, *spent.fails),
    )
