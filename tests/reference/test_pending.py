"""The pending order in the process."""

from scaiqueue_reference.message import Waiting
from scaiqueue_reference.pending.memory import MemoryPending


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
