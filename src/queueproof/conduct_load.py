"""One load run from its target to its verdict: Locust gathers in a child, the history is checked and judged here."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from queueproof.drive.load_runner import Ended, LiveLine, LoadOptions, LoadRun, run_load
from queueproof.drive.target import Target, open_target_blocking
from queueproof.errors import UsageError
from queueproof.evidence.results import Results
from queueproof.report.write import write_reports
from queueproof.swarm import scenario
from queueproof.verdict import load_judge, objectives


def load(options: LoadOptions, *, url: str = "", kind: str = "", key: str = "", command: str = "") -> LoadRun:
    """Runs a load and leaves a whole run directory; the exit code is `.results.exit_code`.

    `url` wins over `kind`; neither means the embedded server. Raises QueueproofError for wrong input, all mistakes at
    once.
    """
    planned = scenario.load(options.scenario)
    wanted = objectives.parse_all([*planned.objectives, *options.objectives])
    abort = objectives.abort_when(options.abort_on)
    scenario.adjusted(planned, rate=options.rate, duration_s=options.duration_s, users=options.users)

    def judge(directory: Path, ended: Ended) -> Results:
        ending = load_judge.Ending(interrupted=ended.interrupted, failure=ended.failure, aborted=ended.aborted)
        return load_judge.judge(directory, objectives=wanted, ending=ending)

    with open_target_blocking(url=url, kind=kind, key=key, log=None) as target:
        live = LiveLine() if sys.stderr.isatty() else None
        run = run_load(
            options,
            url=target.url,
            api_key=target.key,
            judge=judge,
            live=live,
            abort=abort,
            target=_described(target),
            command=command,
        )
        if live is not None:
            live.close()
    write_reports(run.directory.path)
    return run


def duration(text: str) -> float:
    """Seconds that a command line's duration means ("30", "30s", "2m"); raises UsageError when it is none."""
    found = scenario.seconds(float(text) if text.replace(".", "", 1).isdigit() else text)
    if found is None:
        raise UsageError(f"--duration {text!r} is no duration", hint="write it like 30, 30s, 500ms or 2m")
    return found


def _described(target: Target) -> Mapping[str, Any]:
    return {"url": target.url, "kind": target.kind}
