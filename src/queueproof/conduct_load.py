"""One load run from its target to its verdict: Locust gathers in a child, the history is checked and judged here."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from queueproof.drive import nemesis
from queueproof.drive.load_runner import Ended, LoadOptions, LoadRun, run_load
from queueproof.drive.proxy import Proxy
from queueproof.drive.target import Target, open_target_blocking
from queueproof.errors import UsageError
from queueproof.evidence.results import Results
from queueproof.report.live import LiveView
from queueproof.report.write import write_reports
from queueproof.swarm import scenario
from queueproof.verdict import load_judge, objectives


def load(options: LoadOptions, *, url: str = "", kind: str = "", key: str = "", command: str = "") -> LoadRun:
    """Runs a load and leaves a whole run directory; the exit code is `.results.exit_code`.

    `url` wins over `kind`; neither means the embedded server. Raises QueueproofError for wrong input, all mistakes at
    once.
    """
    planned = scenario.load(options.scenario)
    # A scenario's objectives are for a target in peace: a fault is expected to cost answers and time.
    own = () if options.nemesis else planned.objectives
    wanted = objectives.parse_all([*own, *options.objectives])
    abort = objectives.abort_when(options.abort_on)
    load = scenario.adjusted(planned, rate=options.rate, duration_s=options.duration_s, users=options.users)
    strikes = nemesis.plan(
        options.nemesis, duration_s=load.duration_s, visibility_timeout_s=load.consumers.visibility_timeout_s
    )

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
            live=live if sys.stderr.isatty() else None,
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


def duration(text: str) -> float:
    """Seconds that a command line's duration means ("30", "30s", "2m"); raises UsageError when it is none."""
    found = scenario.seconds(float(text) if text.replace(".", "", 1).isdigit() else text)
    if found is None:
        raise UsageError(f"--duration {text!r} is no duration", hint="write it like 30, 30s, 500ms or 2m")
    return found


def _described(target: Target) -> Mapping[str, Any]:
    return {"url": target.url, "kind": target.kind}
