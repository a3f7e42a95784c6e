"""What a holder does to a message: complete, fail, release and extend, and what their answers may mean."""

import time
from typing import TYPE_CHECKING, Any

from queueproof.contract import wire
from queueproof.contract.wire import ABSENT
from queueproof.drive.client import Exchange
from queueproof.drive.delivery import Delivery
from queueproof.drive.outcomes import Disturbed, NotSupported
from queueproof.evidence.operation import Result

if TYPE_CHECKING:
    from queueproof.drive.queue import Queue

# Path and fields of fail, release and extend are not documented: a server may want them otherwise.
NOT_UNDERSTOOD = frozenset({400, 415, 422})


async def complete(queue: "Queue", delivery: Delivery, *, response: Any = ABSENT, root: str = "DONE-1") -> Exchange:
    """Completes what was claimed. A try of unknown result is repeated; a refusal after one is no fault."""
    if delivery.message in queue.done:  # delivered twice on the way, and completed by its other delivery
        return queue.done[delivery.message]
    request = wire.complete(queue.scope, delivery.id, response=response)
    exchange = await queue.case.send(request, urgent=True)
    if exchange.ok:
        queue.done[delivery.message] = exchange
        return exchange
    if exchange.result is Result.REJECTED:
        queue.case.permitted(exchange)
        if time.monotonic_ns() > delivery.held_until_ns:
            raise Disturbed("a completion came after the lock's end")
        queue.case.refuse(
            root,
            f"completing a claimed message was answered {exchange.told()}",
            expected="a 2xx answer",
            seen=exchange.answer.text[:300] if exchange.answer else "",
            evidence=(delivery.claim, exchange),
        )
    again = await queue.case.send(request, urgent=True)
    if again.ok:
        queue.done[delivery.message] = again
        return again
    raise Disturbed(f"whether a completion happened is unknown: {exchange.why}")


async def act(
    queue: "Queue", verb: str, delivery: Delivery, *, root: str, burst: bool = False, **values: Any
) -> Exchange:
    """`verb`: "fail", "release" or "extend" on what was claimed; an optional path, so its absence is no fault.

    `burst`: beside other calls, for a few that must overlap.
    """
    request = getattr(wire, verb)(queue.scope, delivery.id, **values)
    exchange = await queue.case.send(
        request,
        urgent=True,
        burst=burst,
        fields={"timeout_s": values["visibility_timeout_s"]} if "visibility_timeout_s" in values else None,
    )
    if exchange.ok:
        if verb == "fail":
            queue.failed.add(delivery.message)
        return exchange
    if exchange.unsupported and time.monotonic_ns() > delivery.held_until_ns:
        raise Disturbed(f"a {verb} came after the lock's end")  # perhaps it is only this message that is not there
    if exchange.unsupported or exchange.status in NOT_UNDERSTOOD:
        raise NotSupported(f"{verb} answers {exchange.told()}", evidence=(exchange.op,))
    if exchange.result is Result.REJECTED and time.monotonic_ns() < delivery.held_until_ns:
        queue.case.refuse(
            root,
            f"{verb} of a claimed message was answered {exchange.told()}",
            expected="a 2xx answer",
            seen=exchange.answer.text[:300] if exchange.answer else "",
            evidence=(delivery.claim, exchange),
        )
    raise Disturbed(f"whether a {verb} happened is unknown: {exchange.told()}")
