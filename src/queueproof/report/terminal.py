"""Shows a run on a terminal, and a card as plain text for whoever needs text."""

import io
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from queueproof.evidence.results import Outcome
from queueproof.evidence.run import JUNIT, REPORT
from queueproof.report import characters, words
from queueproof.report.cards import Card, Part
from queueproof.report.cards import Group as StoryGroup
from queueproof.report.load import load_lines
from queueproof.report.story import Story
from queueproof.report.text import count, plain

_WIDEST: Final = 120
_NARROWEST: Final = 40
_MOST_FINDINGS: Final = 3  # of one check
_MOST_PARTS: Final = 3  # of one card: two cases that fail alike say little more than one
_STYLES: Final[Mapping[Outcome, str]] = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "bold red",
    Outcome.NOT_SUPPORTED: "dim",
    Outcome.NOT_RUN: "dim",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.BLOCKED: "magenta",
    Outcome.HARNESS_ERROR: "bold magenta",
}
_ASCII_SIGNS: Final[Mapping[Outcome, str]] = {
    Outcome.PASSED: "+",
    Outcome.FAILED: "X",
    Outcome.NOT_SUPPORTED: "o",
    Outcome.NOT_RUN: "-",
    Outcome.INCONCLUSIVE: "?",
    Outcome.BLOCKED: "/",
    Outcome.HARNESS_ERROR: "!",
}
_TONES: Final = {
    "good": (Outcome.PASSED, "bold green"),
    "bad": (Outcome.FAILED, "bold red"),
    "unsure": (Outcome.INCONCLUSIVE, "bold yellow"),
}
_TO_ASCII: Final = str.maketrans({"…": "...", "→": "->", "×": "x", "·": "-", "≤": "<=", "≥": ">=", "−": "-", "µ": "u"})


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Colour only on a terminal, never when NO_COLOR is set (no-color.org) or the terminal is a dumb one."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return stream.isatty()


def wants_ascii(stream: TextIO) -> bool:
    """Whether `stream` cannot carry the signs of a report."""
    try:
        "✗░█▒◉┊▸─┬…".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return True
    return False


def show(story: Story, stream: TextIO | None = None) -> None:
    """Writes the run to `stream` (standard output), as wide as the terminal and as colourful as it likes."""
    out = stream if stream is not None else sys.stdout
    width = terminal_width(out)
    out.write(render(story, width=width, colour=wants_colour(out), ascii_only=wants_ascii(out)))
    out.flush()


def terminal_width(stream: TextIO, environment: Mapping[str, str] = os.environ) -> int:
    """Columns: what COLUMNS says, else the terminal's, else 100 (a pipe, a file)."""
    said = environment.get("COLUMNS", "")
    if said.isascii() and said.isdigit() and int(said[:6]):
        return int(said[:6])
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 100


def render(story: Story, *, width: int = 100, colour: bool = False, ascii_only: bool = False) -> str:
    """The whole run as text of at most `width` columns (40 to 120)."""
    page = _Page(width, colour, ascii_only)
    page.story(story)
    return page.text()


def render_card(card: Card, *, width: int = 100, ascii_only: bool = False) -> str:
    """One card as plain text, without colour."""
    page = _Page(width, False, ascii_only)
    page.card(card)
    return page.text().strip("\n") + "\n"


