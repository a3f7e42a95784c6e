"""`queueproof clean`: what a cut-off run left on the server is taken away."""

from pathlib import Path
from typing import Annotated

import typer

from queueproof.cli.app import app
from queueproof.cli.options import ApiKey, Url


@app.command()
def clean(
    run: Annotated[Path, typer.Argument(help="The directory of a run that was cut off.")],
    url: Url = "",
    api_key: ApiKey = "",
) -> None:
    """Takes away from the server what a cut-off run left there."""
    from queueproof.conduct import clean_run
    from queueproof.report.waiting import waiting

    with waiting("taking away what the run left"):
        left = clean_run(run, url=url, key=api_key)
    typer.echo(left)
