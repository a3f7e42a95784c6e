"""`queueproof conformance`: a server against the contract, requirement by requirement."""

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from queueproof.cli.app import app, readable
from queueproof.cli.options import OUTPUT, TARGET, VERDICT, ApiKey, Kind, Url, choose, key_option
from queueproof.errors import QueueproofError, UsageError


@app.command(context_settings={"allow_extra_args": True})
def conformance(
    context: typer.Context,
    url: Url = "",
    target: Kind = "",
    api_key: ApiKey = "",
    view_key: Annotated[str, key_option("view", "A key that may only read.")] = "",
    publish_key: Annotated[str, key_option("publish", "A key that may only publish.")] = "",
    consume_key: Annotated[str, key_option("consume", "A key that may only consume.")] = "",
    manage_key: Annotated[str, key_option("manage", "A key that may only manage.")] = "",
    foreign_key: Annotated[str, key_option("foreign", "A key of another tenant.")] = "",
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
    rate_limit: Annotated[
        str,
        typer.Option(metavar="RATE", help="At most so many requests, like 60/min or 25/s.", rich_help_panel=TARGET),
    ] = "",
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Print calls, waits and wall time; send nothing.", rich_help_panel=OUTPUT),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The run directory.", rich_help_panel=OUTPUT)] = None,
    junit: Annotated[Path | None, typer.Option(help="A copy of junit.xml.", rich_help_panel=OUTPUT)] = None,
) -> None:
    """Proves a server against the contract, requirement by requirement.

    Without --url or --target the embedded reference server is started and tested. Options for pytest follow after --.
    """
    from queueproof.contract.requirements import select
    from queueproof.drive.limits import read_rate
    from queueproof.drive.plan import plan as planned
    from queueproof.drive.plan import told
    from queueproof.drive.runner import run_suite, working_path
    from queueproof.drive.target import given, known_kind
    from queueproof.evidence.run import RunDirectory, claim_file, new_run_id

    more = _after_dashes(context)
    wanted = [name.upper() for name in requirement or []]
    selected = select(profile, wanted)
    rate = read_rate(rate_limit) if rate_limit else None
    if plan:
        sys.stdout.write(told(planned(selected, rate)))
        return
    choose("--fail-on", fail_on, ("must", "should"))
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
    options += [f"--qp-rate-limit={rate_limit}"] if rate_limit else []
    options += ["--qp-allow-inconclusive"] if allow_inconclusive else []
    options += [f"--qp-target={target}"] if target else []
    options += [f"--qp-junit={working_path(junit)}"] if junit else []
    options += [f"--qp-command={_again(url, target, profile, wanted, fail_on, slack, rate_limit)}"]
    secrets = {f"QUEUEPROOF_{name.upper()}_KEY": key for name, key in keys.items()}
    secrets |= {"SCAIGRID_API_KEY": api_key, "SCAIGRID_HOST": "" if target else url}
    _tell(directory.path, run_suite(options, secrets=secrets, more=more), quiet=bool(more))


def _again(url: str, target: str, profile: str, wanted: list[str], fail_on: str, slack: float, rate: str) -> str:
    """The same command once more, without keys."""
    words = ["queueproof", "conformance"]
    words += ["--target", target] if target else (["--url", url] if url else [])
    words += ["--profile", profile] if profile != "core" else []
    words += [word for name in wanted for word in ("--requirement", name)]
    words += ["--fail-on", fail_on] if fail_on != "must" else []
    words += ["--slack", f"{slack:g}"] if slack != 5.0 else []
    words += ["--rate-limit", rate] if rate else []
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
        with readable():
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
