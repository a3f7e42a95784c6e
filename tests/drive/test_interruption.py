"""Work that is ended early: by a wish, or by a time limit around it. It never goes on unseen."""

import asyncio

import pytest

from queueproof.drive.interruption import until

LONG_S = 30


async def work(ended: list[str]) -> str:
    """Lasts for ever, and tells when it is cancelled."""
    try:
        await asyncio.sleep(LONG_S)
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise
    return "done"


async def test_a_wish_ends_the_work() -> None:
    ended: list[str] = []
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert await until(stop, work(ended)) is None
    assert ended == ["cancelled"]


async def test_a_time_limit_around_it_ends_the_work_too() -> None:
    ended: list[str] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await until(asyncio.Event(), work(ended))
    assert ended == ["cancelled"]


async def test_work_that_ends_by_itself_is_returned() -> None:
    async def quick() -> str:
        return "done"

    assert await until(asyncio.Event(), quick()) == "done"


async def test_a_wish_before_it_begins_leaves_nothing_undone() -> None:
    stop = asyncio.Event()
    stop.set()
    assert await until(stop, work([])) is None