class _Page:
    """Collects what is printed, at one width."""

    def __init__(self, width: int, colour: bool, ascii_only: bool) -> None:
        self.width = max(_NARROWEST, min(width, _WIDEST))
        self._ascii = ascii_only
        self._signs = _ASCII_SIGNS if ascii_only else words.SIGNS
        self._out = io.StringIO()
        self._console = Console(
            file=self._out,
            width=self.width,
            force_terminal=colour,
            color_system="standard" if colour else None,
            no_color=not colour,
            highlight=False,
            markup=False,
            emoji=False,
            safe_box=True,
            legacy_windows=False,
        )

    def text(self) -> str:
        lines = (line.rstrip() for line in self._out.getvalue().split("\n"))
        text = "\n".join(lines)
        return text.encode("ascii", "replace").decode() if self._ascii else text

    def story(self, story: Story) -> None:
        self._head(story)
        self._cards("New failures", story.group(StoryGroup.NEW))
        self._list("Expectations that no longer hold", story.group(StoryGroup.STALE))
        self._cards("Harness errors (ours, not the server's)", story.group(StoryGroup.HARNESS))
        self._findings(story)
        self._blocked(story)
        self._list("Inconclusive", story.group(StoryGroup.INCONCLUSIVE))
        self._list("Known failures", story.group(StoryGroup.KNOWN))
        self._list("Known failures that passed", story.group(StoryGroup.FIXED))
        self._list("Provisional (newer than the expectations file)", story.group(StoryGroup.PROVISIONAL))
        self._list("Not gating (SHOULD, advisory, or our own reading)", story.group(StoryGroup.TOLD))
        self._list("Not run", story.group(StoryGroup.NOT_RUN))
        self._list("Not supported", story.group(StoryGroup.NOT_SUPPORTED))
        self._load(story)
        self._foot(story)

    def _head(self, story: Story) -> None:
        outcome, style = _TONES[story.tone]
        self._line()
        self._line(
            Text.assemble((f"{self._signs[outcome]} {story.verdict}", style), "  ", self._say(story.sentence, 600))
        )
        for note in story.notes:
            self._line(Text(f"! {self._say(note, 400)}", "yellow"))
        tally = [
            Text(f"{self._signs[outcome]} {number} {words.NAMES[outcome]}", _STYLES[outcome])
            for outcome, number in story.counts().items()
        ]
        if tally:
            self._line(Text("   ").join(tally))

    def _cards(self, title: str, cards: Iterable[Card]) -> None:
        found = list(cards)
        if found:
            self._title(title, len(found))
        for card in found:
            self._line()
            self.card(card)

    def _findings(self, story: Story) -> None:
        """The first of each check; the others are alike, and in the report."""
        seen: Counter[str] = Counter()
        first = []
        for card in story.findings:
            if card.note:
                continue
            seen[card.title] += 1
            if seen[card.title] <= _MOST_FINDINGS:
                first.append(card)
        self._cards("Findings", first)
        notes = [card for card in story.findings if card.note]
        self._list("Notes of the checks", notes[:_MOST_FINDINGS])
        hidden = (
            len(story.findings)
            - len(first)
            - len(notes[:_MOST_FINDINGS])
            + sum(number for _, number in story.more_findings)
        )
        if hidden:
            self._line(Text(f"  and {count(hidden, 'more finding')}, in {REPORT} and results.json", "dim"))

    def card(self, card: Card) -> None:
        """What was promised, what was seen, why that breaks it, and how to see it again."""
        sign = Text(f"{self._signs[card.outcome]} {self._say(card.title, 200)}", _STYLES[card.outcome])
        self._line(Text.assemble(sign, "  ", (self._say(_standing(card)), "dim")))
        if card.statement:
            self._in(Text(self._say(card.statement), "bold"), 2)
        if card.blocks:
            waiting = words.enumerate_words(list(card.blocks))
            number = count(len(card.blocks), "requirement")
            self._in(Text(self._say(f"{number} blocked by it: {waiting}"), "magenta"), 2)
        parts = card.failing[:_MOST_PARTS]
        for part in parts:
            self._part(part, alone=len(card.failing) == 1)
        hidden = len(card.failing) - len(parts) + card.more
        if hidden:
            self._in(Text(f"and {hidden:,} more like it, in {REPORT}", "dim"), 4)
        self._in(self._pairs([("known", card.known_failure), ("remark", card.remark), ("again", card.again)]), 4)

    def _part(self, part: Part, *, alone: bool) -> None:
        self._line()
        if part.source:
            sign = "" if alone else f"{self._signs[part.outcome]} "
            source = ("  " + self._say(part.source), "dim")
            self._in(Text.assemble((sign, _STYLES[part.outcome]), self._say(part.title), source), 2)
        if part.summary and part.summary != part.seen:
            self._in(Text(self._say(part.summary, 600)), 4)
        rows = [("expected", part.expected), ("seen", part.seen), ("proof", part.proof)]
        rows += [("assuming", "; ".join(part.assumes)), ("tries", str(part.tries) if part.tries > 1 else "")]
        self._in(self._pairs(rows), 4)
        if part.layout is not None:
            self._line()
            signs = characters.ASCII if self._ascii else characters.UNICODE
            indent = self._indent(4)
            for line in characters.draw(part.layout, width=self.width - indent, signs=signs):
                self._console.print(Text(" " * indent + line), soft_wrap=True)
        if part.picked.omitted:
            self._in(Text(f"{count(part.picked.omitted, 'more operation')} in the history", "dim"), 4)
        if part.picked.missing:
            self._in(Text(f"{count(part.picked.missing, 'operation')} named that no history file holds", "dim"), 4)
        self._line()

    def _blocked(self, story: Story) -> None:
        groups = story.blocked_by_root()
        if groups:
            self._title("Blocked", sum(map(len, groups.values())))
        for root, cards in groups.items():
            self._in(self._pairs([(f"by {self._say(root)}", ", ".join(card.id for card in cards))]), 2)

    def _list(self, title: str, cards: Iterable[Card]) -> None:
        found = list(cards)
        if not found:
            return
        self._title(title, len(found))
        by_reason: dict[str, list[str]] = {}
        for card in found:
            by_reason.setdefault(card.reason, []).append(self._named(card))
        style = _STYLES[found[0].outcome]
        self._in(self._pairs([(ids[0], reason) for reason, ids in by_reason.items() if len(ids) == 1], style=style), 2)
        for reason, ids in by_reason.items():
            if len(ids) > 1:
                self._in(Text(self._say(", ".join(ids), 1_000), style), 2)
                self._in(Text(self._say(reason)), 4)

    def _named(self, card: Card) -> str:
        return f"{card.sign} {card.title}" if card.note else f"{self._signs[card.outcome]} {card.id}"

    def _load(self, story: Story) -> None:
        lines = load_lines(story.results, self.width - self._indent(2)) if story.results else []
        if lines:
            self._title("Load")
        for line in lines:
            self._in(Text(self._say(line)), 2)

    def _foot(self, story: Story) -> None:
        self._title("This run")
        rows = []
        if story.manifest:
            rows.append(("target", story.target))
        if story.results:
            rows += [
                ("harness", words.noise(story.results.noise)),
                ("left behind", words.clean_up(story.results.clean_up)),
                ("observed", words.observed(story.results.observations, REPORT)),
            ]
        rows.append(("again", story.command))
        self._in(self._pairs(rows), 2)
        width = max((len(name) for name, value in rows if value), default=0) + 2
        for name, file in (("report", REPORT), ("junit", JUNIT)):
            if name == "report" or (story.path / file).is_file():
                path = Text(self._say(str(story.path / file), 4_000))  # never broken: it is there to be copied
                line = Text.assemble("  ", (f"{name:{width}}", "dim"), path)
                self._console.print(line, soft_wrap=True)

    def _pairs(self, rows: Iterable[tuple[str, str]], *, style: str = "dim") -> RenderableType:
        """Names beside what they say, wrapped under themselves; empty ones are left out."""
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, max_width=self.width // 3)
        table.add_column(overflow="fold")
        filled = [(name, value) for name, value in rows if value]
        for name, value in filled:
            table.add_row(Text(self._say(name, 200), style), Text(self._say(value, 1_200, lines=True)))
        return table if filled else Group()

    def _say(self, value: str, limit: int = 600, *, lines: bool = False) -> str:
        """Harmless text, in the letters that this page may use; done before the lines are broken."""
        text = plain(value, limit, lines=lines)
        return text.translate(_TO_ASCII).encode("ascii", "replace").decode() if self._ascii else text

    def _title(self, title: str, number: int | None = None) -> None:
        self._line()
        self._line(Text(title if number is None else f"{title} ({number})", "bold underline"))

    def _line(self, what: RenderableType = "") -> None:
        self._console.print(what)

    def _in(self, what: RenderableType, columns: int) -> None:
        self._console.print(Padding(what, (0, 0, 0, self._indent(columns))))

    def _indent(self, columns: int) -> int:
        """Less of it where there is little room."""
        return min(columns, self.width // 20)


def _standing(card: Card) -> str:
    known = ""
    if card.requirement:
        known = words.KNOWN[card.requirement.known]
        if card.requirement.evidence:
            known += f": {words.sources(card.requirement.evidence)}"
    name = card.requirement.id if card.requirement and card.requirement.id != card.id else ""
    return " · ".join(filter(None, (name, card.level, card.profile, known)))
