"""Each Date header bounds the difference of two clocks; all together bound it closely."""

import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from queueproof.contract import wire
from queueproof.drive.skew import STALE_S, Skew, clock_skew_s


def answered(at_s: float, ahead_s: float, *, took_s: float = 0.01) -> tuple[wire.Answer, int, int]:
    """An answer written at the end of its call by a clock that is ahead."""
    offset_s = time.time() - time.monotonic()
    headers = {"date": formatdate(at_s + ahead_s, usegmt=True)}
    begun_s, ended_s = at_s - took_s - offset_s, at_s - offset_s
    return wire.Answer(status=200, headers=headers), round(begun_s * 1e9), round(ended_s * 1e9)


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


def heard(ahead_s: float) -> Skew:
    """What eight answers of such a clock tell."""
    skew, now_s = Skew(), time.time()
    for number in range(8):
        skew.note(*answered(now_s + number * 0.3, ahead_s))
    return skew


def test_the_same_machine_has_the_same_clock() -> None:
    assert Skew().most_ahead_s(same_machine=True) == 0
    assert heard(0.0).most_ahead_s(same_machine=True) == 0
    assert heard(-0.9).most_ahead_s(same_machine=True) == 0  # a header that was written a second ago


def test_a_clock_that_is_ahead_may_be_so_by_a_stale_second_more() -> None:
    most_s = heard(5.0).most_ahead_s(same_machine=True)
    assert most_s is not None
    assert 5 + STALE_S <= most_s < 5.5 + STALE_S
    elsewhere_s = heard(0.0).most_ahead_s(same_machine=False)
    assert elsewhere_s is not None
    assert STALE_S <= elsewhere_s < 0.5 + STALE_S


def test_nothing_is_known_of_a_clock_that_is_not_told() -> None:
    assert Skew().most_ahead_s(same_machine=False) is None


def stamp(ahead_s: float) -> str:
    """What a clock that is so far ahead writes now."""
    return datetime.fromtimestamp(time.time() + ahead_s, UTC).isoformat()


@pytest.mark.parametrize(("ahead_s", "apart"), [(0.0, False), (2.0, False), (-90.0, True), (90.0, True)])
def test_a_time_stamp_of_another_clock_contradicts_the_date(ahead_s: float, apart: bool) -> None:
    skew = Skew()
    skew.note(*answered(time.time(), 0.0))
    now_ns = time.monotonic_ns()
    skew.stamped(stamp(ahead_s), now_ns, now_ns)
    assert skew.contradicted is apart
    assert (skew.most_ahead_s(same_machine=False) is None) is apart


@pytest.mark.parametrize("value", [None, 7, "yesterday", "2020-01-01T00:00:00"])
def test_a_time_stamp_that_cannot_be_read_says_nothing(value: object) -> None:
    skew = Skew()
    skew.note(*answered(time.time(), 0.0))
    skew.stamped(value, 0, 1)
    assert not skew.contradicted


def test_without_a_date_a_time_stamp_contradicts_nothing() -> None:
    skew = Skew()
    skew.stamped(stamp(90.0), 0, 1)
    assert not skew.contradicted
