"""Draws a timeline as SVG that keeps its letters readable at any width, and takes its colours from the page.

Horizontal places are percentages and vertical ones pixels, so that a phone and a wide screen get the same size of
text. Every bar is a link to its exchange; hovering tells it.
"""

import itertools
from html import escape
from typing import Final

from queueproof.report.exchange import Exchange
from queueproof.report.text import NS_PER_S, count, fit, plain, seconds
from queueproof.report.timeline import Bar, Lane, Layout, Shade, said

_AXIS_PX: Final = 22
_LANE_PX: Final = 40
_BAR_TOP_PX: Final = 21  # below the lane's words
_BAR_PX: Final = 12
_LEAST_PX: Final = 3  # a call of a millisecond in a picture of a minute is still seen
_RING_PX: Final = 10
_ROOM: Final = 1.7  # per cent of the width that a letter takes, on a phone a little more
TITLE_LIMIT: Final = 160
_BESIDE_ZERO: Final = 18  # per cent: nearer than this a mark's words touch those of 0 on a phone, and are left out
_NAMESPACE: Final = "http://www.w3.org/2000/svg"


def draw(layout: Layout, ident: str, *, limit: int = TITLE_LIMIT) -> str:
    """The `<svg>` element. `ident`: unique in the page; links go to `#IDENT-OP`. `limit`: characters a hover line."""
    height = _AXIS_PX + _LANE_PX * len(layout.lanes) + 4
    label = f"Timeline, {count(len(layout.lanes), 'lane')} over {seconds(layout.end_ns)}"
    parts = [
        f'<svg class="timeline" role="group" aria-label="{label}" width="100%" height="{height}" xmlns="{_NAMESPACE}">',
        _patterns(ident),
    ]
    parts += [_tick(tick, layout, height) for tick in layout.ticks]
    for row, lane in enumerate(layout.lanes):
        parts.append(_lane(lane, layout, _AXIS_PX + row * _LANE_PX, ident, limit))
    return "".join([*parts, "</svg>"])


def _patterns(ident: str) -> str:
    """Hatching for what is uncertain: told by its texture, not by its colour alone."""
    hatch = (
        '<pattern id="{name}" patternUnits="userSpaceOnUse" width="6" height="6" patternTransform="rotate({turn})">'
        '<rect width="6" height="6" class="ground"/><rect width="2.5" height="6" class="{kind}-line"/></pattern>'
    )
    return "<defs>{}{}</defs>".format(
        hatch.format(name=f"{ident}-call", kind="call", turn=45),
        hatch.format(name=f"{ident}-maybe", kind="maybe", turn=-45),
    )


def _place(at_ns: int, layout: Layout) -> float:
    return round(100 * min(max(at_ns, 0), layout.end_ns) / layout.end_ns, 3)


def _axis_label(at_ns: int, layout: Layout) -> str:
    return f"{at_ns / NS_PER_S:g} s" if layout.end_ns >= NS_PER_S else f"{at_ns / 1e6:g} ms"


def _tick(tick: int, layout: Layout, height: int) -> str:
    place = _place(tick, layout)
    kind = "tick tight" if 0 < place < _BESIDE_ZERO else "tick"
    return (
        f'<line class="grid" x1="{place}%" x2="{place}%" y1="{_AXIS_PX - 4}" y2="{height}"/>'
        f'<text class="{kind}" x="{place}%" y="12" text-anchor="{_anchor(place)}">{_axis_label(tick, layout)}</text>'
    )


def _anchor(place: float) -> str:
    return "start" if place < 4 else "end" if place > 93 else "middle"


