"""Two runs beside each other: noise is no regression, a fifth more time is one, what cannot be compared says why."""

import math
import random
from typing import Any

import pytest

from queueproof.errors import UsageError
from queueproof.evidence.latency import Interval, bucket
from queueproof.evidence.results import FindingResult, Results, Verdict
from queueproof.evidence.run import Manifest
from queueproof.verdict.bootstrap import Sample, estimates, quantile, upper_tail
from queueproof.verdict.compare import Change, Side, compare, rule

BASE_US = {"publish": 3_000.0, "claim": 20_000.0, "complete": 2_500.0, "e2e": 26_000.0}
SECONDS, RATE = 20, 150


def manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "run": "abcd1234", "kind": "load", "started": "2026-01-01T00:00:00Z", "started_us": 0, "version": "1",
        "python": "3", "machine": "m", "target": {"url": "http://127.0.0.1:1"}, "options": {"scenario": "steady"},
    }  # fmt: skip
    return Manifest(**{**fields, **changes})


def results(**changes: Any) -> Results:
    load = {
        "scenario": "steady",
        "model": "open",
        "scheduled": 3000,
        "sent": 3000,
        "invalid": [],
        **changes.pop("load", {}),
    }
    verbs = {verb: {"count": 3000, "errors": 0, "service": {}} for verb in ("publish", "claim", "complete")}
    fields: dict[str, Any] = {
        "schema": 1,
        "verdict": Verdict.OBJECTIVES_MET,
        "exit_code": 0,
        "load": load,
        "verbs": verbs,
    }
    return Results(**{**fields, **changes})


def logs(seed: int, **slower: float) -> dict[tuple[str, str], list[Interval]]:
    """A run's interval logs: log-normal times, with a mood of the machine that lasts for some seconds."""
    draw = random.Random(seed)
    found = {}
    mood, moods = 0.0, []
    for _ in range(SECONDS):
        mood = 0.6 * mood + draw.gauss(0.0, 0.04)
        moods.append(mood)
    for verb, middle_us in BASE_US.items():
        found[verb, "response"] = [
            _second(draw, middle_us * slower.get(verb, 1.0) * math.exp(one), n) for n, one in enumerate(moods)
        ]
    found["dispatch", "lateness"] = [_second(draw, 60.0, n) for n in range(SECONDS)]
    return found


def _second(draw: random.Random, middle_us: float, number: int) -> Interval:
    counts: dict[int, int] = {}
    for _ in range(RATE):
        index = bucket(int(middle_us * math.exp(draw.gauss(0.0, 0.25))))
        counts[index] = counts.get(index, 0) + 1
    return Interval(start_s=float(number), length_s=1.0, counts=counts)


def side(
    seed: int = 1, *, name: str = "a run", kind: str = "load", told: Results | None = None, **slower: float
) -> Side:
    return Side(name=name, manifest=manifest(kind=kind), results=told or results(), logs=logs(seed, **slower))


def test_two_runs_of_one_server_are_no_regression() -> None:
    """Twenty pairs that share nothing but their truth."""
    codes = [compare(side(seed), side(seed + 1000)).exit_code for seed in range(20)]
    assert codes.count(0) >= 19


def test_a_claim_that_takes_a_fifth_longer_is_found() -> None:
    found = [compare(side(seed), side(seed + 1000, claim=1.2, e2e=1.15)) for seed in range(20)]
    assert sum(one.exit_code == 1 for one in found) >= 19
    first = next(one for one in found if one.exit_code == 1)
    slower = [one["metric"] for one in first.told["metrics"] if one["change"] == Change.SLOWER]
    assert "claim.response.p50" in slower
    assert not {"publish.response.p50", "complete.response.p50"} & set(slower)
    assert first.summary.startswith("Regression: ")
    assert first.verdict is Verdict.OBJECTIVES_MISSED


def test_what_is_quicker_is_told_and_no_regression() -> None:
    found = compare(side(1), side(2, claim=0.6))
    assert found.exit_code == 0
    assert "quicker" in found.summary


