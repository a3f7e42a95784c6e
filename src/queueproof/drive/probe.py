"""One call of an examination: a small message, and an answer that is neither lost nor passing."""

import asyncio
from typing import Any

from queueproof.contract import wire
from queueproof.drive.client import Exchange
from queueproof.drive.world import World
from queueproof.evidence.operation import Result

CASE = "doctor"
TRIES = 3


async def ask(world: World, request: wire.Request, **options: Any) -> Exchange:
    """The answer, as far as three tries bring one that settles it (options: Client.send)."""
    exchange = await world.client.send(request, case=CASE, **options)
    for attempt in range(TRIES - 1):
        if exchange.ok or exchange.result is Result.REJECTED or exchange.unsupported:
            break
        await asyncio.sleep(0.1 * 2**attempt)
        exchange = await world.client.send(request, case=CASE, **options)
    return exchange


def message(world: World, queue: str) -> wire.Request:
    """A small message, spelt as this server takes it."""
    token = world.token()
    fields: dict[str, Any] = {"type": "qp.doctor", "body": {"qp": token}, "labels": {"qp": "yes"}}
    fields |= {"correlation_id": token} if world.dialect.correlation else {}
    fields |= {"idempotency_key": token} if world.dialect.publish_key_needed else {}
    return wire.publish(world.scope, queue, fields)


def new_queue(world: World, name: str) -> wire.Request:
    """A queue of the quickstart's form."""
    more = dict.fromkeys(world.dialect.queue_fields_needed, 0)
    fields = {"slug": world.slug(name), "display_name": f"queueproof {name}", "consumer_mode": "competing"}
    return wire.create_queue(world.scope, {**fields, "ordering": "fifo", **more})
