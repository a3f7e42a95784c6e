"""Objectives: read or refused with a word that helps, and held against what was measured."""

import pytest

from queueproof.errors import UsageError
from queueproof.evidence.latency import Histogram, bucket
from queueproof.verdict.objectives import Measured, abort_when, evaluate, parse, parse_all

MEASURED = Measured(
    histograms={
        ("publish", "response"): Histogram({bucket(1_000): 98, bucket(60_000): 2}),
        ("e2e", "response"): Histogram({bucket(500_000): 10}),
    },
    calls={"publish": 100, "claim": 200, "complete": 100},
    errors={"publish": 1, "claim": 0, "complete": 0},
    counts={"backlog.end": 0, "backlog.peak": 7, "dropped": 0, "empty_claims": 50},
    duration_s=10.0,
)


@pytest.mark.parametrize(
    ("expression", "met"),
    [
        ("publish.response.p50 < 50ms", True),
        ("publish.response.p99 < 50ms", False),
        ("publish.response.p99<70 ms", True),
        ("publish.response.p98 <= 1ms", True),
        ("publish.response.max > 59999us", True),
        ("publish.response.mean < 2200µs", True),
        ("e2e.p99.9 < 1s", True),
        ("e2e.p99.9 < 0.4s", False),
        ("errors < 0.3%", True),
        ("errors < 0.2%", False),
        ("publish.errors < 1%", False),
        ("publish.errors <= 1", True),
        ("throughput >= 10/s", True),
        ("claim.throughput >= 20.1/s", False),
        ("backlog.end == 0", True),
        ("backlog.peak < 7", False),
        ("dropped == 0", True),
        ("empty_claims <= 25%", True),
    ],
)
def test_an_objective_is_met_or_missed(expression: str, met: bool) -> None:
    result = evaluate(parse(expression), MEASURED)
    assert result["met"] is met
    assert result["expression"] == expression


def test_a_result_names_its_value() -> None:
    assert evaluate(parse("publish.response.p50 < 50ms"), MEASURED)["value_us"] == 1000
    assert evaluate(parse("publish.errors < 5%"), MEASURED)["value"] == 0.01


@pytest.mark.parametrize("expression", ["extend.response.p99 < 5ms", "redelivery_lag.max < 1s", "fail.errors < 1%"])
def test_what_was_never_measured_is_neither_met_nor_missed(expression: str) -> None:
    assert evaluate(parse(expression), MEASURED)["met"] is None


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("publish", "METRIC OPERATOR VALUE"),
        ("", "METRIC OPERATOR VALUE"),
        ("publish.response.p99 = 5ms", "single ="),
        ("publish.responce.p99 < 5ms", "did you mean publish.response.p99"),
        ("latency < 5ms", "is no metric"),
        ("publish.response.p101 < 5ms", "p101 is no statistic"),
        ("publish.response.median < 5ms", "median is no statistic"),
        ("publish.response.p99 < 5", "measured in us, ms, s or m, and there is none"),
        ("publish.response.p99 < 5%", "measured in us, ms, s or m, not %"),
        ("throughput > 5", "measured in /s"),
        ("backlog.end < 5ms", "no unit"),
        ("errors < 1.2.3%", "is no number"),
        ("errors < x%", "METRIC OPERATOR VALUE"),
    ],
)
def test_a_wrong_one_is_refused_with_a_word_that_helps(expression: str, word: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(expression)
    assert word in str(caught.value)
    assert "→" in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError, match="2 mistakes:") as caught:
        parse_all(["errors < 1%", "nonsense", "e2e.p99 < 5"])
    assert "nonsense" in str(caught.value)
    assert "e2e.p99" in str(caught.value)
    assert len(parse_all(["errors < 1%", "e2e.p99 < 5s"])) == 2


LINE = {
    "phase": "load",
    "publish_p99_us": 900_000,
    "e2e_p99_us": 5,
    "published": 100,
    "completed": 40,
    "calls": 200,
    "errors": 12,
}


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("errors > 5%", True),
        ("errors > 6%", False),
        ("errors > 11", True),
        ("publish.response.p99 > 800ms", True),
        ("e2e.p99 > 1s", False),
        ("backlog.load >= 60", True),
    ],
)
def test_a_hopeless_run_is_recognised_while_it_runs(expression: str, holds: bool) -> None:
    assert abort_when([expression])(LINE) == (expression if holds else "")
    assert abort_when([expression])({**LINE, "phase": "drain"}) == ""


def test_a_condition_that_no_running_load_tells_is_refused() -> None:
    with pytest.raises(UsageError, match="only when the load is over"):
        abort_when(["claim.service.p50 > 3ms"])
