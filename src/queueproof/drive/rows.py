"""Reading a message's row and a queue's counters, by whichever documented or likely path a server has."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from queueproof.contract import wire
from queueproof.drive.client import Exchange
from queueproof.drive.delivery import Message
from queueproof.drive.lists import objects, pages
from queueproof.drive.outcomes import Disturbed, NotSupported
from queueproof.evidence.operation import Result

if TYPE_CHECKING:
    from queueproof.drive.queue import Queue


async def read_row(queue: "Queue", message: Message) -> Mapping[str, Any]:
    """The message's row, by whichever documented or likely path this server has; ends as not supported."""
    for way in dict.fromkeys((queue.world.dialect.reader, "message", "trace", "list")):
        row = await _read_by(queue, way, message) if way else None
        if row is not None:
            queue.world.dialect.reader = way
            return row
    raise NotSupported("no way to read a message's row: neither by id, nor by correlation_id, nor in the list")


async def _read_by(queue: "Queue", way: str, message: Message) -> Mapping[str, Any] | None:
    if way == "message":
        exchange = await _get(queue, wire.read_message(queue.scope, message.id))
        data = exchange.data if exchange is not None else None
        return data if isinstance(data, dict) and wire.identity(data) == message.id else None
    if way == "trace":
        if not message.correlation:
            return None
        return await _find(queue, message, lambda **page: wire.trace_messages(queue.scope, message.correlation, **page))
    return await _find(queue, message, lambda **page: wire.list_queue_messages(queue.scope, queue.id, **page))


async def _find(queue: "Queue", message: Message, request: Callable[..., wire.Request]) -> dict[str, Any] | None:
    async for exchange in pages(request, lambda page: _ask(queue, page)):
        for row in objects(exchange):
            if wire.identity(row) == message.id:
                return row
    return None


async def _get(queue: "Queue", request: wire.Request) -> Exchange | None:
    """An answer 2xx, or None."""
    exchange = await _ask(queue, request)
    return exchange if exchange.ok else None


async def _ask(queue: "Queue", request: wire.Request) -> Exchange:
    """An answer 2xx or a refusal; passing faults of network and server are tried again."""
    for attempt in range(4):
        exchange = await queue.case.send(request)
        if exchange.ok or exchange.result is Result.REJECTED:
            return exchange
        await asyncio.sleep(0.1 * 2**attempt)
    raise Disturbed(f"a row could not be read: {exchange.why}")


async def read_counters(queue: "Queue") -> tuple[int, int]:
    """(`depth_pending`, `depth_claimed`) as the queue's row says; not supported where it does not."""
    exchange = await _get(queue, wire.read_queue(queue.scope, queue.id))
    data = exchange.data if exchange is not None else None
    names = ("depth_pending", "depth_claimed")
    pending, claimed = [wire.whole(data.get(name)) if isinstance(data, dict) else None for name in names]
    if pending is None or claimed is None:
        raise NotSupported("the queue's row shows no depth_pending and depth_claimed")
    return pending, claimed
