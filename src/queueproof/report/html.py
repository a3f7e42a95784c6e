"""The run as one self-contained page: no request to anywhere, and nothing that a server said is ever run.

Three walls: every value that a template prints goes through `plain`, then through the escaping of markup, and the
page's own policy allows no script but ours (by its hash) and no connection at all.
"""

import base64
import hashlib
import re
from functools import cache
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from queueproof.report import load, words
from queueproof.report.cards import Card, Group
from queueproof.report.chart import over_time, spectrum
from queueproof.report.story import Story
from queueproof.report.text import count, fit, plain
from queueproof.report.views import views

# What a template prints without a limit of its own; commands are the longest of it.
_LONGEST: Final = 1_000
_BRIEF: Final = 260
COLUMNS: Final = ("core MUST", "extended MUST", "SHOULD", "advisory", "optional")


def html(story: Story) -> str:
    """The page."""
    script = _file("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    results = story.results
    columns, grid = _grid(story)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            story=story,
            groups=Group,
            columns=columns,
            grid=grid,
            views=views(story),
            style=Markup(_file("style.css")),  # noqa: S704 -- our own file
            script=Markup(script),  # noqa: S704 -- our own file
            script_hash=digest,
            signs=words.SIGNS,
            names=words.NAMES,
            areas=words.AREAS,
            tone_sign={"good": "✓", "bad": "✗", "unsure": "?"}[story.tone],
            noise=words.noise(results.noise) if results else "",
            clean_up=words.clean_up(results.clean_up) if results else "",
            load_rows=load.rows(results) if results else [],
            load_summary=load.summary(results) if results else [],
            objectives=load.objectives(results) if results else [],
            met=load.MET,
            percentiles=[name for name, _ in load.PERCENTILES],
            over_time=over_time(load.series(results)) if results else "",
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
        brief=lambda value: fit(value, _BRIEF),
        frag=lambda value: quote(plain(value)),
        seconds=lambda value: f"{value:.3f} s",
        duration=load.duration,
        counted=count,
        pretty=words.value,
        sources=words.sources,
        known=lambda value: words.KNOWN.get(value, value),
    )
    return environment


def _finalize(value: Any) -> Any:
    """What every `{{ … }}` passes: markup of our own stays, all else becomes harmless text."""
    if isinstance(value, Markup | int | float):
        return value
    return plain(value, _LONGEST, lines=True)


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def _ticks(value: str) -> Markup:
    """Words in backticks as code."""
    pieces = re.split(r"`([^`]*)`", plain(value))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece) for number, piece in enumerate(pieces)
    )


def _grid(story: Story) -> tuple[list[str], list[tuple[str, list[list[Card]]]]]:
    """The names of those COLUMNS that hold anything, and each area with its cards under them."""
    used = sorted({_column(card) for card in story.cards})
    rows = [
        (area, [[card for card in cards if _column(card) == column] for column in used])
        for area, cards in story.areas().items()
    ]
    return [COLUMNS[column] for column in used], rows


def _column(card: Card) -> int:
    if card.profile in {"advisory", "optional"}:
        return COLUMNS.index(card.profile)
    return 2 if card.level == "SHOULD" else 0 if card.profile == "core" else 1
