"""One requirement of an earlier run once more, against the same target and with the same options: is it mended?

The cases that run are the requirement's own, those that proved it broken on their way, and those whose calls the checks
over the history named. FIXED needs every one of them to have come to an end that tells.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from queueproof.conduct import Ran, Settings, conformance
from queueproof.contract.requirements import select
from queueproof.drive.engine import CaseSpec
from queueproof.drive.local import KINDS
from queueproof.drive.suite import load_cases
from queueproof.drive.world import DEFAULT_SLACK_S
from queueproof.errors import CorruptRunError, ExitCode, UsageError
from queueproof.evidence.history import read_history
from queueproof.evidence.results import CaseResult, Outcome, RequirementResult
from queueproof.evidence.run import Manifest, RunDirectory, new_run_id
from queueproof.verdict.signature import matches, signature

# Ends of a case that do not tell whether what it saw last time is still so.
_OPEN: Final = frozenset({Outcome.INCONCLUSIVE, Outcome.NOT_RUN, Outcome.HARNESS_ERROR})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`word`: FIXED, FAILED or CANNOT; `told`: a sentence; `advice`: what to do next, "" where nothing is left to."""

    word: str
    told: str
    exit_code: ExitCode
    advice: str = ""
    directory: Path | None = None  # of the new run


def cannot(told: str, advice: str = "", code: ExitCode = ExitCode.NO_VERDICT) -> Answer:
    return Answer(word="CANNOT", told=told, advice=advice, exit_code=code)


async def replay(
    path: Path, requirement: str, *, url: str, key: str, keys: Mapping[str, str], out: Path | None
) -> Answer:
    """Runs one requirement of the run in `path` again. `url`: where its target is now, "" where it was.

    Raises UsageError for a requirement that there is not, CorruptRunError for a directory that is no run.
    """
    (wanted,) = select("all", [requirement])
    directory = _another(path, out)
    manifest = directory.manifest()
    if manifest.kind != "conformance":
        return cannot(f"{path} is a {manifest.kind} run", "name a run of `queueproof conformance`")
    try:
        was = next((one for one in directory.results().requirements if one.id == wanted.id), None)
    except CorruptRunError as error:
        return cannot(error.message, error.hint)
    if was is None:
        return cannot(
            f"that run did not try {wanted.id}", f"`queueproof conformance --requirement {wanted.id}` tries it"
        )
    if was.outcome is not Outcome.FAILED:
        return cannot(f"{wanted.id} was {was.outcome} in that run: there is no failure to see again")
    kind = "" if url else str(manifest.target.get("kind", "url"))
    address = url or ("" if kind in KINDS else str(manifest.target.get("url", "")))
    if not address and kind not in KINDS:
        return cannot("the run does not say where its target is", "say it: --url")
    if address and not key:
        return cannot("there is no API key, and a run keeps none", "give --api-key, or set SCAIGRID_API_KEY")
    specs = _specs(directory, was)
    settings = Settings(
        selected=(wanted,),
        url=address,
        kind=kind if kind in KINDS else "",
        key=key,
        keys=keys,
        out=out or _place(wanted.id),
        command=shlex.join(["queueproof", "replay", str(path), "--requirement", wanted.id]),
        **_options(manifest),
    )
    return _answer(was, specs, await conformance(settings, specs))


def _another(path: Path, out: Path | None) -> RunDirectory:
    """The run in `path`, which the new one must not overwrite."""
    if out is not None and out.resolve() == path.resolve():
        raise UsageError(f"--out {out} is the run itself", hint="name another folder")
    return RunDirectory.open(path)


def _place(requirement: str) -> Path:
    """A folder beside the other runs; `latest` stays where it is, so that it can be replayed again."""
    return Path("reports") / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-replay-{requirement}-{new_run_id()}"


def _options(manifest: Manifest) -> dict[str, Any]:
    """What the run was asked for; the expectations file is of no concern here."""
    slack_s = manifest.options.get("slack_s")
    required = manifest.options.get("require")
    return {
        "slack_s": float(slack_s) if isinstance(slack_s, int | float) else DEFAULT_SLACK_S,
        "fail_on": "should" if manifest.options.get("fail_on") == "should" else "must",
        "required": tuple(map(str, required)) if isinstance(required, list) else (),
        "options": {**manifest.options, "replays": manifest.run},
    }


def _specs(directory: RunDirectory, was: RequirementResult) -> list[CaseSpec]:
    """The cases that showed the failure, and the requirement's own."""
    names = {case.name.rpartition("/")[2] for case in was.cases}
    found = [case for case in was.cases if case.name.startswith("check ")]
    areas = {was.id}
    if found:
        operations = {operation for case in found for operation in case.evidence}
        calls = read_history(directory.path).calls
        areas |= {case for op, case in calls.select("op", "case").iter_rows() if op in operations}
    return [spec for spec in load_cases() if spec.requirement in areas or spec.name.rpartition("/")[2] in names]


def _answer(was: RequirementResult, specs: Sequence[CaseSpec], ran: Ran) -> Answer:
    answer = _judged(was, ran)
    return replace(answer, directory=ran.directory.path)


def _judged(was: RequirementResult, ran: Ran) -> Answer:
    if ran.error is not None:
        code = ran.error.exit_code
        return cannot(ran.error.message, ran.error.hint, ExitCode.NO_VERDICT if code is ExitCode.USAGE else code)
    if not ran.results.complete:
        return cannot("interrupted", code=ExitCode.INTERRUPTED)
    now = next(one for one in ran.results.requirements if one.id == was.id)
    if now.outcome is Outcome.FAILED:
        same = matches(now.signature, was.signature or signature(was))
        how = "as it did then" if same else "in another way than it did then"
        return Answer(word="FAILED", told=f"{was.id} fails {how}: {now.summary}", exit_code=ExitCode.DOES_NOT)
    if now.outcome is not Outcome.PASSED:
        code = ExitCode.HARNESS if now.outcome is Outcome.HARNESS_ERROR else ExitCode.NO_VERDICT
        return cannot(f"{was.id} is {now.outcome} this time: {now.summary}", code=code)
    untold = _untold(was, ran.cases)
    if untold:
        return cannot(f"{was.id} itself passes, but what showed it broken could not be told: {untold}")
    return Answer(word="FIXED", told=f"{was.id} failed then, and passes now", exit_code=ExitCode.CONFORMS)


def _untold(was: RequirementResult, cases: Sequence[CaseResult]) -> str:
    """The first of the cases that showed the failure whose end tells nothing this time."""
    failing = {case.name for case in was.cases if case.outcome is Outcome.FAILED}
    for case in cases:
        if case.outcome in _OPEN and (case.name in failing or any(name.startswith("check ") for name in failing)):
            return f"{case.name}: {case.summary}"
    return ""
