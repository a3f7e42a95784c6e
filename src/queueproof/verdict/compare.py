"""Whether a run is worse than a baseline: differences that neither the runs' own noise nor the harness's explains.

A regression has to pass three walls. It is larger than what may be (5 %, or what --fail-on says) with 95 % confidence
over the whole family of metrics (Holm 1979); it is larger than the generator's own lateness at that percentile in
either run; and both runs hold enough samples beyond the percentile. Whatever
is shown but cannot pass them is told, not judged.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from queueproof.errors import ExitCode, UsageError
from queueproof.evidence.latency import Interval
from queueproof.evidence.results import Results, Verdict
from queueproof.evidence.run import Manifest
from queueproof.verdict import bootstrap
from queueproof.verdict.bootstrap import Estimate, estimates
from queueproof.verdict.objectives import KINDS, SPANS, VERBS

# The family that is judged unless --fail-on names another. It is small: each more costs power (docs/decisions.md).
FAMILY: Final = tuple(
    (verb, "response", percent) for verb in ("publish", "claim", "complete", "e2e") for percent in (50.0, 99.0)
)
SHOWN: Final = (50.0, 90.0, 95.0, 99.0, 99.9)
TOLERANCE: Final = 0.05
FLOOR_US: Final = 250.0  # below a quarter of a millisecond a kernel's mood decides
ALPHA: Final = 0.05
BEYOND: Final = 20  # samples beyond a percentile that is judged
ERRORS_ALLOWED: Final = 0.001
# Where processors were wanted in vain so much more of the time than before, or for so much of it at all, a neighbour's
# hunger and a slower server look alike: between 40 and 100 %, four of twenty pairs of equal runs differed by more than
# their own noise.
MORE_CROWDED: Final = 0.25
CROWDED: Final = 0.5


class Change(StrEnum):
    """What became of one metric."""

    SLOWER = "slower"  # a regression
    QUICKER = "quicker"
    SAME = "same"  # no difference that noise does not explain
    UNSURE = "unsure"  # too few samples or intervals to judge


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """One of the two runs."""

    name: str
    manifest: Manifest
    results: Results
    logs: Mapping[tuple[str, str], Sequence[Interval]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What may not grow by more than so much: `claim.response.p99 > 10%`, `e2e.p99 > 5ms`."""

    expression: str
    verb: str
    kind: str
    percent: float
    share: float = TOLERANCE  # of the baseline …
    floor_us: float = FLOOR_US  # … and at least so much


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What a comparison came to."""

    verdict: Verdict
    exit_code: ExitCode
    summary: str
    told: dict[str, Any] = field(default_factory=dict)
    objectives: tuple[dict[str, Any], ...] = ()


_FORM: Final = re.compile(r"\s*(\w+)(?:\.(\w+))?\.p(\d+(?:\.\d+)?)\s*>\s*\+?(\d+(?:\.\d+)?)\s*(%|us|µs|ms|s)\s*")
_UNITS: Final = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}


def rule(expression: str) -> Rule:
    """Reads one `--fail-on`; raises UsageError."""
    found = _FORM.fullmatch(expression)
    wrong = UsageError(
        f"--fail-on `{expression}` is no change", hint="write for example `claim.response.p99 > 10%` or `e2e.p99 > 5ms`"
    )
    if not found:
        raise wrong
    verb, kind, percent, number, unit = found.groups()
    known = (verb in VERBS and kind in KINDS) or (verb in SPANS and verb == "e2e" and kind is None)
    if not known or not 0 < float(percent) <= 100:
        raise wrong
    value = float(number)
    changes = (
        {"share": value / 100, "floor_us": 0.0} if unit == "%" else {"share": 0.0, "floor_us": value * _UNITS[unit]}
    )
    return Rule(expression=expression.strip(), verb=verb, kind=kind or "response", percent=float(percent), **changes)


def family() -> list[Rule]:
    """What is judged when nothing else was asked for."""
    return [
        Rule(expression=f"{_name(verb, kind)}.p{percent:g} > {TOLERANCE:.0%}", verb=verb, kind=kind, percent=percent)
        for verb, kind, percent in FAMILY
    ]


def _name(verb: str, kind: str) -> str:
    return verb if verb in SPANS else f"{verb}.{kind}"


# ── may they be compared? ─────────────────────────────────────────────────────────────────────────────────────────


def obstacles(base: Side, run: Side) -> list[str]:
    """Why the two cannot be compared; empty when they can."""
    found = [why for side in (base, run) for why in _unusable(side)]
    if found:
        return found
    for name, words in (("scenario", "scenarios"), ("model", "models"), ("scheduled", "numbers of messages")):
        one, other = base.results.load.get(name), run.results.load.get(name)
        if one != other:
            found.append(f"they are different {words}: {one} and {other}")
    for name in ("users", "duration_s"):
        one, other = base.manifest.options.get(name), run.manifest.options.get(name)
        if one != other:
            found.append(f"they differ in {name}: {one} and {other}")
    return found


def _unusable(side: Side) -> list[str]:
    results = side.results
    if side.manifest.kind != "load":
        return [f"{side.name} is a {side.manifest.kind} run, not a load"]
    if results.load.get("invalid"):
        return [f"{side.name} is invalid: {results.load['invalid'][0]}"]
    if not results.complete:
        return [f"{side.name} did not run to its end"]
    if results.exit_code in {ExitCode.TARGET, ExitCode.HARNESS, ExitCode.INTERRUPTED} or not results.verbs:
        return [f"{side.name} has no numbers: {results.summary}"]
    return []


def notes(base: Side, run: Side) -> list[str]:
    """What a reader should know, though it forbids no comparison."""
    found = []
    if base.manifest.machine != run.manifest.machine:
        found.append(f"the machines differ: {base.manifest.machine}; {run.manifest.machine}")
    if base.manifest.version != run.manifest.version:
        found.append(f"made by queueproof {base.manifest.version} and {run.manifest.version}")
    first, second = _pressure(base), _pressure(run)
    if first is not None and second is not None and _hungry(first, second):
        found.append(
            f"programs waited for a processor of the generator's machine {first:.0%} and {second:.0%} of the time"
        )
    return found


def _pressure(side: Side) -> float | None:
    """Share of the load in which a program of the generator's machine waited for a processor; None: not known."""
    value = side.results.load.get("cpu_pressure")
    return value if isinstance(value, float | int) else None


