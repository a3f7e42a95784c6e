"""From cases and findings to outcomes, and from outcomes to one verdict and one exit code.

The rules, in order: a requirement fails when one of its cases failed, when a finding over the whole history names
it, or when another case was stopped by proof that it is broken. What only stood behind a broken requirement is
blocked, grouped under that root. What cannot be told is inconclusive and never passes in silence.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import msgspec

from queueproof.checks.finding import Finding
from queueproof.contract.capabilities import CAPABILITIES
from queueproof.contract.requirements import Requirement, catalogue
from queueproof.errors import ExitCode
from queueproof.evidence.results import CaseResult, FindingResult, Outcome, RequirementResult, Verdict
from queueproof.verdict.expectations import EXCUSED, GATING, Expectations, compare

# When a requirement's cases ended differently, the first of these that occurs is its outcome.
_WORST_FIRST = (
    Outcome.FAILED,
    Outcome.HARNESS_ERROR,
    Outcome.BLOCKED,
    Outcome.INCONCLUSIVE,
)

UNTOLD = frozenset({Outcome.INCONCLUSIVE, Outcome.BLOCKED, Outcome.NOT_RUN})


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A case that is about something else proved that `root` is broken."""

    root: str
    case: CaseResult


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a conformance run came to."""

    verdict: Verdict
    exit_code: ExitCode
    summary: str
    requirements: tuple[RequirementResult, ...]
    findings: tuple[FindingResult, ...]


def judge(
    selected: Sequence[Requirement],
    cases: Sequence[CaseResult],
    *,
    proofs: Iterable[Proof] = (),
    findings: Sequence[Finding] = (),
    complete: bool = True,
    fail_on: str = "must",
    allow_inconclusive: bool = False,
    declared: Collection[str] = (),
    expectations: Expectations | None = None,
    today: date = date.min,
    fixed: Collection[str] = (),
) -> Judgement:
    """Judges a run of `selected`; `complete`: False when it was interrupted.

    `declared`: capabilities that must be there; `expectations`: what is known to fail, as of `today` (UTC);
    `fixed`: what has just been taken out of it.
    """
    cases = [_held_to(case, declared) for case in cases]
    proven: dict[str, list[Proof]] = {}
    for proof in proofs:
        proven.setdefault(proof.root, []).append(proof)
    accusing: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.weight == "violation":
            accusing.setdefault(finding.requirement, []).append(finding)
    known = catalogue()
    named = {requirement.id for requirement in selected}
    more = [known[name] for name in known if name not in named and (name in proven or name in accusing)]
    results = {
        requirement.id: _outcome(
            requirement,
            [case for case in cases if case.requirement == requirement.id],
            proven.get(requirement.id, []),
            accusing.get(requirement.id, []),
        )
        for requirement in (*selected, *more)
    }
    settled = compare(
        [_settle(result, results) for result in results.values()],
        expectations,
        today=today,
        gates=lambda result: gates(result, fail_on),
        fixed=fixed,
    )
    ordered = tuple(sorted(settled, key=lambda result: list(known).index(result.id)))
    exit_code = _exit(ordered, named, complete=complete, fail_on=fail_on, allow_inconclusive=allow_inconclusive)
    return Judgement(
        verdict=_VERDICTS.get(exit_code, Verdict.NO_VERDICT),
        exit_code=exit_code,
        summary=_sentence(ordered, exit_code, complete=complete, fail_on=fail_on),
        requirements=ordered,
        findings=tuple(msgspec.convert(msgspec.to_builtins(finding), FindingResult) for finding in findings),
    )


def _held_to(case: CaseResult, declared: Collection[str]) -> CaseResult:
    """A case that did not find what was declared to be there has failed, where it is about that."""
    capability = CAPABILITIES.get(catalogue()[case.requirement].capability)
    if capability is None or capability.name not in declared or case.outcome is not Outcome.NOT_SUPPORTED:
        return case
    lacks = capability.verbs & set(case.lacks)
    if not lacks:  # something else than the verb itself was in the way, which no page promises
        return case
    return msgspec.structs.replace(
        case,
        outcome=Outcome.FAILED,
        expected=f"{capability.name}, which was declared (--require): {capability.words}",
        seen=f"no {' and no '.join(sorted(lacks))}",
    )


def _outcome(
    requirement: Requirement, cases: Sequence[CaseResult], proofs: Sequence[Proof], findings: Sequence[Finding]
) -> RequirementResult:
    """One requirement by its own cases, then by what others proved and found."""
    outcome, summary, root = Outcome.NOT_RUN, "no case of it ran", ""
    evidence: tuple[int, ...] = ()
    worst = next((case for kind in _WORST_FIRST for case in cases if case.outcome is kind), None)
    passed = [case for case in cases if case.outcome is Outcome.PASSED]
    if worst is not None:
        outcome, summary, evidence, root = worst.outcome, worst.summary, worst.evidence, worst.root
    elif passed:
        outcome = Outcome.PASSED
        notes = [case.summary for case in cases if case.summary]
        summary = "; ".join(notes[:2])
    elif cases:
        outcome, summary, evidence = cases[0].outcome, cases[0].summary, cases[0].evidence
    extra: list[CaseResult] = []
    if outcome is not Outcome.FAILED and proofs:
        proof = proofs[0].case
        outcome, summary, evidence, root = Outcome.FAILED, proof.summary, proof.evidence, ""
        extra.append(_as_failed(proof, requirement.id))
    if outcome is not Outcome.FAILED and findings:
        finding = findings[0]
        outcome, summary, evidence, root = Outcome.FAILED, finding.summary, finding.operations, ""
    extra += [_from_finding(finding, requirement) for finding in findings[:3]]
    return RequirementResult(
        id=requirement.id,
        level=requirement.level,
        profile=requirement.profile,
        outcome=outcome,
        summary=summary,
        evidence=tuple(evidence),
        root=root,
        cases=(*cases, *extra),
    )


def _as_failed(case: CaseResult, requirement: str) -> CaseResult:
    return msgspec.structs.replace(case, requirement=requirement, outcome=Outcome.FAILED, root="")


def _from_finding(finding: Finding, requirement: Requirement) -> CaseResult:
    return CaseResult(
        name=f"check {finding.check}, over the whole history",
        requirement=requirement.id,
        outcome=Outcome.FAILED,
        summary=finding.summary,
        expected=requirement.statement,
        seen=finding.summary,
        proof=finding.proof,
        evidence=tuple(finding.operations),
    )


def _settle(result: RequirementResult, results: Mapping[str, RequirementResult]) -> RequirementResult:
    """A blocked requirement whose root was met after all, elsewhere, is inconclusive."""
    if result.outcome is not Outcome.BLOCKED:
        return result
    root = results.get(result.root)
    if root is not None and root.outcome is Outcome.PASSED:
        return msgspec.structs.replace(
            result, outcome=Outcome.INCONCLUSIVE, root="", summary=f"{result.summary} ({root.id} itself passed)"
        )
    return result


def gates(result: RequirementResult, fail_on: str = "must") -> bool:
    """Whether a failure of this requirement fails the server."""
    requirement = catalogue()[result.id]
    return requirement.gates or (fail_on == "should" and requirement.known != "inferred")


def _exit(
    results: Sequence[RequirementResult],
    selected: set[str],
    *,
    complete: bool,
    fail_on: str,
    allow_inconclusive: bool,
) -> ExitCode:
    if not complete:
        return ExitCode.INTERRUPTED
    if _broken(results, fail_on) or any(r.expectation in GATING for r in results):
        return ExitCode.DOES_NOT
    if any(r.outcome is Outcome.HARNESS_ERROR for r in results):
        return ExitCode.HARNESS
    if not any(r.outcome in {Outcome.PASSED, Outcome.FAILED} for r in results):
        return ExitCode.NO_VERDICT
    open_core = [r for r in results if r.id in selected and r.outcome in UNTOLD and r.level == "MUST"]
    excused = {r.id for r in results if r.expectation in EXCUSED}
    if not allow_inconclusive and any(
        r.profile == "core" and r.id not in excused and not _behind(r, results, excused) for r in open_core
    ):
        return ExitCode.NO_VERDICT
    return ExitCode.CONFORMS


def _broken(results: Sequence[RequirementResult], fail_on: str) -> list[str]:
    """The requirements whose failure fails the server: those that gate, but for what is known."""
    failed = [r for r in results if r.outcome is Outcome.FAILED and r.expectation not in EXCUSED]
    return [r.id for r in failed if gates(r, fail_on) or r.expectation == "unmatched"]


def _behind(result: RequirementResult, results: Sequence[RequirementResult], excused: Collection[str]) -> bool:
    """Whether a blocked requirement waits for nothing but a known failure."""
    roots = {r.id: r.root for r in results if r.outcome is Outcome.BLOCKED}
    name, seen = result.root, {result.id}
    while name and name not in seen:
        if name in excused:
            return True
        seen.add(name)
        name = roots.get(name, "")
    return False


_VERDICTS = {ExitCode.CONFORMS: Verdict.CONFORMS, ExitCode.DOES_NOT: Verdict.DOES_NOT_CONFORM}


def _sentence(results: Sequence[RequirementResult], exit_code: ExitCode, *, complete: bool, fail_on: str) -> str:
    """The sentence that answers "may I ship?"."""
    failed = _broken(results, fail_on)
    passed = sum(r.outcome is Outcome.PASSED for r in results)
    untold = [r.id for r in results if r.outcome in UNTOLD]
    crashed = [r.id for r in results if r.outcome is Outcome.HARNESS_ERROR]
    known = sum(r.expectation == "known" for r in results)
    aside = f"; {known} as expected" if known else ""
    if not complete:
        return f"Interrupted: {passed} requirements had passed and {len(failed)} had failed; the rest is open."
    if exit_code is ExitCode.DOES_NOT:
        why = [f"it breaks {_list(failed)}"] if failed else []
        old = [r.id for r in results if r.expectation in GATING and r.id not in failed]
        why += [f"what was expected of {_list(old)} no longer holds"] if old else []
        return f"Does not conform: {', and '.join(why)} ({passed} of {len(results)} requirements passed{aside})."
    if exit_code is ExitCode.HARNESS:
        return f"No verdict: the harness itself failed on {_list(crashed)}."
    if exit_code is ExitCode.NO_VERDICT:
        told = f"{_list(untold)} could not be told" if untold else "nothing could be told"
        return f"No verdict: {told} ({passed} of {len(results)} passed{aside})."
    aside += f"; {len(untold)} could not be told" if untold else ""
    return f"Conforms: {passed} of {len(results)} requirements passed{aside}."


def _list(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
