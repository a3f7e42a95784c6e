"""A target that hands out only so many messages at a time to one caller: what waits behind them is not lost.

How many messages one key may hold in all queues together is not documented, and brokers know such limits (a consumer's
prefetch). Where all cases share a key such a limit starves them all. It shows as no lost message does: while N are held
nothing comes from any queue, and the completion of one in the first queue brings exactly one from the second.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence

from queueproof.contract import wire
from queueproof.drive.case import Case
from queueproof.drive.delivery import Delivery, S
from queueproof.drive.holding import EMPTY_CLAIMS, FEWEST, LONG_HOLD_S, brought, perhaps_held
from queueproof.drive.outcomes import CaseEnd, Disturbed
from queueproof.drive.queue import Queue
from queueproof.drive.world import World

# Published to each of two queues at most: a limit of twice as many hardly keeps a case from a message.
EACH = 300
EACH_TIGHT = 40  # where calls are dear; there few cases share a limit
AT_A_TIME = 8  # publishes and completions
LOOKS = 6  # one that something disturbed says nothing; with 2 % of answers lost every third is
# A claim whose answer was lost holds what it may have brought: so long that is waited for, and no longer.
UNSURE_AT_MOST_S = 2 * LONG_HOLD_S
# Hardly any case holds more at a time: so many share a limit.
A_CASE_HOLDS = 16


async def most_held(world: World) -> int | None:
    """How many messages one key holds at most, in all queues together; None when no such limit is found.

    To be called when no case is under way. What earlier cases still hold is completed first: it would lapse meanwhile.
    """
    case = Case(world, "CLAIM-1", "crowding")
    delivered = sum(len(queue.latest) for queue in world.queues)  # a limit that was met lies below
    if delivered < FEWEST:
        return None
    for _ in range(LOOKS):
        try:
            await let_go(case, world.queues)
            await _lost_claims_over(world)
            return await _looked_for(case, min(EACH_TIGHT if world.thrift else EACH, delivered + 1))
        except Disturbed:
            continue
        except CaseEnd:
            break
    return None


async def let_go(case: Case, queues: Iterable[Queue]) -> None:
    """Completes what is held of these queues, with the run's own key; not at a server that does not answer."""
    held = [(queue, delivery) for queue in queues for delivery in perhaps_held(queue)]
    for begun in range(0, len(held), AT_A_TIME):
        group = held[begun : begun + AT_A_TIME]
        ends = await asyncio.gather(*(case.send(wire.complete(queue.scope, one.id)) for queue, one in group))
        if all(end.answer is None for end in ends):
            return


def at_once(most: int) -> int:
    """How many cases may share such a limit."""
    return max(1, most // A_CASE_HOLDS)


async def _lost_claims_over(world: World) -> None:
    """Waits until what claims without an answer may hold has lapsed: it would take the places that are counted."""
    unsure_ns = max((queue.unsure_until_ns for queue in world.queues), default=0)
    left_s = (unsure_ns - time.monotonic_ns()) / S
    await asyncio.sleep(min(max(0.0, left_s + world.bound_s if unsure_ns else 0.0), UNSURE_AT_MOST_S))


async def _looked_for(case: Case, each: int) -> int | None:
    queues = [await case.queue(), await case.queue()]
    for queue in queues:
        for begun in range(0, each, AT_A_TIME):
            await asyncio.gather(*(queue.publish() for _ in range(min(AT_A_TIME, each - begun))))
    held = await _in_turn(queues, each)
    holder, other = (0, 1) if held[0] else (1, 0)
    if each in map(len, held):
        return None
    _undisturbed(queues)
    if not held[holder]:
        return None
    await queues[holder].complete(held[holder][0])
    came = await brought(queues[other], most=1, within_s=case.world.bound_s)
    _undisturbed(queues)
    if len(came) > 1:
        raise Disturbed("another hold may have ended meanwhile")
    queues[holder].holding(*held[holder][1:])
    if not came:
        return None
    await let_go(case, queues)
    return sum(map(len, held))


def _undisturbed(queues: Sequence[Queue]) -> None:
    """Ends the look where the answer of one of its claims was lost; a lost publish only leaves one message more."""
    if any(queue.unsure_until_ns for queue in queues):
        raise Disturbed("a claim whose answer was lost may hold what was waited for")


async def _in_turn(queues: Sequence[Queue], each: int) -> list[list[Delivery]]:
    """What claims on one queue after the other bring, until they bring nothing more or all of one."""
    found: list[list[Delivery]] = [[] for _ in queues]
    empty = 0
    while empty < EMPTY_CLAIMS * len(queues) and all(len(some) < each for some in found):
        for queue, some in zip(queues, found, strict=True):
            claim = await queue.claim(10, LONG_HOLD_S)
            some += claim.deliveries
            empty = 0 if claim.deliveries else empty + 1
        if empty:
            await asyncio.sleep(queues[0].pause_s())
    return found
