"""The pending order in the process, and in Redis."""

import asyncio
import uuid
from typing import Any

from scaiqueue_reference.message import Waiting
from scaiqueue_reference.pending.memory import MemoryPending
from scaiqueue_reference.pending.redis import RedisPending


def _at(key: str, score: int = 0, visible_us: int = 0) -> Waiting:
    return Waiting(key, "q", score, visible_us)


async def _take(pending: MemoryPending, limit: int = 10, now_us: int = 100) -> list[str]:
    return [waiting.id for waiting in await pending.take("q", limit, now_us, 1)]


async def test_the_lowest_score_comes_first_then_the_lower_id() -> None:
    """Whatever the sequence of putting."""
    pending = MemoryPending()
    await pending.put([_at("c", 1), _at("b", 2), _at("a", 2), _at("d", 0)])
    assert await _take(pending, 3) == ["d", "c", "a"]
    assert await _take(pending) == ["b"]


async def test_what_is_hidden_is_taken_from_its_time_on_at_its_place() -> None:
    """Not a µs before; then before what has a higher score."""
    pending = MemoryPending()
    await pending.put([_at("late", 1, visible_us=101), _at("ready", 2)])
    assert await _take(pending, 1, now_us=100) == ["ready"]
    await pending.put([_at("ready", 2)])
    assert await _take(pending, now_us=101) == ["late", "ready"]


async def test_the_same_message_may_be_put_twice() -> None:
    """The row decides which of the two counts."""
    pending = MemoryPending()
    await pending.put([_at("a"), _at("a")])
    assert await _take(pending) == ["a", "a"]


async def test_a_forgotten_queue_is_empty() -> None:
    """And an unknown one, too."""
    pending = MemoryPending()
    await pending.put([_at("a")])
    await pending.forget("q")
    assert await _take(pending) == []


async def test_calls_of_redis_that_come_together_keep_apart_what_each_asked(services: Any) -> None:
    """Puts, takes and frees of two queues at once: each take gets its own queue's next ones, nothing comes twice."""
    now_us = 1_000
    pending = RedisPending(services.redis_url, lambda: now_us)
    one, two = f"q-{uuid.uuid4()}", f"q-{uuid.uuid4()}"
    names = {queue: [f"{queue}-{n:02}" for n in range(12)] for queue in (one, two)}
    try:
        puts = [[Waiting(name, queue, n, 0)] for queue in (one, two) for n, name in enumerate(names[queue])]
        hidden = Waiting(f"{one}-late", one, -1, now_us + 500)
        await asyncio.gather(*map(pending.put, puts), pending.put([hidden]))
        assert (await pending.size(one), await pending.size(two)) == (13, 12)
        takes = [pending.take(queue, limit, now_us, 60_000_000) for limit in (5, 1, 6) for queue in (one, two)]
        taken = await asyncio.gather(*takes)
        assert [len(some) for some in taken] == [5, 5, 1, 1, 6, 6]
        for place, queue in enumerate((one, two)):
            assert [waiting.id for some in taken[place::2] for waiting in some] == names[queue]
        assert [waiting.id for waiting in await pending.take(one, 9, now_us + 500, 60_000_000)] == [hidden.id]
        await pending.put([Waiting(name, two, 0, 0) for name in names[two]])  # given back: their locks are gone
        again = await pending.take(two, 3, now_us, 60_000_000)
        assert [waiting.id for waiting in again] == names[two][:3]
        await asyncio.gather(*(pending.free([name]) for name in names[two]))
        assert len(await pending.take(two, 20, now_us, 60_000_000)) == 9
    finally:
        await pending.forget(one)
        await pending.forget(two)
        await pending.close()
