"""VIS, CLAIM: what holds the first few times holds the twelfth time as well."""

import itertools
import time

from queueproof.drive.case import Case, proves, spell
from queueproof.drive.difference import contrast
from queueproof.drive.queue import Delivery, Message, Queue
from queueproof.evidence.digest import same_json
from queueproof.evidence.operation import Result

HOLD_S = 60
MANY = 12
# Where `max_retries` was not taken, more deliveries might be a message's end.
FEW = 2
# A release that backs off for longer than this is not repeated often.
QUICK_S = 0.7


@proves("VIS-6")
async def test_a_release_works_each_time(case: Case) -> None:
    """VIS-6: Release MUST make the message claimable before the timeout.

    One message, held for long and released a dozen times: it comes back each time, with its id and body. Fewer times
    where the server backs off before it hands a released message out.
    """
    queue = await case.lasting_queue()
    message = await queue.publish()
    for delivery in await released_again_and_again(queue, message):
        case.require(
            same_json(delivery.body, message.body),
            "a message that was released often comes back with another body",
            **contrast(message.body, delivery.body),
            evidence=(message.publish, delivery.claim),
        )


@proves("CLAIM-4")
async def test_attempts_grow_without_end(case: Case) -> None:
    """CLAIM-4: `attempts` MUST be 1 on the first claim and grow by one per later claim.

    One message is released a dozen times, and then left to lapse. A release may give its own attempt back (that is not
    documented), so after each of them the number is the one before or one more; after the lapse it is one more. A claim
    whose answer was lost may have counted too.
    """
    queue = await case.lasting_queue()
    message = await queue.publish()
    seen = await released_again_and_again(queue, message)
    await queue.act("release", seen[-1], root="VIS-6")
    seen.append(await queue.given_back(message))
    for before, after in itertools.pairwise(seen):
        grown(case, before, after, least=0)
    await case.world.late_in()
    wait_s = case.world.dialect.timeout_s + case.world.bound_s
    again = await queue.take_one(message, root="VIS-2", within_s=wait_s)
    grown(case, seen[-1], again, least=1)


def grown(case: Case, before: Delivery, after: Delivery, *, least: int) -> None:
    """The later delivery shows one attempt more, or, where `least` is 0, as many as before; a lost claim may be one."""
    known = isinstance(before.attempts, int) and not isinstance(before.attempts, bool)
    lost = sum(call.request.verb == "claim" and call.result is Result.UNKNOWN for call in case.exchanges)
    allowed = [before.attempts + more for more in range(least, 2 + lost)] if known else []
    case.require(
        any(same_json(after.attempts, number) for number in allowed),
        "attempts do not go on growing by one",
        expected=f"attempts: {' or '.join(map(str, allowed)) or 'a whole number'}",
        seen=f"attempts: {spell(after.attempts)} after {spell(before.attempts)}",
        evidence=(before.message.publish, before.claim, after.claim),
    )


async def released_again_and_again(queue: Queue, message: Message) -> list[Delivery]:
    """The deliveries of a message that is released after each but the last; ends the case when one does not come."""
    times = MANY if queue.lasting and not queue.world.thrift else FEW
    found = [await queue.take_one(message, timeout_s=HOLD_S)]
    for _ in range(times):
        released = time.monotonic()
        await queue.act("release", found[-1], root="VIS-6")
        found.append(await queue.given_back(message, timeout_s=HOLD_S))
        if time.monotonic() > released + QUICK_S:
            break
    return found
