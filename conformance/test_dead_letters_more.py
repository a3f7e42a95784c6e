"""VIS, DONE: a dead letter that a claim brings is held, lapses, is given back and is completed like any message."""

import asyncio
import itertools
import time

from queueproof.contract import wire
from queueproof.drive.burial import HOLD_S, Buried, bury, bury_in, claimed, undisturbed
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.delivery import Delivery, double_hold
from queueproof.drive.optional import answered
from queueproof.drive.outcomes import Disturbed, NotSupported
from queueproof.drive.queue import BACKOFF_S, EMPTY_IN_A_ROW
from queueproof.evidence.digest import same_json
from queueproof.evidence.operation import Result

S = 1_000_000_000  # ns
# What a completed dead letter would come back within, once its hold is over as well.
AFTERWARDS_S = 1.5
# A dead letter is completed within so much more than the shortest hold.
ROOM_S = 2
RESPONSE = {"resolved": [True, "by hand"]}


async def deliveries(case: Case, buried: Buried, *, hold_s: float) -> list[Delivery]:
    """What one claim of `_dead_letter` brings of the message, under whatever id."""
    scope, queue = buried.queue.scope, buried.letters.id
    size = min(5, case.world.dialect.batch_max)
    request = wire.claim(scope, queue, batch_size=size, visibility_timeout_s=hold_s)
    exchange = await case.send(request, urgent=True, fields={"timeout_s": hold_s, "limit": size})
    items = [item for item in (wire.rows(exchange.data) or []) if isinstance(item, dict)] if exchange.ok else []
    found = [item for item in items if buried.letters.shows(item, buried.message)]
    return [as_delivery(buried, item, exchange, hold_s) for item in found]


def as_delivery(buried: Buried, item: dict[str, object], exchange: Exchange, hold_s: float) -> Delivery:
    return Delivery(message=buried.message, item=item, claim=exchange, timeout_s=hold_s, position=0)


def not_counted(case: Case) -> None:
    """Ends the case where a limit makes calls dear: a dead letter costs many."""
    if case.world.thrift:
        raise NotSupported("requests are counted: dead letters are claimed in a run without a limit alone")


