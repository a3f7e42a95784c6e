"""Each Date header bounds the difference of two clocks; all together bound it closely."""

import time
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from queueproof.contract import wire
from queueproof.contract.skew import STALE_S, Skew, clock_skew_s


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


@pytest.mark.parametrize("ahead_s", [3600.0, 90.0, -90.0, -3600.0])
def test_a_clock_far_away_may_be_another_one_than_delays_go_by(ahead_s: float) -> None:
    skew = heard(ahead_s)
    assert skew.most_ahead_s(same_machine=True) is None
    assert skew.most_ahead_s(same_machine=False) is None
    assert skew.apart_s == pytest.approx(ahead_s, abs=0.5)
    assert skew.farthest_s == pytest.approx(max(0.0, ahead_s + 1.5), abs=1.0)


@pytest.mark.parametrize("ahead_s", [4.0, -4.0])
def test_a_clock_that_is_known_to_be_apart_is_waited_for_by_what_is_not_known_of_it(ahead_s: float) -> None:
    skew = heard(ahead_s)
    most_s, spread_s = skew.most_ahead_s(same_machine=True), skew.spread_s(same_machine=True)
    assert most_s is not None
    assert most_s - spread_s <= ahead_s <= most_s
    assert spread_s < 0.5 + STALE_S
    assert skew.apart_s == pytest.approx(ahead_s, abs=0.5)
    assert skew.farthest_s == max(0.0, most_s)


def test_the_same_clock_is_not_waited_for() -> None:
    assert heard(0.0).spread_s(same_machine=True) == 0
    assert heard(0.0).apart_s == 0
    assert (Skew().spread_s(same_machine=False), Skew().apart_s, Skew().farthest_s) == (0, 0, 0)


def test_a_time_stamp_tells_of_a_clock_without_a_date() -> None:
    skew, now_ns = Skew(), time.monotonic_ns()
    skew.stamped(datetime.fromtimestamp(time.time() + 3600, UTC).isoformat(), now_ns, now_ns)
    assert skew.farthest_s == pytest.approx(3600, abs=1)
    assert skew.most_ahead_s(same_machine=True) is None


@pytest.mark.parametrize("ahead_s", [0.0, 2.0, -2.0])
def test_a_time_stamp_near_our_clock_tells_of_the_server_s_where_no_date_does(ahead_s: float) -> None:
    skew, now_ns = Skew(), time.monotonic_ns()
    skew.stamped(stamp(ahead_s), now_ns - 10_000_000, now_ns)
    assert skew.bounds is not None
    low, high = skew.bounds
    assert low < ahead_s < high < ahead_s + 1.1
    most_s = skew.most_ahead_s(same_machine=False)
    assert most_s is not None
    assert most_s - skew.spread_s(same_machine=False) < ahead_s < most_s


def test_stamps_of_whole_seconds_do_not_mislead() -> None:
    skew, now_s = Skew(), time.time()
    for told_s in (int(now_s), round(now_s)):
        now_ns = time.monotonic_ns()
        skew.stamped(datetime.fromtimestamp(told_s, UTC).isoformat(), now_ns, now_ns)
        assert skew.bounds is not None
        assert skew.bounds[0] <= 0.01 <= skew.bounds[1] + 0.02


def test_a_date_tells_more_than_time_stamps() -> None:
    skew = heard(2.0)
    dated, now_ns = skew.bounds, time.monotonic_ns()
    skew.stamped(stamp(0.0), now_ns, now_ns)
    assert skew.bounds == dated


@pytest.mark.parametrize(
    ("ago_s", "ahead_s", "past"), [(30.0, 0.0, True), (5.0, 0.0, False), (30.0, -4.0, True), (12.0, -4.0, False)]
)
def test_a_moment_is_past_by_both_clocks(ago_s: float, ahead_s: float, past: bool) -> None:
    told = datetime.fromtimestamp(time.time() - ago_s, UTC).isoformat()
    assert heard(ahead_s).past(told, by_s=10.0) is past


@pytest.mark.parametrize("told", [None, 5, "soon", "2020-01-01T00:00:00"])
def test_what_names_no_moment_is_not_past(told: object) -> None:
    assert not heard(0.0).past(told, by_s=0.0)


def test_nothing_is_past_by_a_clock_that_may_be_another_one() -> None:
    assert not heard(3600.0).past("2020-01-01T00:00:00Z", by_s=0.0)


def test_a_moment_comes_after_another_one_beyond_what_is_not_known_of_the_clock() -> None:
    skew, now_ns = heard(0.0), time.monotonic_ns()
    assert skew.bounds is not None
    for beyond_s, after in ((0.2, True), (-0.2, False)):
        told = datetime.fromtimestamp(time.time() + skew.bounds[1] + beyond_s, UTC).isoformat()
        assert skew.after(told, now_ns) is after
