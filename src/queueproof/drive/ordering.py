"""What the ORD cases share: publishing far enough apart, and reading an inversion off deliveries soundly."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from queueproof.drive.case import Case
from queueproof.drive.outcomes import Blocked, Disturbed
from queueproof.drive.queue import QUICKSTART_PRIORITY, Delivery, Message, Queue, S
from queueproof.drive.world import World
from queueproof.evidence.margins import FRESH_NS, SIGHT_NS

# Two publishes closer than this may share a time stamp, and then their order is not documented.
APART_S = 0.008


async def spaced(queue: Queue, fields: Sequence[dict[str, Any]], *, root: str = "PUB-1") -> list[Message]:
    """Publishes one after the other, far enough apart that no two share a time stamp, and until all are in sight."""
    messages = []
    for more in fields:
        messages.append(await queue.publish(root=root, **more))
        await asyncio.sleep(APART_S)
    await in_sight(queue)
    return messages


def sight_ns(queue: Queue) -> int:
    """So long after its publish a message may not be seen yet; where the oldest goes first, those before it are."""
    return SIGHT_NS if queue.fields.get("ordering") in {"priority", "deadline"} else 0


async def in_sight(queue: Queue) -> None:
    """Waits until claims see whatever was published."""
    last_ns = max((message.publish.ret_ns for message in queue.known), default=0) + sight_ns(queue)
    await asyncio.sleep(max(APART_S, (last_ns - time.monotonic_ns()) / S))


async def fitting(queue: Queue, *, root: str = "PUB-1", **fields: Any) -> Message:
    """A message, with a deadline where a queue ordered by deadline wants one: whether it may is not documented."""
    if queue.fields.get("ordering") != "deadline":
        return await queue.publish(root=root, **fields)
    try:
        return await queue.publish(root="no deadline", **fields)
    except Blocked:
        return await queue.publish(root=root, deadline=queue.case.world.in_an_hour(), **fields)


def ranked_fields(world: World) -> dict[str, dict[str, Any]]:
    """What a message is published with to have a place of its own: by the orderings that are not fifo."""
    return {"priority": {"priority": QUICKSTART_PRIORITY}, "deadline": {"deadline": world.in_an_hour()}}


def in_order(
    case: Case,
    queue: Queue,
    found: Sequence[Delivery],
    best_first: Sequence[Message],
    better: str,
    *,
    label: Callable[[Message], str] = lambda message: message.token.rpartition(".")[2],
    places: Mapping[Message, int] | None = None,
    ages: bool = False,
    liveness: bool = False,
) -> None:
    """Ends the case as violated when a claim brought a message while a better one was in sight, and not yet delivered.

    `places`: where each message belongs (default: its number in `best_first`); those of one place are not compared, nor
    those of one answer, nor redeliveries. A claim of unknown result may have held a better one: the case starts anew.
    So it does, with `ages`, where the message that came first had waited for long: it may have been raised by its age.
    `liveness`: the better one may have come late, so that one observation proves nothing.
    """
    if queue.unsure_until_ns:
        raise Disturbed("a claim of unknown result may have held a message")
    sight = sight_ns(queue)
    place = places or {message: number for number, message in enumerate(best_first)}
    firsts: dict[Message, Delivery] = {}
    for delivery in found:
        if delivery.attempts == 1 or "attempts" not in delivery.item:
            firsts.setdefault(delivery.message, delivery)
    for late in firsts.values():
        for early in firsts.values():
            overtook = (
                early.claim.ret_ns < late.claim.inv_ns
                and place[early.message] > place[late.message]
                and late.message.publish.ret_ns + sight < early.claim.inv_ns
            )
            if overtook and ages and early.claim.ret_ns - early.message.publish.inv_ns > FRESH_NS:
                raise Disturbed("it took so long that a message may have been raised by its age")
            case.require(
                not overtook,
                f"a message was handed out before one {better}",
                expected=f"in the order {' '.join(label(message) for message in best_first)}",
                seen=f"in the order {' '.join(label(message) for message in firsts)}",
                proof=f"the claim of {label(early.message)} returned before that of {label(late.message)} was sent",
                evidence=(late.message.publish, early.message.publish, early.claim, late.claim),
                liveness=liveness,
            )


def ranked(case: Case, queue: Queue, found: Sequence[Delivery], best_first: Sequence[Message]) -> None:
    """What was found came by its score."""
    in_order(
        case,
        queue,
        found,
        best_first,
        "of higher score",
        label=lambda message: str(message.fields["priority"]["score"]),
        ages=True,
    )
