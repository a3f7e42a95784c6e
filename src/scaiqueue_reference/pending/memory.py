"""The pending order in this process: two heaps a queue, one by place and one by the time of becoming visible."""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from scaiqueue_reference.message import Waiting


class _Order:
    def __init__(self) -> None:
        self.ready: list[tuple[int, str, int]] = []  # score, id, visible_us
        self.hidden: list[tuple[int, str, int]] = []  # visible_us, id, score

    def reveal(self, now_us: int) -> None:
        while self.hidden and self.hidden[0][0] <= now_us:
            visible_us, key, score = heappop(self.hidden)
            heappush(self.ready, (score, key, visible_us))


class MemoryPending:
    """For one process: nothing here waits, so every method is atomic on its event loop."""

    def __init__(self) -> None:
        self._orders: dict[str, _Order] = {}

    async def close(self) -> None:
        return None

    async def put(self, waiting: Sequence[Waiting]) -> None:
        for message in waiting:
            order = self._orders.get(message.queue_id)
            if order is None:
                order = self._orders[message.queue_id] = _Order()
            heappush(order.hidden, (message.visible_us, message.id, message.score))

    async def move(self, message: Waiting, former_score: int) -> None:
        order = self._orders.get(message.queue_id)
        if order is None:
            return
        for heap, old, new in (
            (order.ready, (former_score, message.id), (message.score, message.id, message.visible_us)),
            (order.hidden, (message.visible_us, message.id), (message.visible_us, message.id, message.score)),
        ):
            place = next((place for place, entry in enumerate(heap) if entry[:2] == old), None)
            if place is not None:
                heap[place] = new
                heapify(heap)

    async def take(self, queue_id: str, limit: int, now_us: int, lock_us: int) -> list[Waiting]:
        order = self._orders.get(queue_id)
        if order is None:
            return []
        order.reveal(now_us)
        taken = [heappop(order.ready) for _ in range(min(limit, len(order.ready)))]
        return [Waiting(key, queue_id, score, visible_us) for score, key, visible_us in taken]

    async def free(self, ids: Sequence[str]) -> None:
        return None

    async def size(self, queue_id: str) -> int:
        order = self._orders.get(queue_id)
        return 0 if order is None else len(order.ready) + len(order.hidden)

    async def missing(self, waiting: Sequence[Waiting]) -> list[Waiting]:
        known = {key for order in self._orders.values() for _, key, _ in (*order.ready, *order.hidden)}
        return [message for message in waiting if message.id not in known]

    async def rebuilding(self) -> str | None:
        return None

    async def rebuilt(self, name: str) -> None:
        return None

    async def forget(self, queue_id: str) -> None:
        self._orders.pop(queue_id, None)