@proves("VIS-1")
async def test_a_dead_letter_is_held_by_one(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    Nor a dead letter, where `_dead_letter` can be claimed from. Claims go on until it is back; one that does not come
    back may not stay claimed, nor be gone, while another that is buried then is claimed (the control).
    """
    not_counted(case)
    hold_s = case.world.dialect.timeout_s
    buried = await bury(case, letters_hold_s=hold_s)
    buried.queue.unmodelled = True  # its message goes on in another queue
    identity = await claimed(case, buried)
    held = [as_delivery(buried, *pair, hold_s) for pair in buried.claimed if wire.identity(pair[0]) == identity]
    late_ns = held[-1].over_ns + round(BACKOFF_S * S)
    empty = 0
    while empty < EMPTY_IN_A_ROW and len(held) == 1:
        over = time.monotonic_ns() > late_ns
        again = await deliveries(case, buried, hold_s=hold_s)
        held += [delivery for delivery in again if delivery.id == identity]  # a copy would be for GHOST-1 to tell
        empty = empty + 1 if over else 0
        await asyncio.sleep(buried.queue.pause_s(0.2))
    for first, second in itertools.pairwise(held):
        proof = double_hold(first, second)
        case.require(
            not proof,
            "a dead letter that is held was handed out again",
            expected=f"no delivery of {identity} within {hold_s} s of its claim",
            seen=f"delivered again {(second.claim.ret_ns - first.claim.inv_ns) / S:.3f} s after the claim was sent",
            proof=proof,
            evidence=(buried.message.publish, *buried.fails, first.claim, second.claim),
        )
    if len(held) == 1:
        await stuck(case, buried, held[0])


async def stuck(case: Case, buried: Buried, held: Delivery) -> None:
    """The dead letter never came back: its row, in the list of `_dead_letter`, must be there and not claimed.

    Whether a dead letter that has lapsed can be claimed once more is not documented.
    """
    undisturbed(case, buried)
    await another(case, buried)
    buried.letters.claimable = False
    row = await buried.letters.find(buried.message)
    if not buried.letters.readable:
        raise NotSupported("the list of _dead_letter cannot be read")
    undisturbed(case, buried)
    if row is None or wire.state(row[0]) == "claimed":
        case.refuse(
            "LOSS-1" if row is None else "LOSS-3",
            "a dead letter whose hold is over " + ("is gone" if row is None else "stays claimed"),
            expected=f"{held.id} in _dead_letter, and claimed by nobody",
            seen="no such row" if row is None else "state claimed",
            proof=f"its hold was over {BACKOFF_S:g} s before",
            evidence=(buried.message.publish, *buried.fails, held.claim, case.exchanges[-1]),
            liveness=True,
        )


async def another(case: Case, buried: Buried) -> None:
    """A second message of the queue is buried, and claims of `_dead_letter` bring it; else nothing can be told."""
    await claimed(case, await bury_in(case, buried.queue, buried.letters))


@proves("VIS-1")
async def test_a_released_dead_letter_is_held_by_the_next(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    Nor a dead letter that was claimed for a short time, released, and claimed again for long, where that is to be had:
    claims go on until after the end of the first hold.
    """
    not_counted(case)
    short_s = case.world.dialect.timeout_s + ROOM_S
    buried = await bury(case, letters_hold_s=short_s)
    first = await given_back(case, buried, short_s)
    held: list[Delivery] = []
    while not held and time.monotonic_ns() < first.over_ns:
        held += [again for again in await deliveries(case, buried, hold_s=HOLD_S) if again.id == first.id]
        await asyncio.sleep(buried.queue.pause_s(0.1))
    if not held:
        undisturbed(case, buried)
        raise NotSupported("a dead letter that was released is not handed out again at once")
    while time.monotonic_ns() < first.over_ns + round(AFTERWARDS_S * S):
        held += [again for again in await deliveries(case, buried, hold_s=HOLD_S) if again.id == first.id]
        await asyncio.sleep(buried.queue.pause_s(0.3))
    for other in held[1:]:
        proof = double_hold(held[0], other)
        case.require(
            not proof,
            "the end of a dead letter's hold that was released freed the next holder's",
            expected=f"no delivery of {first.id} within {HOLD_S} s of its claim",
            seen=f"delivered again {(other.claim.ret_ns - held[0].claim.inv_ns) / S:.3f} s after the claim was sent",
            proof=proof,
            evidence=(buried.message.publish, *buried.fails, first.claim, held[0].claim, other.claim),
        )


@proves("VIS-6")
async def test_a_release_gives_a_dead_letter_back(case: Case) -> None:
    """VIS-6: Release MUST make the message claimable before the timeout.

    Also a dead letter, where it can be claimed and released. One that can be claimed again when its hold is over, and
    not before, though the hold is longer than any backoff, was not released.
    """
    not_counted(case)
    hold_s = round(BACKOFF_S) + ROOM_S
    buried = await bury(case, letters_hold_s=hold_s)
    held = await given_back(case, buried, hold_s)
    late_ns = held.over_ns + round(case.world.bound_s * S)
    while time.monotonic_ns() < late_ns:
        again = [found for found in await deliveries(case, buried, hold_s=hold_s) if found.id == held.id]
        if again and again[0].claim.inv_ns > held.held_until_ns:
            undisturbed(case, buried)
            case.require(
                False,
                "a dead letter that was released can be claimed again only when its hold is over",
                expected=f"a delivery of {held.id} within {BACKOFF_S:g} s of its release",
                seen=f"none until {(again[0].claim.ret_ns - held.claim.inv_ns) / S:.1f} s after its claim",
                proof=f"its hold was over {hold_s} s after that claim",
                evidence=(buried.message.publish, *buried.fails, held.claim, again[0].claim),
                liveness=True,
            )
        if again:
            return
        await asyncio.sleep(buried.queue.pause_s(0.3))
    undisturbed(case, buried)
    raise NotSupported("a dead letter that was claimed once cannot be claimed again")


async def given_back(case: Case, buried: Buried, hold_s: float) -> Delivery:
    """Releases the dead letter that a claim has brought for so long; not supported where that is refused."""
    buried.queue.unmodelled = True  # its message goes on in another queue
    identity = await claimed(case, buried)
    held = as_delivery(buried, *buried.claimed[-1], hold_s)
    sent = await case.send(wire.release(buried.queue.scope, identity), urgent=True)
    if sent.result is Result.UNKNOWN:
        raise Disturbed("the release of a dead letter was not answered")
    if time.monotonic_ns() > held.held_until_ns:
        raise Disturbed("it took so long that the dead letter's hold may have lapsed meanwhile")
    if not sent.ok:
        raise NotSupported(f"a dead letter cannot be released: {sent.told()}", evidence=(sent.op,))
    return held


@proves("DONE-4")
async def test_a_completed_dead_letter_stays_completed(case: Case) -> None:
    """DONE-4: A completed message MUST never be claimable again, also after its visibility timeout.

    Nor a dead letter, where `_dead_letter` can be claimed from and what a claim brought can be completed: its row says
    completed and keeps the response, and claims go on until after its hold. Another dead letter is claimed then (the
    control).
    """
    not_counted(case)
    hold_s = case.world.dialect.timeout_s + case.world.room_s(2) + ROOM_S
    buried = await bury(case, letters_hold_s=hold_s)
    buried.queue.unmodelled = True  # its message goes on in another queue
    scope = buried.queue.scope
    identity = await claimed(case, buried)
    done = await case.send(wire.complete(scope, identity, response=RESPONSE), urgent=True)
    if done.result is Result.UNKNOWN:
        raise Disturbed("the completion of a dead letter was not answered")
    if not done.ok and time.monotonic_ns() > as_delivery(buried, *buried.claimed[-1], hold_s).held_until_ns:
        raise Disturbed("it took so long that the dead letter's hold may have lapsed meanwhile")
    if not done.ok:
        raise NotSupported(f"a dead letter cannot be completed: {done.told()}", evidence=(done.op,))
    late = await row_tells(case, buried, identity)
    end = time.monotonic() + hold_s + AFTERWARDS_S
    while time.monotonic() < end:
        again = await deliveries(case, buried, hold_s=hold_s)
        for delivery in again:
            case.require(
                delivery.id != identity or delivery.claim.inv_ns < done.ret_ns,
                "a completed dead letter was handed out again",
                expected=f"no delivery of {identity} after its completion",
                seen=f"a delivery {(delivery.claim.inv_ns - done.ret_ns) / S:.3f} s after it was acknowledged",
                evidence=(buried.message.publish, *buried.fails, done, delivery.claim),
            )
        await asyncio.sleep(buried.queue.pause_s(0.3))
    await another(case, buried)
    if late:
        root, expected, seen = late
        case.refuse(
            root,
            "the row of a completed dead letter does not say so",
            expected=expected,
            seen=seen,
            evidence=(buried.message.publish, *buried.fails, done, case.exchanges[-1]),
            liveness=True,
        )


Wrong = tuple[str, str, str]  # the promise, what was expected, what was seen


async def row_tells(case: Case, buried: Buried, identity: str) -> Wrong | None:
    """What the dead letter's row says otherwise than it should, once it had its time.

    Only where the row is shown by its id: how else it may be read is not documented, nor what other states are called.
    """

    async def wrong() -> Wrong | None:
        row = await answered(case, wire.read_message(buried.queue.scope, identity))
        shown = row.data if row.ok and isinstance(row.data, dict) else {}
        state = wire.state(shown)
        if state in ("pending", "claimed"):
            return "DONE-1", "state completed", f"state {state}"
        if state == "completed" and "response" in shown and not same_json(shown["response"], RESPONSE):
            return "DONE-2", f"response {spell(RESPONSE)}", f"response {spell(shown['response'])}"
        return None

    found: Wrong | None = await case.eventually(wrong, lambda seen: seen is None)
    return found
