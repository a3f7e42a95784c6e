"""Prepares the cards of a page: texts cut to the page's budget, expected against seen, timelines and exchanges."""

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from queueproof.evidence.results import Outcome
from queueproof.report import svg
from queueproof.report.cards import Card, Group, Part
from queueproof.report.exchange import Exchange, as_curl
from queueproof.report.story import Story
from queueproof.report.text import fit, seconds, span
from queueproof.report.timeline import Shade, said

# All requests and answers of a page together; what is longer is in the history.
_ALL_TEXT: Final = 300_000
_LEAST_TEXT, _MOST_TEXT = 120, 1_500
# How the recorder ends a body that it cut (drive/recorder.py).
_CUT: Final = re.compile(r"… \((more than )?(\d{1,15}) (characters|bytes)\)\Z")
# Two sentences that share less than this part of their words are two sentences, not one with changes.
_ALIKE: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class ExchangeView:
    """One call, ready to print."""

    anchor: str
    exchange: Exchange
    when: str
    took: str
    said: str
    request: Markup  # escaped here: the page's own limit would cut what these have room for
    answer: Markup
    curl: Markup


@dataclass(frozen=True, kw_only=True)
class PartView:
    """One case or finding of a card, ready to print."""

    part: Part
    expected: Markup
    seen: Markup
    proof: str
    timeline: Markup
    legend: tuple[tuple[str, str], ...]  # class, words
    exchanges: tuple[ExchangeView, ...]


def views(story: Story) -> dict[str, list[PartView]]:
    """By card id, the parts of every card that did not pass."""
    cards = [card for card in (*story.cards, *story.findings) if explains(card)]
    number = sum(len(part.picked.exchanges) for card in cards for part in card.failing)
    limit = max(_LEAST_TEXT, min(_MOST_TEXT, _ALL_TEXT // max(1, 3 * number, 4 * len(cards))))
    prepared: dict[str, list[PartView]] = {}
    serial = 0
    for card in cards:
        prepared[card.id] = []
        for part in card.failing:
            serial += 1
            prepared[card.id].append(_part(part, f"p{serial}", limit))
    return prepared


def explains(card: Card) -> bool:
    """Whether a card has more to show than its line in the list."""
    if card.group in {Group.STALE, Group.PROVISIONAL, Group.KNOWN}:
        return card.outcome is Outcome.FAILED
    return card.group in {Group.NEW, Group.HARNESS, Group.TOLD} or (
        card.group is Group.INCONCLUSIVE and any(part.picked.exchanges for part in card.parts)
    )


def _part(part: Part, ident: str, limit: int) -> PartView:
    expected, seen = _contrast(fit(part.expected, limit), fit(part.seen, limit))
    return PartView(
        part=part,
        expected=expected,
        seen=seen,
        proof=fit(part.proof, limit),
        timeline=_timeline(part, ident, limit),
        legend=_legend(part),
        exchanges=tuple(_exchange(exchange, part, ident, limit) for exchange in part.picked.exchanges),
    )


def _timeline(part: Part, ident: str, limit: int) -> Markup:
    if part.layout is None:
        return Markup("")
    return Markup(svg.draw(part.layout, ident, limit=min(limit // 2, svg.TITLE_LIMIT)))  # noqa: S704 -- it escapes


def _legend(part: Part) -> tuple[tuple[str, str], ...]:
    layout = part.layout
    if layout is None:
        return ()
    meanings = {
        Shade.CALL: "call under way: it acts somewhere in here",
        Shade.HELD: "surely held",
        Shade.MAYBE: "perhaps held",
        Shade.OPEN: "outcome unknown: it may act at any later time",
    }
    entries = [(shade.value, meaning) for shade, meaning in meanings.items() if layout.has(shade)]
    if layout.ringed:
        entries.append(("ringed", "where the promise breaks"))
    if any(mark.at_ns <= layout.end_ns for lane in layout.lanes for mark in lane.marks):
        entries.append(("marked", "T: the visibility timeout is over; a second line: the slack too"))
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
        request=escape(_told(exchange.invoke.request, limit)),
        answer=escape(_told((answer.answer or answer.why) if answer else "", limit)),
        # Half a request is worth nothing to a shell.
        curl=escape(
            as_curl(exchange.invoke) if exchange.invoke.method and len(exchange.invoke.request) <= limit else ""
        ),
    )


def _told(body: str, limit: int) -> str:
    """The body as the page has room for; of one that was cut when it was recorded, its whole size."""
    cut = _CUT.search(body)
    if cut is None:
        return fit(_indented(body, limit), limit)
    kept = body[: min(limit, cut.start())]
    return f"{fit(kept, limit)}… (cut: {cut[1] or ''}{int(cut[2]):,} {cut[3]} in all)"


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
    left, right = (re.findall(r"\s+|[^\s]+", text) for text in (expected, seen))
    if not left or not right or len(left) + len(right) > 400:
        return escape("".join(left)), escape("".join(right))
    both = [[piece for piece in pieces if not piece.isspace()] for pieces in (left, right)]
    if difflib.SequenceMatcher(None, both[0], both[1], autojunk=False).ratio() < _ALIKE:
        return escape("".join(left)), escape("".join(right))
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
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
