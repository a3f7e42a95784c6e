"""VIS: a claimed message is hidden for its visibility timeout, and comes back after it."""

import asyncio
import contextlib
import time
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.optional import all_come, publish_delayed, tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, Disturbed, NotSupported
from queueproof.drive.queue import BACKOFF_S, EMPTY_IN_A_ROW, Delivery, Message, Queue, double_hold
from queueproof.evidence.digest import same_json

S = 1_000_000_000  # ns
# Watched to its end besides the shortest one: long enough to tell a hold from half a hold.
LONG_HOLD_S = 10
# Never watched to the end, only for as long as the case runs.
QUICKSTART_HOLD_S = 60
VERY_LONG_HOLDS_S = (30, QUICKSTART_HOLD_S, 600, 3600)
# Watched beyond ten seconds, so that one cut to a round number is seen to end; where calls are dear the last one.
OTHER_HOLDS_S = (1, 5, 11, 20, 45, 15)
# What ends after as long as another hold ends within the enforcer's second and a little.
LAPSE_S = 1.2
OTHER_ORDERINGS = ("priority", "deadline")
DELAY_S = 2.0


@proves("VIS-1")
async def test_hidden_until_its_timeout(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    The shortest timeout, twice in a row: the second holder's lock counts from the second claim. A fresh message is
    claimed meanwhile, and the message returns afterwards (the controls).
    """
    queue = await case.lasting_queue()
    message = await queue.publish()
    held = await queue.take_one(message)
    for _ in range(2):
        fresh = await queue.publish()
        met = await hidden(case, queue, {message: held}, held.held_until_ns, hold_s=case.world.dialect.timeout_s)
        if fresh not in met:
            await queue.take_one(fresh)
        held = met.get(message) or await queue.take_one(message, root="VIS-2", within_s=case.world.bound_s)


@proves("VIS-1")
async def test_a_long_hold_is_held_to_its_end(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    Holds of ten seconds, and of a few seconds to an hour, of single messages and of a batch, while messages of a short
    hold lapse beside them in the same queue.
    """
    queue = await case.lasting_queue()
    held: dict[Message, Delivery] = {}
    short = await queue.publish()
    await queue.take_one(short)
    for hold_s in (*OTHER_HOLDS_S[-1 if case.world.thrift else 0 :], *VERY_LONG_HOLDS_S):
        with tolerated():  # how long a hold may be is not documented; the quickstart asks for a minute
            root = "CLAIM-1" if hold_s in VERY_LONG_HOLDS_S[:2] else UNDOCUMENTED
            message = await queue.publish()
            held[message] = await queue.take_one(message, timeout_s=hold_s, root=root)
    batch = await queue.publish_many(3)
    for delivery in await queue.take(*batch, batch_size=3, timeout_s=LONG_HOLD_S):
        held.setdefault(delivery.message, delivery)
    end_ns = max(held[message].held_until_ns for message in batch) + round(LAPSE_S * S)
    met = await hidden(case, queue, held, end_ns, hold_s=VERY_LONG_HOLDS_S[0])
    due = [message for message in batch if message not in met]
    await queue.take(*due, batch_size=3, timeout_s=VERY_LONG_HOLDS_S[0], root="VIS-2", within_s=case.world.bound_s)


@proves("VIS-1")
async def test_other_timeouts_leave_a_hold_alone(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    A neighbour is claimed for a short time after it, and nobody claims until that is over. Then a hold that is no
    whole number of seconds, which a server may refuse.
    """
    queue = await case.lasting_queue()
    shortest_s = case.world.dialect.timeout_s
    long, short, odd = await queue.publish_many(3)
    held = {long: await queue.take_one(long, timeout_s=shortest_s + 6)}
    await queue.take_one(short)
    await asyncio.sleep(shortest_s + 1.2)
    end_ns = time.monotonic_ns() + 1 * S
    with tolerated():
        held[odd] = await queue.take_one(odd, timeout_s=shortest_s + 0.9, root=UNDOCUMENTED)
        end_ns = held[odd].held_until_ns
    await hidden(case, queue, held, end_ns, hold_s=LONG_HOLD_S)


@proves("VIS-1")
async def test_neighbours_leave_a_hold_alone(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    Messages of one batch of which one each is completed, failed, released, extended, read and published again, and
    whose queue is listed, paused and resumed: the others stay hidden.
    """
    queue = await case.lasting_queue()
    queue.unmodelled = True  # it is paused and resumed in between: this case alone judges it
    messages = [await queue.publish(idempotency_key=case.world.token()) for _ in range(10)]
    held: dict[Message, Delivery] = {}
    for delivery in await queue.take(*messages, batch_size=10, timeout_s=VERY_LONG_HOLDS_S[0]):
        held.setdefault(delivery.message, delivery)
    done, failed, freed, longer, seen, again, *_ = messages
    await queue.complete(held[done])
    await case.send(wire.fail(queue.scope, held[failed].id, reason="on purpose"))
    await case.send(wire.release(queue.scope, held[freed].id))
    for message in (done, failed, freed):
        held.pop(message)
    await case.send(wire.extend(queue.scope, held[longer].id, visibility_timeout_s=VERY_LONG_HOLDS_S[1]))
    with contextlib.suppress(NotSupported):
        await queue.read(seen)
    await case.send(wire.list_queue_messages(queue.scope, queue.id))
    replay = await case.send(wire.publish(queue.scope, queue.id, again.fields))
    if replay.ok and wire.identity(replay.data) not in ("", again.id):  # its key was forgotten: that is IDEM-1's
        queue.adopt(wire.identity(replay.data), again)
    for verb in ("pause", "resume"):
        await case.send(wire.change_queue(queue.scope, queue.id, verb))
    until_ns = time.monotonic_ns() + round(2.5 * S)
    await hidden(case, queue, held, until_ns, hold_s=VERY_LONG_HOLDS_S[0])


@proves("VIS-1")
async def test_a_hold_is_whole_in_every_ordering(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    Messages of each tier and of several deadlines in queues with those orderings, and one that was delayed by about two
    seconds: each is held for a few seconds more than the shortest timeout.
    """
    not_counted(case)
    await asyncio.gather(*(held_in(case, ordering) for ordering in OTHER_ORDERINGS))


@proves("VIS-1")
async def test_no_other_key_gets_what_is_held(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    Nor by a consumer with another key, beside whose claims a message waits that is free.
    """
    key = case.key("consume")
    not_counted(case)
    queue = await case.queue()
    held = await queue.take_one(await queue.publish(), timeout_s=QUICKSTART_HOLD_S)
    await queue.publish()
    size = min(2, case.world.dialect.batch_max)
    request = wire.claim(queue.scope, queue.id, batch_size=size, visibility_timeout_s=LONG_HOLD_S)
    for _ in range(3):
        claim = await case.send(request, key=key, urgent=True, fields={"timeout_s": LONG_HOLD_S, "limit": size})
        if claim.refused:
            raise NotSupported(f"the key given as --consume-key may not claim: {claim.told()}", evidence=(claim.op,))
        queue.holding(held)
        got = [wire.identity(item) for item in (wire.rows(claim.data) or []) if isinstance(item, dict)]
        case.require(
            not claim.ok or held.id not in got,
            "a held message was handed out to a consumer with another key",
            expected=f"no delivery of {held.id} within {QUICKSTART_HOLD_S} s of its claim",
            seen=f"delivered again {(claim.ret_ns - held.claim.inv_ns) / S:.3f} s after the claim was sent",
            evidence=(held.message.publish, held.claim, claim),
        )
        await asyncio.sleep(queue.pause_s())


async def held_in(case: Case, ordering: str) -> None:
    """Claims bring none of what is held in a queue of that ordering."""
    queue, ranked = await ranked_queue(case, ordering)
    hold_s = case.world.dialect.timeout_s + 3
    with contextlib.suppress(NotSupported):
        delayed, until_ns = await publish_delayed(queue, DELAY_S)
        await all_come(queue, delayed, until_ns=until_ns, timeout_s=hold_s)
    messages = [await queue.publish(**rank) for rank in ranked]
    await queue.take(*messages, batch_size=10, timeout_s=hold_s)
    held = dict(queue.latest)
    await hidden(case, queue, held, max(delivery.held_until_ns for delivery in held.values()), hold_s=LONG_HOLD_S)


async def ranked_queue(case: Case, ordering: str) -> tuple[Queue, list[dict[str, Any]]]:
    """A queue of that ordering, of which only this case judges what comes when, and fields for its messages."""
    queue = await case.queue(ordering=ordering, root="QUEUE-3")
    queue.ordering = ""  # delayed and redelivered messages come when they can
    if ordering == "priority":
        return queue, [{"priority": {"tier": tier, "score": 500}} for tier in wire.TIERS]
    return queue, [{"deadline": case.world.in_an_hour()} for _ in range(3)]


def not_counted(case: Case) -> None:
    if case.world.client.budget.rationed:
        raise NotSupported("the server counts requests: the other orderings are left out there")


async def hidden(
    case: Case, queue: Queue, held: dict[Message, Delivery], until_ns: int, *, hold_s: int
) -> dict[Message, Delivery]:
    """Claims go on until then, and bring none of what is held for certain; what they brought, by message."""
    met: dict[Message, Delivery] = {}
    async for claim in queue.watch(until_ns, timeout_s=hold_s):
        for again in claim.deliveries:
            met[again.message] = again
            first = held.get(again.message)
            proof = double_hold(first, again) if first is not None and first is not again else ""
            case.require(
                not proof,
                "a held message was delivered again before its visibility timeout",
                expected=f"no delivery of {again.id} within {first.timeout_s if first else 0:g} s of its claim",
                seen=(
                    f"delivered again {(again.claim.ret_ns - first.claim.inv_ns) / S:.3f} s after the claim was sent"
                    if first is not None
                    else ""
                ),
                proof=proof,
                evidence=(again.message.publish, first.claim, again.claim) if first is not None else (),
            )
    return met


@proves("VIS-2")
async def test_back_after_its_timeout(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    One message, three times in a row where it may lapse often, in a queue where nothing else happens.
    """
    queue = await case.lasting_queue()
    message = await queue.publish()
    held = await queue.take_one(message)
    for _ in range(3 if queue.lasting and not case.world.client.budget.rationed else 2):
        held = await returns(case, queue, [held])


@proves("VIS-2")
async def test_back_while_others_are_held(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    Of three messages the first is held for a minute; the others, one of them with a key and without labels, lapse.
    """
    not_counted(case)
    queue = await case.lasting_queue()
    kept = await queue.publish()
    others = [await queue.publish(), await queue.publish(idempotency_key=case.world.token(), labels=None)]
    await queue.take_one(kept, timeout_s=QUICKSTART_HOLD_S)
    await queue.take(*others, batch_size=2)
    await returns(case, queue, [queue.latest[message] for message in others])


@proves("VIS-2")
async def test_back_in_every_ordering(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    Messages of each tier and of several deadlines, in queues with those orderings.
    """
    not_counted(case)

    async def lapsed(ordering: str) -> None:
        queue, ranked = await ranked_queue(case, ordering)
        messages = [await queue.publish(**rank) for rank in ranked]
        await queue.take(*messages, batch_size=10)
        await returns(case, queue, list(queue.latest.values()))

    await asyncio.gather(*(lapsed(ordering) for ordering in OTHER_ORDERINGS))


@proves("VIS-2")
async def test_back_from_one_who_may_only_consume(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    A message that was claimed with a key that may only consume, where one is given.
    """
    not_counted(case)
    key = case.world.keys.get("consume")
    if key is None:
        raise NotSupported("no key is given that may only consume")
    queue = await case.lasting_queue()
    message = await queue.publish()
    end = time.monotonic() + case.world.bound_s
    with tolerated():
        while message not in queue.latest and time.monotonic() < end:
            await queue.claim(1, key=key, refused=UNDOCUMENTED)
            await asyncio.sleep(queue.pause_s())
    if message not in queue.latest:
        raise NotSupported("a key that may only consume is handed nothing (AUTH-4)")
    await returns(case, queue, [queue.latest[message]])


@proves("VIS-2")
async def test_back_after_a_failure(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    A message that failed, was claimed again and lapses then.
    """
    not_counted(case)
    queue = await case.lasting_queue()
    message = await queue.publish()
    held = await queue.take_one(message, timeout_s=QUICKSTART_HOLD_S)
    await queue.act("fail", held, root="FAIL-1", reason="queueproof: before a lapse")
    until_ns = time.monotonic_ns() + round(BACKOFF_S * S)
    await again_by(queue, message, held, until_ns)
    await returns(case, queue, [queue.latest[message]])


async def again_by(queue: Queue, message: Message, held: Delivery, until_ns: int) -> None:
    """Claims until the message has come again; not supported when its backoff is longer."""
    async for _ in queue.watch(until_ns):
        if queue.latest[message] is not held:
            return
    raise NotSupported("a message that failed did not come back soon")


@proves("VIS-2")
async def test_back_after_other_timeouts(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    Longer timeouts than the shortest, in a queue where other messages are completed and published meanwhile.
    """
    queue = await case.lasting_queue()
    shortest_s = case.world.dialect.timeout_s
    held = []
    for hold_s in (shortest_s + 1, shortest_s + 3):
        message = await queue.publish()
        held.append(await queue.take_one(message, timeout_s=hold_s))
    done = await queue.take_one(await queue.publish(), timeout_s=LONG_HOLD_S)
    await queue.complete(done)
    await returns(case, queue, held)


@proves("VIS-2")
async def test_a_whole_batch_comes_back(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    Twelve messages claimed in one batch and four singly; nobody claims until all of them are due.
    """
    queue = await case.lasting_queue()
    many, single = (4, 2) if case.world.thrift else (12, 4)
    hold_s = case.world.dialect.timeout_s + case.world.room_s(2 * single)
    messages = await queue.publish_many(many + single)
    held = await queue.take(*messages[:many], batch_size=many, timeout_s=hold_s)
    held += await queue.take(*(set(messages) - {d.message for d in held}), timeout_s=hold_s)
    due_ns = max(delivery.over_ns for delivery in held)
    await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / S + 1.0))
    await returns(case, queue, held)


async def returns(case: Case, queue: Queue, held: list[Delivery]) -> Delivery:
    """Every one of the held messages is delivered again in time; the last such delivery.

    Late means absent from a claim that was sent after the timeout, the enforcer's second and the slack; a message
    published into the same queue then is delivered, so claims there do work (the control). One that comes only when
    that one was published was late all the same: a quiet queue would have kept it.
    """
    # A slow harness may have met a redelivery in a claim of its own set-up: that one is back already.
    missing = {delivery.message: delivery for delivery in held if queue.latest[delivery.message] is delivery}
    due_ns = max(delivery.over_ns for delivery in held)
    late_ns = due_ns + round(case.world.bound_s * S)
    last = queue.latest[held[-1].message]
    empty = 0  # claims in a row, sent after the bound, that brought nothing
    while missing:
        over = time.monotonic_ns() > max(late_ns, queue.unsure_until_ns + round(case.world.bound_s * S))
        claim = await queue.claim(10)
        for delivery in claim.deliveries:
            if missing.pop(delivery.message, None):
                last = delivery
        empty = empty + 1 if over and claim.sure and not claim.deliveries else 0
        if missing and empty >= EMPTY_IN_A_ROW:
            first = next(iter(missing.values()))
            await queue.retried_out(first.message)
            await queue.take_one(await queue.publish())
            waited_s = (claim.exchange.inv_ns - first.over_ns) / S
            case.require(
                False,
                f"{len(missing)} of {len(held)} messages did not come back after their visibility timeout",
                expected=f"{first.id} delivered within {first.timeout_s:g} s + 1 s + slack {case.world.slack_s:g} s",
                seen=f"claims stay empty {waited_s:.1f} s after the timeout, though a new message is delivered",
                proof=f"absent at {first.timeout_s + waited_s:.3f} s > {first.timeout_s + case.world.bound_s:.3f} s",
                evidence=(first.message.publish, first.claim, claim.exchange),
                liveness=True,
            )
        if missing and not claim.deliveries:
            await asyncio.sleep(queue.pause_s())
    return last


@proves("VIS-3")
async def test_it_is_the_same_message_once_more(case: Case) -> None:
    """VIS-3: The re-claim MUST show the same id and `attempts` = previous + 1.

    Three messages of a batch, redelivered twice; body and labels are the message's own as well.
    """
    queue = await case.lasting_queue()
    messages = [await queue.publish(labels={"qp-n": str(n)}) for n in range(3)]
    wait_s = case.world.dialect.timeout_s + case.world.bound_s
    previous = {d.message: d for d in await queue.take(*messages, batch_size=3)}
    for _ in range(2):
        await case.world.late_in()
        for again in await queue.take(*messages, batch_size=3, root="VIS-2", within_s=wait_s):
            if queue.unsure_until_ns:
                raise Disturbed("a claim of unknown result may have come between")
            same_again(case, previous[again.message], again)
            previous[again.message] = again


def same_again(case: Case, before: Delivery, again: Delivery) -> None:
    """A redelivery is the same message with one more attempt."""
    evidence = (before.message.publish, before.claim, again.claim)
    case.require(
        again.id == before.id,
        "a redelivered message has another id",
        expected=f"id {before.id}",
        seen=f"id {again.id}",
        evidence=evidence,
    )
    counts = isinstance(before.attempts, int) and not isinstance(before.attempts, bool)
    case.require(
        counts and same_json(again.attempts, before.attempts + 1),
        "a redelivered message does not show one more attempt",
        expected=f"attempts: {before.attempts + 1 if counts else 'one more than before'}",
        seen=f"attempts: {spell(again.attempts)} after {spell(before.attempts)}",
        evidence=evidence,
    )
