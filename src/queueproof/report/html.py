"""The run as one self-contained page: no request to anywhere, and nothing that a server said is ever run.

Three walls: every value that a template prints goes through `plain`, then through the escaping of markup, and the
page's own policy allows no script but ours (by its hash) and no connection at all.
"""

import base64
import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from queueproof.report import load, svg, words
from queueproof.report.chart import spectrum
from queueproof.report.exchange import Exchange, as_curl
from queueproof.report.story import Card, Group, Part, Story
from queueproof.report.terminal import clean_up_words, noise_words
from queueproof.report.text import count, plain, seconds, span
from queueproof.report.timeline import Shade, said

# All requests and answers of a page together; what is longer is in the history.
_ALL_TEXT: Final = 400_000
_LEAST_TEXT, _MOST_TEXT = 120, 1_500
# Two sentences that share less than this are two sentences, not one with changes.
_ALIKE: Final = 0.35

COLUMNS: Final = ("core MUST", "extended MUST", "SHOULD", "advisory", "optional")


@dataclass(frozen=True, kw_only=True)
class ExchangeView:
    """One call, ready to print."""

    anchor: str
    exchange: Exchange
    when: str
    took: str
    said: str
    request: str
    answer: str
    curl: str


@dataclass(frozen=True, kw_only=True)
class PartView:
    """One case or finding of a card, ready to print."""

    part: Part
    expected: Markup
    seen: Markup
    timeline: Markup
    legend: tuple[tuple[str, str], ...]  # class, words
    exchanges: tuple[ExchangeView, ...]


def html(story: Story) -> str:
    """The page."""
    script = _file("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    results = story.results
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            story=story,
            groups=Group,
            columns=COLUMNS,
            grid=_grid(story),
            views=_views(story),
            style=Markup(_file("style.css")),  # noqa: S704 -- our own file
            script=Markup(script),  # noqa: S704 -- our own file
            script_hash=digest,
            signs=words.SIGNS,
            names=words.NAMES,
            areas=words.AREAS,
            tone_sign={"good": "✓", "bad": "✗", "unsure": "?"}[story.tone],
            noise=noise_words(results.noise) if results else "",
            clean_up=clean_up_words(results.clean_up) if results else "",
            load_rows=load.rows(results) if results else [],
            load_summary=load.summary(results) if results else [],
            objectives=load.objectives(results) if results else [],
            percentiles=[name for name, _ in load.PERCENTILES],
            spectrum=spectrum(load.rows(results)) if results else "",
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("queueproof.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(
        ticks=_ticks,
        frag=lambda value: quote(plain(value)),
        seconds=lambda value: f"{value:.3f} s",
        duration=load.duration,
        counted=count,
        pretty=_value,
        sources=words.sources,
        known=lambda value: words.KNOWN.get(value, value),
    )
    return environment


def _finalize(value: Any) -> Any:
    """What every `{{ … }}` passes: markup of our own stays, all else becomes harmless text."""
    if isinstance(value, Markup | int | float):
        return value
    return plain(value, 3_000, lines=True)


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _ticks(value: str) -> Markup:
    """Words in backticks as code."""
    pieces = re.split(r"`([^`]*)`", plain(value))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece) for number, piece in enumerate(pieces)
    )


