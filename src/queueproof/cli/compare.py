"""`queueproof compare`: whether a run is worse than a baseline, beyond what noise explains."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from queueproof.cli.app import app
from queueproof.cli.options import OUTPUT, VERDICT
from queueproof.errors import UsageError


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="BASELINE RUN", help="Two run directories; the first may be a baseline's name."),
    ],
    fail_on: Annotated[
        list[str] | None,
        typer.Option(metavar="EXPR", help='Like "claim.response.p99 > 10%"; may be repeated.', rich_help_panel=VERDICT),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Keep RUN as a baseline; compare nothing.", rich_help_panel=OUTPUT),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory.", rich_help_panel=OUTPUT)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print results.json.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Says whether a load run is slower than a baseline, and how sure that is."""
    from queueproof import conduct_compare
    from queueproof.cli.telling import tell
    from queueproof.report.waiting import waiting

    if save is not None:
        if fail_on:
            raise UsageError("--save compares nothing, so that --fail-on has nothing to do", hint="leave one out")
        if len(runs) != 1:
            raise UsageError("--save takes one run", hint="queueproof compare --save NAME RUN")
        typer.echo(f"kept as {conduct_compare.save(save, Path(runs[0]))}")
        return
    if len(runs) != 2:
        raise UsageError("two runs are wanted, BASELINE and RUN", hint="queueproof compare BASELINE RUN")
    words = ["queueproof", "compare", *runs, *(word for one in fail_on or () for word in ("--fail-on", one))]
    with waiting("comparing the two runs"):
        run = conduct_compare.compared(
            runs[0], Path(runs[1]), fail_on=fail_on or (), out=out, command=shlex.join(words)
        )
    tell(run.path, json=json)
    raise typer.Exit(run.results().exit_code)
