"""Draws where the response times of a load lay, second by second: a heat map a verb, from the interval logs.

Across is time, upwards is duration (each decade in three steps), and the darker a cell the more calls fell into it. A
percentile hides that half the calls were slow for a minute, or that two paths have two speeds; this shows both.
"""

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from markupsafe import Markup

from queueproof.errors import CorruptRunError
from queueproof.evidence.latency import Interval, highest, merged, read_logs
from queueproof.report.load import duration
from queueproof.report.text import count

_COLUMNS: Final = 90  # more are too narrow for a finger, and for a phone
_STEPS: Final = 3  # rows a decade
_SHADES: Final = 5
_VERBS: Final = ("publish", "claim", "complete", "e2e")
_ROW_PX: Final = 9


def heat_maps(path: Path) -> Markup:
    """Figures, one a verb with at least two intervals; empty where the run kept none that can be read."""
    try:
        logs = read_logs(path)
    except (CorruptRunError, OSError):
        return Markup("")
    panels = [_panel(verb, logs.get((verb, "response"), [])) for verb in _VERBS]
    return Markup("".join(panels))  # noqa: S704 -- numbers and our own words only


def _panel(verb: str, intervals: Sequence[Interval]) -> str:
    filled = [interval for interval in intervals if interval.counts]
    if len(filled) < 2:
        return ""
    columns = _bundled(intervals)
    cells = [_cells(bundle) for bundle in columns]
    rows = [row for column in cells for row in column]
    low, high = min(rows), max(rows)
    most = max(number for column in cells for number in column.values())
    shades: dict[int, list[str]] = {}
    for x, column in enumerate(cells):
        for row, number in column.items():
            shades.setdefault(_shade(number, most), []).append(f"M{x} {high - row}h1v1h-1z")
    drawn = "".join(f'<path class="heat-{shade}" d="{"".join(places)}"/>' for shade, places in sorted(shades.items()))
    tall = high - low + 1
    begin = intervals[0].start_s
    end_s = intervals[-1].start_s + intervals[-1].length_s - begin
    hovers = "".join(_hover(x, bundle, begin, tall) for x, bundle in enumerate(columns))
    return (
        f'<figure class="panel"><figcaption>{escape(verb)}</figcaption>'
        f'<div class="plot"><span class="top">{duration(_edge_us(high + 1))} at the top, '
        f"{duration(_edge_us(low))} at the bottom</span>"
        f'<svg class="heat" role="img" aria-label="{escape(verb)}: response times over {end_s:.0f} s, '
        f'{duration(_edge_us(low))} to {duration(_edge_us(high + 1))}" viewBox="0 0 {len(columns)} {tall}" '
        f'preserveAspectRatio="none" width="100%" height="{max(60, _ROW_PX * tall)}">{drawn}{hovers}</svg>'
        f'<span class="ends"><span>0 s</span><span>{end_s:.0f} s</span></span></div></figure>'
    )


def _bundled(intervals: Sequence[Interval]) -> list[list[Interval]]:
    size = -(-len(intervals) // _COLUMNS)
    return [list(intervals[start : start + size]) for start in range(0, len(intervals), size)]


def _cells(bundle: Sequence[Interval]) -> Counter[int]:
    cells: Counter[int] = Counter()
    for interval in bundle:
        for index, number in interval.counts.items():
            cells[math.floor(_STEPS * math.log10(max(1, highest(index))))] += number
    return cells


def _edge_us(row: int) -> float:
    """The lower edge of a row, µs."""
    return float(10 ** (row / _STEPS))


def _shade(number: int, most: int) -> int:
    """1 to 5, by the logarithm: a single slow call among ten thousand is still seen."""
    return 1 + round((_SHADES - 1) * math.log1p(number) / math.log1p(most))


def _hover(x: int, bundle: Sequence[Interval], begin: float, tall: int) -> str:
    whole = merged(bundle)
    number = sum(whole.counts.values())
    start, end = bundle[0].start_s - begin, bundle[-1].start_s + bundle[-1].length_s - begin
    told = f"{start:.0f} to {end:.0f} s: {count(number, 'call')}"
    if number:
        told += "".join(f", p{percent} {duration(whole.percentile(percent))}" for percent in (50, 99))
        told += f", at most {duration(whole.max)}"
    return f'<rect class="over" x="{x}" y="0" width="1" height="{tall}"><title>{told}</title></rect>'
