"""The pages of capacity and of a comparison: one frame, quiet (no script at all), made from the run directory alone."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from queueproof.report import load
from queueproof.report.page import environment, file
from queueproof.report.story import Story


def page(template: str, story: Story, **values: Any) -> str:
    """The page of `template`, a child of page.html.j2."""
    style = Markup(file("style.css") + file("page.css"))  # noqa: S704 -- our own files
    sign = {"good": "✓", "bad": "✗", "unsure": "?"}[story.tone]
    results = story.results
    objectives = load.objectives(results) if results else []
    shared: Mapping[str, Any] = {"story": story, "style": style, "tone_sign": sign, "objectives": objectives}
    return environment().get_template(template).render(met=load.MET, **shared, **values)
