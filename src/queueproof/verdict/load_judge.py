"""The verdict of a load, from its run directory alone: findings of the checks, objectives, and whether it was valid.

The order in which reasons count: interrupted, a finding, a failure of the harness, a target that went away, an invalid
run, a missed objective. A finding stands whatever else went wrong; a number stands only when everything else is right.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from queueproof.checks.all import run_all
from queueproof.checks.finding import Finding
from queueproof.checks.loss import ROWS, Drain
from queueproof.checks.redelivery import CADENCE_S, SLACK_S
from queueproof.errors import CorruptRunError, ExitCode
from queueproof.evidence.history import History, read_history
from queueproof.evidence.latency import Histogram, merged, read_logs, summary
from queueproof.evidence.results import CleanUp, FindingResult, Results, Verdict
from queueproof.verdict.consumers import BUSY, Crew
from queueproof.verdict.load_measures import queue_wait, redelivery_lag
from queueproof.verdict.nemesis import excused, lacking, struck
from queueproof.verdict.objectives import Measured, Objective, evaluate

SCHEMA: Final = 1
GATHERED: Final = "load.json"  # what the swarm leaves in the run directory (docs/results.md)
LIMITED: Final = "RATE_LIMITED"  # the code of a 429
SHOWN: Final = 5  # findings in a terminal; the report has them all
Check = Callable[[History, Mapping[str, Any]], list[Finding]]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the process that ran the load ended."""

    interrupted: bool = False
    failure: str = ""  # in words, when it ended otherwise than it should
    aborted: str = ""  # why it was ended early: it had no hope of meeting its objectives


def run_checks(history: History, load: Mapping[str, Any]) -> list[Finding]:
    """All checks, with what the load knows of its queues and of its drain. `load`: the `load` part of results.json."""
    queues, dead_letter = load.get("queues") or {}, load.get("dead_letter")
    return run_all(
        history,
        orderings=queues,
        dead_letter=[dead_letter] if dead_letter else None,
        max_retries=dict.fromkeys(queues, load["max_retries"]) if queues else None,
        drains=_drains(load),
        rows=pl.DataFrame(load.get("drain", {}).get("rows", []), schema=ROWS),
        token_prefix=load.get("token_prefix"),
        slack_s=load.get("slack_s", SLACK_S),
        cadence_s=load.get("cadence_s", CADENCE_S),
    )


def _drains(load: Mapping[str, Any]) -> list[Drain]:
    """The drain, when it was not cut short."""
    told = load.get("drain", {})
    if not told.get("complete"):
        return []
    drain = Drain(
        queues=tuple(told["queues"]),
        quiet_from_ns=told["quiet_from_ns"],
        dead_letter=load.get("dead_letter") in told["queues"],
        longest_timeout_ns=int(told["longest_s"] * 1e9),
        longest_wait_ns=int(told["longest_wait_s"] * 1e9),
        cadence_s=load["cadence_s"],
        slack_s=load["slack_s"],
    )
    return [drain]


