"""Batches of a verb's calls."""

import asyncio
from collections.abc import Sequence

import pytest

from scaiqueue_reference.batcher import Batcher


class _Disk:
    """Remembers its batches; refuses odd numbers, breaks at 100."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def flush(self, items: Sequence[int]) -> Sequence[str | BaseException]:
        self.batches.append(list(items))
        await asyncio.sleep(0)
        if 100 in items:
            raise OSError("broken")
        return [ValueError(item) if item % 2 else str(item) for item in items]


async def test_what_comes_while_a_batch_is_away_shares_the_next() -> None:
    """Each item gets its own outcome, in whatever company."""
    disk = _Disk()
    batcher = Batcher(disk.flush)
    first = asyncio.create_task(batcher.submit(0))
    while not disk.batches:  # noqa: ASYNC110 -- until the first batch is on its way
        await asyncio.sleep(0)
    rest = await asyncio.gather(*(batcher.submit(n) for n in (2, 3, 4)), return_exceptions=True)
    assert await first == "0"
    assert disk.batches == [[0], [2, 3, 4]]
    assert [str(outcome) for outcome in rest] == ["2", "3", "4"]
    assert isinstance(rest[1], ValueError)
    await batcher.idle()


async def test_a_broken_batch_breaks_nobody_else() -> None:
    """All of it fail, the next one works."""
    batcher = Batcher(_Disk().flush)
    outcomes = await asyncio.gather(batcher.submit(100), batcher.submit(2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError, OSError]
    assert await batcher.submit(4) == "4"


async def test_a_batch_has_a_greatest_weight() -> None:
    """What is too heavy by itself goes alone."""
    disk = _Disk()
    batcher = Batcher(disk.flush, weight=lambda item: item, capacity=10)
    await asyncio.gather(*(batcher.submit(n) for n in (4, 6, 2, 50, 8)))
    assert disk.batches == [[4, 6], [2], [50], [8]]


async def test_who_stops_waiting_does_not_disturb() -> None:
    """A cancelled call's place in the batch stays, its outcome is dropped."""
    batcher = Batcher(_Disk().flush)
    gone, kept = asyncio.create_task(batcher.submit(2)), asyncio.create_task(batcher.submit(4))
    await asyncio.sleep(0)
    gone.cancel()
    assert await kept == "4"
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_batch_waits_for_those_who_come_back() -> None:
    """Whom the last batch answered are expected: one who comes first does not travel alone."""
    disk = _Disk()
    batcher = Batcher(disk.flush, gather_s=30)  # far more than a test takes: only their coming ends the wait
    await asyncio.gather(*(batcher.submit(n) for n in (2, 4, 6)))
    first = asyncio.create_task(batcher.submit(2))
    await asyncio.sleep(0)
    assert len(disk.batches) == 1
    await asyncio.gather(first, batcher.submit(4), batcher.submit(6))
    assert disk.batches == [[2, 4, 6], [2, 4, 6]]


async def test_a_batch_does_not_wait_long() -> None:
    """Who does not come back is waited for once, and expected no more."""
    disk = _Disk()
    batcher = Batcher(disk.flush, gather_s=0.01)
    await asyncio.gather(*(batcher.submit(n) for n in (2, 4, 6)))
    assert await batcher.submit(8) == "8"
    assert await batcher.submit(10) == "10"
    await batcher.idle()
    assert disk.batches == [[2, 4, 6], [8], [10]]
