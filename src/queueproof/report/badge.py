"""Draws an implementation's badge: a small SVG that says its verdict by sign, words and colour, and has a title."""

from html import escape
from typing import Final

from queueproof.evidence.results import Outcome
from queueproof.report.matrix import Implementation
from queueproof.report.text import plain

_COLOURS: Final = {"good": "#14753f", "bad": "#b81f2b", "unsure": "#8a5a00"}  # each 4.5 : 1 under white
_SIGNS: Final = {"good": "✓", "bad": "✗", "unsure": "?"}
_LETTER_PX: Final = 6.6  # of 11 px Verdana and its kin, on average
_PADDING_PX: Final = 8
_LABEL: Final = "queueproof"


def badge(implementation: Implementation) -> str:
    """The `<svg>` document, 20 px high."""
    said = _said(implementation)
    left, right = _width(_LABEL), _width(said)
    title = escape(f"{plain(implementation.name, 60)}: {said} (queueproof {implementation.date or 'undated'})")
    middle = left + right / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#39424e"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLOURS[implementation.tone]}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2:g}" y="14" textLength="{left - 2 * _PADDING_PX}">{_LABEL}</text>'
        f'<text x="{middle:g}" y="14" textLength="{right - 2 * _PADDING_PX}">{escape(said)}</text></g></svg>\n'
    )


def _said(implementation: Implementation) -> str:
    """ "✓ conforms, 96 of 96", "✗ breaks VIS-1 and 2 more", "? no verdict"; a part of the contract is told as one."""
    sign = _SIGNS[implementation.tone]
    if implementation.tone == "unsure":
        return f"{sign} no verdict"
    broken = implementation.broken
    if implementation.tone == "bad" and broken:
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        return f"{sign} breaks {plain(broken[0], 20)}{more}"
    number = len(implementation.results.requirements)
    part = " (in part)" if implementation.partial else ""
    said = "conforms" if implementation.tone == "good" else "does not conform"
    return f"{sign} {said}, {implementation.counts.get(Outcome.PASSED, 0)} of {number}{part}"


def _width(text: str) -> int:
    return round(len(text) * _LETTER_PX) + 2 * _PADDING_PX
