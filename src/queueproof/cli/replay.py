"""`queueproof replay`: one broken requirement of an earlier run once more."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from queueproof.cli.app import app, readable
from queueproof.cli.options import OUTPUT, TARGET, ApiKey, key_option


@app.command()
def replay(
    run: Annotated[Path, typer.Argument(help="A run directory, for example reports/latest.")],
    requirement: Annotated[str, typer.Option(metavar="ID", help="The requirement that failed in it.")],
    url: Annotated[
        str, typer.Option(help="Where its server is now (default: where it was).", rich_help_panel=TARGET)
    ] = "",
    api_key: ApiKey = "",
    view_key: Annotated[str, key_option("view", "A key that may only read.")] = "",
    publish_key: Annotated[str, key_option("publish", "A key that may only publish.")] = "",
    consume_key: Annotated[str, key_option("consume", "A key that may only consume.")] = "",
    manage_key: Annotated[str, key_option("manage", "A key that may only manage.")] = "",
    foreign_key: Annotated[str, key_option("foreign", "A key of another tenant.")] = "",
    out: Annotated[Path | None, typer.Option(help="The new run's directory.", rich_help_panel=OUTPUT)] = None,
) -> None:
    """Tries a failed requirement of a run again: FIXED, FAILED (the same or in another way), or CANNOT and why."""
    import asyncio

    from queueproof.evidence.run import REPORT
    from queueproof.replay import replay as again
    from queueproof.report.waiting import waiting

    keys = {
        "view": view_key, "publish": publish_key, "consume": consume_key, "manage": manage_key, "foreign": foreign_key,
    }  # fmt: skip
    given = {name: key for name, key in keys.items() if key}
    with waiting(f"trying {requirement.upper()} again"):
        answer = asyncio.run(again(run, requirement.upper(), url=url, key=api_key, keys=given, out=out))
    lines = [f"{answer.word}  {answer.told}"]
    lines += [f"  → {answer.advice}"] if answer.advice else []
    lines += [f"  report  {answer.directory / REPORT}"] if answer.directory else []
    with readable():
        sys.stdout.write("\n".join(lines) + "\n")
    raise typer.Exit(answer.exit_code)
