"""Between two windows the target comes to rest; one that never does is told, one that is gone is an error."""

import pytest

from queueproof.drive.calm import ALWAYS_CALM_S, IN_A_ROW, Calm
from queueproof.errors import TargetError


class Target:
    """Answers reads in these seconds, the last for ever; its own clock goes on by what they take."""

    def __init__(self, *took: float | None) -> None:
        self.took = list(took)
        self.now = 0.0
        self.reads = 0

    def read(self) -> float | None:
        self.reads += 1
        took = self.took.pop(0) if len(self.took) > 1 else self.took[0]
        self.now += took or 0.5
        return took

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def calm(self) -> Calm:
        return Calm(read=self.read, clock=lambda: self.now, sleep=self.sleep)


def test_a_target_at_rest_is_not_waited_for() -> None:
    target = Target(0.002)
    calm = target.calm()
    assert (calm.wait(), calm.wait()) == ("", "")
    assert target.reads == 2 * IN_A_ROW


def test_a_target_that_is_still_at_work_is_waited_for() -> None:
    target = Target(*[0.002] * IN_A_ROW, 0.9, 0.4, 0.002)
    calm = target.calm()
    calm.wait()
    assert calm.wait() == ""
    assert target.reads == 2 * IN_A_ROW + 2


def test_small_differences_are_nobodys_work() -> None:
    target = Target(*[0.002] * IN_A_ROW, ALWAYS_CALM_S)
    calm = target.calm()
    calm.wait()
    assert calm.wait() == ""
    assert target.reads == 2 * IN_A_ROW


def test_a_target_that_never_rests_is_told() -> None:
    target = Target(*[0.002] * IN_A_ROW, 0.9)
    calm = target.calm()
    calm.wait()
    assert "900 ms" in calm.wait()


def test_a_target_that_is_gone_is_an_error() -> None:
    with pytest.raises(TargetError, match="did not answer"):
        Target(None).calm().wait()


def test_a_target_that_comes_back_is_waited_for() -> None:
    target = Target(*[0.002] * IN_A_ROW, None, None, 0.002)
    calm = target.calm()
    calm.wait()
    assert calm.wait() == ""
