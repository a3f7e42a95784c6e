"""Each Date header bounds the difference of two clocks; all together bound it closely."""

import time
from email.utils import formatdate

import pytest

from queueproof.contract import wire
from queueproof.drive.client import Exchange
from queueproof.drive.skew import clock_skew_s
from queueproof.evidence.operation import Result


def answered(at_s: float, ahead_s: float, *, took_s: float = 0.01) -> Exchange:
    """An answer written at the end of its call by a clock that is ahead."""
    offset_s = time.time() - time.monotonic()
    headers = {"date": formatdate(at_s + ahead_s, usegmt=True)}
    return Exchange(
        op=1,
        request=wire.list_scopes(),
        result=Result.OK,
        answer=wire.Answer(status=200, headers=headers),
        inv_ns=round((at_s - took_s - offset_s) * 1e9),
        ret_ns=round((at_s - offset_s) * 1e9),
    )


@pytest.mark.parametrize("ahead_s", [0.0, 12.5, -90.25])
def test_the_truth_lies_between_the_bounds(ahead_s: float) -> None:
    now_s = time.time()
    bounds = clock_skew_s([answered(now_s + n * 0.3, ahead_s) for n in range(8)])
    assert bounds is not None
    low, high = bounds
    assert low - 1e-3 <= ahead_s <= high + 1e-3
    assert high - low < 0.5


def test_no_date_no_answer() -> None:
    assert clock_skew_s([]) is None


def test_a_clock_that_was_set_meanwhile_is_told_as_it_is_last() -> None:
    now_s = time.time()
    bounds = clock_skew_s([answered(now_s, 0), answered(now_s + 1, 3600)])
    assert bounds is not None
    assert 3598 < bounds[0] <= 3600 <= bounds[1] < 3602
