"""What a message that does not come may mean: lost, late, retried out, or held by the case itself."""

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NoReturn

from queueproof.contract import wire
from queueproof.drive.delivery import Claim, Message, S
from queueproof.drive.holding import LONG_HOLD_S, limited
from queueproof.drive.outcomes import Disturbed, Inconclusive, NotSupported

if TYPE_CHECKING:
    from queueproof.drive.queue import Queue

# A fresh message shows that claims work: this many claims may pass until it comes.
CONTROL_CLAIMS = 20
# A queue that dead-letters what lapses hands a message out this often at least (a cap of one retry would be odd).
LAPSES_ALLOWED = 2
# What may end or shorten a hold.
GIVES_BACK = frozenset({"release", "fail", "extend"})


async def undelivered(queue: "Queue", message: Message, claim: Claim, root: str, doing: str) -> NoReturn:
    """A message did not come in its time. Where others of its queue did, it is lost rather than claims broken.

    Under fifo ordering, a message that was published later and is delivered now proves it without a clock: the
    missing one is older, was never delivered, and no claim of unknown result can hold it.
    """
    await retried_out(queue, message)
    if _held(queue, message):
        raise Disturbed("the message that is waited for is held by an earlier claim of this case")
    await limited(queue, message)
    waited_s = (claim.exchange.ret_ns - message.publish.ret_ns) / S
    evidence = [message.publish, claim.exchange]
    proven = False
    if message not in queue.latest and queue.latest:
        root = queue.case.requirement if root == queue.case.requirement else "LOSS-1"
        control = None if queue.fields.get("max_depth") else await queue.publish()  # a full queue takes none
        for _ in range(CONTROL_CLAIMS if control else 0):
            found = await queue.claim(1, LONG_HOLD_S)
            if found.of(message):
                break  # late all the same: it took another publish to bring it
            if control and found.of(control):
                proven = queue.ordering == "fifo" and not queue.unsure_until_ns
                evidence += [control.publish, found.exchange]
                break
            await asyncio.sleep(queue.pause_s())
    queue.case.refuse(
        root,
        doing,
        expected=f"a delivery of {message.id}",
        seen=f"claims came back without it for {waited_s:.1f} s after its publish"
        + (", and with a message that was published later" if proven else ""),
        proof=f"still absent from a claim {waited_s:.3f} s after the publish was acknowledged",
        evidence=evidence,
        liveness=not proven,
    )


def _held(queue: "Queue", message: Message) -> bool:
    """Whether its last delivery may still be held: not given back since, nor surely over."""
    latest = queue.latest.get(message)
    if latest is None or time.monotonic_ns() > latest.over_ns:
        return False
    return not any(
        call.request.message == latest.id and call.request.verb in GIVES_BACK and call.inv_ns > latest.claim.inv_ns
        for call in queue.case.exchanges
    )


async def retried_out(queue: "Queue", message: Message) -> None:
    """Ends the case as inconclusive when an absent message may have used up its retries by lapsing.

    How many lapses a queue allows by default, and whether they dead-letter at all, is not documented (Q3).
    """
    if queue.counts[message] < LAPSES_ALLOWED:
        return
    with contextlib.suppress(NotSupported):
        row = await queue.read(message)
        if wire.state(row) in {"pending", "claimed"} and row.get("queue_id", queue.id) == queue.id:
            return
    raise Inconclusive(f"after {queue.counts[message]} deliveries the message may have used up its retries")
