"""FAIL, GHOST, DLQ: a message's last failure buries it once and whole; what nobody holds cannot fail."""

import asyncio
import contextlib
import json
import time
from typing import Any

from queueproof.contract import wire
from queueproof.drive.burial import HOLD_S, REASON, bury
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.counters import counters_are
from queueproof.drive.failing import comes_back, fail, forgiving
from queueproof.drive.optional import (
    DeadLetters,
    answered,
    dead_letter_queue,
    publish_with,
    queue_with,
    released,
    row_of,
)
from queueproof.drive.ordering import ranked_fields
from queueproof.drive.outcomes import Disturbed, Inconclusive, NotSupported
from queueproof.drive.queue import BACKOFF_S, Message, Queue
from queueproof.evidence.digest import same_json

S = 1_000_000_000  # ns
# Whether a message comes once more after `max_retries` failures, as one page allows, is seen within this as a rule.
ONCE_MORE_S = 2.5
# A second dead letter that is made later than the first comes within this.
TWIN_S = 1.0
LABELS = {"qp": "yes", "Region": "EU"}
# More than a server gives by default, as a sibling product's pages have it (five).
ATTEMPTS = 7


@proves("FAIL-3")
async def test_the_last_reason_is_recorded(case: Case) -> None:
    """FAIL-3: `failure_reason` MUST be recorded.

    The reason of the failure that spends the last attempt stands on the message's row, wherever that is by then, or on
    the row of its dead letter.
    """
    queue = await queue_with(case, scope=await case.own_scope(), shown="max_retries", max_retries=1)
    message = await queue.publish()
    failed = await queue.act("fail", await queue.take_one(message, timeout_s=HOLD_S), root="FAIL-1", reason=REASON)
    await asyncio.sleep(queue.pause_s(0.5))  # a dead letter may be made a moment later
    await gives_reason(case, queue, message, failed)
    async for claim in queue.watch(time.monotonic_ns() + round(ONCE_MORE_S * S), timeout_s=HOLD_S, every_s=0.5):
        for again in claim.of(message):
            failed = await queue.act("fail", again, root="FAIL-1", reason=REASON)
            await asyncio.sleep(queue.pause_s(0.5))
            await gives_reason(case, queue, message, failed)
            return


async def gives_reason(case: Case, queue: Queue, message: Message, failed: Exchange) -> None:
    """A row of the message, or of one that it became, shows the reason, once it had the time to."""

    async def read() -> list[Any]:
        row = await queue.read(message)
        if "failure_reason" not in row:
            raise NotSupported("a message's row shows no failure_reason")
        return [row] if given([row]) else [row, *await elsewhere(case, queue, message)]

    rows = await case.eventually(read, given, within_s=3.0)
    case.require(
        given(rows),
        "the reason of a message's last failure is not recorded",
        expected=f"failure_reason: {spell(REASON)}",
        seen=f"failure_reason: {spell(rows[0]['failure_reason'])}, and no other row of it tells the reason",
        evidence=(message.publish, failed, case.exchanges[-1]),
    )


def given(rows: list[Any]) -> bool:
    """Whether one of the rows holds the reason, in whatever shape."""
    return any(REASON in json.dumps(row, ensure_ascii=False) for row in rows)


async def elsewhere(case: Case, queue: Queue, message: Message) -> list[Any]:
    """Other rows that may tell the reason: those of the message's chain, and its dead letter's."""
    rows: list[Any] = []
    if message.correlation:
        chain = await case.send(wire.trace_messages(queue.scope, message.correlation))
        rows += wire.rows(chain.data) or [] if chain.ok else []
    with contextlib.suppress(NotSupported):
        found = await dead_letter_queue(case, queue.scope)
        if found:
            letters = DeadLetters(case, queue.scope, found, hold_s=HOLD_S)
            letters.claimable = False  # a claim might clear what the row shows
            rows += [item for item, _ in await letters.find_all(message)]
    return rows


@proves("FAIL-1")
async def test_the_last_attempt_but_one_is_not_the_last(case: Case) -> None:
    """FAIL-1: Fail with `attempts < max_retries` MUST return the message to `pending`; it MUST become claimable again
    eventually.

    A message of a queue of seven attempts is claimed and released until its sixth, which fails: it is delivered once
    more. One that is not, after so many attempts, may back off for longer: then its row says that it is pending.
    """
    queue = await forgiving(case, ATTEMPTS)
    message = await queue.publish()
    held = await queue.take_one(message, timeout_s=HOLD_S)
    for made in range(1, ATTEMPTS - 1):
        if not await released(queue, held):
            raise NotSupported("release is not there, so that each attempt costs a backoff")
        held = await queue.given_back(message, timeout_s=HOLD_S)
        if queue.unsettled or queue.counts[message] > made + 1:
            raise Disturbed("more attempts may have been made than are known of")
        if not same_json(held.attempts, made + 1):
            raise NotSupported("a release gives its attempt back, so that each attempt costs a backoff")
    failed = await queue.act("fail", held, root="FAIL-1", reason=REASON)
    async for claim in queue.watch(time.monotonic_ns() + round(BACKOFF_S * S), timeout_s=HOLD_S, every_s=0.3):
        if claim.of(message):
            return
    row = await row_of(queue, message)
    if queue.unsettled:
        raise Disturbed("a claim of unknown result may have taken the message")
    if row is None:
        raise Inconclusive(f"a failed message did not come back within {BACKOFF_S:g} s: its backoff may be longer")
    case.require(
        wire.state(row) == "pending" and row.get("queue_id", queue.id) == queue.id,
        f"a message that failed at attempt {ATTEMPTS - 1} of {ATTEMPTS} does not return to its queue",
        expected=f"state pending, queue {queue.id}, or another delivery",
        seen=f"state {wire.state(row)}, queue {spell(row.get('queue_id'))}, and no delivery for {BACKOFF_S:g} s",
        evidence=(message.publish, held.claim, failed, case.exchanges[-1]),
        liveness=True,
    )


