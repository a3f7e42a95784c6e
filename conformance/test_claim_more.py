"""CLAIM: what a claim does to the counters, and what it leaves alone: what is delayed, has expired, or is elsewhere."""

import asyncio
import contextlib
import time
from datetime import UTC, timedelta, timezone

from queueproof.contract import wire
from queueproof.drive.burial import bury_in, graveyard, mortal_queue
from queueproof.drive.case import Case, proves
from queueproof.drive.counters import counters_are
from queueproof.drive.optional import all_come, publish_delayed, publish_with
from queueproof.drive.ordering import fitting
from queueproof.drive.outcomes import Blocked, NotSupported
from queueproof.drive.queue import BACKOFF_S, Message, Queue

S = 1_000_000_000  # ns
HOLD_S = 60
# A lifetime, and how long after its end a server may take to see it.
LIFETIME_S = 2
EXPIRY_SLACK_S = 10.0
DELAY_S = 2.0
FAILED = "a failed message that was claimed again is not counted once"
DELAYED = "a delayed message that was claimed is not counted once"
EXPIRED = "the counters are wrong when one message has expired and the others are claimed"
BURIED = "the counters of a queue still show a message that was dead-lettered"


@proves("CLAIM-7")
async def test_a_claim_moves_the_counters(case: Case) -> None:
    """CLAIM-7: Claim MUST lower `depth_pending` and raise `depth_claimed` by the number claimed.

    One message of fourteen, then a batch, then some by claims at once, then the rest; and a claim that finds nothing.
    Read at rest, and given the time to settle. In a priority queue as well, unless requests are counted.
    """
    orderings = ("fifo",) if case.world.client.budget.rationed else ("fifo", "priority")
    await asyncio.gather(*(claims_count(case, ordering) for ordering in orderings))


async def claims_count(case: Case, ordering: str) -> None:
    """The counters of a queue of that ordering follow its claims."""
    queue = await case.queue(ordering=ordering, root="QUEUE-3")
    messages = await queue.publish_many(14)
    await counters_are(case, queue, len(messages), 0, root="PUB-4")
    missing = set(messages)
    for sizes in ((1,), (3,), (1, 1, 2), (10,), (10,)):
        await case.world.client.budget.save_up(len(sizes))
        claims = await asyncio.gather(*(queue.claim(size, HOLD_S, burst=True) for size in sizes))
        missing -= {delivery.message for claim in claims for delivery in claim.deliveries}
        await counters_are(case, queue, len(missing), len(messages) - len(missing), root="CLAIM-7")
    if missing:
        await queue.take(*missing, batch_size=5, timeout_s=HOLD_S)
        await counters_are(case, queue, 0, len(messages), root="CLAIM-7")