def _lane(lane: Lane, layout: Layout, top: int, ident: str, limit: int) -> str:
    kind = "lane evidence" if lane.evidence else "lane"
    words = f'<tspan class="op">{escape(plain(lane.label))}</tspan>  {escape(plain(lane.detail, 70))}'
    middle = top + _BAR_TOP_PX + _BAR_PX // 2
    parts = [
        f'<g class="{kind}">',
        f'<line class="rail" x1="0" x2="100%" y1="{middle}" y2="{middle}"/>',
        f'<text class="words" x="0" y="{top + 14}" xml:space="preserve">{words}</text>',
    ]
    for op, bars in itertools.groupby(lane.bars, key=lambda bar: bar.exchange.op):
        found = sorted(bars, key=lambda bar: bar.shade is Shade.CALL)  # a short call stays above its lock
        drawn = "".join(_bar(bar, layout, top + _BAR_TOP_PX, ident) for bar in found)
        title = f"<title>{escape(hover(found[0].exchange, layout.origin_ns, limit))}</title>"
        parts.append(f'<a href="#{ident}-{op}">{title}{drawn}</a>')
    return "".join([*parts, _marks(lane, layout, top + _BAR_TOP_PX), "</g>"])


def _bar(bar: Bar, layout: Layout, top: int, ident: str) -> str:
    start = _place(bar.start_ns, layout)
    end = 100.0 if bar.shade is Shade.OPEN else _place(bar.end_ns, layout)
    if bar.start_ns >= layout.end_ns:
        return ""
    fill = f' fill="url(#{ident}-{bar.shade.value})"' if bar.shade in {Shade.CALL, Shade.MAYBE} else ""
    width = round(end - start, 3)
    drawn = f'<rect class="{bar.shade.value}"{fill} x="{start}%" y="{top}" width="{width}%" height="{_BAR_PX}"/>'
    if bar.shade in {Shade.CALL, Shade.OPEN}:
        drawn += f'<rect class="edge" x="{start}%" y="{top}" width="{_LEAST_PX}" height="{_BAR_PX}"/>'
    if bar.ringed:
        middle = top + _BAR_PX // 2
        place = round((start + _place(bar.end_ns, layout)) / 2, 3)
        drawn += f'<circle class="ring" cx="{place}%" cy="{middle}" r="{_RING_PX}"/>'
    return drawn


def _marks(lane: Lane, layout: Layout, top: int) -> str:
    """Each deadline, and its words where there is room beside it."""
    parts = []
    near = [mark for mark in lane.marks if mark.at_ns <= layout.end_ns]
    places = [_place(mark.at_ns, layout) for mark in near]
    for index, (mark, place) in enumerate(zip(near, places, strict=True)):
        kind = "mark-word"
        parts.append(f'<line class="mark" x1="{place}%" x2="{place}%" y1="{top - 5}" y2="{top + _BAR_PX + 4}"/>')
        room = (places[index + 1] if index + 1 < len(places) else 100) - place
        if room > _ROOM * len(mark.label):
            where = f'dx="5" y="{top + _BAR_PX - 2}"'
        elif index == 0:
            where = f'dx="-5" y="{top + _BAR_PX - 2}" text-anchor="end"'
        else:  # above its line, where the lane's words do not reach unless the page is narrow: then it is left out
            where = f'dx="2" y="{top - 7}" text-anchor="end"'
            kind = "mark-word tight"
        parts.append(f'<text class="{kind}" x="{place}%" {where}>{escape(mark.label)}</text>')
    return "".join(parts)


def hover(exchange: Exchange, origin_ns: int, limit: int = TITLE_LIMIT) -> str:
    """The exchange in three lines: when, what was asked, what was answered."""
    invoke, answer = exchange.invoke, exchange.answer
    until = seconds(exchange.until_ns - origin_ns) if exchange.until_ns is not None else "no answer"
    lines = [f"{exchange.name} {exchange.verb}, {seconds(exchange.at_ns - origin_ns)} to {until}: {said(exchange)}"]
    if invoke.method:
        lines.append(f"{invoke.method} {invoke.path} {fit(invoke.request, limit)}".rstrip())
    if answer and (answer.answer or answer.why):
        lines.append(fit(answer.answer or answer.why, limit))
    return "\n".join(plain(line, 2 * limit) for line in lines)
