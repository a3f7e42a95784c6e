"""The answer of a capacity search: the number with its interval, or in words why there is none."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from queueproof.errors import ExitCode
from queueproof.evidence.results import SCHEMA, Results, Verdict
from queueproof.verdict import scaling, window
from queueproof.verdict.capacity import Bound, Came, Capacity
from queueproof.verdict.objectives import Objective

UNPROVEN: Final = "not proven: its core conformance was not looked at"


def answered(
    wanted: Sequence[Objective],
    found: Sequence[tuple[int, Capacity]],
    *,
    replicas: int | None,
    beside: Sequence[Mapping[str, Any]],
    proven: bool,
) -> Results:
    """The answer of the searches `found`, each with the number of its load processes.

    `replicas`: how many servers were behind the address; `beside`: points of the scaling law from earlier runs;
    `proven`: whether the target's core conformance is green.
    """
    best = max((one for _, one in found), key=lambda one: (one.bound is Bound.NONE, one.rate or 0.0))
    searches = [
        {
            "processes": processes,
            "bound": one.bound,
            "rate": one.rate,
            "low": one.low,
            "high": one.high,
            "held": one.held,
            "why": one.why,
        }
        for processes, one in found
    ]
    probes = [
        {"rate": probe.rate, "came": probe.came, "why": probe.why, "phase": probe.phase, **probe.detail}
        for _, one in found
        for probe in one.probes
    ]
    told: dict[str, Any] = {
        "bound": best.bound,
        "rate": best.rate,
        "low": best.low,
        "high": best.high,
        "held": best.held,
        "why": best.why,
        "proven": proven,
        "conformance": "the core suite is green" if proven else UNPROVEN,
        "samples": window.samples(wanted),
        "replicas": replicas,
        "searches": searches,
        "probes": probes,
    }
    told["scaling"] = _scaling(replicas, searches, beside)
    verdict, code, sentence = _decided(best, [one.expression for one in wanted], proven=proven)
    last = _at(best)
    return outcome(verdict, code, sentence, told=told, objectives=last, complete=code is not ExitCode.INTERRUPTED)


def _at(best: Capacity) -> list[dict[str, Any]]:
    """The objectives as they were at the rate that was held; at the lowest one where none was."""
    wanted = best.held or min((probe.rate for probe in best.probes), default=0.0)
    return next(
        (probe.detail["objectives"] for probe in best.probes if probe.rate == wanted and "objectives" in probe.detail),
        [],
    )


def _scaling(
    replicas: int | None, searches: Sequence[Mapping[str, Any]], beside: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    if replicas is not None and searches[-1]["rate"]:
        own = {"count": replicas, **{name: searches[-1][name] for name in ("rate", "low", "high")}}
        return scaling.told([*beside, own], over="replicas")
    points = [
        {"count": one["processes"], "rate": one["rate"], "low": one["low"], "high": one["high"]} for one in searches
    ]
    return scaling.told(points, over="generator processes")


_STOPPED: Final[Mapping[Came, tuple[Verdict, ExitCode, str]]] = {
    Came.FINDING: (
        Verdict.DOES_NOT_CONFORM,
        ExitCode.DOES_NOT,
        "No capacity is named: at {rate}/s the target broke its promises",
    ),
    Came.GONE: (Verdict.NO_VERDICT, ExitCode.TARGET, "The target went away at {rate}/s"),
    Came.FAILED: (Verdict.NO_VERDICT, ExitCode.NO_VERDICT, "The search ended at {rate}/s"),
    Came.INTERRUPTED: (Verdict.NO_VERDICT, ExitCode.INTERRUPTED, "Interrupted at {rate}/s; what was gathered is kept"),
}


def _decided(best: Capacity, expressions: Sequence[str], *, proven: bool) -> tuple[Verdict, ExitCode, str]:
    met = ", ".join(expressions)
    tail = "" if proven else " Not proven: its core conformance was not looked at."
    if best.bound is Bound.BELOW:
        sentence = f"Even {best.high:.4g}/s is too much for {met}: {best.why}"
        return Verdict.OBJECTIVES_MISSED, ExitCode.DOES_NOT, sentence
    if best.bound is Bound.AT_LEAST:
        sentence = (
            f"Carries at least {best.rate:.0f}/s with {met}. The limit seen is the generator's: {best.why}.{tail}"
        )
        return Verdict.OBJECTIVES_MET, ExitCode.CONFORMS, sentence
    if best.bound is Bound.INTERVAL:
        wide = f" The interval is wide: {best.why}." if best.why else ""
        sentence = (
            f"Carries {best.rate:.0f}/s (95 % interval {best.low:.0f} to {best.high:.0f}) with {met}.{wide}{tail}"
        )
        return Verdict.OBJECTIVES_MET, ExitCode.CONFORMS, sentence
    last = best.probes[-1]
    held = f" Held before: {best.held:.0f}/s." if best.held else ""
    verdict, code, sentence = _STOPPED.get(
        last.came, (Verdict.NO_VERDICT, ExitCode.NO_VERDICT, "No rate could be tried, down to {rate}/s")
    )
    return verdict, code, f"{sentence.format(rate=f'{last.rate:.0f}')}: {best.why}.{held}"


def outcome(
    verdict: Verdict,
    code: ExitCode,
    summary: str,
    *,
    told: Mapping[str, Any] | None = None,
    objectives: Sequence[dict[str, Any]] = (),
    complete: bool = True,
    advice: str = "",
) -> Results:
    """The results of a search that ended so; `told`: what is known of the capacity, `advice`: what to do next."""
    return Results(
        schema=SCHEMA,
        verdict=verdict,
        exit_code=int(code),
        summary=summary,
        advice=advice,
        complete=complete,
        capacity=dict(told or {}),
        objectives=tuple(objectives),
    )
