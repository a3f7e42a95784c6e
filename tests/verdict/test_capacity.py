"""The capacity search on simulated servers: it finds the edge, says how sure it is, and names nothing unseen."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from queueproof.errors import ExitCode
from queueproof.evidence.results import FindingResult, Results, Verdict
from queueproof.verdict import objectives, window
from queueproof.verdict.capacity import REPEATS, Bound, Came, Manner, Probe, search
from queueproof.verdict.consumers import Crew
from queueproof.verdict.edge import edge
from queueproof.verdict.scaling import Law, fit, told

START = Manner(start=100.0)


@dataclass
class Simulated:
    """Meets below `edge`, misses above; `width` softens the edge, `hiccup` is the share of windows spoilt anyway."""

    edge: float
    width: float = 0.001
    hiccup: float = 0.0
    generator: float = math.inf  # beyond it windows are invalid
    dies_at: float = math.inf
    lies_at: float = math.inf
    hangover: int = 0  # so many windows after a miss in which a tenth is carried
    seed: int = 1
    rates: list[float] = field(default_factory=list)
    sore: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)

    def probe(self, rate: float, phase: str) -> Probe:
        self.rates.append(rate)
        return Probe(rate=rate, came=self.came(rate), why="because", phase=phase)

    def came(self, rate: float) -> Came:
        for limit, came in (
            (self.dies_at, Came.GONE),
            (self.lies_at, Came.FINDING),
            (self.generator, Came.INVALID),
        ):
            if rate > limit:
                return came
        edge = self.edge / 10 if self.sore else self.edge
        self.sore = max(0, self.sore - 1)
        odds = max(-40.0, min(40.0, math.log(edge / rate) / self.width))
        met = self.draw.random() < 1 / (1 + math.exp(-odds)) and self.draw.random() >= self.hiccup
        if not met and rate > self.edge:
            self.sore = self.hangover
        return Came.MET if met else Came.MISSED


def after(cames: list[Came], then: Callable[[float, str], Probe]) -> Callable[[float, str], Probe]:
    """Windows that come to these first, and to what `then` says afterwards."""
    left = list(cames)

    def probe(rate: float, phase: str) -> Probe:
        return Probe(rate=rate, came=left.pop(0), why="first", phase=phase) if left else then(rate, phase)

    return probe


@pytest.mark.parametrize("limit", [7.0, 130.0, 400.0, 5_000.0])
def test_a_planted_limit_is_found_within_five_per_cent(limit: float) -> None:
    found = search(Simulated(edge=limit).probe, START)
    assert found.bound is Bound.INTERVAL
    assert found.rate == pytest.approx(limit, rel=0.05)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= limit <= found.high
    assert found.held is not None
    assert found.held <= limit
    assert len(found.probes) <= START.most


def test_two_searches_of_one_noisy_server_overlap() -> None:
    """Windows are spoilt one time in thirty, and the edge is soft by three per cent."""
    pairs = [
        [search(Simulated(edge=640, width=0.03, hiccup=0.03, seed=seed).probe, START) for seed in (n, n + 100)]
        for n in range(8)
    ]
    assert sum(one.low <= other.high and other.low <= one.high for one, other in pairs) >= 7
    held_truth = sum(one.low <= 640 <= one.high for pair in pairs for one in pair)
    assert held_truth >= 13


def test_one_spoilt_window_far_below_the_edge_is_not_believed() -> None:
    server = Simulated(edge=400)
    found = search(after([Came.MET, Came.MISSED], server.probe), START)
    assert found.rate == pytest.approx(400, rel=0.1)


def test_a_server_that_is_sore_after_too_much() -> None:
    """The window after a miss is spoilt too: the answer is lower or wider, and does not lie above the limit."""
    found = search(Simulated(edge=400, hangover=1).probe, START)
    assert found.bound is Bound.INTERVAL
    assert found.rate is not None
    assert found.rate <= 420


def test_a_generator_that_ends_first_gives_a_lower_bound() -> None:
    server = Simulated(edge=10_000, generator=700)
    found = search(server.probe, START)
    assert (found.bound, found.high) == (Bound.AT_LEAST, None)
    assert found.rate is not None
    assert 600 < found.rate <= 700
    assert found.why == "because"


def test_one_window_that_says_nothing_is_tried_again() -> None:
    server = Simulated(edge=400)
    found = search(after([Came.MET, Came.INVALID], server.probe), START)
    assert found.bound is Bound.INTERVAL
    assert [probe.rate for probe in found.probes[1:3]] == [200.0, 200.0]


def test_a_neighbour_that_has_the_machine_for_a_while_is_no_limit_of_the_generator() -> None:
    """It had sent more before, so it can."""
    crowd = [Came.MET, Came.MET, Came.MISSED, Came.INVALID, Came.INVALID, Came.INVALID]
    found = search(after(crowd, Simulated(edge=300).probe), START)
    assert found.bound is Bound.INTERVAL
    assert found.rate == pytest.approx(300, rel=0.05)
    assert "generator" not in found.why
    assert sum(probe.phase == "repeat" and probe.came is not Came.INVALID for probe in found.probes) >= REPEATS


def test_a_generator_too_slow_for_every_rate_names_nothing() -> None:
    found = search(Simulated(edge=400, generator=0.5).probe, START)
    assert (found.bound, found.rate) == (Bound.NONE, None)


def test_a_finding_ends_the_search_without_a_number() -> None:
    found = search(Simulated(edge=10_000, lies_at=300).probe, START)
    assert (found.bound, found.rate, found.held) == (Bound.NONE, None, 200.0)
    assert found.probes[-1].came is Came.FINDING


def test_a_server_that_dies_ends_the_search() -> None:
    found = search(Simulated(edge=10_000, dies_at=300).probe, START)
    assert (found.bound, found.held, found.probes[-1].came) == (Bound.NONE, 200.0, Came.GONE)


def test_a_server_that_carries_nothing() -> None:
    found = search(Simulated(edge=0.01).probe, START)
    assert (found.bound, found.high) == (Bound.BELOW, 1.0)


def test_an_edge_that_is_not_sharp_keeps_a_wide_interval_and_says_so() -> None:
    found = search(Simulated(edge=400, width=0.3, seed=4).probe, START)
    assert found.high is not None
    assert found.low is not None
    assert found.high / found.low > 1.1
    assert "not sharp" in found.why


def test_more_windows_narrow_the_interval() -> None:
    few = edge([(200, True), (800, False)])
    many = edge([(200, True), (800, False), (380, True), (390, True), (420, False), (410, False)])
    assert many.spread < few.spread / 1.5


# ── windows ──


def crew() -> Crew:
    return Crew(8)


def run(**changes: Any) -> Results:
    series = [{"backlog": 5} for _ in range(10)]
    load = {"sent": 1000, "duration_s": 10.0, "series": series, "invalid": [], **changes.pop("load", {})}
    verbs = {"publish": {"count": 1000, "errors": 0, "codes": {}}, **changes.pop("verbs", {})}
    held = ({"expression": "e2e.p99 < 200ms", "value_us": 100, "met": True},)
    fields: dict[str, Any] = {"verdict": Verdict.OBJECTIVES_MET, "exit_code": 0, "objectives": held}
    return Results(schema=1, load=load, verbs=verbs, **{**fields, **changes})


MISSED = ({"expression": "e2e.p99 < 200ms", "value_us": 10**6, "met": False},)
LOST = FindingResult(check="loss", requirement="LOSS-1", summary="m1 was lost", operations=(), proof="")


@pytest.mark.parametrize(
    ("results", "came", "word"),
    [
        (run(), Came.MET, ""),
        (run(objectives=MISSED), Came.MISSED, "missed e2e.p99 < 200ms"),
        (
            run(verbs={"publish": {"count": 1000, "errors": 60, "codes": {"RATE_LIMITED": 60}}}),
            Came.MISSED,
            "RATE_LIMITED",
        ),
        (run(load={"series": [{"backlog": 20 * n} for n in range(10)]}), Came.MISSED, "the backlog grew"),
        (run(load={"invalid": ["the generator was the bottleneck"]}, objectives=MISSED), Came.INVALID, "generator"),
        (run(findings=(LOST,), exit_code=1), Came.FINDING, "m1 was lost"),
        (run(exit_code=ExitCode.TARGET, summary="it went away"), Came.GONE, "went away"),
        (run(exit_code=ExitCode.HARNESS, summary="Locust failed"), Came.FAILED, "Locust failed"),
        (run(exit_code=ExitCode.INTERRUPTED), Came.INTERRUPTED, "interrupted"),
        (run(objectives=({"expression": "x", "met": None},)), Came.FAILED, "never measured"),
    ],
)
def test_what_a_window_comes_to(results: Results, came: Came, word: str) -> None:
    probe = window.read(results, rate=100, phase="rise", crew=crew(), detail={})
    assert probe.came is came
    assert word in probe.why


def test_what_the_scenario_itself_holds_back_is_no_growth() -> None:
    growing = run(load={"series": [{"backlog": 4 * n} for n in range(10)]})
    assert window.read(growing, rate=100, phase="rise", crew=crew(), held_back=0.05, detail={}).came is Came.MET
    assert window.read(growing, rate=100, phase="rise", crew=crew(), detail={}).came is Came.MISSED


def test_a_rarer_percentile_needs_more_samples_and_a_longer_window() -> None:
    p99, p50 = (objectives.parse_all([f"e2e.{stat} < 1s"]) for stat in ("p99", "p50"))
    assert (window.samples(p99), window.samples(p50)) == (2000, 40)
    assert window.length_s(150, 2000, "repeat") == pytest.approx(13.3, abs=0.1)
    assert window.length_s(2000, 2000, "repeat") == window.SHORTEST_S
    assert window.length_s(200, 2000, "rise") == 5.0
    assert window.length_s(1, 2000, "repeat") == window.LONGEST_S


# ── the scaling law ──


def test_the_law_is_found_again() -> None:
    law = Law(alone=500, contention=0.05, coherence=0.002)
    found = fit([(n, law.at(n)) for n in (1, 2, 4, 8)])
    assert found is not None
    assert (found.alone, found.contention, found.coherence) == pytest.approx((500, 0.05, 0.002))
    assert found.peak == pytest.approx(21.8, abs=0.1)


def test_more_processes_that_bring_nothing_are_all_contention() -> None:
    found = fit([(1, 400), (2, 400), (4, 400)])
    assert found is not None
    assert found.contention == pytest.approx(1)
    assert found.ceiling == pytest.approx(400)


def test_twice_as_many_carry_twice_as_much() -> None:
    found = fit([(1, 100), (2, 200)])
    assert found is not None
    assert (found.contention, found.peak, found.ceiling) == (0, None, None)


def test_one_count_fits_nothing() -> None:
    assert fit([(1, 100), (1, 110)]) is None
    assert told([{"count": 1, "rate": 100, "low": 90, "high": 110}], over="replicas") == {}


def test_the_forecast_carries_the_capacities_uncertainty() -> None:
    law = Law(alone=500, contention=0.05, coherence=0.002)
    points = [{"count": n, "rate": law.at(n), "low": law.at(n) * 0.95, "high": law.at(n) * 1.05} for n in (1, 2, 4)]
    scaling = told(points, over="replicas")
    furthest = scaling["forecast"][-1]
    assert furthest["count"] == 16
    assert furthest["low"] < law.at(16) < furthest["high"]
    assert "replicas" in scaling["sentence"]
