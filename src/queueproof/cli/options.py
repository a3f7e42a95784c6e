"""Options that several commands share, and how a wrong choice is said."""

from typing import Annotated, Any

import typer

from queueproof.errors import UsageError

TARGET = "The server"
LOAD = "The load"
VERDICT = "The verdict"
OUTPUT = "Output"

Url = Annotated[str, typer.Option(envvar="SCAIGRID_HOST", help="Its base address.", rich_help_panel=TARGET)]
Kind = Annotated[
    str, typer.Option("--target", help="One to start: embedded, services or stack.", rich_help_panel=TARGET)
]
ApiKey = Annotated[
    str,
    typer.Option(envvar="SCAIGRID_API_KEY", show_envvar=True, help="A key with all rights.", rich_help_panel=TARGET),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON; words for people go to standard error.", rich_help_panel=OUTPUT),
]


def key_option(name: str, what: str) -> Any:
    return typer.Option(f"--{name}-key", envvar=f"QUEUEPROOF_{name.upper()}_KEY", help=what, rich_help_panel=TARGET)


def choose(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{option} {value} is no choice", hint=f"choose one of {', '.join(choices)}")


def given_by(context: typer.Context, parameter: str) -> str:
    """Where an option's value comes from: "COMMANDLINE", "ENVIRONMENT", "DEFAULT"."""
    source = context.get_parameter_source(parameter)
    return source.name if source is not None else "DEFAULT"


def one_target(context: typer.Context, url: str, target: str) -> str:
    """The address to use, "" where `target` is to be started: --target wins over SCAIGRID_HOST.

    Raises UsageError when the command line names both.
    """
    if target and url and given_by(context, "url") == "COMMANDLINE":
        raise UsageError(f"--url and --target {target} are two servers", hint="leave one out")
    return "" if target else url
