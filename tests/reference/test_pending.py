"""The pending order in the process, and in Redis."""

import asyncio
import uuid
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from scaiqueue_reference.message import Waiting
from scaiqueue_reference.pending import PendingAway
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


async def _rebuild(pending: RedisPending) -> None:
    name = await pending.rebuilding()
    if name is not None:
        await pending.rebuilt(name)


async def test_calls_of_redis_that_come_together_keep_apart_what_each_asked(services: Any) -> None:
    """Puts, takes and frees of two queues at once: each take gets its own queue's next ones, nothing comes twice."""
    now_us = 1_000
    pending = RedisPending(services.redis_url, lambda: now_us)
    one, two = f"q-{uuid.uuid4()}", f"q-{uuid.uuid4()}"
    names = {queue: [f"{queue}-{n:02}" for n in range(12)] for queue in (one, two)}
    try:
        await _rebuild(pending)
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


async def test_nothing_is_taken_from_an_order_with_gaps(services: Any) -> None:
    """After Redis has lost it, until everything was put again; what is lost meanwhile makes that void."""
    pending = RedisPending(services.redis_url, lambda: 1_000)
    emptied = Redis.from_url(services.redis_url)
    queue = f"q-{uuid.uuid4()}"
    try:
        await emptied.flushall()
        await pending.put([Waiting("newer", queue, 2, 0)])
        with pytest.raises(PendingAway):
            await pending.take(queue, 1, 1_000, 1_000)
        name = await pending.rebuilding()
        assert name == await pending.rebuilding(), "another process joins in"
        await emptied.flushall()
        await pending.rebuilt(str(name))
        with pytest.raises(PendingAway):
            await pending.take(queue, 1, 1_000, 1_000)
        await pending.put([Waiting("older", queue, 1, 0), Waiting("newer", queue, 2, 0)])
        await _rebuild(pending)
        assert await pending.rebuilding() is None
        assert [waiting.id for waiting in await pending.take(queue, 2, 1_000, 1_000)] == ["older", "newer"]
    finally:
        await pending.forget(queue)
        await pending.close()
        await emptied.aclose()


async def test_an_order_from_an_old_snapshot_is_made_anew(services: Any) -> None:
    """It says that it is whole, and was, when the Redis that wrote it down still ran."""
    pending = RedisPending(services.redis_url, lambda: 1_000)
    restored = Redis.from_url(services.redis_url)
    try:
        await _rebuild(pending)
        assert await pending.rebuilding() is None
        await restored.set("scaiqueue:order", "whole 0123456789")
        assert await pending.rebuilding() is not None
        with pytest.raises(PendingAway):
            await pending.take("q", 1, 1_000, 1_000)
        await _rebuild(pending)
        assert await pending.take("q", 1, 1_000, 1_000) == []
    finally:
        await pending.close()
        await restored.aclose()


async def test_a_take_whose_answer_is_lost_is_a_gap(services: Any) -> None:
    """What it took stands in no order any more, and nobody holds it."""
    here, there = (RedisPending(services.redis_url, lambda: 1_000) for _ in range(2))
    queue = f"q-{uuid.uuid4()}"
    try:
        await _rebuild(there)
        await there.put([Waiting("older", queue, 1, 0), Waiting("newer", queue, 2, 0)])
        services.redis.pause()
        try:
            with pytest.raises(PendingAway):
                await here.take(queue, 1, 1_000, 1_000_000)
        finally:
            services.redis.resume()
        while True:  # it leaves Redis alone for a moment
            with suppress(PendingAway):
                await here.put([Waiting("other", f"{queue}-other", 1, 0)])
                break
            await asyncio.sleep(0.05)
        with pytest.raises(PendingAway):
            await there.take(queue, 1, 1_000, 1_000)
        await there.put([Waiting("older", queue, 1, 0), Waiting("newer", queue, 2, 0)])
        await _rebuild(there)
        assert [waiting.id for waiting in await there.take(queue, 2, 1_000, 1_000)] == ["older", "newer"]
    finally:
        await here.forget(queue)
        await here.close()
        await there.close()


async def test_who_could_not_put_something_tells_the_others(services: Any) -> None:
    """Redis has lost nothing here: only this process could not reach it for a moment."""
    here, there = (RedisPending(services.redis_url, lambda: 1_000) for _ in range(2))
    queue = f"q-{uuid.uuid4()}"
    try:
        await _rebuild(there)
        assert await there.take(queue, 1, 1_000, 1_000) == []
        services.redis.pause()
        try:
            with pytest.raises(PendingAway):
                await here.put([Waiting("older", queue, 1, 0)])
        finally:
            services.redis.resume()
        while True:  # it leaves Redis alone for a moment
            with suppress(PendingAway):
                await here.put([Waiting("newer", queue, 2, 0)])
                break
            await asyncio.sleep(0.05)
        with pytest.raises(PendingAway):
            await there.take(queue, 1, 1_000, 1_000)
        await _rebuild(here)
        assert await there.rebuilding() is None
    finally:
        await here.forget(queue)
        await here.close()
        await there.close()