def _hungry(first: float, second: float) -> bool:
    return abs(second - first) > MORE_CROWDED or max(first, second) > CROWDED


def _crowded(base: Side, run: Side) -> str:
    """Why slower may mean a busier machine; "" when it cannot."""
    first, second = _pressure(base), _pressure(run)
    if first is None or second is None or not _hungry(first, second) or second < first - MORE_CROWDED:
        return ""
    busier = f"programs waited for a processor {second:.0%} of the time, {first:.0%} in the baseline"
    return f"{busier}: look again when it is quiet"


# ── the comparison ────────────────────────────────────────────────────────────────────────────────────────────────


def compare(base: Side, run: Side, rules: Sequence[Rule] = ()) -> Compared:
    """The verdict over both. `rules`: what --fail-on asked for, instead of the family."""
    broke = [finding for finding in run.results.findings if finding.weight == "violation"]
    if broke and run.manifest.kind == "load":
        sentence = f"{run.name} broke promises of the contract: {broke[0].summary}"
        return Compared(
            verdict=Verdict.DOES_NOT_CONFORM, exit_code=ExitCode.DOES_NOT, summary=sentence, told=_sides(base, run)
        )
    why = obstacles(base, run)
    if why:
        told = {**_sides(base, run), "obstacles": why}
        summary = f"Not comparable: {'; '.join(why)}."
        return Compared(verdict=Verdict.NO_VERDICT, exit_code=ExitCode.NO_VERDICT, summary=summary, told=told)
    judged = _judged(base, run, list(rules) or family())
    errors = _errors(base, run)
    told = {
        **_sides(base, run),
        "notes": notes(base, run),
        "metrics": judged,
        "shown": _shown(base, run),
        "errors": errors,
    }
    slower = [one for one in judged if one["change"] == Change.SLOWER]
    held = tuple(
        {
            "expression": f"not {one['rule']}",
            "value_us": round(one["run_us"]),
            "met": None if one["change"] == Change.UNSURE else one["change"] != Change.SLOWER,
        }
        for one in judged
    )
    if slower or errors["worse"]:
        parts = [_said(one) for one in slower]
        parts += [f"errors {errors['baseline']:.2%} → {errors['run']:.2%}"] if errors["worse"] else []
        if crowded := _crowded(base, run):
            summary = f"Slower, or on a busy machine: {crowded}. {'; '.join(parts)}."
            return Compared(
                verdict=Verdict.NO_VERDICT, exit_code=ExitCode.NO_VERDICT, summary=summary, told=told, objectives=held
            )
        return Compared(
            verdict=Verdict.OBJECTIVES_MISSED,
            exit_code=ExitCode.DOES_NOT,
            summary=f"Regression: {'; '.join(parts)}.",
            told=told,
            objectives=held,
        )
    sure = [one for one in judged if one["change"] != Change.UNSURE]
    if not sure:
        summary = f"Nothing could be judged: {judged[0]['why'] if judged else 'there are no numbers'}."
        return Compared(
            verdict=Verdict.NO_VERDICT, exit_code=ExitCode.NO_VERDICT, summary=summary, told=told, objectives=held
        )
    unsure = len(judged) - len(sure)
    more = f" {unsure} had too few samples to judge." if unsure else ""
    more += " The machine was crowded: a small one would not have shown." if _crowded(base, run) else ""
    quicker = sum(one["change"] == Change.QUICKER for one in sure)
    better = f" {quicker} quicker." if quicker else ""
    summary = f"No regression in {len(sure)} of {len(judged)} metrics.{better}{more}"
    return Compared(
        verdict=Verdict.OBJECTIVES_MET, exit_code=ExitCode.CONFORMS, summary=summary, told=told, objectives=held
    )