def test_a_difference_below_the_generators_own_lateness_is_nobodys() -> None:
    base, run = side(1), side(2, complete=1.5)
    late = {("dispatch", "lateness"): [_second(random.Random(5), 9_000.0, n) for n in range(SECONDS)]}
    noisy = Side(name="run", manifest=run.manifest, results=run.results, logs={**run.logs, **late})
    assert compare(base, run).exit_code == 1
    assert compare(base, noisy).exit_code == 0


def test_fail_on_names_what_is_judged_and_by_how_much() -> None:
    base, run = side(1), side(2, claim=1.2)
    assert compare(base, run, [rule("claim.response.p50 > 50%")]).exit_code == 0
    assert compare(base, run, [rule("claim.response.p50 > 1ms")]).exit_code == 1
    assert compare(base, run, [rule("publish.response.p99 > 10%")]).exit_code == 0


@pytest.mark.parametrize(
    "expression", ["claim", "claim.p99 > 5%", "claim.response.p99 < 5%", "e2e.p99 > 5", "e2e.response.p99 > 5%"]
)
def test_a_change_that_is_none_is_refused(expression: str) -> None:
    with pytest.raises(UsageError, match="--fail-on"):
        rule(expression)


@pytest.mark.parametrize(
    ("told", "word"),
    [
        (results(load={"scenario": "batch"}), "different scenarios"),
        (results(load={"scheduled": 6000}), "numbers of messages"),
        (results(load={"invalid": ["the generator was the bottleneck"]}), "is invalid"),
        (results(complete=False), "did not run to its end"),
        (results(exit_code=3, summary="gone"), "has no numbers"),
    ],
)
def test_what_cannot_be_compared_says_why(told: Results, word: str) -> None:
    found = compare(side(1), side(2, told=told))
    assert (found.exit_code, found.verdict) == (4, Verdict.NO_VERDICT)
    assert word in found.summary


def test_a_run_that_broke_a_promise_is_worse_whatever_its_times() -> None:
    finding = FindingResult(check="loss", requirement="LOSS-1", summary="m1 was lost", operations=(), proof="")
    found = compare(side(1), side(2, told=results(exit_code=1, findings=(finding,))))
    assert (found.exit_code, found.verdict) == (1, Verdict.DOES_NOT_CONFORM)


def test_more_errors_are_a_regression() -> None:
    verbs = {"publish": {"count": 3000, "errors": 60, "service": {}}}
    found = compare(side(1), side(2, told=results(verbs=verbs)))
    assert found.exit_code == 1
    assert "errors 0.00% → 2.00%" in found.summary


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [(0.05, 0.5, 4), (0.5, 0.05, 1), (0.05, 0.2, 1), (0.7, 0.7, 4), (None, 0.9, 1), (0.05, None, 1)],
)
def test_slower_on_a_busier_machine_is_not_told_apart(before: float | None, after: float | None, code: int) -> None:
    """A neighbour's hunger for processors is no regression; a machine that was little busy excuses nothing."""
    base = side(1, told=results(load={"cpu_pressure": before}))
    found = compare(base, side(2, told=results(load={"cpu_pressure": after}), claim=1.3))
    assert found.exit_code == code
    assert "claim.response.p50" in found.summary
    assert ("busy machine" in found.summary) == (code == 4)
    same = compare(base, side(2, told=results(load={"cpu_pressure": after})))
    assert same.exit_code == 0  # nothing was slower
    assert ("would not have shown" in same.summary) == (code == 4)


def test_too_few_seconds_are_not_judged() -> None:
    short = {key: intervals[:3] for key, intervals in logs(1).items()}
    one = Side(name="short", manifest=manifest(), results=results(), logs=short)
    assert compare(one, one).exit_code == 4


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """60 runs with moods that last: a 95 % interval that held it in half of them would call noise a difference."""
    held = 0
    for seed in range(60):
        counts = [one.counts for one in logs(seed)["claim", "response"]]
        [found] = estimates(Sample(counts), [50.0]) or []
        held += abs(math.log(found.value_us / BASE_US["claim"])) < quantile(0.975, found.freedom) * found.error
    assert held >= 48


def test_students_t() -> None:
    assert upper_tail(2.447, 6) == pytest.approx(0.025, abs=5e-4)
    assert quantile(0.975, 20) == pytest.approx(2.086, abs=2e-3)
