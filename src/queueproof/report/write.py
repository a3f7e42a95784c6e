"""The reports of a run, made from its directory alone: written beside it, or returned as text."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TextIO

from queueproof.errors import CorruptRunError, UsageError
from queueproof.evidence.run import CONTRACT, JUNIT, REPORT, RESULTS, RunDirectory
from queueproof.report.story import Story, load_story


def write_reports(run_directory: Path) -> Story:
    """Writes report.html, junit.xml and contract.html into the directory, and returns the story that they tell.

    The annotated contract is written where requirements were tried; the report links to it.

    Raises CorruptRunError when the directory holds no run, HarnessError when it cannot be written.
    """
    from queueproof.report.junit import junit

    story = load_story(run_directory)
    directory = RunDirectory(run_directory)
    contract = _contract_of(story, report=REPORT) if story.cards else ""
    if contract:
        directory.write(CONTRACT, contract)
    directory.write(REPORT, _page(story, contract=CONTRACT if contract else ""))
    directory.write(JUNIT, junit(story))
    return story


def _contract_of(story: Story, *, report: str = "") -> str:
    from queueproof.report.contract_page import contract_page

    started = f"{story.manifest.started[:16].replace('T', ' ')} UTC" if story.manifest else ""
    about = " · ".join(filter(None, (f"run {story.run}", started, story.verdict)))
    return contract_page(story.results, name=story.target or "this target", about=about, report=report)


def _contract(path: Path) -> str:
    return _contract_of(load_story(path))


def render(run_directory: Path, format: str) -> str:  # noqa: A002 -- the name of the option that it serves
    """The report of a run as text: "html", "contract", "junit", "markdown", "json" or "text".

    Raises UsageError for another format, CorruptRunError when the directory holds no run.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no report format {format!r}", hint=f"choose one of {', '.join(FORMATS)}")
    return FORMATS[format](run_directory)


def _own(story: Story) -> Any:
    """The module that tells runs of this kind; None: as every other."""
    results = story.results
    if results is not None and (results.capacity or results.comparison):
        return import_module(f"queueproof.report.{'capacity' if results.capacity else 'compare'}")
    return None


def _page(story: Story, *, contract: str = "") -> str:
    from queueproof.report.html import html

    own = _own(story)
    return str(own.html(story)) if own else html(story, contract=contract)


def _html(path: Path) -> str:
    return _page(load_story(path))


def _junit(path: Path) -> str:
    from queueproof.report.junit import junit

    return junit(load_story(path))


def markdown_of(story: Story) -> str:
    """The run for a pull request or a CI step's summary, whatever its kind."""
    from queueproof.report.markdown import markdown

    own = _own(story)
    return str(own.markdown(story)) if own else markdown(story)


def show(story: Story, stream: TextIO) -> None:
    """Writes the run to a terminal or a log, whatever its kind."""
    from queueproof.report.terminal import show as show_text

    own = _own(story)
    if own is None:
        show_text(story, stream)
        return
    stream.write(own.text(story))
    stream.flush()


def _markdown(path: Path) -> str:
    return markdown_of(load_story(path))


def _text(path: Path) -> str:
    from queueproof.report.terminal import render as render_text

    story = load_story(path)
    own = _own(story)
    return str(own.text(story)) if own else render_text(story)


def _json(path: Path) -> str:
    """results.json itself, once it is known to be readable."""
    if load_story(path).results is None:
        raise CorruptRunError(
            f"{path} has no {RESULTS}", hint="the run was cut off before it could write it; run again"
        )
    return (path / RESULTS).read_text(encoding="utf-8")


# Each format's module is imported when it is asked for: `--help` needs none of them.
FORMATS: Final[Mapping[str, Callable[[Path], str]]] = {
    "html": _html,
    "contract": _contract,
    "junit": _junit,
    "markdown": _markdown,
    "json": _json,
    "text": _text,
}