def gathered(directory: Path) -> dict[str, Any]:
    """What the swarm left; empty when it was killed before it could."""
    try:
        return dict(json.loads((directory / GATHERED).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def judge(
    directory: Path,
    *,
    objectives: Sequence[Objective],
    ending: Ending | None = None,
    check: Check = run_checks,
    nemesis: Sequence[str] = (),
) -> Results:
    """The results of the run in `directory`; `nemesis`: the faults that were to be struck while it ran."""
    ending = ending or Ending()
    told = gathered(directory)
    load: dict[str, Any] = told.get("load", {})
    problems = list(told.get("problems", []))
    history = _history(directory, problems)
    findings = check(history, load) if history is not None else []
    if nemesis and history is not None:
        findings = excused(findings)
        load = {**load, "nemesis": struck(history)}
        told = {**told, "load": load}
    histograms = {key: merged(intervals) for key, intervals in read_logs(directory).items()}
    if history is not None and history.deliveries.height:
        histograms["queue_wait", "response"] = queue_wait(history)
        histograms["redelivery_lag", "response"] = redelivery_lag(history)
    verbs = _verbs(told.get("verbs", {}), histograms)
    measured = _measured(verbs, load, histograms)
    held = [evaluate(objective, measured) for objective in objectives]
    interrupted = ending.interrupted or (bool(told.get("interrupted")) and not ending.aborted)
    if ending.failure and not interrupted:
        problems.append(ending.failure)
    elif not told and not interrupted:
        problems.append("the load left no account of itself")
    lacks = lacking(load.get("nemesis", ()), nemesis)
    verdict, code, sentence = _decide(
        findings,
        held,
        problems,
        told,
        interrupted=interrupted,
        aborted=ending.aborted,
        lacks=lacks,
        looked=history is not None,
    )
    return Results(
        schema=SCHEMA,
        verdict=verdict,
        exit_code=int(code),
        summary=sentence,
        complete=bool(told) and not interrupted and not ending.aborted,
        findings=tuple(_finding(finding) for finding in findings),
        verbs=verbs,
        load={**load, "problems": problems},
        objectives=tuple(held),
        clean_up=_clean_up(told.get("clean_up", {})),
    )


def _history(directory: Path, problems: list[str]) -> History | None:
    try:
        return read_history(directory)
    except CorruptRunError as error:
        if list(directory.glob("history-*.ndjson")):
            problems.append(error.message)
        return None


def _verbs(verbs: Mapping[str, Any], histograms: Mapping[tuple[str, str], Histogram]) -> dict[str, Any]:
    """The verbs as told, or, after a kill, as the interval logs have them; and the spans that only a history shows."""
    found = dict(verbs)
    for (verb, kind), histogram in histograms.items():
        if verb != "dispatch" and (verb not in verbs):
            entry = found.setdefault(verb, {"count": 0, "errors": 0})
            entry[kind] = summary(histogram)
            entry["count"] = max(entry["count"], histogram.count)
    return found


def _measured(
    verbs: Mapping[str, Any], load: Mapping[str, Any], histograms: Mapping[tuple[str, str], Histogram]
) -> Measured:
    calls = {name: entry["count"] for name, entry in verbs.items() if "service" in entry or "lateness" in entry}
    backlogs = [point["backlog"] for point in load.get("series", [])]
    counts: dict[str, float] = {}
    if load:
        counts = {
            "dropped": load["dropped"],
            "redelivered": load["counters"].get("redelivered", 0),
            "empty_claims": load["empty_claims"],
        }
        if "delivered" in load["drain"]:
            counts["backlog.end"] = load["backlog_end"]
    if backlogs:
        counts |= {"backlog.peak": max(backlogs), "backlog.load": backlogs[-1]}
    return Measured(
        histograms=histograms,
        calls=calls,
        errors={name: verbs[name].get("errors", 0) for name in calls},
        counts=counts,
        duration_s=load.get("duration_s", 0.0),
    )


def _decide(
    findings: Sequence[Finding],
    held: Sequence[Mapping[str, Any]],
    problems: Sequence[str],
    told: Mapping[str, Any],
    *,
    interrupted: bool,
    aborted: str,
    lacks: str,
    looked: bool,
) -> tuple[Verdict, ExitCode, str]:
    violations = [finding for finding in findings if finding.weight == "violation"]
    missed = [one["expression"] for one in held if one["met"] is False]
    unknown = [one["expression"] for one in held if one["met"] is None]
    error, load = told.get("error"), told.get("load", {})
    bad = f"{_count(violations)}: {violations[0].summary}" if violations else ""
    if interrupted:
        verdict = Verdict.DOES_NOT_CONFORM if violations else Verdict.NO_VERDICT
        return verdict, ExitCode.INTERRUPTED, f"Interrupted; what was gathered is kept. {bad}".strip()
    if violations:
        return Verdict.DOES_NOT_CONFORM, ExitCode.DOES_NOT, f"The target broke its promises: {bad}"
    if error:
        return Verdict.NO_VERDICT, ExitCode(error["exit_code"]), _sentence(error)
    if problems:
        return Verdict.NO_VERDICT, ExitCode.HARNESS, f"The harness failed: {problems[0].strip().splitlines()[-1]}"
    if aborted:
        return Verdict.OBJECTIVES_MISSED, ExitCode.DOES_NOT, f"Ended early: {aborted}"
    if load.get("invalid") and (held or not load.get("nemesis")):  # a late generator proves no less of safety
        return Verdict.NO_VERDICT, ExitCode.NO_VERDICT, f"The run is invalid: {load['invalid'][0]}"
    if lacks:
        return Verdict.NO_VERDICT, ExitCode.NO_VERDICT, f"Too little was seen of the fault: {lacks}"
    if missed:
        why = _errors(missed, told) or _consumers(missed, told)
        return Verdict.OBJECTIVES_MISSED, ExitCode.DOES_NOT, f"Missed: {', '.join(missed)}{why}"
    if unknown:
        return Verdict.NO_VERDICT, ExitCode.NO_VERDICT, f"Never measured: {', '.join(unknown)}"
    if untold := _untold(load, looked=looked, judged=bool(held)):
        return Verdict.NO_VERDICT, ExitCode.NO_VERDICT, untold
    if not looked:
        said = (
            "Every objective is met. No history was kept: whether anything was lost or handed out wrongly is not known."
        )
        return Verdict.OBJECTIVES_MET, ExitCode.CONFORMS, said
    said = "Nothing was lost or handed out wrongly, every objective is met."
    return Verdict.OBJECTIVES_MET, ExitCode.CONFORMS, said


def _errors(missed: Sequence[str], told: Mapping[str, Any]) -> str:
    """What most of the errors were, where there were too many of them."""
    codes: Counter[str] = Counter()
    for entry in told.get("verbs", {}).values():
        codes.update(entry.get("codes", {}))
    if not codes or not any(one.split("<")[0].strip().endswith("errors") for one in missed):
        return ""
    ((code, number),) = codes.most_common(1)
    return f" (most often {code}, {number:,} times{_limit(told) if code == LIMITED else ''})"


def _limit(told: Mapping[str, Any]) -> str:
    """What a rate limit let through, and what to do about it."""
    calls = [entry for entry in told["verbs"].values() if "codes" in entry]
    taken = sum(entry["count"] - entry["errors"] for entry in calls)
    seconds = told.get("load", {}).get("duration_s")
    if not seconds:
        return ""
    empty = told.get("load", {}).get("empty_claims") or 0
    idle = ", a longer consumers.idle_s (most were claims that found nothing)" if empty > taken / 2 else ""
    came = f"about {taken / seconds:.0f} calls a second came through"
    return f"; {came}: give a lower --rate{idle}, or have the limit raised"


def _consumers(missed: Sequence[str], told: Mapping[str, Any]) -> str:
    """That messages waited for the load's own consumers, where they may have; no word about the target then."""
    load = told.get("load", {})
    own = load.get("consumers")
    if not own or not own["count"] or not any(one.startswith(_WAITS) for one in missed):
        return ""
    crew = Crew(own["count"], own["batch_size"], work_s=own["work_s"])
    if crew.busy(told.get("verbs", {}), load.get("throughput", 0.0), own["count"]) < BUSY:
        return ""
    return f" (all {own['count']:,} consumers were busy, so messages waited for them: give more, --rate R --users N)"


_WAITS: Final = ("e2e.", "queue_wait.", "backlog.", "throughput")


def _untold(load: Mapping[str, Any], *, looked: bool, judged: bool) -> str:
    """Why a run without a fault is no good one either; "" when it is."""
    drain = load.get("drain", {})
    if not load.get("sent") and not drain.get("delivered") and not load.get("counters"):
        return "Not one message was sent: nothing is proved."
    if not looked and not judged:
        return "No history was kept and no objective given: nothing was judged."
    if looked and not drain.get("complete") and drain.get("missing"):
        number = drain["missing"]
        return f"The drain was cut short ({drain['why']}): what became of {number} messages is not known."
    return ""


def _count(violations: Sequence[Finding]) -> str:
    return "1 finding" if len(violations) == 1 else f"{len(violations)} findings"


def _sentence(error: Mapping[str, Any]) -> str:
    return f"{error['message'].strip().splitlines()[-1]}" + (f" → {error['hint']}" if error.get("hint") else "")


def _finding(finding: Finding) -> FindingResult:
    return FindingResult(**{name: getattr(finding, name) for name in finding.__struct_fields__})


def _clean_up(told: Mapping[str, Any]) -> CleanUp:
    return CleanUp(**{**told, "left": tuple(told.get("left", ()))})


def told(results: Results) -> str:
    """A load's results for a terminal: a line a verb, an objective, a finding, and the sentence that sums them up."""
    lines = [f"{'':14}{'calls':>9}{'errors':>8}{'p50':>10}{'p95':>10}{'p99':>10}{'p99.9':>10}{'max':>10}"]
    for name, entry in results.verbs.items():
        if "response" in entry and entry["count"]:
            times = [_shown(entry["response"][at]) for at in ("p50_us", "p95_us", "p99_us", "p999_us", "max_us")]
            lines.append(f"{name:14}{entry['count']:>9}{entry['errors']:>8}" + "".join(f"{t:>10}" for t in times))
    load = results.load
    if "sent" in load:
        lines += [
            f"{load['model']} model: {load['sent']} of {load['scheduled']} messages in {load['duration_s']:g} s",
            f"{load['throughput']:g} completed/s, {load['backlog_end']} left at the end",
            f"generator: {_shown(load['generator_cpu_us_per_request'])} of CPU a request",
            f"lateness p99 {_shown(load['lateness']['p99_us'])}",
        ]
    signs = {True: "met", False: "MISSED", None: "not measured"}
    lines += [f"  {signs[held['met']]:13} {held['expression']}{_value(held)}" for held in results.objectives]
    violations = [finding for finding in results.findings if finding.weight == "violation"]
    lines += [f"  {one.check} ({one.requirement}): {one.summary}\n    {one.proof}" for one in violations[:SHOWN]]
    if len(violations) > SHOWN:
        lines.append(f"  … and {len(violations) - SHOWN} further findings")
    notes = Counter(finding.check for finding in results.findings if finding.weight != "violation")
    lines += [
        f"  note: {check}: {number}, told in the report and held against nobody" for check, number in notes.items()
    ]
    lines += [
        f"  {row['name']} from {row['from_s']:g} to {row['to_s']:g} s: {row['unanswered_s']:g} s without a good answer"
        for row in load.get("nemesis", ())
    ]
    lines += [f"  problem: {problem.strip()}" for problem in load.get("problems", [])]
    lines += [f"  invalid: {reason}" for reason in load.get("invalid", [])]
    return "\n".join([*lines, results.summary])


def _value(held: Mapping[str, Any]) -> str:
    if held.get("value_us") is not None:
        return f"   ({_shown(held['value_us'])})"
    return f"   ({held['value']:g})" if held.get("value") is not None else ""


def _shown(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.1f} ms" if microseconds < 1e6 else f"{microseconds / 1e6:.2f} s"
