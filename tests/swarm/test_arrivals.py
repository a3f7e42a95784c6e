"""Schedules: exact counts, the right shape, the same for the same seed, nothing lost when split."""

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueproof.swarm import arrivals


@given(st.floats(0.5, 5000), st.floats(0.1, 20))
def test_a_constant_load_has_exactly_rate_times_duration_arrivals(rate: float, duration_s: float) -> None:
    stages = arrivals.constant(rate, duration_s)
    starts = list(arrivals.schedule(stages))
    assert len(starts) == round(rate * duration_s) == arrivals.count(stages)
    assert starts == sorted(starts)
    assert not starts or (starts[0] == 0 and starts[-1] <= duration_s * 1e9 + 0.5e9 / rate)


def test_two_hundred_a_second_come_every_five_milliseconds() -> None:
    starts = list(arrivals.schedule(arrivals.constant(200, 10)))
    assert len(starts) == 2000
    assert max(abs(start - k * 5_000_000) for k, start in enumerate(starts)) <= 1


def test_poisson_keeps_the_mean_and_the_spread_of_its_gaps() -> None:
    """Gaps of a Poisson process have a standard deviation that equals their mean."""
    starts = list(arrivals.schedule(arrivals.constant(1000, 20), spacing="poisson", seed=7))
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert len(starts) == pytest.approx(20_000, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)


def test_the_same_seed_gives_the_same_schedule() -> None:
    stages = arrivals.ramp(10, 100, 3)
    one, two, other = (list(arrivals.schedule(stages, spacing="poisson", seed=seed)) for seed in (3, 3, 4))
    assert one == two != other
    assert arrivals.count(stages, spacing="poisson", seed=3) == len(one)


@given(st.floats(0, 500), st.floats(0, 500), st.floats(1, 20))
def test_a_ramp_has_the_area_under_its_rate(rate: float, to_rate: float, duration_s: float) -> None:
    starts = list(arrivals.schedule(arrivals.ramp(rate, to_rate, duration_s)))
    assert len(starts) == round((rate + to_rate) / 2 * duration_s)
    assert starts == sorted(starts)
    assert all(0 <= start <= duration_s * 1e9 for start in starts)


def test_a_ramp_from_nothing_is_half_done_at_seven_tenths() -> None:
    """Half of the area of a triangle lies beyond 1/√2 of its base."""
    starts = list(arrivals.schedule(arrivals.ramp(0, 100, 10)))
    assert starts[len(starts) // 2] == pytest.approx(7.07e9, rel=0.01)


def test_steps_and_spike_change_the_rate_where_they_say() -> None:
    stepped = list(arrivals.schedule(arrivals.steps([10, 20, 40], 3)))
    assert [sum(lo <= s < lo + 1e9 for s in stepped) for lo in (0, 1e9, 2e9)] == [10, 20, 40]
    spiked = list(arrivals.schedule(arrivals.spike(10, 100, 5, peak_s=1)))
    assert sum(2e9 <= s < 3e9 for s in spiked) == 100
    assert len(spiked) == 140


@given(st.integers(1, 9))
def test_workers_split_a_schedule_without_loss(workers: int) -> None:
    stages = arrivals.constant(97, 1)
    whole = list(enumerate(arrivals.schedule(stages)))
    parts = [list(arrivals.share(arrivals.schedule(stages), index=i, workers=workers)) for i in range(workers)]
    assert sorted(arrival for part in parts for arrival in part) == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
