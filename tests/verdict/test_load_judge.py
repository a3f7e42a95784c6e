"""The verdict of a load: which reason counts when there are several, and what a cut-off run still says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from queueproof.checks.finding import Finding
from queueproof.evidence.history import History, HistoryWriter, tabulate
from queueproof.evidence.latency import Histogram, Interval, IntervalLog, bucket, log_name, summary
from queueproof.evidence.operation import Clock, Invoke, Item, Mark, Result, Return
from queueproof.evidence.results import Verdict
from queueproof.report.load import summary as load_summary
from queueproof.swarm import outcome
from queueproof.verdict import load_judge
from queueproof.verdict.load_judge import Ending, judge
from queueproof.verdict.load_measures import queue_wait, redelivery_lag
from queueproof.verdict.objectives import parse_all

VIOLATION = Finding(check="loss", requirement="LOSS-1", summary="message m7 is gone", operations=(7,), proof="1 < 2")
NOTE = Finding(check="order", requirement="ORD-1", summary="close", operations=(8,), proof="", weight="note")
LOAD = {
    "model": "open",
    "scheduled": 10,
    "sent": 10,
    "dropped": 0,
    "duration_s": 1.0,
    "throughput": 10.0,
    "backlog_end": 0,
    "empty_claims": 0,
    "counters": {},
    "lateness": {"p99_us": 3},
    "generator_cpu_us_per_request": 30.0,
    "drain": {"complete": True, "delivered": 0},
    "invalid": [],
    "series": [{"backlog": 4}, {"backlog": 1}],
}
TIMES = summary(Histogram({bucket(20_000): 10}))
VERB = {"count": 10, "errors": 0, "response": TIMES, "service": TIMES, "lateness": TIMES}


def run(path: Path, *, findings: tuple[Finding, ...] = (), ending: Ending | None = None, **told: Any) -> Any:
    """Judges a run directory in which the swarm left `told`."""
    HistoryWriter(path / "history-1.ndjson", run="r").close()
    log = IntervalLog(path / log_name("publish", "response"), start_s=1.0)
    log.write(Interval(start_s=1.0, length_s=1.0, counts={bucket(20_000): 10}))
    log.close()
    whole = {"run": "r", "verbs": {"publish": VERB}, "load": LOAD, "problems": [], **told}
    (path / load_judge.GATHERED).write_text(json.dumps(whole))

    def check(history: History, load: Mapping[str, Any]) -> list[Finding]:
        return list(findings)

    objectives = parse_all(["publish.response.p99 < 50ms", "errors < 1%", "backlog.peak < 5"])
    return judge(path, objectives=objectives, ending=ending, check=check)


def test_the_two_rooms_agree_on_the_files_name() -> None:
    assert load_judge.GATHERED == outcome.FILE


def test_all_is_well(tmp_path: Path) -> None:
    results = run(tmp_path, findings=(NOTE,))
    assert (results.exit_code, results.verdict, results.complete) == (0, Verdict.OBJECTIVES_MET, True)
    assert [held["met"] for held in results.objectives] == [True, True, True]
    text = load_judge.told(results)
    assert "every objective is met" in text
    assert "publish.response.p99 < 50ms   (20.0 ms)" in text


ERROR = {"exit_code": 3, "message": "the target is away", "hint": "look"}
REFUSED = {**VERB, "errors": 6, "codes": {"timeout": 2, "RATE_LIMITED": 4}}
CUT = {"complete": False, "why": "it took long", "missing": 3, "delivered": 5}
INVALID = {**LOAD, "invalid": ["too slow"]}


@pytest.mark.parametrize(
    ("told", "findings", "ending", "code", "verdict", "word"),
    [
        ({"load": {**LOAD, "series": [{"backlog": 9}]}}, (), None, 1, "objectives-missed", "Missed: backlog.peak"),
        (
            {"verbs": {"publish": REFUSED}},
            (),
            None,
            1,
            "objectives-missed",
            "errors < 1% (most often RATE_LIMITED, 4 times; about 4 calls a second came through: give a lower --rate",
        ),
        (
            {"verbs": {"publish": REFUSED}, "load": {**LOAD, "empty_claims": 900}},
            (),
            None,
            1,
            "objectives-missed",
            "give a lower --rate, a longer consumers.idle_s (most were claims that found nothing), or have the limit",
        ),
        ({"verbs": {}}, (), None, 4, "no-verdict", "Never measured: errors"),
        ({"load": INVALID}, (), None, 4, "no-verdict", "invalid: too slow"),
        ({"load": INVALID, "error": ERROR}, (), None, 3, "no-verdict", "the target is away → look"),
        ({"load": {**LOAD, "sent": 0}}, (), None, 4, "no-verdict", "Not one message was sent"),
        ({"load": {**LOAD, "drain": CUT}}, (), None, 4, "no-verdict", "cut short (it took long): what became of 3"),
        ({"problems": ["worker 1 has vanished"]}, (), None, 5, "no-verdict", "worker 1 has vanished"),
        ({}, (), Ending(failure="Locust ended"), 5, "no-verdict", "Locust ended"),
        ({}, (), Ending(aborted="hopeless"), 1, "objectives-missed", "Ended early: hopeless"),
        ({"problems": ["x"], "error": ERROR}, (VIOLATION,), None, 1, "does-not-conform", "m7 is gone"),
        ({}, (VIOLATION,), Ending(interrupted=True), 130, "does-not-conform", "Interrupted"),
        ({"interrupted": True}, (), None, 130, "no-verdict", "Interrupted"),
    ],
)
def test_which_reason_counts(
    told: dict[str, Any],
    findings: tuple[Finding, ...],
    ending: Ending | None,
    code: int,
    verdict: str,
    word: str,
    tmp_path: Path,
) -> None:
    results = run(tmp_path, findings=findings, ending=ending, **told)
    assert (results.exit_code, results.verdict.value) == (code, verdict)
    assert word in results.summary
    assert load_judge.told(results).endswith(results.summary)


def test_a_killed_run_still_has_its_numbers(tmp_path: Path) -> None:
    """Nothing but interval logs and a torn history: kept, interrupted, incomplete."""
    run(tmp_path)
    (tmp_path / load_judge.GATHERED).unlink()
    results = judge(tmp_path, objectives=[], ending=Ending(interrupted=True), check=lambda *_: [])
    assert (results.exit_code, results.complete) == (130, False)
    assert results.verbs["publish"]["response"]["p50_us"] == Histogram({bucket(20_000): 1}).max
    assert judge(tmp_path, objectives=[], check=lambda *_: []).exit_code == 5


def test_a_run_without_a_history_is_not_checked(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "history-1.ndjson").unlink()

    def never(*_: Any) -> list[Finding]:
        raise AssertionError

    met = judge(tmp_path, objectives=parse_all(["errors < 1%"]), check=never)
    assert (met.exit_code, met.verdict) == (0, Verdict.OBJECTIVES_MET)
    assert "Nothing was lost" not in met.summary
    assert "not known" in met.summary
    nothing = judge(tmp_path, objectives=[], check=never)
    assert (nothing.exit_code, nothing.summary) == (
        4,
        "No history was kept and no objective given: nothing was judged.",
    )


def test_a_damaged_history_is_a_problem(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "history-1.ndjson"
    path.write_bytes(b"{}\n" + path.read_bytes())
    assert judge(tmp_path, objectives=[], check=lambda *_: []).exit_code == 5


def test_all_the_checks_run_over_a_load(tmp_path: Path) -> None:
    """The adapter and the real checks: a message that was completed comes back."""
    records = [
        Clock(domain="d", at_ns=0, wall_us=0, run="r"),
        *called(1, "publish", 0, 10, token="qp.r.1", scope="s", queue="q", back={"message": "m"}),
        *called(2, "claim", 20, 30, scope="s", queue="q", timeout_s=5.0, limit=1, back={"items": delivered(1)}),
        *called(3, "complete", 40, 50, scope="s", message="m"),
        *called(4, "claim", 60, 70, scope="s", queue="q", timeout_s=5.0, limit=1, back={"items": delivered(2)}),
    ]
    load = {"queues": {"q": "fifo"}, "max_retries": 20, "token_prefix": "qp.r."}
    findings = load_judge.run_checks(tabulate(records), load)
    assert "terminality" in {finding.check for finding in findings if finding.weight == "violation"}
    assert not [finding for finding in findings if finding.check == "harness"]


def called(op: int, verb: str, inv: int, ret: int, *, back: Mapping[str, Any] | None = None, **call: Any) -> list[Any]:
    """A call that was answered ok, times in ms."""
    return [
        Invoke(op=op, at_ns=inv * 1_000_000, verb=verb, **call),
        Return(op=op, at_ns=ret * 1_000_000, result=Result.OK, status=200, **(back or {})),
    ]


def delivered(attempts: int, message: str = "m") -> tuple[Item, ...]:
    return (Item(id=message, token="qp.r.1", attempts=attempts),)


def test_waits_and_lags_are_read_off_the_history() -> None:
    """Published at 10 ms, delivered at 30, its lock of 100 ms lapsed, delivered again at 180: 20 ms, and 50 ms late."""
    claim: dict[str, Any] = {"scope": "s", "queue": "q", "timeout_s": 0.1, "limit": 1}
    records = [
        Clock(domain="d", at_ns=0, wall_us=0, run="r"),
        *called(1, "publish", 0, 10, token="qp.r.1", scope="s", queue="q", back={"message": "m"}),
        *called(2, "claim", 20, 30, **claim, back={"items": delivered(1)}),
        *called(3, "claim", 170, 180, **claim, back={"items": delivered(2)}),
        *called(4, "release", 190, 200, scope="s", message="m"),
        *called(5, "claim", 210, 220, **claim, back={"items": delivered(3)}),
    ]
    history = tabulate(records)
    assert (queue_wait(history).count, queue_wait(history).max) == (1, Histogram({bucket(20_000): 1}).max)
    assert redelivery_lag(history).counts == {bucket(50_000): 1}


@pytest.mark.parametrize(
    ("back", "load", "wanted", "code", "word"),
    [
        (True, LOAD, [], 0, "Nothing was lost"),
        (True, INVALID, [], 0, "Nothing was lost"),
        (True, INVALID, ["errors < 90%"], 4, "invalid: too slow"),
        (False, LOAD, [], 4, "Too little was seen of the fault: kill-server: 0 good answers after it"),
    ],
)
def test_a_fault_is_judged_by_safety_when_enough_was_seen(
    back: bool, load: dict[str, Any], wanted: list[str], code: int, word: str, tmp_path: Path
) -> None:
    """A generator that was late proves no less of what was lost; only objectives need it to be on time."""
    run(tmp_path, load=load)
    history = HistoryWriter(tmp_path / "history-2.ndjson", run="r", writer=2)
    history.write(Mark(at_ns=0, name="load"))
    for at_ns, phase in ((3000, "start"), (6000, "stop")):
        history.write(Mark(at_ns=at_ns, name="nemesis", detail=json.dumps({"name": "kill-server", "phase": phase})))
    for op in range(1, 91):
        history.write(Invoke(op=op, at_ns=op * 100, verb="claim", queue="q", timeout_s=5.0, limit=1))
        if op < 30 or (back and op > 60):
            history.write(Return(op=op, at_ns=op * 100 + 50, result=Result.OK))
    history.close()
    results = judge(tmp_path, objectives=parse_all(wanted), check=lambda *_: [], nemesis=["kill-server"])
    assert results.exit_code == code, results.summary
    assert word in results.summary
    assert results.load["nemesis"][0]["calls_during"] == 31
    assert dict(load_summary(results))["kill-server"].endswith("s without a good answer")


@pytest.mark.parametrize(
    ("slowest_us", "backlog", "said"),
    [
        (900_000, 9, True),  # 10 messages a second keep 18 consumers busy
        (100_000, 9, False),  # two of eight
        (900_000, 1, False),  # it missed something else
    ],
)
def test_messages_that_waited_for_the_loads_own_consumers(
    slowest_us: int, backlog: int, said: bool, tmp_path: Path
) -> None:
    times = summary(Histogram({bucket(slowest_us): 10}))
    slow = {"count": 10, "errors": 0, "response": times, "service": times, "lateness": TIMES}
    late = {**slow, "errors": 5, "codes": {}} if backlog == 1 else slow
    load = {**LOAD, "consumers": {"count": 8, "batch_size": 1, "work_s": 0.0}, "series": [{"backlog": backlog}]}
    results = run(tmp_path, load=load, verbs={"publish": VERB, "claim": slow, "complete": late})
    assert results.exit_code == 1
    assert ("--users" in results.summary) is said
