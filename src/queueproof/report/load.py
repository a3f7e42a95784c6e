"""The numbers of a load run, in the order and the units that every format shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from queueproof.evidence.results import Results
from queueproof.report.text import plain

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
    met: bool
    value: str
    margin: str  # "38 % below the limit", "" when it cannot be told


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
        if isinstance(histogram, Mapping) and histogram:
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
    met = bool(entry.get("met"))
    value_us = _number(entry.get("value_us"))
    if value_us is not None:
        return Objective(expression=expression, met=met, value=duration(value_us), margin=_margin(expression, value_us))
    value = _number(entry.get("value"))
    shown = "" if value is None else f"{value:,.4g}{plain(entry.get('unit', ''), 20)}"
    return Objective(expression=expression, met=met, value=shown, margin="")


_UNITS_US: Final = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


def _margin(expression: str, value_us: float) -> str:
    """How far from the limit, in per cent of it: "38 % below 50ms"."""
    limit = expression.replace("=", " ").replace("<", " ").replace(">", " ").split()[-1:] or [""]
    digits = limit[0].rstrip("usmµ")
    unit = _UNITS_US.get(limit[0][len(digits) :])
    try:
        limit_us = float(digits) * (unit or 0)
    except ValueError:
        return ""
    if not limit_us:
        return ""
    part = 100 * (limit_us - value_us) / limit_us
    return f"{abs(part):.0f} % {'below' if part >= 0 else 'above'} {limit[0]}"


def duration(value_us: float | None) -> str:
    """ "480 µs", "12.4 ms", "1.250 s"; "–" for None."""
    if value_us is None:
        return "–"
    if value_us < 1_000:
        return f"{value_us:.0f} µs"
    return f"{value_us / 1_000:.1f} ms" if value_us < 1_000_000 else f"{value_us / 1_000_000:.3f} s"


def summary(results: Results) -> list[tuple[str, str]]:
    """The load itself: what was asked for, what was sent, what that cost the generator."""
    load = results.load
    pairs: list[tuple[str, str]] = []
    for key, value in load.items():
        number = _number(value)
        if number is not None:
            pairs.append((key.replace("_", " "), f"{number:,.6g}"))
        elif isinstance(value, str | bool):
            pairs.append((key.replace("_", " "), plain(value, 200)))
    return pairs


def load_lines(results: Results) -> list[str]:
    """The load part as lines of text; none when the run has no load."""
    lines = []
    table = rows(results)
    if table:
        lines.append(f"{'':<22}{'count':>9} {'errors':>7}" + "".join(f"{name:>11}" for name, _ in PERCENTILES))
    for row in table:
        name = f"{row.verb} {row.time}"
        lines.append(
            f"{name[:21]:<22}{row.count:>9,} {row.errors:>7,}"
            + "".join(f"{duration(value):>11}" for value in row.values)
        )
    for objective in objectives(results):
        said = " · ".join(filter(None, (objective.value, objective.margin)))
        lines.append(f"{'met   ' if objective.met else 'MISSED'}  {objective.expression}  {said}".rstrip())
    pairs = summary(results)
    if pairs:
        lines.append(" · ".join(f"{name} {value}" for name, value in pairs))
    return lines
