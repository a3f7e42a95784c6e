"""Where two verbs meet: holds after holds, publishes at once, rows read at every stage, retries of all kinds."""

import asyncio
import contextlib
import time
from functools import partial

from queueproof.contract import wire
from queueproof.drive.case import Case, proves
from queueproof.drive.client import Exchange
from queueproof.drive.difference import contrast
from queueproof.drive.optional import queue_with
from queueproof.drive.outcomes import NotSupported
from queueproof.drive.queue import Delivery, Message, Queue, double_hold
from queueproof.evidence.digest import same_json
from queueproof.evidence.operation import Result

S = 1_000_000_000  # ns
HOLD_S = 60
SPARING_S = 25  # a short hold where a call may wait for seconds until it is its turn
AT_ONCE, ROUNDS = 12, 3
RETRIES = 3
OTHERS = ("fail", "release", "extend")  # what may meet a complete
CADENCE_S = 1.0  # of the enforcer
LEAD_S = 0.1
BACK_S = 2  # within which what was failed or released meanwhile comes back, as a rule


@proves("VIS-1")
async def test_a_hold_outlasts_those_before_it(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    Messages that were held shortly, and released, failed, or extended, are held for long; the ends of their first
    holds pass, a fresh message is claimed meanwhile (the control), and none of them comes.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(3)
    short_s = SPARING_S if case.world.thrift else case.world.dialect.timeout_s
    first = {d.message: d for d in await queue.take(*messages, batch_size=3, timeout_s=short_s)}
    given_back: list[Message] = []
    for verb, message in zip(("release", "fail"), messages, strict=False):
        with contextlib.suppress(NotSupported):
            more = {"reason": "planned"} if verb == "fail" else {}
            await queue.act(verb, first[message], root={"release": "VIS-6", "fail": "FAIL-1"}[verb], **more)
            given_back.append(message)
    with contextlib.suppress(NotSupported):
        await queue.act("extend", first[messages[2]], root="VIS-5", visibility_timeout_s=HOLD_S)
    held = [d for d in await within(queue, given_back, short_s) if d.message in given_back]
    await asyncio.sleep(max(0.0, (max(d.over_ns for d in first.values()) - time.monotonic_ns()) / S) + 0.5)
    found = await queue.take(await queue.publish(), batch_size=5, timeout_s=HOLD_S)
    for delivery in held:
        again = [other for other in found if other.message is delivery.message]
        queue.holding(delivery)
        case.require(
            not again,
            "the end of an earlier hold freed the message from a later one",
            expected=f"no delivery of {delivery.id}, which is held for {HOLD_S} s",
            seen=f"delivered again with attempts {again[0].attempts!r}" if again else "",
            evidence=(
                delivery.message.publish,
                first[delivery.message].claim,
                delivery.claim,
                *(d.claim for d in again),
            ),
        )


async def within(queue: Queue, messages: list[Message], short_s: float) -> list[Delivery]:
    """What claims bring of these messages, with long holds, while the first holds would still have lasted."""
    end = time.monotonic() + short_s * 0.8
    found: list[Delivery] = []
    while time.monotonic() < end and {d.message for d in found} < set(messages):
        found += (await queue.claim(3, HOLD_S)).deliveries
        await asyncio.sleep(queue.pause_s())
    return found


@proves("PUB-5")
async def test_bodies_published_at_once_stay_apart(case: Case) -> None:
    """PUB-5: `body` MUST be returned on claim equal as JSON to what was published.

    Twelve messages at a time are published into one queue at the same moment, three times over.
    """
    queue = await case.queue()
    few = 3 if case.world.client.budget.rate_limited else AT_ONCE
    messages: list[Message] = []
    for _ in range(ROUNDS):
        messages += await asyncio.gather(*(queue.publish() for _ in range(few)))
    for delivery in await queue.take(*messages, batch_size=10, timeout_s=HOLD_S):
        case.require(
            same_json(delivery.body, delivery.message.body),
            "a message came back with the body of another",
            **contrast(delivery.message.body, delivery.body),
            evidence=(delivery.message.publish, delivery.claim),
        )


@proves("DONE-1")
async def test_the_row_follows_every_stage(case: Case) -> None:
    """DONE-1: Complete on a claimed message MUST set `state` `completed`.

    The row is read while the message waits, while it is held, and after it was completed.
    """
    queue = await case.queue()
    message = await queue.publish()
    shown = [wire.state(await queue.read(message))]
    delivery = await queue.take_one(message, timeout_s=HOLD_S)
    shown.append(wire.state(await queue.read(message)))
    done = await queue.complete(delivery)
    row = await case.eventually(partial(queue.read, message), lambda seen: wire.state(seen) == "completed")
    case.require(
        wire.state(row) == "completed",
        "a completed message's row does not say so",
        expected="state completed",
        seen=f"state {wire.state(row)}, after {' and '.join(shown)} before",
        evidence=(message.publish, delivery.claim, done, case.exchanges[-1]),
        liveness=True,
    )


@proves("DLQ-3")
async def test_lapsed_claims_use_up_retries(case: Case) -> None:
    """DLQ-3: With `max_retries` N >= 1, deliveries before dead-lettering MUST be N (strict) or N..N+1 (tolerant).

    Two claims lapse, then every delivery is failed: the attempts that were shown count, whatever ended them.
    """
    queue = await queue_with(case, shown="max_retries", max_retries=RETRIES)
    message = await queue.publish()
    seen: list[Delivery] = []
    for _ in range(2):
        delivery = await queue.take_one(message, root="VIS-2")
        seen.append(delivery)
        await asyncio.sleep(max(0.0, (delivery.over_ns - time.monotonic_ns()) / S))
    end = time.monotonic() + 2 * case.world.bound_s
    while time.monotonic() < end and len(seen) < RETRIES + 2:
        for delivery in (await queue.claim(1, HOLD_S)).of(message):
            seen.append(delivery)
            end = time.monotonic() + case.world.bound_s
            if len(seen) < RETRIES + 2:
                await queue.act("fail", delivery, root="FAIL-1", reason="planned")
        await asyncio.sleep(queue.pause_s())
    last = seen[-1].attempts
    case.require(
        not isinstance(last, int) or last <= RETRIES + 1,
        "a message was handed out more often than its queue allows",
        expected=f"at most {RETRIES + 1} deliveries with max_retries {RETRIES}",
        seen=f"one with attempts {last}, after failures at {RETRIES} and more",
        evidence=(message.publish, *(delivery.claim for delivery in seen)),
    )


@proves("VIS-1")
async def test_what_ends_one_hold_ends_no_other(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    Three dozen messages are held at once and a third of them is completed, one after the other; a fresh message is
    claimed then (the control), and none of the others comes with it.
    """
    queue = await case.lasting_queue()
    many = 12 if case.world.thrift else 36
    messages = await queue.publish_many(many)
    held = {d.message: d for d in await queue.take(*messages, batch_size=12, timeout_s=HOLD_S)}
    ended = messages[::3]
    for message in ended:
        await queue.complete(held[message])
    found = await queue.take(await queue.publish(), batch_size=many, timeout_s=HOLD_S)
    found += (await queue.claim(many, HOLD_S)).deliveries
    again = [delivery for delivery in found if delivery.message in held and delivery.message not in ended]
    queue.holding(*(held[delivery.message] for delivery in again))
    case.require(
        not again,
        "the completion of one message freed another from its hold",
        expected=f"no delivery of what is held for {HOLD_S} s",
        seen=f"{again[0].id} delivered again with attempts {again[0].attempts!r}" if again else "",
        evidence=(again[0].message.publish, held[again[0].message].claim, again[0].claim) if again else (),
    )


@proves("DONE-4")
async def test_a_completion_wins_every_race(case: Case) -> None:
    """DONE-4: A completed message MUST never be claimable again, also after its visibility timeout.

    A dozen messages are held, and each is failed, released or extended in the very moment in which it is completed;
    either call may be refused. What was answered as completed stays so: no claim brings it, and its row says so where
    it can be read. A fresh message is claimed meanwhile (the control).
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(len(OTHERS) if case.world.thrift else 4 * len(OTHERS))
    held = {d.message: d for d in await queue.take(*messages, batch_size=len(messages), timeout_s=HOLD_S)}
    done: dict[Message, tuple[Exchange, Exchange]] = {}
    for number, message in enumerate(messages):
        completion, other = await settled_twice(case, queue, held[message], number)
        if completion.ok and (other.ok or other.result is Result.REJECTED):
            done[message] = completion, other
            queue.done[message] = completion
    queue.holding(*held.values())
    await nothing_returns(case, queue, {message: completion for message, (completion, _) in done.items()})
    await rows_say_completed(case, queue, done)


async def nothing_returns(case: Case, queue: Queue, done: dict[Message, Exchange]) -> None:
    """No claim that is sent from now on brings what was completed; a fresh message comes (the control)."""
    found = await queue.take(await queue.publish(), batch_size=12, timeout_s=HOLD_S)
    async for claim in queue.watch(time.monotonic_ns() + (0 if case.world.thrift else BACK_S * S), timeout_s=HOLD_S):
        found += claim.deliveries
    for again in found:
        if again.message not in done or again.claim.inv_ns <= done[again.message].ret_ns:
            continue
        completion = done[again.message]
        beside = [e for e in case.exchanges if e.request.message == again.id and e is not completion]
        told = ", ".join(f"{e.request.verb} {e.told()}" for e in (completion, *beside))
        case.require(
            False,
            "a message that was completed is delivered again",
            expected=f"no delivery of {again.id} after its completion",
            seen=f"a delivery with attempts {again.attempts!r}, after the answers: {told}",
            proof=f"claimed {(again.claim.inv_ns - completion.ret_ns) / S:.3f} s after its completion was answered",
            evidence=(again.message.publish, completion, *beside, again.claim),
        )


@proves("DONE-4")
async def test_a_completion_outlives_the_pass_that_ends_its_hold(case: Case) -> None:
    """DONE-4: A completed message MUST never be claimable again, also after its visibility timeout.

    Three dozen messages are held for the same time, and completed one after the other from just before its end until
    the enforcer has surely looked: a completion may come too late, and be refused. What was answered as completed is
    not delivered again; a fresh message is (the control).
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(3 if case.world.thrift else 36)
    held = {d.message: d for d in await queue.take(*messages, batch_size=len(messages))}
    first_ns = min(delivery.held_until_ns for delivery in held.values()) - round(LEAD_S * S)
    last_ns = max(delivery.over_ns for delivery in held.values()) + round(CADENCE_S * S)
    done: dict[Message, Exchange] = {}
    for number, (message, delivery) in enumerate(held.items()):
        due_ns = first_ns + (last_ns - first_ns) * number // len(held)
        await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / S))
        completion = await case.send(wire.complete(queue.scope, delivery.id), urgent=True)
        if completion.ok:
            done[message] = queue.done[message] = completion
    await nothing_returns(case, queue, done)


async def settled_twice(case: Case, queue: Queue, held: Delivery, number: int) -> tuple[Exchange, Exchange]:
    """What comes of a complete and of another verb at once; which of them is sent first goes by the number."""
    verb = OTHERS[number % len(OTHERS)]
    other = {
        "fail": wire.fail(queue.scope, held.id, reason="planned"),
        "release": wire.release(queue.scope, held.id),
        "extend": wire.extend(queue.scope, held.id, visibility_timeout_s=HOLD_S),
    }[verb]
    fields = {"timeout_s": HOLD_S} if verb == "extend" else None
    calls = [
        case.send(wire.complete(queue.scope, held.id, response={"n": number}), burst=True),
        case.send(other, burst=True, fields=fields),
    ]
    turn = -1 if number // len(OTHERS) % 2 else 1
    await case.world.client.budget.save_up(len(calls))
    completion, beside = (await asyncio.gather(*calls[::turn]))[::turn]
    return completion, beside


async def rows_say_completed(case: Case, queue: Queue, done: dict[Message, tuple[Exchange, Exchange]]) -> None:
    """Each of these messages has a row that says `completed`, where rows can be read."""
    for message, (completion, other) in done.items():
        try:
            row = await case.eventually(partial(queue.read, message), lambda seen: wire.state(seen) == "completed")
        except NotSupported:
            return
        if wire.state(row) != "completed":
            case.refuse(
                "DONE-1",
                f"a completion was answered, and undone by {other.request.verb} that was called beside it",
                expected="state completed",
                seen=f"state {wire.state(row)}; {other.request.verb} was answered {other.told()}",
                evidence=(completion, other, case.exchanges[-1]),
            )


@proves("CLAIM-6")
async def test_what_several_give_back_is_there_once(case: Case) -> None:
    """CLAIM-6: In a `competing` queue, concurrent claims MUST never both return the same message while its lock is
    live.

    Held messages are released, failed, or both, by several calls in the same moment, each of which may be refused. Then
    claims go on for as long as it takes them to come back, and a while longer: none is held by two of them at once.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(len(GIVERS) if case.world.thrift else 3 * len(GIVERS))
    first = await queue.take(*messages, batch_size=len(messages), timeout_s=HOLD_S)
    answers = {d.message: await given_back(case, queue, d, n) for n, d in enumerate(first)}
    queue.holding(*first)
    judged = {m: calls for m, calls in answers.items() if all(call.result is not Result.UNKNOWN for call in calls)}
    back = {message for message, calls in judged.items() if any(call.ok for call in calls)}
    if not back:
        raise NotSupported("neither release nor fail gave a message back")
    held: dict[Message, Delivery] = {}
    until_ns = time.monotonic_ns() + BACK_S * S
    async for claim in queue.watch(until_ns, batch_size=3, timeout_s=HOLD_S):
        for again in claim.deliveries:
            other = held.setdefault(again.message, again)
            twice = again.message in back and other is not again
            case.require(
                not (twice and (other.claim is again.claim or double_hold(other, again))),
                "a message that was given back by several calls at once is held by two claims",
                expected=f"one holder of {again.id} at a time",
                seen=f"handed out with attempts {other.attempts!r}, and with {again.attempts!r}, each for {HOLD_S} s",
                proof=double_hold(other, again),
                evidence=(again.message.publish, *judged.get(again.message, ()), other.claim, again.claim),
            )


# What is called at once on a message that is held.
GIVERS = (("release",) * 4, ("fail",) * 4, ("release", "fail") * 2)


async def given_back(case: Case, queue: Queue, held: Delivery, number: int) -> list[Exchange]:
    """What comes of several calls at once that give a held message back."""
    verbs = GIVERS[number % len(GIVERS)]
    requests = {
        "fail": wire.fail(queue.scope, held.id, reason="planned"),
        "release": wire.release(queue.scope, held.id),
    }
    await case.world.client.budget.save_up(len(verbs))
    return await asyncio.gather(*(case.send(requests[verb], burst=True) for verb in verbs))
