"""Calls whose refusal tells as much as their success, and looks at everything that a queue or a list holds."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import FIRST_PAUSE_S, TRIES, Case, spell
from queueproof.drive.client import Exchange
from queueproof.drive.lists import objects, pages
from queueproof.drive.outcomes import Disturbed, Inconclusive
from queueproof.drive.queue import POLL_S, UNAVAILABLE, Message, Queue
from queueproof.evidence.operation import Result

HOLD_S = 60
BATCH = 10


async def ask(
    case: Case, request: wire.Request, *, fields: Mapping[str, Any] | None = None, **options: Any
) -> Exchange:
    """One call, tried again while only the network or a passing fault is in the way (options: Client.send).

    Returns the answer that settled it: 2xx, 4xx, a refusal in the API's own words, or a fault of the server's own that
    came each time. Ends the case as disturbed without one.
    """
    faults = 0
    for attempt in range(TRIES):
        exchange = await case.send(request, fields=fields, **options)
        if exchange.ok or settled(exchange):
            return exchange
        faults += exchange.answer is not None and exchange.status not in UNAVAILABLE
        await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
    if faults == TRIES:
        return exchange
    raise Disturbed(f"{request.verb} was not answered: {exchange.told()}", evidence=(exchange.op,))


def settled(exchange: Exchange) -> bool:
    """Whether the answer is a refusal of this very request."""
    if exchange.code.startswith("SCAIQUEUE_"):
        return True
    refused = 400 <= exchange.status < 500 or exchange.result is Result.REJECTED
    return refused and exchange.status not in UNAVAILABLE


async def listed(case: Case, request: Callable[..., wire.Request]) -> list[dict[str, Any]] | None:
    """The rows of a list over all its pages; None when the server has no such list. `request` takes a page's query."""
    found: list[dict[str, Any]] = []
    async for exchange in pages(request, lambda page: ask(case, page)):
        if exchange.unsupported:
            return None
        if not exchange.ok or wire.rows(exchange.data) is None:
            seen = exchange.told() if not exchange.ok else spell(exchange.data, 120)
            raise Inconclusive(f"{exchange.request.verb} gives no list: {seen}", evidence=(exchange.op,))
        found += objects(exchange)
    return found


def holds(value: Any, wanted: str) -> bool:
    """Whether a text stands anywhere in a JSON value, as a whole value."""
    if isinstance(value, dict):
        return any(holds(part, wanted) for part in value.values())
    if isinstance(value, list):
        return any(holds(part, wanted) for part in value)
    return isinstance(value, str | int) and not isinstance(value, bool) and str(value) == wanted


async def handed_out(queue: Queue, control: Message) -> list[tuple[dict[str, Any], Exchange]]:
    """All that claims hand out until `control`, the queue's last message, comes: each item with its claim.

    Unlike Queue.claim it passes no judgement on items that were never acknowledged. The control's absence ends the
    case, as one of liveness; not before what was handed out has been completed, since how many messages may be held at
    once is not documented.
    """
    case = queue.case
    found: list[tuple[dict[str, Any], Exchange]] = []
    size = min(BATCH, case.world.dialect.batch_max)
    request = wire.claim(queue.scope, queue.id, batch_size=size, visibility_timeout_s=HOLD_S)
    end = time.monotonic() + case.world.bound_s
    ended = 0  # so many of `found` have been completed
    while not any(wire.identity(item) == control.id for item, _ in found):
        late = time.monotonic() > end
        exchange = await case.send(request, urgent=True, fields={"timeout_s": HOLD_S, "limit": size})
        if exchange.result is Result.UNKNOWN:
            raise Disturbed("a claim whose answer was lost may hold messages", evidence=(exchange.op,))
        rows = wire.rows(exchange.data) if exchange.ok else None
        items = [item for item in rows or [] if isinstance(item, dict)]
        found += [(item, exchange) for item in items]
        if late and not items and ended < len(found):
            for item, _ in found[ended:]:
                await case.send(wire.complete(queue.scope, wire.identity(item)))
            ended = len(found)
            end = time.monotonic() + case.world.bound_s
        elif late and not items:
            case.refuse(
                "CLAIM-1",
                "an acknowledged message was not delivered",
                expected=f"a delivery of {control.id}",
                seen=exchange.told(),
                evidence=(control.publish, exchange),
                liveness=True,
            )
        if not items:
            await asyncio.sleep(queue.pause_s(POLL_S))
    return found
