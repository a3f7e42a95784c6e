"""Objectives as every format shows them: value, margin, and the part of the limit that a page draws as a bar."""

from typing import Any

import pytest

from queueproof.evidence.results import Results, Verdict
from queueproof.report.load import objectives


def told(expression: str, **entry: Any) -> tuple[str, str, float | None]:
    entries = ({"expression": expression, "met": True, **entry},)
    [found] = objectives(Results(schema=1, verdict=Verdict.OBJECTIVES_MET, exit_code=0, objectives=entries))
    return found.value, found.margin, found.part


@pytest.mark.parametrize(
    ("expression", "entry", "value", "margin", "part"),
    [
        ("e2e.p99 < 200ms", {"value_us": 150_000}, "150.0 ms", "25 % below 200ms", 0.75),
        ("e2e.p99 <= 1s", {"value_us": 1_500_000}, "1.500 s", "50 % above 1s", 1.5),
        ("errors < 0.1%", {"value": 0.0005}, "0.05 %", "50 % below 0.1%", 0.5),
        ("throughput >= 500/s", {"value": 550.0}, "550/s", "10 % above 500/s", 1.1),
        ("dropped < 10", {"value": 10}, "10", "0 % below 10", 1.0),
    ],
)
def test_a_margin_is_a_part_of_the_limit(
    expression: str, entry: dict[str, Any], value: str, margin: str, part: float
) -> None:
    assert told(expression, **entry) == (value, margin, pytest.approx(part))


@pytest.mark.parametrize(
    ("expression", "entry", "value"),
    [
        ("backlog.end == 0", {"value": 3}, "3"),  # nothing is a part of nothing
        ("not e2e.p99 > 5ms", {"value_us": 40_000}, "40.0 ms"),  # a comparison's: 5 ms is what may be more, no limit
        ("not claim.response.p99 > 5%", {"value_us": 40_000}, "40.0 ms"),
        ("e2e.p99 < 200ms", {"met": None}, ""),
        ("<img src=x> < 1ms", {"value_us": 1}, "1 µs"),
    ],
)
def test_where_there_is_no_limit_there_is_no_margin(expression: str, entry: dict[str, Any], value: str) -> None:
    assert told(expression, **entry) == (value, "", None)
