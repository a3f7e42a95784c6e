"""Pass lines of a load: `publish.response.p99 < 50ms`, `errors < 0.1%`, `throughput >= 500/s`, `backlog.end == 0`.

An objective is METRIC OPERATOR VALUE. Durations: `VERB.KIND.STAT` with the kinds response, service, lateness, and
`e2e.STAT`, `queue_wait.STAT`, `redelivery_lag.STAT`; STAT is p0 to p100 (p99.9), max, min or mean; in us, ms, s or m.
Shares, in % or as a count: `errors`, `VERB.errors`, `empty_claims`. Rates, a second: `throughput` (completed messages),
`VERB.throughput`. Counts: `backlog.end` (not completed when the drain was over), `backlog.peak`, `backlog.load` (when
the load ended), `dropped`, `redelivered`. What was never measured is neither met nor missed.
"""

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from queueproof.errors import Mistakes, UsageError
from queueproof.evidence.latency import Histogram

VERBS: Final = ("publish", "claim", "complete", "fail", "release", "extend")
KINDS: Final = ("response", "service", "lateness")
SPANS: Final = ("e2e", "queue_wait", "redelivery_lag")  # durations that are no call's
COUNTS: Final = ("backlog.end", "backlog.peak", "backlog.load", "dropped", "redelivered")
STATS: Final = ("p50", "p90", "p95", "p99", "p99.9", "max", "min", "mean")

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_FORM: Final = re.compile(r"\s*([\w.]+)\s*(<=|>=|==|<|>|=)\s*([+-]?[\d.]+)\s*(\S*)\s*")
_DURATIONS: Final = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}
_EXAMPLE: Final = "write for example `publish.response.p99 < 50ms`, `errors < 0.1%` or `throughput >= 500/s`"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One pass line."""

    expression: str
    metric: str
    kind: str  # "duration" (µs), "share" (0 to 1), "rate" (a second) or "count"
    operator: str
    value: float

    @property
    def path(self) -> list[str]:
        """The metric's parts; the point inside `p99.9` divides nothing."""
        return re.split(r"\.(?!\d)", self.metric)


@dataclass(kw_only=True)
class Measured:
    """What objectives are held against."""

    histograms: Mapping[tuple[str, str], Histogram] = field(default_factory=dict)  # (verb, kind); spans: response
    calls: Mapping[str, int] = field(default_factory=dict)  # verb → calls
    errors: Mapping[str, int] = field(default_factory=dict)  # verb → calls that were not ok
    counts: Mapping[str, float] = field(default_factory=dict)  # COUNTS and "empty_claims"
    duration_s: float = 0.0


def parse(expression: str) -> Objective:
    """Reads one; raises UsageError that says which part is wrong, and what was probably meant."""
    found = _FORM.fullmatch(expression)
    if not found:
        raise UsageError(f"`{expression}` is no objective: METRIC OPERATOR VALUE is wanted", hint=_EXAMPLE)
    metric, sign, number, unit = found.groups()
    if sign == "=":
        raise UsageError(f"`{expression}` compares with a single =", hint="write == for equal, or < and >")
    kind = _kind(expression, metric)
    try:
        value = float(number)
    except ValueError as error:
        raise UsageError(f"`{expression}`: {number} is no number", hint=_EXAMPLE) from error
    kind, factor = _unit(expression, metric, kind, unit)
    return Objective(expression=expression.strip(), metric=metric, kind=kind, operator=sign, value=value * factor)


def parse_all(expressions: Iterable[str]) -> list[Objective]:
    """Reads all; raises one UsageError that lists every mistake."""
    wrong = Mistakes()
    read = [wrong.read(lambda one=one: parse(one)) for one in expressions]  # type: ignore[misc]
    wrong.tell()
    return [one for one in read if one is not None]


def mistake(expression: str) -> str:
    """What is wrong with one; "" when nothing is."""
    try:
        parse(expression)
    except UsageError as error:
        return error.message
    return ""


def evaluate(objective: Objective, measured: Measured) -> dict[str, Any]:
    """As results.json keeps it: expression, value (`value_us` for durations), met (None: nothing was measured)."""
    value = _value(objective, measured)
    name = "value_us" if objective.kind == "duration" else "value"
    if value is None:
        return {"expression": objective.expression, name: None, "met": None, "why": "nothing of the kind was measured"}
    met = _OPERATORS[objective.operator](value, objective.value)
    shown = round(value) if objective.kind in {"duration", "count"} else round(value, 6)
    return {"expression": objective.expression, name: shown, "met": met}


LIVE: Final = ("publish.response.p99", "e2e.p99", "errors", "backlog.load")  # what a running load tells


