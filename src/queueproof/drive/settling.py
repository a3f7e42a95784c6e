"""What a holder does to a message: complete, fail, release and extend, and what their answers may mean."""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from queueproof.contract import wire
from queueproof.contract.wire import ABSENT
from queueproof.drive.client import Exchange
from queueproof.drive.delivery import Delivery
from queueproof.drive.outcomes import Disturbed, NotSupported
from queueproof.evidence.operation import Result

if TYPE_CHECKING:
    from queueproof.drive.queue import Queue

# A call that a fault of the server's own answers so often, and nothing else does, is refused by it.
FAULTS = 5
FIRST_PAUSE_S = 0.1  # between two of them, and twice as long before each further one
# Path and fields of fail, release and extend are not documented: a server may want them otherwise.
NOT_UNDERSTOOD = frozenset({400, 415, 422})


async def complete(
    queue: "Queue", delivery: Delivery, *, response: Any = ABSENT, root: str = "DONE-1", faults: str = ""
) -> Exchange:
    """Completes what was claimed. A try of unknown result is repeated; a refusal after one is no fault.

    `root`: the promise that a refusal breaks; `faults`: that which faults of the server's own break, if another.
    """
    if delivery.message in queue.done:  # delivered twice on the way, and completed by its other delivery
        return queue.done[delivery.message]
    request = wire.complete(queue.scope, delivery.id, response=response)
    exchange = await queue.case.send(request, urgent=True)
    if exchange.faulty:
        exchange = await _tried_again(queue, delivery, exchange, faults or root, "completing a claimed message")
        if not exchange.ok:
            raise Disturbed(f"whether a completion happened is unknown: {exchange.told()}")
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
    queue: "Queue", verb: str, delivery: Delivery, *, root: str, faults: str = "", burst: bool = False, **values: Any
) -> Exchange:
    """`verb`: "fail", "release" or "extend" on what was claimed; an optional path, so its absence is no fault.

    `root`, `faults`: as in `complete`; `burst`: beside other calls, for a few that must overlap.
    """
    request = getattr(wire, verb)(queue.scope, delivery.id, **values)
    fields = {"timeout_s": values["visibility_timeout_s"]} if "visibility_timeout_s" in values else None
    exchange = await queue.case.send(request, urgent=True, burst=burst, fields=fields)
    if exchange.faulty:
        if await _absent(queue, delivery):
            raise NotSupported(f"{verb} answers {exchange.told()}, as unknown paths do here", evidence=(exchange.op,))
        await _tried_again(queue, delivery, exchange, faults or root, f"{verb} of a claimed message", fields)
        raise Disturbed(f"{verb} was answered as a fault of the server's own, and then otherwise")
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


async def _absent(queue: "Queue", delivery: Delivery) -> bool:
    """Whether this server answers verbs that there are nowhere as faults of its own.

    One of fail, release and extend, whose paths are not documented, may then be such a one.
    """
    return (await queue.case.send(wire.no_such_verb(queue.scope, delivery.id))).faulty


async def _tried_again(
    queue: "Queue",
    delivery: Delivery,
    exchange: Exchange,
    root: str,
    doing: str,
    fields: Mapping[str, Any] | None = None,
) -> Exchange:
    """The next answer to the same call that is no fault of the server's own; ends the case when none is."""
    evidence = [delivery.claim, exchange]
    for number in range(FAULTS - 1):
        await asyncio.sleep(FIRST_PAUSE_S * 2**number)
        evidence.append(await queue.case.send(exchange.request, urgent=True, fields=fields))
        if not evidence[-1].faulty:
            return evidence[-1]
    if time.monotonic_ns() < delivery.held_until_ns:
        queue.case.refuse(
            root,
            f"{doing} was answered {exchange.told()}, again and again",
            expected="a 2xx answer",
            seen=exchange.answer.text[:300] if exchange.answer else "",
            evidence=evidence,
        )
    raise Disturbed(f"{doing} was answered {exchange.told()}, and then its hold may have been over")
