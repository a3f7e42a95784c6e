"""`queueproof report`: a run told again from its directory."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from queueproof.cli.app import app, readable
from queueproof.cli.options import OUTPUT, Json


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run directory, for example reports/latest.")],
    format: Annotated[  # noqa: A002 -- the option's name
        str, typer.Option(help="text, html, contract, junit, markdown or json.", rich_help_panel=OUTPUT)
    ] = "text",
    json: Json = False,
) -> None:
    """Prints the report of a run, made again from its directory."""
    from queueproof.report.github import unheard
    from queueproof.report.story import load_story
    from queueproof.report.waiting import waiting
    from queueproof.report.write import render, show

    if format == "text" and not json:
        with waiting("reading the run"):
            story = load_story(run)
        with readable(), unheard(sys.stdout):
            show(story, sys.stdout)
        return
    with waiting("reading the run"):
        content = render(run, "json" if json else format).encode("utf-8", "replace")
    with readable():
        sys.stdout.buffer.write(content)