def abort_when(expressions: Iterable[str]) -> Callable[[Mapping[str, Any]], str]:
    """Conditions under which a running load has no hope, such as `errors > 5%`, as a function of its live numbers.

    The function answers with the condition that holds, or "". Raises UsageError for a metric that is not in LIVE.
    """
    conditions = parse_all(expressions)
    for condition in conditions:
        if condition.metric not in LIVE:
            raise UsageError(
                f"`{condition.expression}`: {condition.metric} is known only when the load is over",
                hint=f"a running load tells {', '.join(LIVE)}",
            )

    def check(line: Mapping[str, Any]) -> str:
        values = {
            "publish.response.p99": line["publish_p99_us"],
            "e2e.p99": line["e2e_p99_us"],
            "backlog.load": line["published"] - line["completed"],
        }
        for condition in conditions:
            value = values.get(condition.metric, line["errors"])
            if condition.kind == "share":
                value = value / line["calls"] if line["calls"] else 0.0
            if line["phase"] == "load" and _OPERATORS[condition.operator](value, condition.value):
                return condition.expression
        return ""

    return check


def _kind(expression: str, metric: str) -> str:
    """What a metric measures; raises UsageError for one that is none."""
    parts = re.split(r"\.(?!\d)", metric)
    if metric in COUNTS:
        return "count"
    if metric in {"errors", "empty_claims"} or (len(parts) == 2 and parts[0] in VERBS and parts[1] == "errors"):
        return "share"
    if metric == "throughput" or (len(parts) == 2 and parts[0] in VERBS and parts[1] == "throughput"):
        return "rate"
    if len(parts) == 3 and parts[0] in VERBS and parts[1] in KINDS:
        return _stat(expression, parts[2])
    if len(parts) == 2 and parts[0] in SPANS:
        return _stat(expression, parts[1])
    raise UsageError(f"`{expression}`: {metric} is no metric{_meant(metric)}", hint=_EXAMPLE)


def _stat(expression: str, stat: str) -> str:
    found = re.fullmatch(r"p(\d+(?:\.\d+)?)", stat)
    if stat in {"max", "min", "mean"} or (found and float(found[1]) <= 100):
        return "duration"
    raise UsageError(f"`{expression}`: {stat} is no statistic", hint=f"known are {', '.join(STATS)} and any other p…")


def _unit(expression: str, metric: str, kind: str, unit: str) -> tuple[str, float]:
    """(kind, factor to the kind's own unit); a share without % is a count."""
    if kind == "duration" and unit in _DURATIONS:
        return kind, _DURATIONS[unit]
    if kind == "share" and unit == "%":
        return kind, 0.01
    if kind in {"share", "count"} and not unit:
        return "count", 1.0
    if kind == "rate" and unit == "/s":
        return kind, 1.0
    wanted = {"duration": "us, ms, s or m", "share": "% or none", "rate": "/s", "count": "no unit"}[kind]
    got = f"not {unit}" if unit else "and there is none"
    raise UsageError(f"`{expression}`: {metric} is measured in {wanted}, {got}", hint=_EXAMPLE)


def _meant(metric: str) -> str:
    calls = [f"{verb}.{kind}.p99" for verb in VERBS for kind in KINDS]
    spans = [f"{span}.p99" for span in SPANS]
    others = [f"{verb}.{what}" for verb in VERBS for what in ("errors", "throughput")]
    known = [*calls, *spans, *others, *COUNTS, "errors", "throughput", "empty_claims"]
    close = difflib.get_close_matches(metric, known, n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""


def _value(objective: Objective, measured: Measured) -> float | None:
    """The metric's value in its kind's own unit; None when nothing of the kind was measured."""
    path = objective.path
    if objective.metric in COUNTS:
        return measured.counts.get(objective.metric)
    if path[-1] == "errors":
        return _errors(path[0] if len(path) == 2 else "", objective.kind, measured)
    if objective.metric == "empty_claims":
        claims, empty = measured.calls.get("claim", 0), measured.counts.get("empty_claims", 0)
        return empty if objective.kind == "count" else (empty / claims if claims else None)
    if path[-1] == "throughput":
        verb = path[0] if len(path) == 2 else "complete"
        good = measured.calls.get(verb, 0) - measured.errors.get(verb, 0)
        return good / measured.duration_s if measured.duration_s else None
    key = (path[0], path[1]) if len(path) == 3 else (path[0], "response")
    return _statistic(measured.histograms.get(key), path[-1])


def _errors(verb: str, kind: str, measured: Measured) -> float | None:
    calls = measured.calls.get(verb, 0) if verb else sum(measured.calls.values())
    errors = measured.errors.get(verb, 0) if verb else sum(measured.errors.values())
    if kind == "count":
        return float(errors)
    return errors / calls if calls else None


def _statistic(histogram: Histogram | None, stat: str) -> float | None:
    if histogram is None or not histogram.count:
        return None
    if stat in {"max", "min", "mean"}:
        return float(getattr(histogram, stat))
    return float(histogram.percentile(float(stat[1:])))
