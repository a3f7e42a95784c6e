"""The command line: options in, one of the rooms called, an exit code out. No logic of its own.

Imports of what a command needs stand inside it, so that `queueproof --help` answers at once.
"""

import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from queueproof import __version__
from queueproof.errors import ExitCode, QueueproofError, UsageError

app = typer.Typer(
    name="queueproof",
    help="Proves that a work-queue server keeps its promises, and says how much it can carry while it does.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

TARGET = "The server"
LOAD = "The load"
VERDICT = "The verdict"
OUTPUT = "Output"


# Typer carries a click of its own or the real one; the base of its errors has the same name in both.
CommandLineError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> None:
    """Runs the command line; every error of the family is one clear line and its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both are an interruption
    try:
        code = app(standalone_mode=False)
    except QueueproofError as error:
        code = _told(error)
    except CommandLineError as error:
        code = _told(_misspelt(error))
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    sys.exit(int(code or 0))


def _told(error: QueueproofError) -> ExitCode:
    sys.stderr.write(f"queueproof: {error}\n" if str(error) else "")
    return error.exit_code


def _misspelt(error: Any) -> UsageError:
    """What the parser of options says, in our words; no words at all printed the help."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return UsageError("")
    near = list(getattr(error, "possibilities", None) or ())
    message = error.message if near else error.format_message()
    command = " ".join(["queueproof", *([context.info_name] if context and context.parent else [])])
    return UsageError(
        message.rstrip("."),
        hint=f"did you mean {' or '.join(near)}?" if near else f"`{command} --help` lists what there is",
    )


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """A reader that wants no more (`| head`) is no error of anybody's."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"queueproof {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Proves that a work-queue server keeps its promises, and says how much it can carry while it does."""


Url = Annotated[str, typer.Option(envvar="SCAIGRID_HOST", help="Its base address.", rich_help_panel=TARGET)]
Kind = Annotated[str, typer.Option("--target", help="A server to start: embedded or services.", rich_help_panel=TARGET)]
ApiKey = Annotated[
    str,
    typer.Option(envvar="SCAIGRID_API_KEY", show_envvar=True, help="A key with all rights.", rich_help_panel=TARGET),
]


def _key_option(name: str, what: str) -> Any:
    return typer.Option(f"--{name}-key", envvar=f"QUEUEPROOF_{name.upper()}_KEY", help=what, rich_help_panel=TARGET)


@app.command(context_settings={"allow_extra_args": True})
def conformance(
    context: typer.Context,
    url: Url = "",
    target: Kind = "",
    api_key: ApiKey = "",
    view_key: Annotated[str, _key_option("view", "A key that may only read.")] = "",
    publish_key: Annotated[str, _key_option("publish", "A key that may only publish.")] = "",
    consume_key: Annotated[str, _key_option("consume", "A key that may only consume.")] = "",
    manage_key: Annotated[str, _key_option("manage", "A key that may only manage.")] = "",
    foreign_key: Annotated[str, _key_option("foreign", "A key of another tenant.")] = "",
    profile: Annotated[str, typer.Option(help="core, extended or all requirements.", rich_help_panel=VERDICT)] = "core",
    requirement: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only this requirement; may be repeated.", rich_help_panel=VERDICT),
    ] = None,
    fail_on: Annotated[str, typer.Option(help="must or should.", rich_help_panel=VERDICT)] = "must",
    allow_inconclusive: Annotated[
        bool,
        typer.Option("--allow-inconclusive", help="Exit 0 though a MUST could not be told.", rich_help_panel=VERDICT),
    ] = False,
    slack: Annotated[
        float, typer.Option(min=0.5, max=600, help="Seconds allowed beyond a timeout.", rich_help_panel=VERDICT)
    ] = 5.0,
    out: Annotated[Path | None, typer.Option(help="The run directory.", rich_help_panel=OUTPUT)] = None,
    junit: Annotated[Path | None, typer.Option(help="A copy of junit.xml.", rich_help_panel=OUTPUT)] = None,
) -> None:
    """Proves a server against the contract, requirement by requirement.

    Without --url or --target the embedded reference server is started and tested. Options for pytest follow after --.
    """
    from queueproof.contract.requirements import select
    from queueproof.drive.runner import run_suite, working_path
    from queueproof.drive.target import given, known_kind
    from queueproof.evidence.run import RunDirectory, claim_file, new_run_id

    more = _after_dashes(context)
    wanted = [name.upper() for name in requirement or []]
    select(profile, wanted)
    _choose("--fail-on", fail_on, ("must", "should"))
    keys = {
        "view": view_key, "publish": publish_key, "consume": consume_key, "manage": manage_key, "foreign": foreign_key,
    }  # fmt: skip
    known_kind(target)
    if url and not target:
        given(url, api_key, {name: key for name, key in keys.items() if key})
    if junit is not None:
        claim_file(junit, "--junit")
    directory = RunDirectory.create(out, "conformance", new_run_id())
    # One word an option: a value that stands alone is taken for a path, whose conftest.py pytest would load.
    options = [f"--qp-out={working_path(directory.path)}", f"--qp-profile={profile}", f"--qp-slack={slack}"]
    options += [f"--qp-requirement={name}" for name in wanted]
    options += [f"--qp-fail-on={fail_on}"]
    options += ["--qp-allow-inconclusive"] if allow_inconclusive else []
    options += [f"--qp-target={target}"] if target else []
    options += [f"--qp-junit={working_path(junit)}"] if junit else []
    options += [f"--qp-command={_again(url, target, profile, wanted, fail_on, slack)}"]
    secrets = {f"QUEUEPROOF_{name.upper()}_KEY": key for name, key in keys.items()}
    secrets |= {"SCAIGRID_API_KEY": api_key, "SCAIGRID_HOST": "" if target else url}
    _tell(directory.path, run_suite(options, secrets=secrets, more=more), quiet=bool(more))


