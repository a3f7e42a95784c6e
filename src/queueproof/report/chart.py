"""Draws percentile spectra as SVG: response against service time, a panel a verb.

The horizontal axis is how rare (half, one in ten, one in a hundred, …), each step as wide as the one before; the
vertical one is time, logarithmic, so that a queue that builds up is seen as a fan that opens.
"""

import itertools
import math
from collections.abc import Sequence
from html import escape
from typing import Final

from markupsafe import Markup

from queueproof.report.load import PERCENTILES, Row, duration

_HEIGHT: Final = 170
_TOP, _BOTTOM = 8, 140


def spectrum(rows: Sequence[Row]) -> Markup:
    """Figures, one a verb that has a response or a service time; empty when none has."""
    by_verb: dict[str, dict[str, Row]] = {}
    for row in rows:
        if any(row.values):
            by_verb.setdefault(row.verb, {})[row.time] = row
    known = [value for row in rows for value in row.values if value]
    if not known:
        return Markup("")
    low = math.floor(math.log10(max(1.0, min(known))))
    high = max(low + 1, math.ceil(math.log10(max(known))))
    panels = [_panel(verb, times, low, high) for verb, times in by_verb.items()]
    return Markup("".join(panels))  # noqa: S704 -- every text in it is escaped below


def _panel(verb: str, times: dict[str, Row], low: int, high: int) -> str:
    parts = [_grid(low, high)]
    parts += [_curve(times[time], low, high) for time in ("lateness", "service", "response") if time in times]
    drawn = (
        f'<svg class="spectrum" role="img" width="100%" height="{_HEIGHT}" aria-label="{escape(verb)}: percentiles">'
    )
    return f'<figure class="panel"><figcaption>{escape(verb)}</figcaption>{drawn}{"".join(parts)}</svg></figure>'


def _grid(low: int, high: int) -> str:
    parts = []
    for power in range(low, high + 1):
        y = _y(10.0**power, low, high)
        parts.append(f'<line class="grid" x1="14%" x2="100%" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="12%" y="{y + 4}" text-anchor="end">{_round(10.0**power)}</text>')
    for index, (name, _) in enumerate(PERCENTILES):
        anchor = "end" if index == len(PERCENTILES) - 1 else "middle"
        parts.append(f'<text class="tick" x="{_x(index)}%" y="{_HEIGHT - 12}" text-anchor="{anchor}">{name}</text>')
    return "".join(parts)


def _round(value_us: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if value_us >= size:
            return f"{value_us / size:g} {unit}"
    return f"{value_us:g} µs"


def _curve(row: Row, low: int, high: int) -> str:
    points = [(_x(index), _y(value, low, high), value) for index, value in enumerate(row.values) if value]
    parts = [
        f'<line class="{row.time}" x1="{a[0]}%" y1="{a[1]}" x2="{b[0]}%" y2="{b[1]}"/>'
        for a, b in itertools.pairwise(points)
    ]
    for x, y, value in points:
        title = f"<title>{escape(row.verb)} {row.time}: {duration(value)}</title>"
        parts.append(f'<circle class="{row.time}" cx="{x}%" cy="{y}" r="3.5">{title}</circle>')
    return "".join(parts)


def _x(index: int) -> float:
    return round(18 + 80 * index / (len(PERCENTILES) - 1), 2)


def _y(value_us: float, low: int, high: int) -> float:
    part = (math.log10(max(value_us, 10.0**low)) - low) / (high - low)
    return round(_BOTTOM - part * (_BOTTOM - _TOP), 1)
