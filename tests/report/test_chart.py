"""Curves over the time of a load, whatever its numbers are."""

from queueproof.report.chart import over_time


def point(second: int, **values: int) -> dict[str, int]:
    return {"t": second, "publish": 0, "complete": 0, "errors": 0, "backlog": 0, **values}


def test_a_series_that_never_rises_is_not_drawn() -> None:
    """As an older run may have it, whose backlog fell below zero."""
    assert over_time([point(0), point(1, backlog=-1), point(2, backlog=-1)]) == ""


def test_what_is_below_zero_stays_in_the_picture() -> None:
    drawn = over_time([point(0, backlog=4), point(1, backlog=-2)])
    assert '"0.0,4.0 1000.0,100.0"' in drawn
    assert "messages not completed" in drawn
