"""What a queue's two counters have to show at rest, given the time that they may trail behind."""

import time
from collections.abc import Callable

from queueproof.drive.case import Case
from queueproof.drive.outcomes import Disturbed
from queueproof.drive.queue import Queue

# A hold from here on is meant to outlast the case; one that is shorter is meant to lapse in it.
LONG_S = 60

Pair = tuple[int, int]  # depth_pending, depth_claimed


async def counters_are(
    case: Case, queue: Queue, pending: int, claimed: int, *, root: str, summary: str = "", or_pending: int | None = None
) -> None:
    """Ends the case unless the counters show this; `root` is the promise that is broken when they do not.

    `or_pending`: another number that may be pending, where two are right.
    """
    allowed = {pending} if or_pending is None else {pending, or_pending}
    await _become(
        case,
        queue,
        lambda seen: seen[0] in allowed and seen[1] == claimed,
        root=root,
        summary=summary or "the counters do not tell what is pending and what is claimed",
        expected=f"depth_pending: {' or '.join(map(str, sorted(allowed)))}, depth_claimed: {claimed}",
    )


async def counters_sum_to(case: Case, queue: Queue, total: int, *, root: str, summary: str) -> None:
    """Ends the case unless both counters together show `total`."""
    await _become(
        case,
        queue,
        lambda seen: sum(seen) == total,
        root=root,
        summary=summary,
        expected=f"depth_pending + depth_claimed: {total}",
    )


async def _become(
    case: Case, queue: Queue, accept: Callable[[Pair], bool], *, root: str, summary: str, expected: str
) -> None:
    seen: Pair = await case.eventually(queue.counters, accept)
    if queue.unsettled:
        raise Disturbed("a call of unknown result may count too")
    if not accept(seen):
        now_ns = time.monotonic_ns()
        if any(d.timeout_s >= LONG_S and d.held_until_ns < now_ns for d in queue.latest.values()):
            raise Disturbed("a hold that was to last for all of the case is over")
        case.refuse(
            root,
            summary,
            expected=expected,
            seen=f"depth_pending: {seen[0]}, depth_claimed: {seen[1]}",
            evidence=case.exchanges[-1:],
        )
