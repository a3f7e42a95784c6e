"""`queueproof matrix`: several implementations, requirement by requirement, side by side."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from queueproof.cli.app import app, readable
from queueproof.cli.options import OUTPUT, Json


@app.command()
def matrix(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULT...", help="Run directories or results.json files; NAME=RESULT names one."),
    ],
    out: Annotated[
        Path, typer.Option(help="The folder for index.html, matrix.md and badges/.", rich_help_panel=OUTPUT)
    ] = Path("reports/matrix"),
    json: Json = False,
) -> None:
    """Lays the results of several implementations side by side: a page, Markdown and badges."""
    from queueproof.report.matrix import as_json, build
    from queueproof.report.matrix_page import sentence, write_matrix
    from queueproof.report.waiting import waiting

    with waiting("laying the results side by side"):
        built = build(results)
        files = write_matrix(built, out)
    words = sys.stderr if json else sys.stdout
    with readable():
        words.write(f"{sentence(built)}\n{files[0]}\n")
        if json:
            sys.stdout.write(as_json(built))