@proves("FAIL-1")
async def test_a_failed_message_returns_in_every_ordering(case: Case) -> None:
    """FAIL-1: Fail with `attempts < max_retries` MUST return the message to `pending`; it MUST become claimable again
    eventually.

    Failed twice, long before its lock would end, in queues ordered by priority and by deadline.
    """
    if case.world.client.budget.rationed:
        raise NotSupported("the server counts requests: the other orderings are left out there")
    for ordering, more in ranked_fields(case.world).items():
        queue = await forgiving(case, ordering=ordering)
        message = await publish_with(queue, **more)
        held = await queue.take_one(message, timeout_s=HOLD_S)
        for _ in range(2):
            await fail(queue, held)
            held = await comes_back(queue, message)


@proves("FAIL-5")
async def test_what_nobody_holds_stays_pending(case: Case) -> None:
    """FAIL-5: Failing, releasing or extending a pending message SHOULD fail with 4xx and MUST NOT keep it from being
    claimed, nor count as an attempt, nor move the counters.

    Each verb on a message that was never claimed, whatever it is answered: claims bring the message before one that is
    published afterwards (the control), and show its first attempt. In the end each of them is claimed, and counted so.
    """
    queue = await case.lasting_queue()
    queue.unmodelled = True  # settling what is not held is not documented: this case alone judges it
    for verb in ("fail", "release", "extend"):
        message = await queue.publish()
        request = {
            "fail": wire.fail(queue.scope, message.id, reason=REASON),
            "release": wire.release(queue.scope, message.id),
            "extend": wire.extend(queue.scope, message.id, visibility_timeout_s=HOLD_S),
        }[verb]
        exchange = await answered(case, request)
        control = await queue.publish()
        found = await queue.take(control, timeout_s=HOLD_S)
        if queue.unsettled:
            raise Disturbed("a call of unknown result may have taken the message")
        own = next((delivery for delivery in found if delivery.message is message), None)
        case.require(
            own is not None,
            f"the {verb} of a message that nobody held keeps it from being claimed",
            expected=f"a delivery of {message.id} before one of {control.id}, which was published later",
            seen=f"the later one alone; the {verb} was answered {exchange.told()}",
            evidence=(message.publish, exchange, control.publish, found[-1].claim),
            liveness=True,
        )
        if own is not None:
            case.require(
                not isinstance(own.attempts, int) or own.attempts == 1,
                f"the {verb} of a message that nobody held counts as an attempt",
                expected="attempts: 1",
                seen=f"attempts: {spell(own.attempts)}; the {verb} was answered {exchange.told()}",
                evidence=(message.publish, exchange, own.claim),
            )
    if case.world.thrift:
        return  # by now the first of these holds may be over
    with contextlib.suppress(NotSupported):
        doing = "the fail, release or extend of messages that nobody held moved the counters"
        await counters_are(case, queue, 0, len(queue.known), root="FAIL-5", summary=doing)


@proves("GHOST-1")
async def test_a_message_is_buried_once(case: Case) -> None:
    """GHOST-1: One publish MUST NOT create more than one message.

    A message that failed as often as it may is one dead letter, under its own id or another one: claims of
    `_dead_letter`, which go on for a while, bring its body under one id.
    """
    buried = await bury(case, labels=LABELS)
    end = time.monotonic() + TWIN_S
    while time.monotonic() < end:
        await asyncio.sleep(buried.queue.pause_s(0.3))
        buried.seen += await buried.letters.find_all(buried.message)
    if buried.queue.unsettled:
        raise Disturbed("a call of unknown result may have left another message")
    claims = {
        wire.identity(item): exchange
        for item, exchange in buried.claimed
        if wire.token(item.get("body")) == buried.message.token
    }
    case.require(
        len(claims) < 2,
        "a message that was published once is several dead letters",
        expected=f"one dead letter of {buried.message.id}",
        seen=f"claimed from _dead_letter as {' and '.join(sorted(claims))}",
        evidence=(buried.message.publish, *buried.fails, *claims.values()),
    )
    if not claims and not buried.letters.claimable:
        raise NotSupported("_dead_letter cannot be claimed from")


@proves("DLQ-2")
async def test_a_dead_letter_keeps_its_labels(case: Case) -> None:
    """DLQ-2: The message MUST appear in the same scope's `_dead_letter`, with its body.

    A message that is claimed there under its own id was moved, and is whole: a claimed item has its labels (CLAIM-3).
    What a copy with an id of its own keeps besides the body is not documented.
    """
    buried = await bury(case, labels=LABELS)
    for item, exchange in buried.claimed:
        if wire.identity(item) != buried.message.id:
            continue
        labels = item.get("labels")
        kept = {name: labels.get(name, wire.ABSENT) for name in LABELS} if isinstance(labels, dict) else labels
        case.require(
            isinstance(kept, dict) and same_json(kept, LABELS),
            "a dead letter has lost its labels",
            expected=f"labels: {spell(LABELS)}",
            seen=f"labels: {spell(labels)}",
            evidence=(buried.message.publish, *buried.fails, exchange),
        )
