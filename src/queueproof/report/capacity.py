"""The capacity search as a page, as Markdown and as text: the answer, every window, and the scaling law."""

from collections.abc import Mapping
from typing import Any, Final

from queueproof.report import capacity_chart as chart
from queueproof.report.load import duration, limit_of
from queueproof.report.quiet_page import page
from queueproof.report.story import Story
from queueproof.report.text import plain

_SIGNS: Final = {"met": "✓ met", "missed": "✗ missed", "short": "… again", "invalid": "? invalid"}
_BOUNDS: Final = {
    "interval": "seen from both sides",
    "at-least": "a lower bound: the generator ended first",
    "below": "below every rate that was tried",
    "none": "no number",
}


def html(story: Story) -> str:
    """The page."""
    told = _told(story)
    probes = rows(told)
    return page(
        "capacity.html.j2",
        story,
        told=told,
        facts=facts(told),
        probes=probes,
        knee=chart.knee(told, probes, limit_us=_limit_us(story)),
        windows=chart.windows(told, probes),
        scaling=told.get("scaling") or {},
        law=chart.law(told.get("scaling") or {}),
    )


def _told(story: Story) -> Mapping[str, Any]:
    return story.results.capacity if story.results else {}


def _limit_us(story: Story) -> float | None:
    """The objective's limit on the end-to-end p99, where there is one."""
    wanted = [limit_of(str(one.get("expression", ""))) for one in story.results.objectives] if story.results else []
    return next((one.value for one in wanted if one and one.metric == "e2e.p99" and one.operator in {"<", "<="}), None)


def facts(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The answer in a few pairs."""
    found = []
    if told.get("rate"):
        found.append(("capacity", f"{'≥ ' if told.get('bound') == 'at-least' else ''}{told['rate']:,.0f}/s"))
    if told.get("low") and told.get("high") and told.get("bound") == "interval":
        found.append(("95 % interval", f"{told['low']:,.0f} to {told['high']:,.0f}/s"))
    if told.get("held"):
        crew = next((one["consumers"] for one in told.get("probes") or [] if _holds(one, told["held"])), None)
        found.append(
            ("highest rate that was held", f"{told['held']:,.1f}/s" + (f", {crew:,} consumers" if crew else ""))
        )
    if told.get("bound"):
        found.append(("kind of answer", _BOUNDS.get(told["bound"], str(told["bound"]))))
    if told.get("samples"):
        found.append(("samples that the percentile needs", f"{told['samples']:,}"))
    if told.get("conformance"):
        found.append(("conformance", plain(told["conformance"], 120)))
    return found


def _holds(probe: Mapping[str, Any], rate: float) -> bool:
    return bool(probe.get("rate") == rate and probe.get("came") == "met" and probe.get("consumers"))


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
            "consumers": f"{probe['consumers']:,}" if probe.get("consumers") else "",
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
        line += f"  e2e p99 {row['e2e']:>9}" + (f"  {row['consumers']:>5} consumers" if row["consumers"] else "")
        lines.append(f"{line}  {plain(row['why'], 110)}".rstrip())
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
