"""The numbers of a load run, in the order and the units that every format shows."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from queueproof.errors import UsageError
from queueproof.evidence.results import Results
from queueproof.report.text import plain
from queueproof.verdict import objectives as pass_lines

PERCENTILES: Final = (
    ("p50", "p50_us"),
    ("p90", "p90_us"),
    ("p95", "p95_us"),
    ("p99", "p99_us"),
    ("p99.9", "p999_us"),
    ("max", "max_us"),
)
TIMES: Final = ("response", "service", "lateness")
_FIRST: Final[tuple[str, ...]] = ("publish", "claim", "complete", "e2e")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One histogram of one verb; values in µs, None where it holds none."""

    verb: str
    time: str  # response, service, lateness
    count: int
    errors: int
    values: tuple[float | None, ...]  # in the order of PERCENTILES


@dataclass(frozen=True, kw_only=True)
class Objective:
    """One pass line, and how far the run stayed from it."""

    expression: str
    met: bool | None  # None: nothing was measured
    value: str
    margin: str  # "38 % below 50ms", "" when it cannot be told
    part: float | None = None  # the value as a part of the limit: 1 is the limit itself; None when it cannot be told


def rows(results: Results) -> list[Row]:
    """Every histogram that is filled, the three main verbs first."""
    names = sorted(results.verbs, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    return [row for name in names for row in _of_verb(name, results.verbs[name])]


def _of_verb(name: str, verb: Any) -> list[Row]:
    if not isinstance(verb, Mapping):
        return []
    found = []
    for time in TIMES:
        histogram = verb.get(time)
        if isinstance(histogram, Mapping) and histogram and verb.get("count") != 0:
            values = tuple(_number(histogram.get(key)) for _, key in PERCENTILES)
            found.append(
                Row(
                    verb=plain(name, 60),
                    time=time,
                    count=int(_number(verb.get("count")) or 0),
                    errors=int(_number(verb.get("errors")) or 0),
                    values=values,
                )
            )
    return found


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def objectives(results: Results) -> list[Objective]:
    return [_objective(entry) for entry in results.objectives]


def _objective(entry: Mapping[str, Any]) -> Objective:
    expression = plain(entry.get("expression", ""), 200)
    met = None if entry.get("met") is None else bool(entry["met"])
    value_us, value = _number(entry.get("value_us")), _number(entry.get("value"))
    limit = limit_of(expression)
    measured = value if value_us is None else value_us
    part = measured / limit.value if limit and limit.value and measured is not None else None
    return Objective(
        expression=expression,
        met=met,
        value=_value(expression, value) if value_us is None else duration(value_us),
        margin=_margin(expression, part),
        part=part,
    )


def _value(expression: str, number: float | None) -> str:
    """In the expression's own unit: a share in % or a rate a second where it names one."""
    if number is None:
        return ""
    if expression.endswith("%"):
        return f"{100 * number:.4g} %"
    return f"{number:,.6g}{'/s' if expression.endswith('/s') else ''}"


def limit_of(expression: str) -> pass_lines.Objective | None:
    """The expression as it was read before the run; None where it is no objective (a comparison's "not …")."""
    try:
        return pass_lines.parse(expression)
    except UsageError:
        return None


def _margin(expression: str, part: float | None) -> str:
    """How far from the limit, in per cent of it: "38 % below 50ms"."""
    if part is None:
        return ""
    limit = re.split("[<>=]+", expression)[-1].strip()
    return f"{100 * abs(1 - part):.0f} % {'below' if part <= 1 else 'above'} {limit}"


def duration(value_us: float | None) -> str:
    """ "480 µs", "12.4 ms", "1.250 s"; "–" for None."""
    if value_us is None:
        return "–"
    if value_us < 1_000:
        return f"{value_us:.0f} µs"
    return f"{value_us / 1_000:.1f} ms" if value_us < 1_000_000 else f"{value_us / 1_000_000:.3f} s"


def summary(results: Results) -> list[tuple[str, str]]:
    """The load itself: what was asked for, what was sent, what that cost the generator."""
    pairs: list[tuple[str, str]] = []
    for key, value in results.load.items():
        number = _number(value)
        if number is not None and key in _FACTS:
            name, unit = _FACTS[key]
            pairs.append((name, f"{number:,.6g}{unit}"))
    return pairs + [_fault(row) for row in _faults(results)]


def _faults(results: Results) -> list[Mapping[str, Any]]:
    """What was struck during the load (docs/nemesis.md)."""
    found = results.load.get("nemesis")
    return [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []


def _fault(row: Mapping[str, Any]) -> tuple[str, str]:
    numbers = [_number(row.get(name)) or 0.0 for name in ("from_s", "to_s", "unanswered_s")]
    name = str(row.get("name", ""))
    return name, "from {:.1f} to {:.1f} s: {:.1f} s without a good answer".format(*numbers)


_FACTS: Final[Mapping[str, tuple[str, str]]] = {
    "scheduled": ("scheduled", ""),
    "sent": ("sent", ""),
    "dropped": ("dropped arrivals", ""),
    "duration_s": ("duration", " s"),
    "throughput": ("completed", "/s"),
    "backlog_end": ("left at the end", ""),
    "empty_claims": ("empty claims", ""),
    "generator_cpu_us_per_request": ("generator CPU a request", " µs"),
}
MET: Final[Mapping[bool | None, str]] = {True: "met", False: "missed", None: "not measured"}


def load_troubles(results: Results) -> list[str]:
    """Why the numbers of a load say nothing, less than they seem to, or something else than the scenario asks."""
    told = []
    late = "the times say little" if _faults(results) and not results.objectives else "the run is invalid"
    for key, before in (
        ("problems", "the harness failed"),
        ("invalid", late),
        ("adapted", "not as the scenario has it"),
    ):
        reasons = results.load.get(key)
        told += [f"{before}: {reason}" for reason in reasons] if isinstance(reasons, list) else []
    return told


def series(results: Results) -> list[Mapping[str, Any]]:
    """The run second by second; empty where it was not kept."""
    points = results.load.get("series")
    return [point for point in points if isinstance(point, Mapping)] if isinstance(points, list) else []


def until_s(results: Results) -> float:
    """When the load ended and the drain began, s from the start; endless where it is not known."""
    return _number(results.load.get("duration_s")) or math.inf


# A line of the table on a terminal: the name, calls, errors, then as many percentiles as there is room for.
_NAME, _COUNT, _NUMBER = 25, 17, 11
_WEIGHTIEST: Final = ("p50", "p99", "max", "p99.9", "p90", "p95")


def load_lines(results: Results, width: int) -> list[str]:
    """The load part as lines of text, the table at most `width` columns wide; none when the run has no load."""
    lines = _table(rows(results), width)
    for objective in objectives(results):
        said = " · ".join(filter(None, (objective.value, objective.margin)))
        met = MET[objective.met] if objective.met is not False else "MISSED"
        lines.append(f"{met:<6}  {objective.expression}  {said}".rstrip())
    pairs = summary(results)
    if pairs:
        lines.append(" · ".join(f"{name} {value}" for name, value in pairs))
    return lines


def _table(table: Sequence[Row], width: int) -> list[str]:
    """Columns; where not even two percentiles have room beside each other, a sentence a histogram."""
    room = (width - _NAME - _COUNT) // _NUMBER
    wanted = _WEIGHTIEST[: room if room >= 2 else 3]
    shown = [(number, name) for number, (name, _) in enumerate(PERCENTILES) if name in wanted]
    if room < 2:
        return [
            f"{row.verb} {row.time}: {row.count:,} calls, {row.errors:,} errors, "
            + ", ".join(f"{name} {duration(row.values[number])}" for number, name in shown)
            for row in table
        ]
    head = f"{'':<{_NAME}}{'count':>9} {'errors':>7}" + "".join(f"{name:>{_NUMBER}}" for _, name in shown)
    return [head] * bool(table) + [
        f"{f'{row.verb} {row.time}'[: _NAME - 1]:<{_NAME}}{row.count:>9,} {row.errors:>7,}"
        + "".join(f"{duration(row.values[number]):>{_NUMBER}}" for number, _ in shown)
        for row in table
    ]
