"""One capacity search from its target to its number: core conformance first, then a load run a window, then the answer.

No number is named for a server whose core conformance is red: how fast wrong answers come is no capacity.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from queueproof.drive.calm import Calm, Reader
from queueproof.drive.load_runner import Ended, LoadOptions, processes_of, run_load
from queueproof.drive.runner import run_suite, working_path
from queueproof.drive.target import Target, given, known_kind, open_target_blocking
from queueproof.errors import ExitCode, Mistakes, QueueproofError, UsageError
from queueproof.evidence.results import Results, Verdict
from queueproof.evidence.run import MANIFEST, RunDirectory, manifest_of, new_run_id
from queueproof.report.write import write_reports
from queueproof.swarm import scenario as scenarios
from queueproof.swarm.scenario import Scenario
from queueproof.verdict import load_judge, objectives, window
from queueproof.verdict.capacity import Bound, Came, Capacity, Manner, Probe, search
from queueproof.verdict.capacity_answer import answered, outcome
from queueproof.verdict.consumers import Crew
from queueproof.verdict.objectives import Objective

RECENT_S: Final = 24 * 3600.0  # a conformance result older than a day is of another server
SETTLE_S: Final = 1.0  # a window's drain need not look on for long: the core suite has proved what comes back


@dataclass(frozen=True, kw_only=True)
class CapacityOptions:
    """What `queueproof capacity` was asked for."""

    scenario: str
    objectives: tuple[str, ...] = ()
    rate: float | None = None  # where to start; None: the scenario's own
    users: int | None = None  # consumers; None: as many as the rate needs, and never fewer than the scenario's
    processes: tuple[int, ...] = (1,)
    window_s: float | None = None
    precision: float = 0.05
    replicas: int | None = None  # how many servers are behind the address
    beside: tuple[Path, ...] = ()  # earlier capacity runs, for the scaling law
    conformance: Path | None = None
    skip_conformance: bool = False
    out: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a search says while it runs: `kind` "conformance", "window", "second" or "probe"."""

    kind: str
    number: int = 0
    rate: float = 0.0
    phase: str = ""
    line: Mapping[str, Any] = field(default_factory=dict)  # of "second": the load's own numbers
    probe: Probe | None = None


Tell = Callable[[Told], None]


def capacity(
    options: CapacityOptions,
    *,
    url: str = "",
    kind: str = "",
    key: str = "",
    command: str = "",
    tell: Tell = lambda _: None,
) -> RunDirectory:
    """Searches, and leaves a whole run directory; the exit code is in its results.

    Raises QueueproofError for bad input, before anything is sent.
    """
    check(options, url=url, kind=kind, key=key)
    wanted = _wanted(options)
    run = new_run_id()
    beside = [_earlier(path) for path in options.beside]
    directory = RunDirectory.create(options.out, "capacity", run)
    for stale in [*directory.path.glob("windows/*"), directory.path / "conformance"]:
        if (stale / MANIFEST).is_file():  # of an earlier search in the same place
            shutil.rmtree(stale)
    shown = {name: value for name, value in asdict(options).items() if value not in (None, (), False) and name != "out"}
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in shown.items()}
    shown["beside"] = [str(path) for path in options.beside]
    with open_target_blocking(url=url, kind=kind, key=key, log=None) as target:
        described = {"url": target.url, "kind": target.kind}
        directory.write_manifest(
            manifest_of(run=run, kind="capacity", target=described, options=shown, command=command)
        )
        try:
            results = _searched(options, wanted, target, directory, beside, tell)
        except QueueproofError as error:
            results = _without(error)
        except KeyboardInterrupt:
            results = outcome(
                Verdict.NO_VERDICT, ExitCode.INTERRUPTED, "Interrupted between two windows.", complete=False
            )
    directory.write_results(results)
    write_reports(directory.path)
    return directory


