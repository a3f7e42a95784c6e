"""Shows an examination on a terminal: a line a thing, with what to do about it, in as little room as there is."""

import io
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from queueproof.evidence.checkup import Checkup, Line, Sign
from queueproof.report.terminal import terminal_width, wants_ascii, wants_colour
from queueproof.report.text import plain

_SIGNS: Final[Mapping[Sign, tuple[str, str, str]]] = {
    Sign.GOOD: ("✓", "+", "green"),
    Sign.TOLD: ("·", "-", "dim"),
    Sign.ODD: ("!", "!", "yellow"),
    Sign.BAD: ("✗", "X", "bold red"),
}
_NARROW: Final = 64
_TO_ASCII: Final = str.maketrans({"…": "...", "→": "->", "·": "-"})


def render(checkup: Checkup, *, width: int = 100, colour: bool = False, ascii_only: bool = False) -> str:
    """The whole examination as text of at most `width` columns (40 to 120)."""
    page = io.StringIO()
    console = Console(
        file=page,
        width=max(40, min(120, width)),
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        legacy_windows=False,
    )
    say = partial(_say, ascii_only=ascii_only)
    console.print(Text(f"{say(checkup.url)} ({checkup.took_s:.1f} s, {checkup.requests} requests)", "dim"))
    console.print(Text(say(checkup.summary), "bold green" if checkup.usable else "bold red"))
    if checkup.advice:
        console.print(Text(say(f"→ {checkup.advice}")))
    console.print()
    console.print(_table(checkup.lines, say, narrow=console.width < _NARROW, ascii_only=ascii_only))
    return "".join(f"{line.rstrip()}\n" for line in page.getvalue().splitlines())


def _say(text: str, *, ascii_only: bool) -> str:
    safe = plain(text, 600)
    return safe.translate(_TO_ASCII).encode("ascii", "replace").decode() if ascii_only else safe


def _table(lines: tuple[Line, ...], say: Callable[[str], str], *, narrow: bool, ascii_only: bool) -> Table:
    """Sign, area and words; where there is little room, the area stands above its words."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    if not narrow:
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    last = ""
    for line in lines:
        area, last = ("" if line.area == last else line.area), line.area
        sign = Text(_SIGNS[line.sign][1 if ascii_only else 0], _SIGNS[line.sign][2])
        words = Text.assemble((f"{say(line.name)}: ", "bold"), say(line.said))
        if line.advice and line.sign is not Sign.GOOD:
            words.append("\n" + say(f"→ {line.advice}"))
        if narrow:
            table.add_row(sign, Text.assemble((f"{area}: " if area else "", "dim"), words))
        else:
            table.add_row(sign, Text(area, "dim"), words)
    return table


def show(checkup: Checkup, stream: TextIO | None = None) -> None:
    """Writes it to `stream` (standard output), as wide as the terminal and as colourful as it likes."""
    out = stream if stream is not None else sys.stdout
    width = terminal_width(out)
    out.write(render(checkup, width=width, colour=wants_colour(out), ascii_only=wants_ascii(out)))
    out.flush()
