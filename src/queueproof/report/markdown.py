"""The run as Markdown, for a pull request or a CI step's summary.

What a server chose is inside code spans or fenced blocks, whose fences are longer than any run of backticks in it;
elsewhere markup characters are escaped.
"""

import re
from collections.abc import Iterable
from typing import Final

from queueproof.report import words
from queueproof.report.cards import Card, Group
from queueproof.report.load import MET, PERCENTILES, duration, objectives, rows
from queueproof.report.story import Story
from queueproof.report.terminal import render_card
from queueproof.report.text import count, plain

# GitHub takes a step summary of 1 MiB and drops a longer one whole.
_LIMIT: Final = 900_000
_MOST_CARDS: Final = 60
_SIGNS: Final = {"good": "✅", "bad": "❌", "unsure": "⚠️"}
FOLDED: Final = (
    *(Group.KNOWN, Group.FIXED, Group.PROVISIONAL, Group.TOLD),
    *(Group.INCONCLUSIVE, Group.NOT_RUN, Group.NOT_SUPPORTED),
)
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()>#+\-!|~@])")


def markdown(story: Story) -> str:
    """The document; at most 900,000 characters."""
    blocks = [f"## {_SIGNS[story.tone]} {story.verdict}", text(story.sentence, 600)]
    blocks += [f"> ⚠️ {text(note, 400)}" for note in story.notes]
    blocks += _counts(story)
    blocks += _cards("New failures", story.group(Group.NEW))
    blocks += _stale(story.group(Group.STALE))
    blocks += _cards("Harness errors (ours, not the server's)", story.group(Group.HARNESS))
    blocks += _cards("Findings", [card for card in story.findings if not card.note])
    blocks += _notes([card for card in story.findings if card.note])
    blocks += _load(story)
    for root, cards in story.blocked_by_root().items():
        names = ", ".join(code(card.id) for card in cards)
        blocks.append(f"**Blocked by {code(root)}** ({len(cards)}): {names}")
    for group in FOLDED:
        blocks += _folded(group, story.group(group))
    blocks += _observations(story)
    blocks += _foot(story)
    document = "\n\n".join(blocks) + "\n"
    return document if len(document) <= _LIMIT else f"{document[:_LIMIT]}\n\n… cut off here; report.html has the rest\n"


def annotations(story: Story) -> str:
    """GitHub workflow commands: one error a new failure, and nothing else."""
    lines = [
        f"::error title={_command(card.title, 80, ',:')}::{_command(card.summary or card.statement, 400)}"
        for card in (*story.group(Group.NEW), *story.findings)
        if card.group is Group.NEW
    ]
    return "".join(f"{line}\n" for line in lines)


def _command(value: str, limit: int, more: str = "") -> str:
    escaped = plain(value, limit).replace("%", "%25")
    for character in more:
        escaped = escaped.replace(character, f"%{ord(character):02X}")
    return escaped


def text(value: object, limit: int = 1_000) -> str:
    """Running text with nothing in it that Markdown or HTML would act upon."""
    marked = _SPECIAL.sub(r"\\\1", plain(value, limit))
    return marked.replace("&", "&amp;").replace("<", "&lt;")


def code(value: object, limit: int = 200) -> str:
    """A code span, safe in a table cell too."""
    inner = plain(value, limit).replace("|", "\u2223")
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", inner)), default=0))
    padding = " " if inner.startswith("`") or inner.endswith("`") else ""
    return f"{fence}{padding}{inner}{padding}{fence}"