def check(options: CapacityOptions, *, url: str = "", kind: str = "", key: str = "") -> None:
    """Raises one UsageError that tells everything that is wrong with what was asked for; sends and writes nothing."""
    wrong = Mistakes()
    planned = wrong.read(lambda: scenarios.load(options.scenario, wrong=objectives.mistake))
    wrong.read(lambda: objectives.parse_all(options.objectives))
    wrong.read(lambda: given(url, key, {}) if url else known_kind(kind))
    for number in options.processes:
        wrong.read(lambda number=number: processes_of(number))  # type: ignore[misc]
    if not 0.01 <= options.precision <= 0.5:
        wrong.add(UsageError("--precision lies between 0.01 and 0.5", hint="0.05 means ± 5 %"))
    if options.conformance and options.skip_conformance:
        wrong.add(UsageError("--conformance and --skip-conformance exclude each other", hint="leave one out"))
    if options.beside and options.replicas is None:
        wrong.add(UsageError("--beside needs --replicas: how many this search is of", hint="give --replicas N"))
    for path in options.beside:
        wrong.read(lambda path=path: _earlier(path))  # type: ignore[misc]
    if planned is not None:
        wrong.read(lambda: _of_one_rate(planned, options))
    wrong.tell()


def _of_one_rate(planned: Scenario, options: CapacityOptions) -> None:
    """Raises UsageError for a scenario that has no edge to look for."""
    if not [*planned.objectives, *options.objectives]:
        raise UsageError("there is no objective to meet", hint='give --objective "e2e.p99 < 200ms"')
    if len({stage.rate for stage in planned.stages} | {stage.to_rate for stage in planned.stages}) > 1:
        raise UsageError(
            f"the rate of {planned.name} changes: capacity needs a scenario of one rate",
            hint="take steady, batch or fan-in, or a TOML file with one stage",
        )
    if not planned.sending.history:
        raise UsageError(
            f"{planned.name} keeps no history: nothing would show whether its answers were right",
            hint="leave [sending] history out",
        )
    start = options.rate if options.rate is not None else planned.stages[0].rate
    scenarios.adjusted(planned, rate=start, duration_s=options.window_s, users=options.users)


def _wanted(options: CapacityOptions) -> list[Objective]:
    return objectives.parse_all([*scenarios.load(options.scenario).objectives, *options.objectives])


# ── conformance ───────────────────────────────────────────────────────────────────────────────────────────────────


def _proven(options: CapacityOptions, target: Target, directory: RunDirectory, tell: Tell) -> Results | None:
    """The conformance result that the number rests on; None when it was skipped."""
    if options.skip_conformance:
        return None
    if options.conformance is not None:
        return _given(options.conformance, target)
    tell(Told(kind="conformance"))
    place = directory.path / "conformance"
    words = [f"--qp-out={working_path(place)}", "--qp-profile=core"]
    secrets = {f"QUEUEPROOF_{name.upper()}_KEY": key for name, key in target.keys.items()}
    code = run_suite(words, secrets={**secrets, "SCAIGRID_API_KEY": target.key, "SCAIGRID_HOST": target.url})
    found = RunDirectory(place)
    if not found.has_results():
        raise QueueproofError(
            f"the core suite ended with code {code} and left no result", hint="run it by itself first"
        )
    return found.results()


def _given(path: Path, target: Target) -> Results:
    """An earlier run's; raises UsageError when it is no recent core run of this target."""
    run = RunDirectory.open(path)
    manifest = run.manifest()
    theirs = manifest.target
    why = ""
    if manifest.kind != "conformance":
        why = f"it is a {manifest.kind} run"
    elif time.time() - manifest.started_us / 1e6 > RECENT_S:
        why = "it is more than a day old"
    elif manifest.options.get("requirement") or manifest.options.get("requirements"):
        why = "it looked at single requirements only"
    elif theirs.get("url") != target.url and not (target.kind != "url" and theirs.get("kind") == target.kind):
        why = f"it is of {theirs.get('url')}"
    if why:
        raise UsageError(
            f"--conformance {path} says nothing about this target: {why}",
            hint="leave it out: the core suite runs first",
        )
    return run.results()


# ── the search ────────────────────────────────────────────────────────────────────────────────────────────────────


