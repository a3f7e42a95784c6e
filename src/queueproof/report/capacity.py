"""The capacity search as a page, as Markdown and as text: the windows in their order, the edge, and the scaling law."""

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from markupsafe import Markup

from queueproof.report.load import duration
from queueproof.report.quiet_page import page
from queueproof.report.story import Story
from queueproof.report.text import plain

_HEIGHT: Final = 240
_TOP, _BOTTOM = 14, 205
_LEFT, _RIGHT = 12.0, 97.0  # per cent of the width
_SIGNS: Final = {"met": "✓ met", "missed": "✗ missed", "invalid": "? invalid"}
_BOUNDS: Final = {
    "interval": "seen from both sides",
    "at-least": "a lower bound: the generator ended first",
    "below": "below every rate that was tried",
    "none": "no number",
}


def html(story: Story) -> str:
    """The page."""
    told = _told(story)
    return page(
        "capacity.html.j2",
        story,
        told=told,
        facts=facts(told),
        probes=rows(told),
        searches=told.get("searches") or [],
        windows=_search(told),
        scaling=told.get("scaling") or {},
        law=_law(told.get("scaling") or {}),
    )


def _told(story: Story) -> Mapping[str, Any]:
    return story.results.capacity if story.results else {}


def facts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The answer in a few pairs."""
    found = []
    if told.get("rate"):
        found.append(("capacity", f"{'≥ ' if told.get('bound') == 'at-least' else ''}{told['rate']:,.0f}/s"))
    if told.get("low") and told.get("high") and told.get("bound") == "interval":
        found.append(("95 % interval", f"{told['low']:,.0f} to {told['high']:,.0f}/s"))
    if told.get("held"):
        found.append(("highest rate that was held", f"{told['held']:,.1f}/s"))
    if told.get("bound"):
        found.append(("kind of answer", _BOUNDS.get(told["bound"], str(told["bound"]))))
    if told.get("samples"):
        found.append(("samples that the percentile needs", f"{told['samples']:,}"))
    if told.get("conformance"):
        found.append(("conformance", plain(told["conformance"], 120)))
    return found


def rows(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The windows as they were tried."""
    return [
        {
            "number": probe.get("number", number),
            "rate": f"{probe.get('rate', 0):,.1f}",
            "phase": probe.get("phase", ""),
            "came": _SIGNS.get(probe.get("came", ""), f"! {probe.get('came', '')}"),
            "kind": probe.get("came", "") if probe.get("came") in _SIGNS else "other",
            "sent": f"{probe.get('sent', 0):,}",
            "e2e": duration(probe.get("e2e_p99_us") or None),
            "generator": f"{100 * probe.get('generator_cpu', 0):.0f} %",
            "processes": probe.get("processes", 1),
            "why": " · ".join(filter(None, (probe.get("why", ""), probe.get("restless", "")))),
            "directory": probe.get("directory", ""),
        }
        for number, probe in enumerate(told.get("probes") or [], 1)
    ]


def text(story: Story) -> str:
    """The run for a terminal."""
    told = _told(story)
    lines = [f"{story.verdict}. {story.sentence}", ""]
    for row in rows(told):
        line = f"{row['number']:>4}  {row['rate']:>9}/s  {row['phase']:7} {row['came']:10} {row['sent']:>8} sent"
        lines.append(f"{line}  e2e p99 {row['e2e']:>9}  {plain(row['why'], 110)}".rstrip())
    lines += ["", *(f"{name:34} {value}" for name, value in facts(told))]
    scaling = told.get("scaling") or {}
    if scaling:
        lines += ["", plain(scaling.get("sentence", ""), 400)]
        lines += [f"  {one['count']:>6g} {scaling['over']:22} {one['rate']:>10,.0f}/s" for one in scaling["forecast"]]
    lines += [f"note: {note}" for note in story.notes]
    advice = story.results.advice if story.results else ""
    return "\n".join(
        plain(line, 1_000) for line in [*lines, *([f"→ {advice}"] if advice else []), "", f"{story.path}", ""]
    )


def markdown(story: Story) -> str:
    """The run for a pull request."""
    told = _told(story)
    lines = [
        f"## {story.verdict}",
        "",
        cell(story.sentence),
        "",
        "| window | rate/s | | came | e2e p99 | why |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows(told):
        cells = (row["number"], row["rate"], row["phase"], row["came"], row["e2e"], plain(row["why"], 160))
        lines.append("| " + " | ".join(cell(str(one)) for one in cells) + " |")
    lines += ["", *(f"- {name}: {cell(value)}" for name, value in facts(told))]
    if told.get("scaling"):
        lines += ["", cell(told["scaling"].get("sentence", ""))]
    return "\n".join([*lines, "", f"`{plain(story.command, 600).replace('`', '')}`", ""])


def cell(value: str) -> str:
    """What a server or a user chose, harmless inside a Markdown table."""
    shown = plain(value, 600)
    for special in "\\`*_[]<>|":
        shown = shown.replace(special, f"\\{special}")
    return shown


# ── charts ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _search(told: Mapping[str, Any]) -> Markup:
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
    if told.get("low") and told.get("high") and told.get("bound") == "interval":
        top, bottom = y(told["high"]), y(told["low"])
        height = max(2.0, round(bottom - top, 1))
        parts.append(f'<rect class="band" x="{_LEFT}%" y="{top}" width="{_RIGHT - _LEFT}%" height="{height}"/>')
    if told.get("rate"):
        parts.append(_line("edge", _LEFT, y(told["rate"]), _RIGHT, y(told["rate"])))
    places = [_LEFT + (_RIGHT - _LEFT) * (number + 0.5) / len(probes) for number in range(len(probes))]
    points = [(round(x, 2), y(probe.get("rate", 1))) for x, probe in zip(places, probes, strict=True)]
    parts += [_line("way", *a, *b) for a, b in itertools.pairwise(points)]
    for (x, at), probe, row in zip(points, probes, rows(told), strict=True):
        title = escape(f"{row['rate']}/s, {row['phase']}: {row['came']} {plain(row['why'], 160)}")
        shape = _mark(x, at, str(probe.get("came")), row["kind"])
        parts.append(f"<g>{shape}<title>{title}</title></g>")
        parts.append(_tick(x, _HEIGHT - 14, str(row["number"]), "middle"))
    return _svg("Windows in their order, and the rate of each", parts)


def _mark(x: float, y: float, came: str, kind: str) -> str:
    """A disc for what met, a square for what missed, a smaller disc for the rest: never colour alone."""
    if came == "missed":
        square = '<rect class="missed" x="-5" y="-5" width="10" height="10"/>'
        return f'<svg x="{x}%" y="{y}" overflow="visible">{square}</svg>'
    return f'<circle class="{kind}" cx="{x}%" cy="{y}" r="{6 if came == "met" else 4}"/>'


def _law(scaling: Mapping[str, Any]) -> Markup:
    """Capacity over counts: what was measured, the law, and what it would be if nothing were shared."""
    forecast = scaling.get("forecast") or []
    if len(forecast) < 2:
        return Markup("")
    most = max(one["count"] for one in forecast)
    top = max([one["high"] for one in forecast] + [one.get("high") or one["rate"] for one in scaling["points"]]) * 1.08

    def place(count: float, rate: float) -> tuple[float, float]:
        x = _LEFT + (_RIGHT - _LEFT) * count / most
        return round(x, 2), round(_BOTTOM - min(rate, top) / top * (_BOTTOM - _TOP), 1)

    def law(count: float) -> float:
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
    parts += [_line("law", *place(a, law(a)), *place(b, law(b))) for a, b in itertools.pairwise(steps)]
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
