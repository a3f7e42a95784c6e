"""Draws a timeline with characters, for terminals, logs and plain-text reports."""

from dataclasses import dataclass
from typing import Final

from queueproof.report.text import NS_PER_S, plain
from queueproof.report.timeline import Bar, Lane, Layout, Shade

NARROWEST, WIDEST = 36, 100
# Below this a lane's words would leave the picture no room.
_WIDTH_FOR_DETAIL: Final = 72
_LABEL, _NARROW_LABEL = 19, 16
_DETAIL: Final = 30


@dataclass(frozen=True, kw_only=True)
class Signs:
    """The characters of one drawing."""

    shades: dict[Shade, str]
    ring: str
    mark: str
    evidence: str
    axis: str
    tick: str


UNICODE: Final = Signs(
    shades={Shade.CALL: "░", Shade.HELD: "█", Shade.MAYBE: "▒", Shade.OPEN: "?"},
    ring="◉",
    mark="┊",
    evidence="▸",
    axis="─",
    tick="┬",
)
ASCII: Final = Signs(
    shades={Shade.CALL: ".", Shade.HELD: "#", Shade.MAYBE: "~", Shade.OPEN: "?"},
    ring="@",
    mark="|",
    evidence=">",
    axis="-",
    tick="+",
)
_WORDS: Final = {
    Shade.CALL: "under way",
    Shade.HELD: "surely held",
    Shade.MAYBE: "perhaps held",
    Shade.OPEN: "outcome unknown",
}


def draw(layout: Layout, *, width: int = WIDEST, signs: Signs = UNICODE) -> list[str]:
    """Lines of at most `width` characters (between 36 and 100): axis, lanes, legend."""
    width = max(NARROWEST, min(width, WIDEST))
    detail = _DETAIL if width >= _WIDTH_FOR_DETAIL else 0
    label = _LABEL if detail else _NARROW_LABEL
    plot = width - label - 2 - (detail + 1 if detail else 0)
    lines = [" " * (label + 2) + line for line in _axis(layout, plot, signs)]
    lines += [_lane(lane, layout, plot, label, detail, signs) for lane in layout.lanes]
    return [*(line.rstrip() for line in lines), *_legend(layout, width, signs)]


def _column(at_ns: int, layout: Layout, plot: int) -> int:
    return min(plot - 1, max(0, at_ns * plot // layout.end_ns))


def _axis(layout: Layout, plot: int, signs: Signs) -> tuple[str, str]:
    labels, rule = [" "] * plot, [signs.axis] * plot
    free = 0
    for tick in layout.ticks:
        column, label = _column(tick, layout, plot), _seconds(tick, layout)
        rule[column] = signs.tick
        if column >= free and column + len(label) <= plot:
            labels[column : column + len(label)] = label
            free = column + len(label) + 2
    return "".join(labels), "".join(rule)


def _seconds(at_ns: int, layout: Layout) -> str:
    if layout.end_ns >= NS_PER_S:
        return f"{at_ns / NS_PER_S:g} s"
    return f"{at_ns / 1e6:g} ms"


def _lane(lane: Lane, layout: Layout, plot: int, label: int, detail: int, signs: Signs) -> str:
    cells = [" "] * plot
    for bar in lane.bars:
        _fill(cells, bar, layout, signs)
    for mark in lane.marks:
        column = mark.at_ns * plot // layout.end_ns
        if column < plot:
            cells[column] = signs.mark
            for offset, letter in enumerate(mark.label, column + 1):
                if offset < plot and cells[offset] == " ":
                    cells[offset] = letter
    for bar in lane.bars:
        if bar.ringed:
            cells[_column(bar.start_ns, layout, plot)] = signs.ring
    sign = signs.evidence if lane.evidence else " "
    name = _fit(plain(lane.label), label)
    words = f" {_fit(plain(lane.detail), detail)}" if detail else ""
    return f"{sign}{name:<{label}} {''.join(cells)}{words}"


def _fill(cells: list[str], bar: Bar, layout: Layout, signs: Signs) -> None:
    if bar.start_ns >= layout.end_ns:
        return
    first = _column(bar.start_ns, layout, len(cells))
    end_ns = layout.end_ns if bar.shade is Shade.OPEN else bar.end_ns
    last = _column(end_ns, layout, len(cells))
    if bar.shade is Shade.HELD or bar.shade is Shade.MAYBE:
        first += cells[first] != " "  # the call before it keeps its own cell
    for column in range(first, max(first, last) + 1):
        if column < len(cells):
            cells[column] = signs.shades[bar.shade]


def _fit(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _legend(layout: Layout, width: int, signs: Signs) -> list[str]:
    entries = [f"{signs.shades[shade]} {_WORDS[shade]}" for shade in Shade if layout.has(shade)]
    if layout.ringed:
        entries.append(f"{signs.ring} where it breaks")
    if any(lane.evidence for lane in layout.lanes) and not all(lane.evidence for lane in layout.lanes):
        entries.append(f"{signs.evidence} evidence")
    if any(mark.at_ns < layout.end_ns for lane in layout.lanes for mark in lane.marks):
        entries.append(f"{signs.mark}T timeout over")
    lines = [""]
    for entry in entries:
        if len(lines[-1]) + len(entry) + 4 > width:
            lines.append("")
        lines[-1] += ("   " if lines[-1] else " ") + entry
    return lines
