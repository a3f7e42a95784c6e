"""How many consumers a window of a capacity search has: never so few that they end before the target does."""

import itertools
from typing import Any

import pytest

from queueproof.evidence.results import Results, Verdict
from queueproof.verdict import window
from queueproof.verdict.capacity import Bound, Came, Capacity, Manner, Probe, search
from queueproof.verdict.consumers import MOST, Crew


def crew(*, least: int = 8, batch_size: int = 1, work_s: float = 0.0, fixed: int | None = None) -> Crew:
    return Crew(least, batch_size, work_s=work_s, fixed=fixed)


def verbs(claim_s: float, complete_s: float) -> dict[str, Any]:
    return {
        "publish": {"count": 1000, "errors": 0},
        "claim": {"response": {"p90_us": claim_s * 1e6}},
        "complete": {"response": {"p90_us": complete_s * 1e6}},
    }


class Pool:
    """A target whose every call takes `call_s` until `most` messages a second are reached; then its callers queue."""

    def __init__(self, consumers: Crew, *, most: float, call_s: float) -> None:
        self.consumers, self._most, self._call_s = consumers, most, call_s
        self.asked: list[tuple[float, int]] = []

    def probe(self, rate: float, phase: str) -> Probe:
        count = self.consumers.count(rate)
        self.asked.append((rate, count))
        done = min(rate, self._most, count / (2 * self._call_s))
        call_s = self._call_s if done < self._most else count / done / 2
        met = done >= rate
        results = Results(
            schema=1,
            verdict=Verdict.OBJECTIVES_MET if met else Verdict.OBJECTIVES_MISSED,
            exit_code=0 if met else 1,
            load={"sent": 1000, "duration_s": 10.0, "throughput": done, "series": [], "invalid": []},
            verbs=verbs(call_s, call_s),
            objectives=({"expression": "e2e.p99 < 200ms", "met": met},),
        )
        return window.read(results, rate=rate, phase=phase, crew=self.consumers, detail={})


def searched(pool: Pool) -> Capacity:
    return search(pool.probe, Manner(start=100))


def test_a_slow_but_wide_target_is_not_measured_by_its_consumers() -> None:
    """A quarter of a second a call: eight consumers carry 16/s, the target 700/s."""
    pool = Pool(crew(), most=700, call_s=0.25)
    found = searched(pool)
    assert found.bound is Bound.INTERVAL
    assert found.rate == pytest.approx(700, rel=0.05)
    assert [probe.came for probe in found.probes][:2] == [Came.SHORT, Came.MET]


def test_a_number_that_the_user_gave_is_kept_and_told() -> None:
    pool = Pool(crew(fixed=8), most=700, call_s=0.01)
    found = searched(pool)
    assert found.rate == pytest.approx(400, rel=0.05)
    assert {count for _, count in pool.asked} == {8}
    missed = next(probe for probe in found.probes if probe.came is Came.MISSED)
    assert "--users" in missed.why


def test_where_more_do_not_help_the_target_is_what_they_wait_for() -> None:
    pool = Pool(crew(), most=500, call_s=0.005)
    found = searched(pool)
    assert found.rate == pytest.approx(500, rel=0.05)
    for again, following in itertools.pairwise(found.probes):
        if again.came is Came.SHORT:
            assert (following.rate, following.phase) == (again.rate, again.phase)
            assert following.came is not Came.SHORT
    useless = [probe.rate for probe in found.probes if probe.came is Came.SHORT]
    assert useless == sorted(useless, reverse=True), "no higher rate is tried again with more"


def test_what_helped_once_is_kept() -> None:
    """Near its edge a target needs more consumers than its quickest calls say."""
    helped = crew()
    quick, slow = verbs(0.001, 0.001), verbs(0.02, 0.02)
    helped.short(rate=100, missed=False, busy=0.1, verbs=quick)
    assert helped.count(2000) == 50
    assert helped.short(rate=2000, missed=True, busy=1.0, verbs=slow)
    assert helped.count(2000) == 4 * 50
    assert helped.count(1000) == 25, "other rates are as before"
    assert not helped.short(rate=2000, missed=False, busy=0.5, verbs=slow)
    assert helped.count(1000) == 100


def test_windows_that_are_run_again_take_nobody_elses_place() -> None:
    found = search(Pool(crew(), most=500, call_s=0.005).probe, Manner(start=100, precision=0.01))
    assert sum(probe.came is not Came.SHORT for probe in found.probes) == Manner(start=100).most


def test_three_times_what_the_rate_keeps_busy() -> None:
    wide = crew(batch_size=10, work_s=0.02)
    wide.short(rate=100, missed=False, busy=0.1, verbs=verbs(0.05, 0.005))
    assert wide.count(1000) == pytest.approx(3 * 1000 * (0.05 / 10 + 0.005 + 0.02), abs=1)
    assert crew().count(1000) == 25
    assert wide.count(1) == 8
    assert wide.count(10_000_000) == MOST


def test_consumers_that_had_time_are_no_reason() -> None:
    assert not crew().short(rate=100, missed=True, busy=0.4, verbs=verbs(0.5, 0.5))


def test_a_few_more_are_not_worth_another_window() -> None:
    most = crew()
    most.short(rate=100, missed=False, busy=0.5, verbs=verbs(0.1, 0.1))
    assert most.count(800) == 480
    assert not most.short(rate=800, missed=True, busy=1.0, verbs=verbs(1.0, 1.0)), "480 of 512"


def test_a_scenario_without_consumers_gets_none() -> None:
    assert crew(least=0).count(1000) == 0
    assert crew(least=0).busy(verbs(0.1, 0.1), 100, 0) == 0
