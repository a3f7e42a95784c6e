"""Faults in a history: what was seen around them, and when that is too little."""

import json
from typing import Any

import pytest

from queueproof.checks.finding import Finding
from queueproof.evidence.history import History, tabulate
from queueproof.evidence.operation import Clock, Invoke, Mark, Record, Result, Return
from queueproof.verdict.nemesis import ENOUGH, excused, lacking, struck

SECOND = 1_000_000_000


def history(*, silent: tuple[float, float] = (4.0, 6.0), marked: bool = True, until_s: float = 10.0) -> History:
    """Ten publishes a second from 0 s on, unanswered within `silent`; a fault from 4 to 6 s."""
    records: list[Record] = [Clock(domain="d", at_ns=0, wall_us=0, run="r"), Mark(at_ns=0, name="load")]
    if marked:
        for at_s, phase in ((4, "start"), (6, "stop")):
            detail = json.dumps({"name": "kill-server", "phase": phase})
            records.append(Mark(at_ns=at_s * SECOND, name="nemesis", detail=detail))
    for number in range(int(until_s * 10)):
        at_ns = number * SECOND // 10
        records.append(Invoke(op=number + 1, at_ns=at_ns, verb="publish", queue="q"))
        if not silent[0] * SECOND <= at_ns < silent[1] * SECOND:
            records.append(Return(op=number + 1, at_ns=at_ns + 1000, result=Result.OK, message=f"m{number}"))
    return tabulate([*records, Mark(at_ns=int(until_s * SECOND), name="drain")])


def test_a_fault_is_told_with_the_calls_around_it() -> None:
    (row,) = struck(history())
    assert (row["name"], row["from_s"], row["to_s"]) == ("kill-server", 4, 6)
    assert (row["ok_before"], row["calls_during"], row["ok_during"], row["ok_after"]) == (40, 21, 1, 40)
    assert row["unanswered_s"] == pytest.approx(2.1, abs=0.01)
    assert lacking([row], ["kill-server"]) == ""


def test_a_target_that_never_comes_back_is_no_verdict() -> None:
    (row,) = struck(history(silent=(4.0, 10.0)))
    assert row["unanswered_s"] == pytest.approx(6.1, abs=0.01)
    assert lacking([row], ["kill-server"]) == f"kill-server: 0 good answers after it, fewer than {ENOUGH}"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"ok_before": 3}, "3 good answers before it"),
        ({"calls_during": 1}, "1 calls while it lasted"),
        ({"ok_after": 19}, "19 good answers after it"),
    ],
)
def test_too_little_seen_is_no_verdict(told: dict[str, Any], words: str) -> None:
    row = {"name": "flush-redis", "ok_before": 20, "calls_during": 20, "ok_after": 20}
    assert lacking([row], ["flush-redis"]) == ""
    assert words in lacking([{**row, **told}], ["flush-redis"])


def test_a_fault_that_was_never_struck_is_no_verdict() -> None:
    assert struck(history(marked=False)) == []
    assert lacking([], ["kill-server"]) == "the load ended before kill-server was struck"


def test_only_promises_of_time_and_order_are_excused() -> None:
    def finding(check: str) -> Finding:
        return Finding(check=check, requirement="X-1", summary="s", operations=(1,), proof="1 < 2")

    found = excused([finding("loss"), finding("redelivery"), finding("order"), finding("exclusivity")])
    assert [one.weight for one in found] == ["violation", "note", "note", "violation"]