def _searched(
    options: CapacityOptions,
    wanted: Sequence[Objective],
    target: Target,
    directory: RunDirectory,
    beside: Sequence[Mapping[str, Any]],
    tell: Tell,
) -> Results:
    proof = _proven(options, target, directory, tell)
    if proof is not None and proof.exit_code != 0:
        return outcome(
            proof.verdict,
            ExitCode(proof.exit_code),
            f"No capacity is named: the core conformance is not green. {proof.summary}",
            told={"bound": Bound.NONE, "proven": False, "conformance": proof.summary},
            complete=proof.complete,
            advice="see `queueproof report RUN/conformance`, and mend that first",
        )
    found: list[tuple[int, Capacity]] = []
    with contextlib.closing(Reader(target.url, target.key)) as reader:
        calm = Calm(read=reader.read, limited_s=reader.limited_s)
        for processes in options.processes:
            windows = _Windows(
                options, wanted, target, directory, calm, processes, tell, before=sum(len(c.probes) for _, c in found)
            )
            start = options.rate or max(stage.rate for stage in scenarios.load(options.scenario).stages)
            found.append((processes, search(windows.probe, Manner(start=start, precision=options.precision))))
            if found[-1][1].bound is Bound.NONE:
                break
    return answered(wanted, found, replicas=options.replicas, beside=beside, proven=proof is not None)


class _Windows:
    """Runs a load for each window of one search."""

    def __init__(
        self,
        options: CapacityOptions,
        wanted: Sequence[Objective],
        target: Target,
        directory: RunDirectory,
        calm: Calm,
        processes: int,
        tell: Tell,
        *,
        before: int,
    ) -> None:
        self._options, self._wanted, self._target, self._directory = options, wanted, target, directory
        self._calm, self._processes, self._tell, self._number = calm, processes, tell, before
        self._samples = window.samples(wanted)
        own = scenarios.load(options.scenario).consumers
        self._held_back = own.abandon + own.fail + own.release
        self._crew = Crew(own.count, own.batch_size, work_s=own.work_s, fixed=options.users)

    def probe(self, rate: float, phase: str) -> Probe:
        """One window, once the target rests."""
        self._number += 1
        self._tell(Told(kind="window", number=self._number, rate=rate, phase=phase))
        try:
            restless = self._calm.wait()
        except QueueproofError as error:
            return self._done(Probe(rate=rate, came=Came.GONE, why=error.message, phase=phase))
        place = self._directory.path / "windows" / f"{self._number:02}-{rate:.0f}"
        options = LoadOptions(
            scenario=self._options.scenario,
            rate=rate,
            users=self._crew.count(rate) or None,
            duration_s=self._options.window_s or window.length_s(rate, self._samples, phase),
            processes=self._processes,
            objectives=self._options.objectives,
            settle_s=SETTLE_S,
            out=place,
        )
        run = run_load(
            options,
            url=self._target.url,
            api_key=self._target.key,
            judge=self._judge,
            live=lambda line: self._tell(Told(kind="second", number=self._number, rate=rate, phase=phase, line=line)),
            target={"url": self._target.url, "kind": self._target.kind},
            command="queueproof load",
        )
        write_reports(run.directory.path)
        detail = {
            "number": self._number,
            "processes": self._processes,
            "directory": str(place.relative_to(self._directory.path)),
            "restless": restless,
        }
        probe = window.read(
            run.results, rate=rate, phase=phase, crew=self._crew, held_back=self._held_back, detail=detail
        )
        return self._done(probe)

    def _done(self, probe: Probe) -> Probe:
        self._tell(Told(kind="probe", number=self._number, rate=probe.rate, phase=probe.phase, probe=probe))
        return probe

    def _judge(self, directory: Path, ended: Ended) -> Results:
        ending = load_judge.Ending(interrupted=ended.interrupted, failure=ended.failure, aborted=ended.aborted)
        return load_judge.judge(directory, objectives=self._wanted, ending=ending)


def _earlier(path: Path) -> Mapping[str, Any]:
    """One point of the law from an earlier capacity run; raises UsageError when it has none."""
    told = RunDirectory.open(path).results().capacity
    if not told.get("rate") or not told.get("replicas"):
        raise UsageError(
            f"--beside {path} is no capacity of a known number of replicas", hint="make it with --replicas N"
        )
    return {"count": told["replicas"], "rate": told["rate"], "low": told["low"], "high": told["high"]}


def _without(error: QueueproofError) -> Results:
    return outcome(
        Verdict.NO_VERDICT,
        ExitCode(error.exit_code),
        f"No capacity: {error.message}.",
        advice=error.hint,
        complete=False,
    )
