"""What a load came to, second by second."""

from queueproof.swarm import outcome
from queueproof.swarm.measures import Whole


def part(published: int, completed: int) -> Whole:
    whole = Whole()
    whole.add({"counts": {}, "counters": {"publish.ok": published, "complete.ok": completed}})
    return whole


def test_a_backlog_is_never_below_zero() -> None:
    """A publish whose answer was lost is completed, and nobody knows that it was there."""
    series: list[dict[str, int]] = []
    for published, completed in ((10, 4), (0, 8), (5, 2)):
        series.append(outcome.second(len(series), part(published, completed), series[-1] if series else None))
    assert [point["backlog"] for point in series] == [6, 0, 3]