def _value(value: Any) -> str:
    """An observation's value in words, or as JSON."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _grid(story: Story) -> list[tuple[str, list[list[Card]]]]:
    """Areas by level and profile, in the order of COLUMNS."""
    grid = []
    for area, cards in story.areas().items():
        cells: list[list[Card]] = [[] for _ in COLUMNS]
        for card in cards:
            cells[_column(card)].append(card)
        grid.append((area, cells))
    return grid


def _column(card: Card) -> int:
    if card.profile in {"advisory", "optional"}:
        return COLUMNS.index(card.profile)
    return 2 if card.level == "SHOULD" else 0 if card.profile == "core" else 1


# ── cards ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _views(story: Story) -> dict[str, list[PartView]]:
    """By card id, the parts of every card that did not pass."""
    cards = [card for card in (*story.cards, *story.findings) if explains(card)]
    number = sum(len(part.picked.exchanges) for card in cards for part in card.failing)
    limit = max(_LEAST_TEXT, min(_MOST_TEXT, _ALL_TEXT // max(1, 3 * number)))
    views: dict[str, list[PartView]] = {}
    serial = 0
    for card in cards:
        views[card.id] = []
        for part in card.failing:
            serial += 1
            views[card.id].append(_part(part, f"p{serial}", limit))
    return views


def explains(card: Card) -> bool:
    """Whether a card has more to show than its line in the list."""
    return card.group in {Group.NEW, Group.HARNESS, Group.KNOWN, Group.TOLD} or (
        card.group is Group.INCONCLUSIVE and any(part.picked.exchanges for part in card.parts)
    )


def _part(part: Part, ident: str, limit: int) -> PartView:
    expected, seen = _contrast(part.expected, part.seen)
    return PartView(
        part=part,
        expected=expected,
        seen=seen,
        timeline=Markup(svg.draw(part.layout, ident)) if part.layout else Markup(""),  # noqa: S704 -- svg escapes
        legend=_legend(part),
        exchanges=tuple(_exchange(exchange, part, ident, limit) for exchange in part.picked.exchanges),
    )


def _legend(part: Part) -> tuple[tuple[str, str], ...]:
    layout = part.layout
    if layout is None:
        return ()
    meanings = {
        Shade.CALL: "call under way: it acts somewhere in here",
        Shade.HELD: "surely held",
        Shade.MAYBE: "perhaps held",
        Shade.OPEN: "no answer: may act at any later time",
    }
    entries = [(shade.value, meaning) for shade, meaning in meanings.items() if layout.has(shade)]
    if layout.ringed:
        entries.append(("ringed", "where the promise breaks"))
    if any(mark.at_ns <= layout.end_ns for lane in layout.lanes for mark in lane.marks):
        entries.append(("marked", "T: the visibility timeout is over"))
    return tuple(entries)


def _exchange(exchange: Exchange, part: Part, ident: str, limit: int) -> ExchangeView:
    origin = part.picked.exchanges[0].at_ns
    answer = exchange.answer
    until = exchange.until_ns
    return ExchangeView(
        anchor=f"{ident}-{exchange.op}",
        exchange=exchange,
        when=seconds(exchange.at_ns - origin),
        took="no answer" if until is None else span(until - exchange.at_ns),
        said=said(exchange, part.picked.subjects),
        request=plain(_indented(exchange.invoke.request, limit), limit, lines=True),
        answer=plain(_indented((answer.answer or answer.why) if answer else "", limit), limit, lines=True),
        curl=as_curl(exchange.invoke) if exchange.invoke.method else "",
    )


def _indented(body: str, limit: int) -> str:
    """JSON over several lines where it is short enough to be read whole."""
    if len(body) > limit or body[:1] not in {"{", "["}:
        return body
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body


def _contrast(expected: str, seen: str) -> tuple[Markup, Markup]:
    """Both texts, with the words marked that only one of them has."""
    left, right = (re.findall(r"\s+|[^\s]+", plain(text, 1_500, lines=True)) for text in (expected, seen))
    if not left or not right or len(left) + len(right) > 400:
        return escape("".join(left)), escape("".join(right))
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    if matcher.ratio() < _ALIKE:
        return escape("".join(left)), escape("".join(right))
    codes = matcher.get_opcodes()
    return (
        _marked((code[0] != "equal", left[code[1] : code[2]]) for code in codes),
        _marked((code[0] != "equal", right[code[3] : code[4]]) for code in codes),
    )


def _marked(runs: Iterable[tuple[bool, list[str]]]) -> Markup:
    return Markup("").join(
        Markup("<mark>{}</mark>").format("".join(run)) if differs and run else escape("".join(run))
        for differs, run in runs
    )
