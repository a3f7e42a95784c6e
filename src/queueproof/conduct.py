"""One conformance run from its target to its verdict: the way of a datum, in order, and nothing else.

target → client → operation → history → checks → finding → judge → verdict → run directory → report.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from queueproof.checks.all import run_all
from queueproof.checks.facts import FOREVER
from queueproof.checks.finding import Finding
from queueproof.checks.order import Ordering
from queueproof.contract.requirements import Requirement, catalogue, catalogue_digest, catalogue_version
from queueproof.drive.cleanup import clean_up
from queueproof.drive.client import Client
from queueproof.drive.engine import CaseSpec, Ended, run_cases
from queueproof.drive.identity import ask, capabilities
from queueproof.drive.interruption import interruptible, until
from queueproof.drive.limits import Rate, RequestBudget
from queueproof.drive.noise import LagMeter, certificate
from queueproof.drive.observe import observing
from queueproof.drive.preflight import check_target
from queueproof.drive.questions_more import questions
from queueproof.drive.recorder import Recorder
from queueproof.drive.suite import suite_in_repository
from queueproof.drive.sweep import sweep
from queueproof.drive.target import SERVER_LOG, Target, at_url, base_url, open_target
from queueproof.drive.world import DEFAULT_SEED, DEFAULT_SLACK_S, World
from queueproof.errors import QueueproofError
from queueproof.evidence.created import LEDGER, Ledger
from queueproof.evidence.history import HistoryWriter, read_history
from queueproof.evidence.results import (
    SCHEMA,
    CaseResult,
    CleanUp,
    Observation,
    Outcome,
    RequirementResult,
    Results,
    Verdict,
)
from queueproof.evidence.run import JUNIT, Manifest, RunDirectory, claim_file, manifest_of, new_run_id
from queueproof.gate import Gate, open_gate, told, write_update
from queueproof.report.again import command_of
from queueproof.report.story import Story
from queueproof.report.write import write_reports
from queueproof.verdict.judge import Judgement, Proof, judge

HISTORY = "history-0.ndjson"
# Orderings that the order check judges. A deadline is also a lifetime bound, so its queue has cases of its own only.
ORDERINGS: dict[str, Ordering] = {"fifo": "fifo", "priority": "priority"}
# After an interruption the clean-up may take this long before it is given up, and said so.
CLEAN_UP_WITHIN_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a conformance run is asked to do. `url` wins over `kind`; neither means the embedded server."""

    selected: Sequence[Requirement]
    url: str = ""
    kind: str = ""
    key: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    slack_s: float = DEFAULT_SLACK_S
    seed: int = DEFAULT_SEED
    shrink: bool = True
    webhook_host: str = ""
    rate: Rate | None = None  # how often requests may be sent; None: as often as the server lets us
    fail_on: str = "must"
    allow_inconclusive: bool = False
    required: Sequence[str] = ()  # capabilities that must be there
    expectations: Path | None = None
    update_expectations: bool = False
    out: Path | None = None
    junit: Path | None = None
    command: str = ""  # how to run the same again, without secrets
    options: Mapping[str, object] = field(default_factory=dict)
    observe: bool = True  # look at what the contract leaves open as well
    reports: bool = True  # write report.html and junit.xml
    target: "Callable[[Path | None], AbstractAsyncContextManager[Target]] | None" = None  # a target of the caller's


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A finished run: where it is kept, what it came to, and (when it ended early) why."""

    directory: RunDirectory
    results: Results
    cases: tuple[CaseResult, ...]
    error: QueueproofError | None = None
    story: Story | None = None  # what the reports tell; None when none were asked for


async def conformance(
    settings: Settings, specs: Sequence[CaseSpec], *, done: Callable[[CaseResult], None] = lambda _: None
) -> Ran:
    """Runs the cases against the target and leaves a whole run directory.

    A cancellation (Ctrl-C) ends the cases, and the clean-up, the judging and the report still happen. Raises
    QueueproofError only where there is no directory to write to.
    """
    if settings.junit is not None:
        claim_file(settings.junit, "--junit")
    gate = open_gate(settings.expectations, update=settings.update_expectations)
    run = new_run_id()
    directory = RunDirectory.create(settings.out, "conformance", run)
    async with interruptible() as interrupted:
        try:
            results, ended, error = await _run(settings, gate, specs, directory, run, done, interrupted)
        except QueueproofError as stopped:
            results, ended, error = _unusable(settings, stopped), [], stopped
        directory.write_results(results)
        story = write_reports(directory.path) if settings.reports else None
        if settings.junit is not None:
            settings.junit.write_bytes((directory.path / JUNIT).read_bytes())
    cases = tuple(end.result for end in ended)
    return Ran(directory=directory, results=results, cases=cases, error=error, story=story)


async def _run(
    settings: Settings,
    gate: Gate,
    specs: Sequence[CaseSpec],
    directory: RunDirectory,
    run: str,
    done: Callable[[CaseResult], None],
    interrupted: asyncio.Event,
) -> tuple[Results, list[Ended], QueueproofError | None]:
    kind = "url" if settings.url else settings.kind or "embedded"
    asked = {"url": base_url(settings.url) if settings.url else "", "kind": kind}
    described = partial(
        manifest_of,
        run=run,
        kind="conformance",
        options=dict(settings.options),
        command=settings.command,
        suite=suite_in_repository(),
    )
    directory.write_manifest(described(target=asked))
    log = directory.path / SERVER_LOG
    place = settings.target(log) if settings.target else None
    opened = place or open_target(url=settings.url, kind=settings.kind, key=settings.key, keys=settings.keys, log=log)
    async with contextlib.AsyncExitStack() as stack:
        target = await until(interrupted, stack.enter_async_context(opened))
        if target is None:
            results = _judged(settings, gate, [], [], complete=False)
            return results, [], None
        directory.write_manifest(described(target=target.described()))
        return await _against(target, settings, gate, specs, directory, run, done, interrupted)


async def _against(
    target: Target,
    settings: Settings,
    gate: Gate,
    specs: Sequence[CaseSpec],
    directory: RunDirectory,
    run: str,
    done: Callable[[CaseResult], None],
    interrupted: asyncio.Event,
) -> tuple[Results, list[Ended], QueueproofError | None]:
    writer = HistoryWriter(directory.path / HISTORY, run=run)
    recorder = Recorder(writer, secrets=(target.key, *target.keys.values()))
    client = Client(target.url, target.key, recorder=recorder, budget=RequestBudget(rate=settings.rate), run=run)
    ledger = Ledger(directory.path / LEDGER)
    world = World(
        run=run,
        client=client,
        keys=target.keys,
        slack_s=settings.slack_s,
        seed=settings.seed,
        shrink=settings.shrink,
        webhook_host=settings.webhook_host,
        ours=target.kind != "url",
        ledger=ledger,
    )
    complete = True
    error: QueueproofError | None = None
    ended: list[Ended] = []
    observed: tuple[Observation, ...] = ()
    says: dict[str, str] = {}
    try:
        async with LagMeter() as meter:
            try:
                await until(interrupted, check_target(world))
                says = await until(interrupted, ask(client)) or {}
                async with observing(world, questions() if settings.observe and not world.thrift else ()) as looks:
                    ended = await until(interrupted, run_cases(world, specs, meter, done=done)) or []
                    observed = await until(interrupted, looks.end()) or looks.told()
                await until(interrupted, sweep(world))
            except QueueproofError as stopped:
                error = stopped
            complete = not interrupted.is_set()
            interrupted.clear()
            cleaned = await _clean(world, interrupted)
            noise = certificate(meter, client, settings.slack_s)
    finally:
        await client.close()
        writer.close()
    if error is not None:
        return _unusable(settings, error, cleaned), ended, error
    findings = run_all(
        read_history(directory.path),
        orderings={queue.id: ORDERINGS[queue.ordering] for queue in world.queues if queue.ordering in ORDERINGS},
        max_retries={queue.id: queue.fields["max_retries"] for queue in world.queues if "max_retries" in queue.fields},
        unmodelled=[queue.id for queue in world.queues if queue.unmodelled],
        disturbed=() if world.most_held is None else ((0, FOREVER),),  # an empty claim shows nothing there
        slack_s=settings.slack_s,
    )
    seen = capabilities(client, [end.result for end in ended])
    manifest = msgspec.structs.replace(directory.manifest(), target={**target.described(), **_named(says)})
    directory.write_manifest(manifest)
    results = _judged(settings, gate, ended, findings, complete=complete)
    identity = _identity(manifest, seen)
    whole = msgspec.structs.replace(results, noise=noise, clean_up=cleaned, identity=identity, observations=observed)
    return whole, ended, None


def _named(says: Mapping[str, str]) -> dict[str, Any]:
    return {"says": dict(says)} if says else {}


def _identity(manifest: Manifest, seen: Mapping[str, bool]) -> dict[str, Any]:
    """Who was judged, by what, when, and how to do it again: the whole of it without a secret."""
    return {
        "target": {**manifest.target, "capabilities": dict(seen)},
        "queueproof": manifest.version,
        "catalogue": {
            "version": catalogue_version(),
            "digest": catalogue_digest(),
            "requirements": len(catalogue()),
        },
        "started": manifest.started,
        "options": dict(manifest.options),
        "reproduce": command_of(manifest),
    }


def _judged(
    settings: Settings, gate: Gate, ended: Sequence[Ended], findings: Sequence[Finding], *, complete: bool
) -> Results:
    """The verdict; where that is asked for, after the expectations file has been brought up to date."""
    judgement, update = _judge(settings, gate, ended, findings, complete=complete), None
    if settings.update_expectations and complete:
        gate, update = write_update(gate, judgement.requirements)
        judgement = _judge(settings, gate, ended, findings, complete=complete, fixed=update.removed)
    return Results(
        schema=SCHEMA,
        verdict=judgement.verdict,
        exit_code=int(judgement.exit_code),
        summary=judgement.summary,
        complete=complete,
        requirements=judgement.requirements,
        findings=judgement.findings,
        expectations=told(gate, judgement.requirements, update),
    )


def _judge(
    settings: Settings,
    gate: Gate,
    ended: Sequence[Ended],
    findings: Sequence[Finding],
    *,
    complete: bool,
    fixed: Sequence[str] = (),
) -> Judgement:
    return judge(
        settings.selected,
        [end.result for end in ended],
        proofs=[Proof(root=end.proves, case=end.result) for end in ended if end.proves],
        findings=findings,
        complete=complete,
        fail_on=settings.fail_on,
        allow_inconclusive=settings.allow_inconclusive,
        declared=settings.required,
        expectations=gate.expectations,
        today=gate.today,
        fixed=fixed,
    )


def _unusable(settings: Settings, error: QueueproofError, cleaned: CleanUp | None = None) -> Results:
    """The results of a run that could not begin: nothing ran, and that is said of each requirement."""
    return Results(
        schema=SCHEMA,
        verdict=Verdict.NO_VERDICT,
        exit_code=int(error.exit_code),
        summary=f"No verdict: {error.message}.",
        advice=error.hint,
        complete=False,
        requirements=tuple(
            RequirementResult(
                id=requirement.id,
                level=requirement.level,
                profile=requirement.profile,
                outcome=Outcome.NOT_RUN,
                summary=error.message,
            )
            for requirement in settings.selected
        ),
        clean_up=cleaned or CleanUp(),
    )


async def _clean(world: World, interrupted: asyncio.Event) -> CleanUp:
    """Clean-up within its time; a second Ctrl-C ends it."""
    try:
        async with asyncio.timeout(CLEAN_UP_WITHIN_S):
            cleaned = await until(interrupted, clean_up(world.ledger, world.client))
    except TimeoutError:
        cleaned = None
    if cleaned is not None:
        return cleaned
    slugs = tuple(world.ledger.scopes)
    return CleanUp(scopes_created=len(slugs), left=slugs, note="the clean-up did not end: run `queueproof clean RUN`")


NOTHING_LEFT = "everything that the run created has been taken away"


def clean_run(path: Path, *, url: str, key: str) -> str:
    """Takes away what the run in `path`, and those within it (a capacity search's windows), left on their server; what
    became of it, in words.

    `url` and `key`: of the server; the address defaults to the run's own. Raises QueueproofError when there is no such
    run, or no key.
    """
    RunDirectory.open(path)
    parts = sorted(ledger.parent for ledger in path.rglob(LEDGER))
    if not parts:
        return "the run created nothing"
    told = dict.fromkeys(_clean_part(part, url=url, key=key) for part in parts)
    return "; ".join([words for words in told if words != NOTHING_LEFT] or told)


def _clean_part(path: Path, *, url: str, key: str) -> str:
    """The same for one run by itself."""
    manifest = RunDirectory.open(path).manifest()
    if manifest.target.get("kind") == "embedded" and not url:
        return "the run's server was its own, and ended with it: there is nothing to take away"
    address = url or str(manifest.target.get("url", ""))
    ledger = Ledger.read(path / LEDGER)
    if not ledger.scopes:
        return NOTHING_LEFT

    async def go() -> CleanUp:
        async with at_url(address, key, {}) as target:
            number = next(n for n in itertools.count(1) if not (path / f"history-{n}.ndjson").exists())
            writer = HistoryWriter(path / f"history-{number}.ndjson", run=manifest.run, writer=number)
            recorder = Recorder(writer, secrets=(target.key,))
            client = Client(target.url, target.key, recorder=recorder, budget=RequestBudget(), run=manifest.run)
            try:
                return await clean_up(ledger, client, afterwards=True)
            finally:
                await client.close()
                writer.close()

    cleaned = asyncio.run(go())
    left = f"; left behind: {', '.join(cleaned.left)} ({cleaned.note})" if cleaned.left else ""
    if not cleaned.scopes_created and not left:
        return NOTHING_LEFT
    return f"{cleaned.scopes_deleted} of {cleaned.scopes_created} scopes taken away{left}"
