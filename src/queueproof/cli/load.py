"""`queueproof load`: a load in an open model, and whether everything that it did was right."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from queueproof.cli.app import app
from queueproof.cli.options import LOAD, OUTPUT, VERDICT, ApiKey, Json, Kind, Url


@app.command()
def load(
    scenario: Annotated[str, typer.Argument(help="One of load/scenarios by name, or a TOML file.")],
    url: Url = "",
    target: Kind = "",
    api_key: ApiKey = "",
    rate: Annotated[
        float | None, typer.Option(help="Messages a second at the highest stage (open model).", rich_help_panel=LOAD)
    ] = None,
    users: Annotated[
        int | None, typer.Option(help="Producers of the closed model; with --rate, consumers.", rich_help_panel=LOAD)
    ] = None,
    duration: Annotated[str | None, typer.Option(help="How long, in seconds or like 2m.", rich_help_panel=LOAD)] = None,
    processes: Annotated[int, typer.Option(help="Locust processes.", rich_help_panel=LOAD)] = 1,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPR", help='Like "claim.response.p99 < 50ms"; may be repeated.', rich_help_panel=VERDICT
        ),
    ] = None,
    abort_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPR",
            help='End a hopeless run early, like "errors > 5%"; may be repeated.',
            rich_help_panel=VERDICT,
        ),
    ] = None,
    nemesis: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A fault during the load: kill-server, …; may be repeated.", rich_help_panel=LOAD
        ),
    ] = None,
    restart_cmd: Annotated[
        str, typer.Option(help="For kill-server on any target: kills and starts it.", rich_help_panel=LOAD)
    ] = "",
    out: Annotated[Path | None, typer.Option(help="The run directory.", rich_help_panel=OUTPUT)] = None,
    json: Json = False,
) -> None:
    """Puts a load on a server in an open model, and checks that everything it did was right."""
    from queueproof import conduct_load
    from queueproof.cli.telling import tell
    from queueproof.drive.load_runner import LoadOptions

    options = LoadOptions(
        scenario=scenario,
        rate=rate,
        users=users,
        duration_s=None if duration is None else conduct_load.duration(duration),
        processes=processes,
        objectives=tuple(objective or ()),
        abort_on=tuple(abort_on or ()),
        out=out,
        nemesis=tuple(nemesis or ()),
        restart_cmd=restart_cmd,
    )
    words = ["queueproof", "load", scenario]
    words += ["--target", target] if target else (["--url", url] if url else [])
    words += ["--rate", f"{rate:g}"] if rate is not None else []
    words += ["--users", str(users)] if users is not None else []
    words += ["--duration", duration] if duration is not None else []
    words += ["--processes", str(processes)] if processes != 1 else []
    words += [word for wanted in objective or () for word in ("--objective", wanted)]
    words += [word for condition in abort_on or () for word in ("--abort-on", condition)]
    words += [word for name in nemesis or () for word in ("--nemesis", name)]
    run = conduct_load.load(options, url="" if target else url, kind=target, key=api_key, command=shlex.join(words))
    tell(run.directory.path, json=json)
    raise typer.Exit(run.results.exit_code)
