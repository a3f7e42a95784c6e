"""Gathers what arrives while a batch is on its way into the next batch."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

# More in one statement lengthens the wait of the first without saving round trips worth mentioning.
LARGEST_BATCH = 200

# A batch waits for those whom the last one answered and who come back, at most this long: a transaction costs as much
# as a dozen of its items. A single client is never kept waiting.
GATHER_S = 0.001


class Batcher(Generic[Item, Outcome]):
    """`flush` takes a batch and returns one outcome an item, in order; an outcome that is an exception is raised.

    One batch at a time: its statements then never wait for their own locks. `gather_s`: how long a batch waits for
    more, when more is to be expected.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Outcome | BaseException]]],
        *,
        weight: Callable[[Item], int] = lambda _: 1,
        capacity: int = LARGEST_BATCH,
        gather_s: float = 0,
    ) -> None:
        self._flush = flush
        self._weight = weight
        self._capacity = capacity
        self._gather_s = gather_s
        self._expected = 0
        self._full: asyncio.Future[None] | None = None  # while a batch waits for more
        self._waiting: deque[tuple[Item, asyncio.Future[Outcome]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Outcome:
        """The item's outcome, once its batch is done."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        elif self._full is not None and len(self._waiting) >= self._expected and not self._full.done():
            self._full.set_result(None)
        return await future

    async def idle(self) -> None:
        """Returns when nothing is under way."""
        while self._task is not None:
            await self._task

    async def _drain(self) -> None:
        while self._waiting:
            batch = self._next()
            try:
                outcomes = await self._flush([item for item, _ in batch])
            except BaseException as error:
                outcomes = [error] * len(batch)
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.cancelled():
                    continue
                if isinstance(outcome, BaseException):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
            expected = len(batch) + len(self._waiting)
            if self._gather_s and expected > 1:
                await self._gather(expected)
        self._task = None

    async def _gather(self, expected: int) -> None:
        """Waits until as many wait as did lately, but not for long."""
        self._expected = min(expected, LARGEST_BATCH)
        self._full = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._full,), timeout=self._gather_s)
        self._full = None

    def _next(self) -> list[tuple[Item, "asyncio.Future[Outcome]"]]:
        batch = [self._waiting.popleft()]
        room = self._capacity - self._weight(batch[0][0])
        while self._waiting and len(batch) < LARGEST_BATCH:
            room -= self._weight(self._waiting[0][0])
            if room < 0:
                break
            batch.append(self._waiting.popleft())
        return batch
