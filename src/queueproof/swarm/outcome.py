"""What a load came to, as plain data: the parts of results.json that a run of the swarm fills, and its live line."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from queueproof.evidence.latency import Histogram, summary
from queueproof.swarm.health import troubles
from queueproof.swarm.measures import KINDS, Whole
from queueproof.swarm.scenario import Scenario

FILE: Final = "load.json"  # in the run directory, until the verdict has been written
OWN: Final = frozenset({"e2e", "dispatch"})  # histograms that are no verb's


def write(directory: Path, told: Mapping[str, Any]) -> None:
    partial = directory / f".{FILE}.partial"
    partial.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8", errors="replace")
    partial.replace(directory / FILE)


def second(number: int, part: Whole, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """One second of the series: counts, and response percentiles in µs.

    A publish whose answer was lost may be completed all the same, so the backlog is taken to begin anew where more was
    completed than is known of.
    """
    counters = part.counters
    backlog = max(0, (before["backlog"] if before else 0) + counters["publish.ok"] - counters["complete.ok"])
    return {
        "t": number,
        "started": counters["started"],
        "publish": counters["publish.ok"],
        "claim": counters["claim.ok"],
        "complete": counters["complete.ok"],
        "errors": sum(number for name, number in counters.items() if name.endswith(".error")),
        "empty_claims": counters["empty_claims"],
        "backlog": backlog,
        "publish_p99_us": part.of("publish", "response").percentile(99),
        "claim_p99_us": part.of("claim", "response").percentile(99),
        "e2e_p99_us": part.of("e2e", "response").percentile(99),
        "lateness_p99_us": part.of("dispatch", "lateness").percentile(99),
    }


def last_answer(series: Sequence[Mapping[str, Any]]) -> str:
    """When the target of this series was last heard of, in words; "" when it never was while the load ran."""
    good = [point["t"] for point in series if point["publish"] or point["claim"] or point["complete"]]
    return f": the last good answer came in second {good[-1] + 1} of the load" if good else ""


def line(
    phase: str, elapsed_s: float, scenario: Scenario, whole: Whole, in_flight: int, left: int | None = None
) -> dict[str, Any]:
    """The numbers of the live line; `left`: messages that the drain still awaits, None before it."""
    counters = whole.counters
    return {
        "phase": phase,
        "elapsed_s": round(elapsed_s, 1),
        "duration_s": scenario.duration_s,
        "published": counters["publish.ok"],
        "completed": counters["complete.ok"],
        "calls": sum(number for name, number in counters.items() if name.endswith((".ok", ".error"))),
        "errors": sum(number for name, number in counters.items() if name.endswith(".error")),
        "empty_claims": counters["empty_claims"],
        "in_flight": in_flight,
        "left": left,
        "publish_p99_us": whole.of("publish", "response").percentile(99),
        "e2e_p99_us": whole.of("e2e", "response").percentile(99),
        "lateness_p99_us": whole.of("dispatch", "lateness").percentile(99),
    }


def whole(
    scenario: Scenario,
    total: Whole,
    *,
    workers: Mapping[int, Mapping[str, float]],
    duration_s: float,
    drained: Mapping[str, Any],
) -> dict[str, Any]:
    """`verbs` and `load` of results.json; `load.invalid` says why the run says nothing, where it does not."""
    counters = total.counters
    scheduled = counters["started"] if scenario.closed else scenario.scheduled
    dispatch = total.of("dispatch", "lateness")
    verbs = _verbs(total)
    calls = sum(entry["count"] for entry in verbs.values())
    cpu_s = sum(told["cpu_s"] for told in workers.values() if told)
    load = {
        "scenario": scenario.name,
        "model": "closed" if scenario.closed else "open",
        "scheduled": scheduled,
        "sent": counters["started"],
        "dropped": scheduled - counters["started"],
        "duration_s": round(duration_s, 3),
        "throughput": round(counters["complete.ok"] / duration_s, 3) if duration_s else 0.0,
        "backlog_end": drained.get("missing", 0),
        "empty_claims": counters["empty_claims"],
        "consumers": {name: getattr(scenario.consumers, name) for name in ("count", "batch_size", "work_s")},
        "counters": {name: counters[name] for name in _PLAIN if counters[name]},
        "lateness": summary(dispatch),
        "generator_cpu_us_per_request": round(cpu_s / calls * 1e6, 1) if calls else 0.0,
        "workers": [{"index": index, **told} for index, told in sorted(workers.items())],
        "drain": dict(drained),
        "invalid": troubles(
            {index: told for index, told in workers.items() if told},
            dispatch=dispatch,
            scheduled=scheduled,
            started=counters["started"],
            open_model=not scenario.closed,
        ),
    }
    return {"verbs": {**verbs, "e2e": _entry(total.of("e2e", "response"))}, "load": load}


_PLAIN: Final = ("delivered", "redelivered", "damaged", "foreign", "abandoned", "replayed")


def _verbs(total: Whole) -> dict[str, Any]:
    names = sorted({verb for verb, _ in total.histograms} - OWN)
    return {name: _verb(name, total) for name in names}


def _verb(name: str, total: Whole) -> dict[str, Any]:
    codes: Counter[str] = Counter()
    for counter, number in total.counters.items():
        if counter.startswith(f"{name}.code."):
            codes[counter.removeprefix(f"{name}.code.")] += number
    codes += Counter()  # without those that turned out to be no error
    entry = {"count": total.of(name, "response").count, "errors": total.counters[f"{name}.error"], "codes": dict(codes)}
    return {**entry, **{kind: summary(total.of(name, kind)) for kind in KINDS}}


def _entry(histogram: Histogram) -> dict[str, Any]:
    return {"count": histogram.count, "errors": 0, "response": summary(histogram)}