def block(value: str) -> str:
    """A fenced block."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", value)), default=0))
    return f"{fence}text\n{value.rstrip()}\n{fence}"


def _counts(story: Story) -> list[str]:
    tally = story.counts()
    if not tally:
        return []
    head = " | ".join(f"{words.SIGNS[outcome]} {words.NAMES[outcome]}" for outcome in tally)
    rule = " | ".join("--:" for _ in tally)
    return [f"| {head} |\n| {rule} |\n| {' | '.join(str(number) for number in tally.values())} |"]


def _cards(title: str, cards: Iterable[Card]) -> list[str]:
    found = list(cards)
    if not found:
        return []
    blocks = [f"### {title} ({len(found)})"]
    for card in found[:_MOST_CARDS]:
        head = f"<summary><b>{_html(card.title)}</b> {_html(card.summary or card.statement)}</summary>"
        blocks.append(f"<details open>{head}\n\n{block(render_card(card, width=96))}\n\n</details>")
    if len(found) > _MOST_CARDS:
        blocks.append(f"… and {count(len(found) - _MOST_CARDS, 'more')}")
    return blocks


def _html(value: str) -> str:
    escaped = plain(value, 300).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"[`*_\[\]@|\\~]", lambda match: f"&#{ord(match[0])};", escaped)


def _folded(group: Group, cards: tuple[Card, ...]) -> list[str]:
    if not cards:
        return []
    lines = [f"| requirement | why |\n| --- | --- |\n{''.join(_row(card) for card in cards)}".rstrip()]
    return [f"<details><summary>{group.value} ({len(cards)})</summary>\n\n{lines[0]}\n\n</details>"]


def _stale(cards: tuple[Card, ...]) -> list[str]:
    if not cards:
        return []
    table = f"| requirement | why |\n| --- | --- |\n{''.join(_row(card) for card in cards)}".rstrip()
    return [f"### Expectations that no longer hold ({len(cards)})", table]


def _notes(cards: list[Card]) -> list[str]:
    """What the checks tell without accusing anybody, folded."""
    if not cards:
        return []
    lines = "".join(f"| {code(card.title)} | {text(card.summary, 300)} |\n" for card in cards[:_MOST_CARDS])
    head = f"<details><summary>notes of the checks ({len(cards)})</summary>"
    return [f"{head}\n\n| check | note |\n| --- | --- |\n{lines}\n</details>"]


def _row(card: Card) -> str:
    return f"| {words.SIGNS[card.outcome]} {code(card.id)} | {text(card.reason, 300)} |\n"


def _observations(story: Story) -> list[str]:
    told = story.results.observations if story.results else ()
    if not told:
        return []
    rows = "".join(f"| {code(o.id)} | {text(o.statement, 300)} | {code(words.value(o.value))} |\n" for o in told)
    title = f"Observations: what the contract leaves open ({len(told)})"
    table = f"| question | | here |\n| --- | --- | --- |\n{rows}".rstrip()
    return [f"<details><summary>{title}</summary>\n\n{table}\n\n</details>"]


def _load(story: Story) -> list[str]:
    if story.results is None:
        return []
    blocks = []
    table = rows(story.results)
    if table:
        head = " | ".join(name for name, _ in PERCENTILES)
        lines = [f"| | count | errors | {head} |", "| --- |" + " --: |" * (2 + len(PERCENTILES))]
        for row in table:
            values = " | ".join(duration(value) for value in row.values)
            lines.append(f"| {text(row.verb)} {row.time} | {row.count:,} | {row.errors:,} | {values} |")
        blocks += ["### Load", "\n".join(lines)]
    checks = objectives(story.results)
    if checks:
        lines = ["| objective | | value | margin |", "| --- | --- | --: | --- |"]
        for objective in checks:
            met = f"{'✓' if objective.met else '✗' if objective.met is False else '?'} {MET[objective.met]}"
            lines.append(f"| {code(objective.expression)} | {met} | {objective.value} | {text(objective.margin)} |")
        blocks.append("\n".join(lines))
    return blocks


def _foot(story: Story) -> list[str]:
    lines = []
    if story.manifest:
        target = code(story.target or "an unknown target")
        lines.append(f"Run {code(story.run)} against {target}, queueproof {text(story.manifest.version)}")
    if story.results:
        lines += filter(None, (words.noise(story.results.noise), text(words.clean_up(story.results.clean_up))))
    return ["---", "\n".join(f"- {line}" for line in [*lines, f"Again: {code(story.command, 1_000)}"])]
