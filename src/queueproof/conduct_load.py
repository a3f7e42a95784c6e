"""One load run from its target to its verdict: Locust gathers in a child, the history is checked and judged here."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from queueproof.drive import nemesis
from queueproof.drive.load_runner import Ended, LoadOptions, LoadRun, processes_of, run_load
from queueproof.drive.proxy import Proxy
from queueproof.drive.target import Target, given, known_kind, open_target_blocking
from queueproof.errors import Mistakes, UsageError
from queueproof.evidence.results import Results
from queueproof.report.live import LiveView
from queueproof.report.write import write_reports
from queueproof.swarm import scenario
from queueproof.swarm.scenario import Scenario
from queueproof.verdict import load_judge, objectives


def check(options: LoadOptions, *, url: str = "", kind: str = "", key: str = "") -> None:
    """Raises one UsageError that tells everything that is wrong with what was asked for; sends and writes nothing."""
    wrong = Mistakes()
    planned = wrong.read(lambda: scenario.load(options.scenario, wrong=objectives.mistake))
    wrong.read(lambda: objectives.parse_all(options.objectives))
    wrong.read(lambda: objectives.abort_when(options.abort_on))
    wrong.read(lambda: processes_of(options.processes))
    wrong.read(lambda: given(url, key, {}) if url else known_kind(kind))
    wrong.read(lambda: nemesis.known(options.nemesis))
    if options.restart_cmd and "kill-server" not in options.nemesis:
        wrong.add(UsageError("--restart-cmd has nothing to do", hint="give --nemesis kill-server with it"))
    if planned is not None:
        wrong.read(lambda: _planned(options, planned))
    wrong.tell()


def _planned(options: LoadOptions, planned: Scenario) -> tuple[Scenario, list[nemesis.Strike]]:
    """The scenario with the options' numbers, and what strikes when. Raises UsageError."""
    load = scenario.adjusted(planned, rate=options.rate, duration_s=options.duration_s, users=options.users)
    strikes = nemesis.plan(
        options.nemesis, duration_s=load.duration_s, visibility_timeout_s=load.consumers.visibility_timeout_s
    )
    return load, strikes


def load(options: LoadOptions, *, url: str = "", kind: str = "", key: str = "", command: str = "") -> LoadRun:
    """Runs a load and leaves a whole run directory; the exit code is `.results.exit_code`.

    `url` wins over `kind`; neither means the embedded server. Raises QueueproofError for wrong input, all mistakes at
    once.
    """
    check(options, url=url, kind=kind, key=key)
    planned = scenario.load(options.scenario)
    # A scenario's objectives are for a target in peace: a fault is expected to cost answers and time.
    own = () if options.nemesis else planned.objectives
    wanted = objectives.parse_all([*own, *options.objectives])
    abort = objectives.abort_when(options.abort_on)
    _, strikes = _planned(options, planned)

    def judge(directory: Path, ended: Ended) -> Results:
        ending = load_judge.Ending(interrupted=ended.interrupted, failure=ended.failure, aborted=ended.aborted)
        return load_judge.judge(directory, objectives=wanted, ending=ending, nemesis=options.nemesis)

    with (
        open_target_blocking(url=url, kind=kind, key=key, log=None, strike=bool(strikes)) as target,
        _proxy(target, options.nemesis) as proxy,
        contextlib.closing(LiveView()) as live,
    ):
        acts = nemesis.acts(options.nemesis, server=target.server, restart_cmd=options.restart_cmd, proxy=proxy)
        run = run_load(
            options,
            url=proxy.url if proxy is not None else target.url,
            api_key=target.key,
            judge=judge,
            live=live,
            abort=abort,
            target=_described(target),
            command=command,
            nemesis=nemesis.Nemesis(strikes, acts) if strikes else None,
        )
    write_reports(run.directory.path)
    return run


@contextlib.contextmanager
def _proxy(target: Target, names: Sequence[str]) -> Iterator[Proxy | None]:
    """A proxy before the target, when a fault needs one. Raises UsageError where it cannot stand."""
    if not nemesis.BY_PROXY.intersection(names):
        yield None
        return
    parts = urlsplit(target.url)
    if parts.scheme != "http":
        raise UsageError(
            "connections under https cannot be cut from here", hint="give an http:// address of the server"
        )
    with Proxy(parts.hostname or "", parts.port or 80) as proxy:
        yield proxy


def _described(target: Target) -> Mapping[str, Any]:
    return {"url": target.url, "kind": target.kind}
