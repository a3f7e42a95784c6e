"""Draws a capacity search as SVG: the knee of the times, the windows in their order, and the scaling law.

What met is a disc, what missed a square, what says nothing about the target a smaller disc: never colour alone.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from markupsafe import Markup

from queueproof.report.chart import brief
from queueproof.report.load import duration
from queueproof.report.text import plain

_HEIGHT: Final = 240
_TOP, _BOTTOM = 14, 205
_LEFT, _RIGHT = 12.0, 97.0  # per cent of the width
_MOST_NUMBERS: Final = 10  # of windows, side by side on a phone


def knee(told: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, limit_us: float | None) -> Markup:
    """The p99 of every window (logarithmic) against its rate; `limit_us`: the objective's, as a line.

    Empty where fewer than two windows have one. Where the discs leave the ground is the knee.
    """
    measured = [
        (float(probe["rate"]), float(probe["e2e_p99_us"]), str(probe.get("came")), row)
        for probe, row in zip(told.get("probes") or [], rows, strict=True)
        if probe.get("rate") and probe.get("e2e_p99_us")
    ]
    if len(measured) < 2:
        return Markup("")
    times = [p99_us for _, p99_us, *_ in measured] + ([limit_us] if limit_us else [])
    low, high = math.log(min(times) / 1.25), math.log(max(times) * 1.25)
    most = max(rate for rate, *_ in measured) * 1.06

    def x(rate: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * min(rate, most) / most, 2)

    def y(p99_us: float) -> float:
        return round(_BOTTOM - (math.log(p99_us) - low) / (high - low) * (_BOTTOM - _TOP), 1)

    parts = [
        _line("grid", _LEFT, y(p99_us), _RIGHT, y(p99_us)) + _tick(_LEFT - 1.5, y(p99_us) + 4, brief(p99_us), "end")
        for p99_us in _ticks(math.exp(low), math.exp(high))
    ]
    if _seen_from_both_sides(told):
        left, right = x(told["low"]), x(told["high"])
        width, height = max(0.3, round(right - left, 2)), _BOTTOM - _TOP
        parts.append(f'<rect class="band" x="{left}%" y="{_TOP}" width="{width}%" height="{height}"/>')
    if limit_us:
        parts.append(_line("limit", _LEFT, y(limit_us), _RIGHT, y(limit_us)))
        parts.append(_tick(_LEFT + 0.5, y(limit_us) - 5, f"objective {brief(limit_us)}", "start"))
    parts += [_tick(x(rate), _HEIGHT - 14, f"{rate:,.0f}/s", "middle") for rate in _steps(most)]
    for rate, p99_us, came, row in sorted(measured, key=lambda one: one[0]):
        title = escape(f"window {row['number']}, {row['rate']}/s: p99 {duration(p99_us)}, {row['came']}")
        parts.append(f"<g>{_mark(x(rate), y(p99_us), came, row['kind'])}<title>{title}</title></g>")
    return _svg("End-to-end p99 of each window against its rate", parts)


def _steps(most: float) -> list[float]:
    """About five round numbers from 0 to `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    step = next(part * power for part in (0.1, 0.2, 0.5, 1.0, 2.0) if most / (part * power) <= 6)
    return [number * step for number in range(math.floor(most / step) + 1)]


def _seen_from_both_sides(told: Mapping[str, Any]) -> bool:
    return bool(told.get("low") and told.get("high") and told.get("bound") == "interval")


def windows(told: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Markup:
    """Windows from left to right, rates upwards (logarithmic), the interval as a band."""
    probes = told.get("probes") or []
    rates = [probe["rate"] for probe in probes if probe.get("rate")]
    if not rates:
        return Markup("")
    low, high = math.log(min(rates) / 1.15), math.log(max(rates) * 1.15)

    def y(rate: float) -> float:
        part = (math.log(min(max(rate, math.exp(low)), math.exp(high))) - low) / (high - low)
        return round(_BOTTOM - part * (_BOTTOM - _TOP), 1)

    parts = [
        _line("grid", _LEFT, y(rate), _RIGHT, y(rate)) + _tick(_LEFT - 1.5, y(rate) + 4, f"{rate:,.0f}/s", "end")
        for rate in _ticks(math.exp(low), math.exp(high))
    ]
    if _seen_from_both_sides(told):
        top, bottom = y(told["high"]), y(told["low"])
        height = max(2.0, round(bottom - top, 1))
        parts.append(f'<rect class="band" x="{_LEFT}%" y="{top}" width="{_RIGHT - _LEFT}%" height="{height}"/>')
    if told.get("rate"):
        parts.append(_line("edge", _LEFT, y(told["rate"]), _RIGHT, y(told["rate"])))
    places = [_LEFT + (_RIGHT - _LEFT) * (number + 0.5) / len(probes) for number in range(len(probes))]
    points = [(round(x, 2), y(probe.get("rate", 1))) for x, probe in zip(places, probes, strict=True)]
    parts += [_line("way", *a, *b) for a, b in itertools.pairwise(points)]
    for (x, at), probe, row in zip(points, probes, rows, strict=True):
        title = escape(f"{row['rate']}/s, {row['phase']}: {row['came']} {plain(row['why'], 160)}")
        shape = _mark(x, at, str(probe.get("came")), row["kind"])
        parts.append(f"<g>{shape}<title>{title}</title></g>")
    every = -(-len(points) // _MOST_NUMBERS)
    parts += [
        _tick(x, _HEIGHT - 14, str(row["number"]), "middle")
        for (x, _), row in list(zip(points, rows, strict=True))[::every]
    ]
    return _svg("Windows in their order, and the rate of each", parts)


def _mark(x: float, y: float, came: str, kind: str) -> str:
    if came == "missed":
        square = '<rect class="missed" x="-5" y="-5" width="10" height="10"/>'
        return f'<svg x="{x}%" y="{y}" overflow="visible">{square}</svg>'
    return f'<circle class="{kind}" cx="{x}%" cy="{y}" r="{6 if came == "met" else 4}"/>'


def law(scaling: Mapping[str, Any]) -> Markup:
    """Capacity over counts: what was measured, the law, and what it would be if nothing were shared."""
    forecast = scaling.get("forecast") or []
    if len(forecast) < 2:
        return Markup("")
    most = max(one["count"] for one in forecast)
    top = max([one["high"] for one in forecast] + [one.get("high") or one["rate"] for one in scaling["points"]]) * 1.08

    def place(count: float, rate: float) -> tuple[float, float]:
        x = _LEFT + (_RIGHT - _LEFT) * count / most
        return round(x, 2), round(_BOTTOM - min(rate, top) / top * (_BOTTOM - _TOP), 1)

    def at(count: float) -> float:
        shared = 1 + scaling["contention"] * (count - 1) + scaling["coherence"] * count * (count - 1)
        return float(scaling["alone"] * count / shared)

    parts = [
        _line("grid", _LEFT, place(0, rate)[1], _RIGHT, place(0, rate)[1])
        + _tick(_LEFT - 1.5, place(0, rate)[1] + 4, f"{rate:,.0f}/s", "end")
        for rate in (0.0, top / 2, top)
    ]
    end = min(most, top / scaling["alone"])
    parts.append(_line("straight", *place(0, 0), *place(end, end * scaling["alone"])))
    steps = [most * number / 60 for number in range(61)]
    parts += [_line("law", *place(a, at(a)), *place(b, at(b))) for a, b in itertools.pairwise(steps)]
    for one in forecast:
        x, low = place(one["count"], one["low"])
        parts += [
            _line("way", x, low, x, place(one["count"], one["high"])[1]),
            _tick(x, _HEIGHT - 14, f"{one['count']:g}", "middle"),
        ]
    for one in scaling["points"]:
        if one.get("rate"):
            x, y = place(one["count"], one["rate"])
            title = f"{one['count']:g} {escape(scaling['over'])}: {one['rate']:,.0f}/s"
            parts.append(f'<circle class="met" cx="{x}%" cy="{y}" r="6"><title>{title}</title></circle>')
    return _svg(f"Capacity over {scaling['over']}", parts)


def _ticks(low: float, high: float) -> Sequence[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [base * 10.0**power for power in powers for base in (1, 2, 5) if low <= base * 10.0**power <= high]
    return found or [math.sqrt(low * high)]


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{round(x1, 2)}%" y1="{y1}" x2="{round(x2, 2)}%" y2="{y2}"/>'


def _tick(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text class="tick" x="{round(x, 2)}%" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(label: str, parts: Sequence[str]) -> Markup:
    drawn = f'<svg class="graph" role="img" aria-label="{escape(label)}" width="100%" height="{_HEIGHT}">'
    return Markup(f"{drawn}{''.join(parts)}</svg>")  # noqa: S704 -- every text in it is escaped above
