"""A queue that hands out only so many messages at a time: what waits behind them is not lost.

How many messages of a queue may be held at once is not documented, and brokers know such limits (a prefetch, a number
of unacknowledged messages). Such a limit has a signature that no lost message has: while N are held nothing comes,
old or new, and the completion of one brings exactly one.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from queueproof.drive.delivery import Delivery, Message, S
from queueproof.drive.outcomes import Disturbed, FewHeld

if TYPE_CHECKING:
    from queueproof.drive.queue import Queue

# A queue whose only held message keeps all the others from everybody has no competing consumers.
FEWEST = 2
# Empty claims that show that nothing comes: before the completion, and after it brought one.
EMPTY_CLAIMS = 3
CLAIMS_AT_MOST = 200
ENDS_A_HOLD = frozenset({"complete", "release", "fail", "extend"})
LONG_HOLD_S = 60
# So long at least the holds have to last while it is looked at how many there may be.
LOOK_S = LONG_HOLD_S / 3
LOOKS = 5  # what is held for long again and again is not waited for


async def limited(queue: "Queue", missing: Message) -> None:
    """Ends the case as not supported where so many messages are held that the queue hands out no more.

    To be called when `missing` did not come in its time. Completes one held message to find out. Where the queue takes
    no other message beside it, it has to be the one that comes then.
    """
    await _held_longer(queue)
    held = surely_held(queue)
    if len(held) < FEWEST:
        return
    unsure_ns = queue.unsure_until_ns
    alone = bool(queue.fields.get("max_depth"))  # a full queue takes no other
    if not alone:
        await queue.publish()
    beyond = await brought(queue, most=0, within_s=0.0)
    queue.holding(*held)  # else what came may be what lapsed meanwhile
    if beyond:
        return
    await queue.complete(held[0])
    came = await brought(queue, most=1, within_s=queue.world.bound_s)
    if queue.unsure_until_ns != unsure_ns:
        raise Disturbed("a claim whose answer was lost may hold what was waited for")
    queue.holding(*held[1:])
    if len(came) != 1 or (alone and came[0].message is not missing):
        return
    if queue.unsettled:
        raise Disturbed("a call of unknown result may be why a message did not come")
    raise FewHeld(
        f"the queue hands out no more than {len(held)} of its messages at a time: with so many held nothing came, "
        "and the completion of one brought exactly one"
    )


async def _held_longer(queue: "Queue") -> None:
    """Holds for long what is over soon, so that how many are held stands still while it is looked at.

    Where the oldest go out first, those that lapse again and again keep a limit full for ever.
    """
    for _ in range(LOOKS):
        now_ns = time.monotonic_ns()
        open_ns = [delivery.over_ns for delivery in _unended(queue)]
        soon_ns = [over_ns for over_ns in open_ns if over_ns < now_ns + LOOK_S * S]
        if len(open_ns) < FEWEST or not soon_ns:
            return
        await _taken_anew(queue, max(now_ns, *soon_ns) + S)


async def _taken_anew(queue: "Queue", end_ns: int) -> None:
    """Claims until nothing more comes after `end_ns`."""
    empty = after = 0  # claims that brought nothing, and all, of those that were sent after it
    while empty < EMPTY_CLAIMS and after < CLAIMS_AT_MOST:
        claim = await queue.claim(10, LONG_HOLD_S)
        over = claim.exchange.inv_ns >= end_ns
        empty = empty + 1 if over and not claim.deliveries else 0
        after += over
        if not claim.deliveries:
            await asyncio.sleep(queue.pause_s())


async def brought(queue: "Queue", *, most: int, within_s: float) -> list[Delivery]:
    """What comes until so many have come and then nothing more, or until more have come, or none in its time."""
    found: list[Delivery] = []
    empty = 0  # claims in a row that brought nothing, of those sent after `most` had come
    end = time.monotonic() + within_s
    for _ in range(CLAIMS_AT_MOST):
        claim = await queue.claim(10, LONG_HOLD_S)
        found += claim.deliveries
        empty = empty + 1 if len(found) == most and not claim.deliveries else 0
        if len(found) > most or empty == EMPTY_CLAIMS or (len(found) < most and time.monotonic() > end):
            break
        if not claim.deliveries:
            await asyncio.sleep(queue.pause_s())
    return found


def surely_held(queue: "Queue") -> list[Delivery]:
    """The last deliveries whose holds have not ended for certain, oldest first."""
    now_ns = time.monotonic_ns()
    return [delivery for delivery in _unended(queue) if now_ns + S < delivery.held_until_ns]


def perhaps_held(queue: "Queue") -> list[Delivery]:
    """The last deliveries that may be held still: not completed, and not over for certain unless they were extended."""
    now_ns = time.monotonic_ns()
    extended = {call.request.message for call in queue.case.exchanges if call.request.verb == "extend"}
    return [
        delivery
        for message, delivery in queue.latest.items()
        if message not in queue.done and (now_ns < delivery.over_ns or delivery.id in extended)
    ]


def _unended(queue: "Queue") -> list[Delivery]:
    """The last deliveries whose holds no call has ended, oldest first: only their timeouts do."""
    ended = {(call.request.message, call.inv_ns) for call in queue.case.exchanges if call.request.verb in ENDS_A_HOLD}
    return [
        delivery
        for delivery in queue.latest.values()
        if not any(message == delivery.id and inv_ns > delivery.claim.inv_ns for message, inv_ns in ended)
    ]