@proves("CLAIM-7")
async def test_what_failed_counts_once(case: Case) -> None:
    """CLAIM-7: Claim MUST lower `depth_pending` and raise `depth_claimed` by the number claimed.

    One message of four that failed and was claimed again: it was pending in between, and is claimed.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(4)
    held = await queue.take_one(messages[0], timeout_s=HOLD_S)
    await queue.act("fail", held, root="FAIL-1", reason="queueproof")
    doing = "a failed message was not delivered"
    await queue.take_one(messages[0], timeout_s=HOLD_S, root="FAIL-1", within_s=BACKOFF_S, doing=doing)
    claimed = len(queue.latest)
    await counters_are(case, queue, len(messages) - claimed, claimed, root="CLAIM-7", summary=FAILED)


@proves("CLAIM-7")
async def test_a_dead_letter_is_held_no_longer(case: Case) -> None:
    """CLAIM-7: Claim MUST lower `depth_pending` and raise `depth_claimed` by the number claimed.

    One message of two, after another one of its queue has failed for the last time and is in `_dead_letter`.
    """
    scope = await case.own_scope()
    queue = await mortal_queue(case, scope)
    queue.unmodelled = True  # its message may be completed in another queue
    await bury_in(case, queue, await graveyard(case, scope))
    messages = await queue.publish_many(2)
    await queue.take_one(messages[0], timeout_s=HOLD_S)
    claimed = sum(message in queue.latest for message in messages)
    await counters_are(case, queue, len(messages) - claimed, claimed, root="CLAIM-7", summary=BURIED)


@proves("CLAIM-7")
async def test_what_was_delayed_counts_once(case: Case) -> None:
    """CLAIM-7: Claim MUST lower `depth_pending` and raise `depth_claimed` by the number claimed.

    One message that was delayed by about two seconds, beside two that were not: once all are claimed, whatever counted
    before, nothing is pending.
    """
    queue = await case.queue()
    queue.ordering = ""  # a delayed one comes later than what was published after it
    delayed, until_ns = await publish_delayed(queue, DELAY_S)
    messages = [delayed, *await queue.publish_many(2)]
    await all_come(queue, *messages, until_ns=until_ns, timeout_s=HOLD_S)
    await counters_are(case, queue, 0, len(messages), root="CLAIM-7", summary=DELAYED)


@proves("CLAIM-7")
async def test_what_expired_counts_once(case: Case) -> None:
    """CLAIM-7: Claim MUST lower `depth_pending` and raise `depth_claimed` by the number claimed.

    Three messages, beside one whose lifetime of a second ended before. What an expired one counts is not documented:
    it may go on counting as pending, and may not be taken off more than once.
    """
    queue = await case.queue()
    messages = await queue.publish_many(3)
    await publish_with(queue, ttl_seconds=1)
    await asyncio.sleep(LIFETIME_S + 1.0)
    await queue.take(*messages, batch_size=3, timeout_s=HOLD_S)
    left = len(messages) + 1 - len(queue.latest)
    await counters_are(case, queue, 0, len(queue.latest), or_pending=left, root="CLAIM-7", summary=EXPIRED)


# So much earlier than its moment has a message to come before it counts: two clocks are compared here.
CLOCKS_S = 0.25
# A delay that outlasts the case by far.
LONGER_S = 300


@proves("CLAIM-8")
async def test_a_delayed_message_stays_hidden(case: Case) -> None:
    """CLAIM-8: A message with a future `delay_until` MUST NOT be claimed before it.

    Claimed singly, and in batches beside a message that is not delayed; the moment lies late in its second, and other
    messages are published meanwhile, which are delivered (the control), as is the delayed one in the end. Beside it, in
    batches, one that is delayed for longer stays hidden when it comes.
    """
    queues = [await case.queue(), await case.queue()]
    await asyncio.gather(*(delayed(case, queue, size) for queue, size in zip(queues, (1, 5), strict=True)))


@proves("CLAIM-8")
async def test_a_delay_is_a_moment_in_its_zone(case: Case) -> None:
    """CLAIM-8: A message with a future `delay_until` MUST NOT be claimed before it.

    The moment written in the time of a zone west of Greenwich, where its hour is an earlier one, and of one east of it,
    where it is a later one. A server may take neither; one that takes the later only thinks the other one past.
    """
    queues = [await case.queue(), await case.queue()]
    zones = [timezone(timedelta(hours=hours)) for hours in (-2, 2)]
    ends = await asyncio.gather(
        *(delayed(case, queue, 1, zone=zone) for queue, zone in zip(queues, zones, strict=True)),
        return_exceptions=True,
    )
    refused = [end for end in ends if isinstance(end, NotSupported)]
    for end in ends:
        if isinstance(end, BaseException) and (end not in refused or len(refused) == len(ends)):
            raise end


async def delayed(case: Case, queue: Queue, batch_size: int, *, zone: timezone = UTC) -> None:
    """Claims go on, with publishes in between, until a message is delivered that was delayed by about three seconds."""
    earliest = case.world.moment(1.7)
    if earliest is None:
        await far_delayed(case, queue, batch_size)
        return
    moment = earliest.replace(microsecond=900_000) + timedelta(seconds=1)
    due_ns = time.monotonic_ns() + round((moment - earliest).total_seconds() * S) + round(1.7 * S)
    later = moment + timedelta(seconds=LONGER_S)
    spelled = moment.astimezone(zone).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    message = await publish_with(queue, delay_until=spelled)
    longer: list[Message] = []
    if batch_size > 1 and not case.world.thrift:
        with contextlib.suppress(NotSupported):  # how long a delay may be is not documented
            longer.append(await publish_with(queue, delay_until=later.strftime("%Y-%m-%dT%H:%M:%SZ")))
    fresh: list[Message] = []
    met: set[Message] = set()
    publish_at = [due_ns - round(seconds * S) for seconds in (2.4, 1.6, 0.7)]
    async for claim in queue.watch(due_ns, batch_size=batch_size, timeout_s=HOLD_S):
        met |= {delivery.message for delivery in claim.deliveries}
        early_s = (due_ns - claim.exchange.ret_ns) / S
        case.require(
            not claim.of(message) or early_s < CLOCKS_S,
            "a delayed message was claimed before its time",
            expected=f"no delivery of {message.id} before {spelled}",
            seen=f"delivered {early_s:.3f} s before",
            proof=f"the claim had returned {early_s:.3f} s > {CLOCKS_S} s before delay_until",
            evidence=(message.publish, claim.exchange),
        )
        if publish_at and time.monotonic_ns() > publish_at[0]:
            publish_at.pop(0)
            fresh.append(await queue.publish())
    await queue.take(*({message, *fresh} - met), batch_size=batch_size, timeout_s=HOLD_S, root="CLAIM-8")
    for other in longer:
        await queue.claim(batch_size, HOLD_S)
        first = queue.latest.get(other)
        case.require(
            first is None or first.claim.ret_ns > due_ns + LONGER_S * S // 2,
            "a delayed message was claimed when another one's delay was over",
            expected=f"no delivery of {other.id} before {other.fields['delay_until']}",
            seen="delivered" if first else "",
            evidence=(message.publish, other.publish, first.claim) if first else (),
        )


async def far_delayed(case: Case, queue: Queue, batch_size: int) -> None:
    """By which clock a delay ends is not known: one that lies ahead by any of them hides, while another comes."""
    if not case.world.client.skew.bounds:
        raise NotSupported("no answer tells the server's time: its clock may be another one")
    message = await publish_with(queue, delay_until=case.world.in_an_hour())
    fresh = await queue.publish()
    found = await queue.take(fresh, batch_size=batch_size, timeout_s=HOLD_S)
    found += (await queue.claim(batch_size, HOLD_S)).deliveries
    for delivery in found:
        case.require(
            delivery.message is not message,
            "a delayed message was claimed before its time",
            expected=f"no delivery of {message.id} before {message.fields['delay_until']}",
            seen="delivered at once, although no clock that the answers tell of is near that moment",
            evidence=(message.publish, delivery.claim),
        )


@proves("CLAIM-9")
async def test_a_claim_stays_in_its_queue(case: Case) -> None:
    """CLAIM-9: A claim on queue A MUST NOT return a message of queue B.

    An empty queue beside a full one, whose slug begins with its own, and beside one of the same slug in another scope;
    then all of them full, where each hands out its own.
    """
    begin = case.world.slug("same")
    scopes = [await case.own_scope(), await case.own_scope()]
    beside = await case.queue(scope=scopes[0], slug=begin)
    here, slug = await begun_alike(case, scopes[0], begin)
    there = await case.queue(scope=scopes[1], slug=slug)
    messages = await here.publish_many(3)
    for empty in (there, beside):
        for size in (1, 10):
            await empty.claim(size, HOLD_S)
    full = {here: messages, there: await there.publish_many(2), beside: await beside.publish_many(2)}
    for queue in (there, beside, here):
        await queue.take(*full[queue], batch_size=5, timeout_s=HOLD_S)
        await queue.claim(10, HOLD_S)


async def begun_alike(case: Case, scope: str, begin: str) -> tuple[Queue, str]:
    """A queue whose slug begins like that, and its slug: with a hyphen, where a server takes one."""
    try:
        return await case.queue(scope=scope, slug=f"{begin}-b", root="slug"), f"{begin}-b"
    except Blocked as end:
        if end.root != "slug":
            raise
        return await case.queue(scope=scope, slug=f"{begin}b"), f"{begin}b"


@proves("CLAIM-9")
async def test_one_consumer_of_many_queues(case: Case) -> None:
    """CLAIM-9: A claim on queue A MUST NOT return a message of queue B.

    Queues of each ordering in one scope, filled in turns and claimed from all at once.
    """
    queues = [await case.queue(ordering=ordering, root="QUEUE-3") for ordering in ("fifo", "priority", "deadline")]
    messages = [[await fitting(queue) for queue in queues] for _ in range(4)]
    columns = list(zip(*messages, strict=True))
    await asyncio.gather(
        *(queue.take(*own, batch_size=2, timeout_s=HOLD_S) for queue, own in zip(queues, columns, strict=True))
    )
    for queue, own in zip(queues, columns, strict=True):
        queue_ids = {wire.identity(delivery.item): delivery for delivery in queue.latest.values()}
        case.require(
            set(queue_ids) == {message.id for message in own},
            "a queue did not hand out its own messages",
            expected=" ".join(sorted(message.id for message in own)),
            seen=" ".join(sorted(queue_ids)),
            evidence=[delivery.claim for delivery in queue_ids.values()],
        )


@proves("CLAIM-10")
async def test_what_has_expired_is_not_handed_out(case: Case) -> None:
    """CLAIM-10: A message whose `ttl_seconds` ended while it waited SHOULD NOT be claimed.

    One of two seconds, looked for well after them: how often a server looks for what has expired is not documented. One
    without an end, and one that lives for an hour, are claimed (the control).
    """
    queue = await case.queue()
    brief = await publish_with(queue, ttl_seconds=LIFETIME_S)
    lasting = [await publish_with(queue, ttl_seconds=3600), await queue.publish()]
    await asyncio.sleep(max(0.0, (brief.publish.ret_ns - time.monotonic_ns()) / S + LIFETIME_S + EXPIRY_SLACK_S))
    found = await queue.take(*lasting, timeout_s=HOLD_S)
    late = [delivery for delivery in found if delivery.message is brief]
    case.require(
        not late,
        "a message was handed out long after its lifetime",
        expected=f"no delivery of {brief.id}, published with ttl_seconds {LIFETIME_S}",
        seen=f"a delivery, asked for {(late[0].claim.inv_ns - brief.publish.ret_ns) / S:.1f} s later" if late else "",
        evidence=(brief.publish, *(delivery.claim for delivery in late)),
    )
