"""What every page is made with: our templates, and two of the walls between a server's words and a browser.

Every value that a template prints goes through `plain`, then through the escaping of markup.
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
from queueproof.report.text import count, fit, plain

# What a template prints without a limit of its own; commands are the longest of it.
_LONGEST: Final = 1_000
_BRIEF: Final = 260
# An objective's bar ends at so many times its limit; style.css puts the limit's stroke at its 1/1.5.
_GAUGE: Final = 1.5


def digest(script: str) -> str:
    """A script's SHA-256 as a content policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("queueproof.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(
        ticks=ticks,
        brief=lambda value: fit(value, _BRIEF),
        frag=lambda value: quote(plain(value)),
        seconds=lambda value: f"{value:.3f} s",
        duration=load.duration,
        gauged=lambda part: round(100 * min(max(part, 0.0), _GAUGE) / _GAUGE, 1),
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
def file(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def ticks(value: str) -> Markup:
    """Words in backticks as code."""
    pieces = re.split(r"`([^`]*)`", plain(value))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if number % 2 else escape(piece) for number, piece in enumerate(pieces)
    )