def _said(one: Mapping[str, Any]) -> str:
    interval = f"95 % interval {one['low'] - 1:+.0%} to {one['high'] - 1:+.0%}"
    times = f"{one['baseline_us'] / 1000:.1f} → {one['run_us'] / 1000:.1f} ms"
    return f"{one['metric']} {times} ({one['ratio'] - 1:+.0%}, {interval})"


def _sides(base: Side, run: Side) -> dict[str, Any]:
    return {
        side: {
            "name": one.name,
            "run": one.manifest.run,
            "started": one.manifest.started,
            "target": one.manifest.target.get("url", ""),
            "scenario": one.results.load.get("scenario", ""),
            "sent": one.results.load.get("sent", 0),
            "throughput": one.results.load.get("throughput", 0.0),
        }
        for side, one in (("baseline", base), ("run", run))
    }


def _judged(base: Side, run: Side, rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """Every rule's metric; what is slower holds for all of them together with 95 % confidence."""
    found = [_metric(base, run, one) for one in rules]
    tested = sorted((one for one in found if one["change"] != Change.UNSURE), key=lambda one: one["p"])
    for number, one in enumerate(tested):
        if one["p"] > ALPHA / (len(tested) - number):
            break
        if one["beyond"]:
            one["change"] = Change.SLOWER
    return found


def _metric(base: Side, run: Side, asked: Rule) -> dict[str, Any]:
    key = (asked.verb, asked.kind)
    first, second = _estimate(base, key, asked.percent), _estimate(run, key, asked.percent)
    told: dict[str, Any] = {
        "metric": f"{_name(*key)}.p{asked.percent:g}",
        "rule": asked.expression,
        "change": Change.UNSURE,
    }
    if first is None or second is None:
        return {
            **told,
            "why": "too few intervals or samples",
            "baseline_us": _plain(base, key, asked.percent),
            "run_us": _plain(run, key, asked.percent),
        }
    difference = math.log(second.value_us / first.value_us)
    error = math.hypot(first.error, second.error)
    freedom = _freedom(first, second)
    reach = bootstrap.quantile(0.975, freedom) * error
    quiet_us = max(_lateness(base, asked.percent), _lateness(run, asked.percent))
    allowed_us = max(first.value_us * asked.share, asked.floor_us)
    limit = math.log1p(allowed_us / first.value_us)
    p = bootstrap.upper_tail((difference - limit) / error, freedom) if error else float(difference <= limit)
    low, high = math.exp(difference - reach), math.exp(difference + reach)
    beyond = second.value_us - first.value_us > max(allowed_us, quiet_us)
    quicker = high < 1 - asked.share and first.value_us - second.value_us > max(allowed_us, quiet_us)
    return {
        **told,
        "change": Change.QUICKER if quicker else Change.SAME,
        "why": "" if beyond or low <= 1 else "within what may be, or within the generator's own lateness",
        "baseline_us": first.value_us,
        "run_us": second.value_us,
        "ratio": math.exp(difference),
        "low": low,
        "high": high,
        "p": p,
        "beyond": beyond,
        "allowed_us": allowed_us,
        "lateness_us": quiet_us,
        "samples": min(first.count, second.count),
    }


def _estimate(side: Side, key: tuple[str, str], percent: float) -> Estimate | None:
    sample = _sample(side, key)
    if sample.count * (1 - percent / 100) < BEYOND:
        return None
    found = estimates(sample, [percent])
    return found[0] if found else None


@lru_cache(maxsize=64)
def _sample(side: Side, key: tuple[str, str]) -> bootstrap.Sample:
    return bootstrap.Sample([interval.counts for interval in side.logs.get(key, ())])


def _freedom(first: Estimate, second: Estimate) -> float:
    """Welch and Satterthwaite's."""
    a, b = first.error**2, second.error**2
    return (a + b) ** 2 / (a**2 / first.freedom + b**2 / second.freedom) if a + b else first.freedom + second.freedom


def _plain(side: Side, key: tuple[str, str], percent: float) -> float:
    sample = _sample(side, key)
    return sample.percentile(percent, [1] * sample.size) if sample.count else 0.0


def _lateness(side: Side, percent: float) -> float:
    """How late the generator itself was at that percentile: a smaller difference says nothing about the target."""
    return _plain(side, ("dispatch", "lateness"), percent)


def _shown(base: Side, run: Side) -> list[dict[str, Any]]:
    """All percentiles of all response times, for reading."""
    keys = [key for key in base.logs if key in run.logs and key[1] == "response"]
    return [
        {
            "verb": verb,
            "percent": percent,
            "baseline_us": _plain(base, (verb, kind), percent),
            "run_us": _plain(run, (verb, kind), percent),
        }
        for verb, kind in keys
        for percent in SHOWN
    ]


def _errors(base: Side, run: Side) -> dict[str, Any]:
    """Shares of calls that failed; worse when the difference is beyond a tenth of a per cent and beyond chance."""
    shares, calls = [], []
    for side in (base, run):
        verbs = [entry for entry in side.results.verbs.values() if "service" in entry]
        calls.append(sum(entry["count"] for entry in verbs))
        shares.append(sum(entry["errors"] for entry in verbs) / calls[-1] if calls[-1] else 0.0)
    first, second = shares
    # Errors come in bursts: they are taken to come three at a time.
    spread = math.sqrt(sum(3 * max(share, 1 / max(n, 1)) / max(n, 1) for share, n in zip(shares, calls, strict=True)))
    worse = second - first > ERRORS_ALLOWED and second - first > 3 * spread
    return {"baseline": first, "run": second, "worse": worse}
