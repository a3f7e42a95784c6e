"""`queueproof conformance`: a server against the contract, requirement by requirement."""

import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from queueproof.cli.app import app
from queueproof.cli.options import (
    OUTPUT,
    TARGET,
    VERDICT,
    ApiKey,
    Json,
    Kind,
    Url,
    choose,
    given_by,
    key_option,
    one_target,
)
from queueproof.errors import QueueproofError, UsageError


@app.command(context_settings={"allow_extra_args": True})
def conformance(
    context: typer.Context,
    url: Url = "",
    target: Kind = "",
    target_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML with its url and capabilities.", rich_help_panel=TARGET),
    ] = None,
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
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CAPABILITY",
            help="It must be there, such as extend,release; may be repeated.",
            rich_help_panel=VERDICT,
        ),
    ] = None,
    expectations: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Known failures (TOML): only new ones fail.", rich_help_panel=VERDICT),
    ] = None,
    update_expectations: Annotated[
        bool,
        typer.Option("--update-expectations", help="Bring that file up to date.", rich_help_panel=VERDICT),
    ] = False,
    fail_on: Annotated[str, typer.Option(help="must or should.", rich_help_panel=VERDICT)] = "must",
    allow_inconclusive: Annotated[
        bool,
        typer.Option("--allow-inconclusive", help="Exit 0 though a MUST could not be told.", rich_help_panel=VERDICT),
    ] = False,
    slack: Annotated[
        float, typer.Option(min=0.5, max=600, help="Seconds allowed beyond a timeout.", rich_help_panel=VERDICT)
    ] = 5.0,
    seed: Annotated[
        int, typer.Option(min=0, help="What plans, bodies and keys are drawn from.", rich_help_panel=VERDICT)
    ] = 1,
    webhook_host: Annotated[
        str,
        typer.Option(metavar="NAME", help="How the target reaches this machine, for events.", rich_help_panel=VERDICT),
    ] = "",
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
    json: Json = False,
) -> None:
    """Proves a server against the contract, requirement by requirement.

    Without --url or --target the embedded reference server is started and tested. Options for pytest follow after --.
    """
    from queueproof.contract.capabilities import declared
    from queueproof.contract.requirements import select
    from queueproof.drive.limits import read_rate
    from queueproof.drive.plan import plan as planned
    from queueproof.drive.plan import told
    from queueproof.drive.runner import run_suite, working_path
    from queueproof.drive.target import given, known_kind
    from queueproof.drive.target_file import read_target_file
    from queueproof.evidence.run import RunDirectory, claim_file, new_run_id
    from queueproof.gate import open_gate

    more = _after_dashes(context)
    wanted = [name.upper() for name in requirement or []]
    selected = select(profile, wanted)
    rate = read_rate(rate_limit) if rate_limit else None
    if plan:
        sys.stdout.write(told(planned(selected, rate)))
        return
    choose("--fail-on", fail_on, ("must", "should"))
    one_target(context, url, target)
    described = read_target_file(target_file)
    required = declared([*(require or []), *described.capabilities])
    if described.url and given_by(context, "url") != "COMMANDLINE":  # the file is nearer than the environment
        url = described.url
    open_gate(expectations, update=update_expectations)
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
    options += [f"--qp-seed={seed}"]
    options += [f"--qp-webhook-host={webhook_host}"] if webhook_host else []
    options += [f"--qp-requirement={name}" for name in wanted]
    options += [f"--qp-require={name}" for name in required]
    options += [f"--qp-expectations={working_path(expectations)}"] if expectations else []
    options += ["--qp-update-expectations"] if update_expectations else []
    options += [f"--qp-fail-on={fail_on}"]
    options += [f"--qp-rate-limit={rate_limit}"] if rate_limit else []
    options += ["--qp-allow-inconclusive"] if allow_inconclusive else []
    options += [f"--qp-target={target}"] if target else []
    options += [f"--qp-junit={working_path(junit)}"] if junit else []
    again = _again(
        url=url, target=target, profile=profile, wanted=wanted, required=required, expectations=expectations,
        fail_on=fail_on, slack=slack, seed=seed, webhook_host=webhook_host, rate=rate_limit,
    )  # fmt: skip
    options += [f"--qp-command={again}"]
    secrets = {f"QUEUEPROOF_{name.upper()}_KEY": key for name, key in keys.items()}
    secrets |= {"SCAIGRID_API_KEY": api_key, "SCAIGRID_HOST": "" if target else url}
    code = run_suite(options, secrets=secrets, more=more, output=sys.stderr if json else None)
    _tell(directory.path, code, quiet=bool(more), json=json)


def _again(
    *,
    url: str,
    target: str,
    profile: str,
    wanted: Sequence[str],
    required: Sequence[str],
    expectations: Path | None,
    fail_on: str,
    slack: float,
    seed: int,
    webhook_host: str,
    rate: str,
) -> str:
    """The same command once more, without keys."""
    words = ["queueproof", "conformance"]
    words += ["--target", target] if target else (["--url", url] if url else [])
    words += ["--profile", profile] if profile != "core" else []
    words += [word for name in wanted for word in ("--requirement", name)]
    words += ["--require", ",".join(required)] if required else []
    words += ["--expectations", str(expectations)] if expectations else []
    words += ["--fail-on", fail_on] if fail_on != "must" else []
    words += ["--slack", f"{slack:g}"] if slack != 5.0 else []
    words += ["--seed", str(seed)] if seed != 1 else []
    words += ["--webhook-host", webhook_host] if webhook_host else []
    words += ["--rate-limit", rate] if rate else []
    return shlex.join(words)


def _tell(path: Path, code: int, *, quiet: bool, json: bool) -> None:
    """Prints the run's story and ends with the run's own exit code; `json`: results to stdout, the story to stderr."""
    from queueproof.cli.telling import tell
    from queueproof.evidence.run import RunDirectory

    directory = RunDirectory(path)
    if not directory.has_results():
        raise _no_results(code)
    results = directory.results()
    if results.advice:
        sys.stderr.write(f"queueproof: {results.summary}\n  → {results.advice}\n")
    tell(path, quiet=quiet or bool(results.advice), json=json)
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
