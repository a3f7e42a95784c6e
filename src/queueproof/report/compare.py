"""Two runs beside each other as a page, as Markdown and as text: each metric's change with its interval."""

import math
from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final

from markupsafe import Markup

from queueproof.report.capacity import cell
from queueproof.report.load import duration
from queueproof.report.quiet_page import page
from queueproof.report.story import Story
from queueproof.report.text import plain

_SIGNS: Final = {"slower": "✗ slower", "quicker": "✓ quicker", "same": "= same", "unsure": "? unsure"}
_ROW: Final = 44  # the metric's name above its line, so that neither takes the other's room on a phone
_LEFT, _RIGHT = 3.0, 97.0
# Where the axis may have a mark, as ratios; those are left out whose words would touch the next one's.
_MARKS: Final = (0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.5, 2.0, 4.0)
_APART: Final = 17.0  # per cent of the width, on a phone


def html(story: Story) -> str:
    """The page."""
    told = _told(story)
    return page(
        "compare.html.j2", story, told=told, rows=rows(told), sides=sides(told), chart=_chart(told), shown=_shown(told)
    )


def _told(story: Story) -> Mapping[str, Any]:
    return story.results.comparison if story.results else {}


def sides(told: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(side, told[side]) for side in ("baseline", "run") if isinstance(told.get(side), Mapping)]


def rows(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was judged."""
    return [
        {
            "metric": plain(one.get("metric", ""), 80),
            "kind": one.get("change") if one.get("change") in _SIGNS else "unsure",
            "change": _SIGNS.get(one.get("change", ""), "? unsure"),
            "baseline": duration(one.get("baseline_us")),
            "run": duration(one.get("run_us")),
            "ratio": _percent(one.get("ratio")),
            "interval": f"{_percent(one['low'])} to {_percent(one['high'])}" if "low" in one else "",
            "why": plain(one.get("why", ""), 160),
        }
        for one in told.get("metrics") or []
    ]


def _percent(ratio: float | None) -> str:
    return "" if ratio is None else f"{100 * (ratio - 1):+.1f} %"


def _shown(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All percentiles, judged or not, a line a verb and percentile."""
    return [
        {
            "verb": plain(one["verb"], 60),
            "percent": f"p{one['percent']:g}",
            "baseline": duration(one["baseline_us"]),
            "run": duration(one["run_us"]),
            "ratio": _percent(one["run_us"] / one["baseline_us"] if one["baseline_us"] else None),
        }
        for one in told.get("shown") or []
    ]


def text(story: Story) -> str:
    """The comparison for a terminal."""
    told = _told(story)
    lines = [f"{story.verdict}. {story.sentence}", ""]
    lines += [
        f"{side:9} {plain(one['name'], 90)}  ({one['started'][:16]}, {one['scenario']})" for side, one in sides(told)
    ]
    lines.append("")
    for row in rows(told):
        line = f"{row['change']:10} {row['metric']:24} {row['baseline']:>10} → {row['run']:>10}  {row['ratio']:>9}"
        lines.append(f"{line}  {row['interval']:24} {row['why']}".rstrip())
    errors = told.get("errors")
    if errors:
        sign = "✗ worse" if errors["worse"] else "= same"
        lines.append(f"{sign:10} {'errors':24} {errors['baseline']:>10.2%} → {errors['run']:>10.2%}")
    lines += [f"note: {plain(note, 200)}" for note in told.get("notes") or []]
    return "\n".join(plain(line, 1_000) for line in [*lines, "", f"{story.path}", ""])


def markdown(story: Story) -> str:
    """The comparison for a pull request."""
    told = _told(story)
    lines = [f"## {story.verdict}", "", cell(story.sentence), ""]
    lines += ["| metric | | baseline | run | change | 95 % interval |", "|---|---|---|---|---|---|"]
    for row in rows(told):
        cells = (row["metric"], row["change"], row["baseline"], row["run"], row["ratio"], row["interval"])
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    lines += ["", *(f"- {side}: {cell(one['name'])}" for side, one in sides(told))]
    lines += [f"- {cell(note)}" for note in told.get("notes") or []]
    return "\n".join([*lines, "", f"`{plain(story.command, 600).replace('`', '')}`", ""])


def _marks(reach: float, x: Callable[[float], float]) -> list[float]:
    """From no change outwards to either side; `reach`: the logarithm of the ratio at the picture's edge."""
    shown = [1.0]
    for side in (reversed(_MARKS[: _MARKS.index(1.0)]), _MARKS[_MARKS.index(1.0) + 1 :]):
        last = x(1.0)
        for ratio in side:
            if abs(math.log(ratio)) <= reach * 0.95 and abs(x(ratio) - last) >= _APART:
                shown.append(ratio)
                last = x(ratio)
    return shown


def _chart(told: Mapping[str, Any]) -> Markup:
    """Each metric's change as a point with its interval; what may be is shaded."""
    metrics = [one for one in told.get("metrics") or [] if "low" in one]
    if not metrics:
        return Markup("")
    reach = max(0.1, *(abs(math.log(max(one[name], 1e-6))) for one in metrics for name in ("low", "high")))
    reach = min(reach * 1.05, math.log(8))

    def x(ratio: float) -> float:
        part = (max(-reach, min(reach, math.log(max(ratio, 1e-6)))) + reach) / (2 * reach)
        return round(_LEFT + part * (_RIGHT - _LEFT), 2)

    height = 30 + _ROW * len(metrics)
    parts = []
    for ratio in _marks(reach, x):
        kind, place = ("zero", x(ratio)) if ratio == 1.0 else ("grid", x(ratio))
        words = "as before" if ratio == 1.0 else f"{100 * (ratio - 1):+.0f} %"
        parts.append(f'<line class="{kind}" x1="{place}%" x2="{place}%" y1="4" y2="{height - 20}"/>')
        parts.append(f'<text class="tick" x="{place}%" y="{height - 5}" text-anchor="middle">{words}</text>')
    for number, one in enumerate(metrics):
        y = 32 + _ROW * number
        allowed = x(1 + one["allowed_us"] / one["baseline_us"]) - x(1.0) if one.get("baseline_us") else 0.0
        name, kind = escape(plain(one["metric"], 40)), one["change"] if one["change"] in _SIGNS else "same"
        parts.append(f'<rect class="allowed" x="{x(1.0)}%" y="{y - 9}" width="{round(allowed, 2)}%" height="18"/>')
        parts.append(f'<text class="tick name" x="0" y="{y - 14}">{name}</text>')
        title = f"<title>{name}: {_percent(one['ratio'])}, {_percent(one['low'])} to {_percent(one['high'])}</title>"
        span = f'x1="{x(one["low"])}%" x2="{x(one["high"])}%" y1="{y}" y2="{y}"'
        line = f'<line class="{kind}" stroke-width="2" {span}/>'
        point = f'<circle class="{kind}" cx="{x(one["ratio"])}%" cy="{y}" r="5"/>'
        parts.append(f'<g class="{kind}">{title}{line}{point}</g>')
    drawn = f'<svg class="graph" role="img" aria-label="Changes with their intervals" width="100%" height="{height}">'
    return Markup(f"{drawn}{''.join(parts)}</svg>")  # noqa: S704 -- every text in it is escaped above