def _again(url: str, target: str, profile: str, wanted: list[str], fail_on: str, slack: float) -> str:
    """The same command once more, without keys."""
    words = ["queueproof", "conformance"]
    words += ["--target", target] if target else (["--url", url] if url else [])
    words += ["--profile", profile] if profile != "core" else []
    words += [word for name in wanted for word in ("--requirement", name)]
    words += ["--fail-on", fail_on] if fail_on != "must" else []
    words += ["--slack", f"{slack:g}"] if slack != 5.0 else []
    return shlex.join(words)


def _tell(path: Path, code: int, *, quiet: bool) -> None:
    """Prints the run's story and ends with the run's own exit code."""
    from queueproof.evidence.run import RunDirectory
    from queueproof.report.story import load_story
    from queueproof.report.terminal import show

    directory = RunDirectory(path)
    if not directory.has_results():
        raise _no_results(code)
    results = directory.results()
    if results.advice:
        sys.stderr.write(f"queueproof: {results.summary}\n  → {results.advice}\n")
    elif not quiet:
        with _readable():
            show(load_story(path))
    raise typer.Exit(results.exit_code)


def _no_results(code: int) -> QueueproofError:
    """Why a run has no result, by pytest's own exit code."""
    from queueproof.errors import HarnessError, Interrupted, NoVerdictError

    if code == PYTEST_USAGE:
        return UsageError("pytest did not take its options", hint="look at the words after --")
    if code in PYTEST_RAN_NOTHING:
        return NoVerdictError("no case was run", hint="choose cases that there are: -- --collect-only lists them")
    if code in {-signal.SIGTERM, -signal.SIGINT}:
        return Interrupted("interrupted before the first case", hint="nothing was sent to the server")
    return HarnessError(f"the run ended with code {code} before it had a result", hint="run it again with -- -v")


PYTEST_USAGE = 4
PYTEST_RAN_NOTHING = (0, 5)  # it only listed or explained something; nothing was selected


def _after_dashes(context: typer.Context) -> list[str]:
    """The words after `--`; anything else that is left over is a mistake."""
    extra = list(context.args)
    if extra != (sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []):
        raise UsageError(f"unexpected argument {extra[0]!r}", hint="options for pytest follow after --")
    return extra


def _choose(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{option} {value} is no choice", hint=f"choose one of {', '.join(choices)}")


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
    out: Annotated[Path | None, typer.Option(help="The run directory.", rich_help_panel=OUTPUT)] = None,
) -> None:
    """Puts a load on a server in an open model, and checks that everything it did was right."""
    from queueproof import conduct_load
    from queueproof.drive.load_runner import LoadOptions
    from queueproof.report.story import load_story
    from queueproof.report.terminal import show

    options = LoadOptions(
        scenario=scenario,
        rate=rate,
        users=users,
        duration_s=None if duration is None else conduct_load.duration(duration),
        processes=processes,
        objectives=tuple(objective or ()),
        out=out,
    )
    words = ["queueproof", "load", scenario]
    words += ["--target", target] if target else (["--url", url] if url else [])
    words += ["--rate", f"{rate:g}"] if rate is not None else []
    words += ["--users", str(users)] if users is not None else []
    words += ["--duration", duration] if duration is not None else []
    words += ["--processes", str(processes)] if processes != 1 else []
    words += [word for wanted in objective or () for word in ("--objective", f"'{wanted}'")]
    run = conduct_load.load(options, url="" if target else url, kind=target, key=api_key, command=" ".join(words))
    show(load_story(run.directory.path))
    raise typer.Exit(run.results.exit_code)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run directory, for example reports/latest.")],
    format: Annotated[  # noqa: A002 -- the option's name
        str, typer.Option(help="text, html, junit, markdown or json.", rich_help_panel=OUTPUT)
    ] = "text",
) -> None:
    """Prints the report of a run, made again from its directory."""
    from queueproof.report.write import render

    content = render(run, format).encode("utf-8", "replace")
    with _readable():
        sys.stdout.buffer.write(content)


@app.command()
def clean(
    run: Annotated[Path, typer.Argument(help="The directory of a run that was cut off.")],
    url: Url = "",
    api_key: ApiKey = "",
) -> None:
    """Takes away from the server what a cut-off run left there."""
    from queueproof.conduct import clean_run

    left = clean_run(run, url=url, key=api_key)
    typer.echo(left)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def serve(context: typer.Context) -> None:
    """Starts the reference server; prints one JSON line when it is ready.

    [--host H] [--port P] [--database URL] [--redis URL] [--keys FILE]; --help lists all.
    """
    os.execv(sys.executable, [sys.executable, "-P", "-m", "scaiqueue_reference", *context.args])  # noqa: S606


if __name__ == "__main__":
    main()
