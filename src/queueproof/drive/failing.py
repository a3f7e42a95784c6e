"""Messages that fail and have attempts left: how they are failed, and how they come back."""

import contextlib
from typing import Any

from queueproof.drive.case import Case
from queueproof.drive.client import Exchange
from queueproof.drive.delivery import Delivery, Message
from queueproof.drive.optional import queue_with, tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, Blocked, Inconclusive, NotSupported, Violation
from queueproof.drive.queue import BACKOFF_S, Queue

# Longer than every wait here: what comes back was given back, and did not lapse.
HOLD_S = 60
REASON = "queueproof: on purpose"


async def forgiving(case: Case, retries: int = 10, **fields: Any) -> Queue:
    """A queue whose messages may fail more often than a case lets them."""
    return await queue_with(case, shown="max_retries", max_retries=retries, **fields)


async def fail(queue: Queue, delivery: Delivery, reason: str | None = REASON) -> Exchange:
    """Fails it, for None without a reason: that one is needed is not documented, but a server may demand it."""
    if reason is None:
        with contextlib.suppress(NotSupported), tolerated():
            return await queue.act("fail", delivery, root=UNDOCUMENTED, faults="FAIL-1")
    return await queue.act("fail", delivery, root="FAIL-1", reason=reason or REASON)


async def comes_back(queue: Queue, message: Message) -> Delivery:
    """The next delivery of a failed message.

    How long a backoff may be is not documented. One that is not over after BACKOFF_S is no fault while the row shows
    when it will be, or cannot be read; a row that shows nothing of the kind, or a moment that is long past, leaves
    nothing to wait for.
    """
    doing = "a failed message did not come back"
    try:
        return await queue.take_one(message, timeout_s=HOLD_S, root="FAIL-1", within_s=BACKOFF_S, doing=doing)
    except (Violation, Blocked) as end:
        if end.summary != doing:
            raise
        with contextlib.suppress(NotSupported):
            row = await queue.read(message)
            due = row.get("visible_at") or row.get("delay_until")
            if not due or _over(queue, message, due):
                raise
        raise Inconclusive(f"{doing} within {BACKOFF_S:g} s: its backoff may be longer", evidence=end.evidence) from end


def _over(queue: Queue, message: Message, due: Any) -> bool:
    """Whether the moment that the row tells is the failure's own, and has long come."""
    failed_ns = max((call.inv_ns for call in queue.case.exchanges if _fails(call, message)), default=0)
    skew = queue.world.client.skew
    return bool(failed_ns) and skew.past(due, by_s=queue.world.bound_s) and skew.after(due, failed_ns)


def _fails(call: Exchange, message: Message) -> bool:
    return call.request.verb == "fail" and call.request.message == message.id
