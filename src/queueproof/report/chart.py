"""Draws the charts of a load as SVG: percentile spectra (response against service time), and the run over time.

Of a spectrum the horizontal axis is how rare (half, one in ten, one in a hundred, …), each step as wide as the one
before; the vertical one is time, logarithmic, so that a queue that builds up is seen as a fan that opens.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from markupsafe import Markup

from queueproof.report.load import PERCENTILES, Row, duration

_HEIGHT: Final = 170
_TOP, _BOTTOM = 8, 140


def spectrum(rows: Sequence[Row]) -> Markup:
    """Figures, one a verb that has a response or a service time; empty when none has."""
    by_verb: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.count and any(row.values):
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
    verb = verb.replace("_", " ")
    drawn = (
        f'<svg class="spectrum" role="img" width="100%" height="{_HEIGHT}" aria-label="{escape(verb)}: percentiles">'
    )
    return f'<figure class="panel"><figcaption>{escape(verb)}</figcaption>{drawn}{"".join(parts)}</svg></figure>'


def _grid(low: int, high: int) -> str:
    parts = []
    for power in range(low, high + 1):
        y = _y(10.0**power, low, high)
        parts.append(f'<line class="grid" x1="14%" x2="100%" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="12%" y="{y + 4}" text-anchor="end">{brief(10.0**power)}</text>')
    for index, (name, _) in enumerate(PERCENTILES):
        anchor = "end" if index == len(PERCENTILES) - 1 else "middle"
        parts.append(f'<text class="tick" x="{_x(index)}%" y="{_HEIGHT - 12}" text-anchor="{anchor}">{name}</text>')
    return "".join(parts)


def brief(value_us: float) -> str:
    """ "50 ms", "1.5 s": as an axis has room for."""
    for unit, size in (("s", 1e6), ("ms", 1e3), ("µs", 1.0)):
        if value_us >= size:
            return f"{value_us / size:g} {unit}"
    return f"{value_us:g} µs"


def _curve(row: Row, low: int, high: int) -> str:
    points = [(_x(index), _y(value, low, high), value) for index, value in enumerate(row.values) if value]
    verb = escape(row.verb.replace("_", " "))
    parts = [
        f'<line class="{row.time}" x1="{a[0]}%" y1="{a[1]}" x2="{b[0]}%" y2="{b[1]}"/>'
        for a, b in itertools.pairwise(points)
    ]
    for x, y, value in points:
        title = f"<title>{verb} {row.time}: {duration(value)}</title>"
        parts.append(f'<circle class="{row.time}" cx="{x}%" cy="{y}" r="3.5">{title}</circle>')
    return "".join(parts)


def _x(index: int) -> float:
    return round(18 + 80 * index / (len(PERCENTILES) - 1), 2)


def _y(value_us: float, low: int, high: int) -> float:
    part = (math.log10(max(value_us, 10.0**low)) - low) / (high - low)
    return round(_BOTTOM - part * (_BOTTOM - _TOP), 1)


# ── over time ─────────────────────────────────────────────────────────────────────────────────────────────────────

_BACKLOG: Final = "Backlog"
_MOST_POINTS: Final = 600  # more than a screen has room for; the worst of each bundle is what is drawn
# Title, and its curves: member of the series, class, words.
_PANELS: Final[tuple[tuple[str, bool, tuple[tuple[str, str, str], ...]], ...]] = (
    ("Messages a second", False, (("publish", "response", "published"), ("complete", "service", "completed"))),
    ("Response time, p99", True, (("publish_p99_us", "response", "publish"), ("claim_p99_us", "service", "claim"))),
    (_BACKLOG, False, (("backlog", "response", "messages not completed"),)),
    ("Errors a second", False, (("errors", "errors", "calls that failed"),)),
)


def over_time(series: Sequence[Mapping[str, Any]], *, until_s: float = math.inf) -> Markup:
    """Figures of rates, times, backlog and errors against seconds; empty when there are no two seconds.

    `until_s`: when the load ended; the drain behind it has a backlog, and no rate worth showing.
    """
    loaded = [point for point in series if not isinstance(point.get("t"), int | float) or point["t"] < until_s]
    panels = []
    for title, times, curves in _PANELS:
        known = [
            (name, kind, words, _points(series if title == _BACKLOG else loaded, name, gaps=times))
            for name, kind, words in curves
        ]
        known = [curve for curve in known if len(curve[3]) > 1]
        if known and any(value > 0 for curve in known for _, value in curve[3]):
            panels.append(_time_panel(title, times, known))
    return Markup("".join(panels))  # noqa: S704 -- numbers and our own words only


def _points(series: Sequence[Mapping[str, Any]], name: str, *, gaps: bool) -> list[tuple[float, float]]:
    """The worst of each bundle; `gaps`: a zero is a second in which nothing was measured, not a time of nothing."""
    found = [
        (float(point["t"]), float(point[name]))
        for point in series
        if isinstance(point.get("t"), int | float) and isinstance(point.get(name), int | float)
        if not gaps or point[name]
    ]
    size = -(-len(found) // _MOST_POINTS) or 1
    return [max(found[start : start + size], key=lambda point: point[1]) for start in range(0, len(found), size)]


def _time_panel(title: str, times: bool, curves: Sequence[tuple[str, str, str, list[tuple[float, float]]]]) -> str:
    """The curves share one viewBox that is stretched; the words are laid over it at their own size."""
    end = max(points[-1][0] for *_, points in curves)
    top = max(value for *_, points in curves for _, value in points)
    label = duration(top) if times else f"{top:,.6g}"
    lines = []
    for _, kind, words, points in curves:
        drawn = " ".join(f"{1000 * t / end:.1f},{100 - 96 * max(value, 0) / top:.1f}" for t, value in points)
        lines.append(f'<polyline class="{kind}" points="{drawn}"><title>{words}</title></polyline>')
    key = "".join(f'<span><i class="stroke {kind}"></i>{words}</span>' for _, kind, words, _ in curves)
    return (
        f'<figure class="panel"><figcaption>{title} {key}</figcaption>'
        f'<div class="plot"><span class="top">{label}</span>'
        f'<svg class="series" role="img" aria-label="{title} over time" viewBox="0 0 1000 100" '
        f'preserveAspectRatio="none" width="100%" height="120">{"".join(lines)}</svg>'
        f'<span class="ends"><span>0 s</span><span>{end:g} s</span></span></div></figure>'
    )
