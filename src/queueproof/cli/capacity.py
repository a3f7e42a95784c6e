"""`queueproof capacity`: the highest rate that a server carries with its objectives met, and how sure that is."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from queueproof.cli.app import app
from queueproof.cli.options import LOAD, OUTPUT, TARGET, VERDICT, ApiKey, Kind, Url, one_target
from queueproof.errors import Mistakes, UsageError


@app.command()
def capacity(
    context: typer.Context,
    scenario: Annotated[str, typer.Argument(help="One of load/scenarios by name, or a TOML file; of one rate.")],
    url: Url = "",
    target: Kind = "",
    api_key: ApiKey = "",
    replicas: Annotated[
        int | None,
        typer.Option(min=1, help="How many servers are behind the address.", rich_help_panel=TARGET),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(metavar="EXPR", help='Like "e2e.p99 < 200ms"; may be repeated.', rich_help_panel=VERDICT),
    ] = None,
    precision: Annotated[
        float, typer.Option(help="Half the interval, as a share of the rate.", rich_help_panel=VERDICT)
    ] = 0.05,
    conformance: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A core run of this server of today.", rich_help_panel=VERDICT)
    ] = None,
    skip_conformance: Annotated[
        bool,
        typer.Option("--skip-conformance", help="Name a number that is not proven.", rich_help_panel=VERDICT),
    ] = False,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN", help="A capacity of other --replicas, for the scaling law.", rich_help_panel=VERDICT
        ),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Where to start, messages a second.", rich_help_panel=LOAD)] = None,
    users: Annotated[
        int | None, typer.Option(help="Consumers; as many as the rate needs where left out.", rich_help_panel=LOAD)
    ] = None,
    window: Annotated[str | None, typer.Option(help="Length of a window, like 10s.", rich_help_panel=LOAD)] = None,
    processes: Annotated[str, typer.Option(help="Locust processes; several: 1,2,4.", rich_help_panel=LOAD)] = "1",
    out: Annotated[Path | None, typer.Option(help="The run directory.", rich_help_panel=OUTPUT)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print results.json.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Finds the highest rate at which a server meets the objectives, with its interval.

    The core suite runs first: no number is named for a server that breaks its promises.
    """
    from queueproof import conduct_capacity
    from queueproof.cli.telling import tell
    from queueproof.report.capacity_live import Live
    from queueproof.swarm.values import duration

    wrong = Mistakes()
    url = wrong.read(lambda: one_target(context, url, target)) or ""
    options = conduct_capacity.CapacityOptions(
        scenario=scenario,
        objectives=tuple(objective or ()),
        rate=rate,
        users=users,
        processes=wrong.read(lambda: _numbers(processes)) or (1,),
        window_s=None if window is None else wrong.read(lambda: duration(window, "--window")),
        precision=precision,
        replicas=replicas,
        beside=tuple(beside or ()),
        conformance=conformance,
        skip_conformance=skip_conformance,
        out=out,
    )
    wrong.read(lambda: conduct_capacity.check(options, url=url, kind=target, key=api_key))
    wrong.tell()
    command = shlex.join(["queueproof", "capacity", *_again(scenario, url, target, options)])
    with Live(sys.stderr) as live:
        run = conduct_capacity.capacity(options, url=url, kind=target, key=api_key, command=command, tell=live)
    tell(run.path, json=json)
    raise typer.Exit(run.results().exit_code)


def _again(scenario: str, url: str, target: str, options: object) -> list[str]:
    """The words that run it again, without a key."""
    words = [scenario, *(["--target", target] if target else ["--url", url] if url else [])]
    for name, given in vars(options).items():
        if name in {"scenario", "out"} or given in (None, (), False):
            continue
        option = {"objectives": "--objective", "window_s": "--window"}.get(name, f"--{name.replace('_', '-')}")
        if name == "processes":
            words += [option, ",".join(map(str, given))] if given != (1,) else []
        elif isinstance(given, tuple):
            words += [word for one in given for word in (option, str(one))]
        elif given is True:
            words.append(option)
        elif (name, given) != ("precision", 0.05):
            words += [option, f"{given:g}" if isinstance(given, float) else str(given)]
    return words


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--processes {text} is no list of numbers", hint="write it like 1,2,4") from error
