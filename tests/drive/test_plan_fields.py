"""What a plan's messages are published with, and where that places them."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from queueproof.drive.plan_fields import Asked, asked
from queueproof.drive.plans import Step

OPENED = datetime(2026, 1, 1, tzinfo=UTC)


def world(moment: datetime | None = OPENED) -> Any:
    return SimpleNamespace(token=lambda: "qp.run.1", moment=lambda in_s: moment)


def publish(ordering: str = "fifo", moment: datetime | None = OPENED, **fields: Any) -> Asked | None:
    step = Step(verb="publish", message=4, fields=tuple(fields.items()))
    return asked(step, world(moment), ordering, OPENED)


def ranked(ordering: str, **fields: Any) -> tuple[float, ...]:
    found = publish(ordering, **fields)
    assert found is not None
    return found.rank


def test_a_deadline_lies_far_ahead() -> None:
    """Thirty hours and more from the plan's begin, so that nothing expires of it."""
    found = publish("deadline", due_s=59)
    assert found is not None
    assert found.fields["deadline"] == "2026-01-02T06:00:59Z"
    assert not found.promised


def test_places_follow_the_ordering() -> None:
    """By number, by tier and score, by deadline; nowhere without one."""
    assert ranked("fifo", tier="high", score=7, due_s=3) == (4,)
    assert ranked("priority", tier="high", score=7) == (1, -7, 4)
    assert ranked("deadline", due_s=60) == (0, 60, 4)
    assert ranked("deadline") == ()


def test_no_delay_without_a_clock() -> None:
    """Where nothing is known of the server's clock, no moment can be spelled."""
    assert publish(moment=None, delay="short") is None
    assert publish(moment=None) is not None
