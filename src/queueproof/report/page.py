"""The pages of capacity and of a comparison: one frame, quiet (no script at all), made from the run directory alone."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from queueproof.report import load
from queueproof.report.story import Story
from queueproof.report.text import plain

_LONGEST: Final = 1_000


def page(template: str, story: Story, **values: Any) -> str:
    """The page of `template`, a child of page.html.j2."""
    style = Markup(_file("style.css") + _file("page.css"))  # noqa: S704 -- our own files
    sign = {"good": "✓", "bad": "✗", "unsure": "?"}[story.tone]
    results = story.results
    objectives = load.objectives(results) if results else []
    shared: Mapping[str, Any] = {"story": story, "style": style, "tone_sign": sign, "objectives": objectives}
    return _environment().get_template(template).render(met=load.MET, **shared, **values)


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
    environment.filters["duration"] = load.duration
    return environment


def _finalize(value: Any) -> Any:
    """What every `{{ … }}` passes: markup of our own stays, all else becomes harmless text."""
    return value if isinstance(value, Markup | int | float) else plain(value, _LONGEST, lines=True)


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")
