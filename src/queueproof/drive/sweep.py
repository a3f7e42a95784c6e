"""After the last case: one more look into every queue, so that what came back unseen is seen by the checks."""

import asyncio

from queueproof.contract import wire
from queueproof.drive.queue import Queue
from queueproof.drive.world import World

CASE = "sweep"
BATCH = 10


async def sweep(world: World) -> None:
    """Claims once from each queue and completes what comes; left out where requests are counted, or not answered."""
    if world.client.budget.rationed or world.client.silence.word:
        return
    await asyncio.gather(*(_look(world, queue) for queue in world.queues))


async def _look(world: World, queue: Queue) -> None:
    hold_s = world.dialect.timeout_s
    size = min(BATCH, world.dialect.batch_max)
    request = wire.claim(queue.scope, queue.id, batch_size=size, visibility_timeout_s=hold_s)
    exchange = await world.client.send(request, case=CASE, fields={"timeout_s": hold_s, "limit": size})
    if not exchange.ok:
        return
    found = [wire.identity(item) for item in wire.rows(exchange.data) or []]
    await asyncio.gather(
        *(world.client.send(wire.complete(queue.scope, message), case=CASE) for message in found if message)
    )
