"""Builds the cards of a report: a requirement's outcome, or a finding, with the parts that explain it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from queueproof.contract.requirements import Requirement, catalogue
from queueproof.evidence.results import CaseResult, FindingResult, Outcome, RequirementResult
from queueproof.evidence.run import Manifest
from queueproof.report import words
from queueproof.report.again import command_for, command_of
from queueproof.report.exchange import Picked
from queueproof.report.timeline import Layout

# The first of a check's findings tell all; thousands of alike ones would only bury the others.
MOST_FINDINGS: Final = 20
# Beside a requirement's own cases fewer will do.
_MOST_BESIDE: Final = 5
# As the verdict names the "case" that a finding over the whole history makes of a requirement.
_CHECK: Final = "check "


class Group(StrEnum):
    """Where a requirement stands in a report, in the order of reading."""

    NEW = "new failures"
    STALE = "expectations that no longer hold"
    HARNESS = "harness errors"
    KNOWN = "known failures"
    PROVISIONAL = "provisional"
    TOLD = "not gating"
    BLOCKED = "blocked"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"
    NOT_SUPPORTED = "not supported"
    FIXED = "known failures that passed"
    PASSED = "passed"


_BY_OUTCOME: Final[Mapping[Outcome, Group]] = {
    Outcome.PASSED: Group.PASSED,
    Outcome.FAILED: Group.NEW,
    Outcome.NOT_SUPPORTED: Group.NOT_SUPPORTED,
    Outcome.NOT_RUN: Group.NOT_RUN,
    Outcome.INCONCLUSIVE: Group.INCONCLUSIVE,
    Outcome.BLOCKED: Group.BLOCKED,
    Outcome.HARNESS_ERROR: Group.HARNESS,
}
# Where the expectations file decides it (words.EXPECTATIONS).
_BY_EXPECTATION: Final[Mapping[str, Group]] = {
    "known": Group.KNOWN,
    "fixed": Group.FIXED,
    "stale": Group.STALE,
    "unmatched": Group.STALE,
    "expired": Group.STALE,
    "provisional": Group.PROVISIONAL,
}

# Those that cover no failure.
_VOID: Final = frozenset({"new", "unmatched", "expired"})


@dataclass(frozen=True, kw_only=True)
class Part:
    """One case, or one finding of a check, with the operations that show it."""

    title: str  # "hidden until its timeout", "exclusivity"
    source: str  # "conformance/test_visibility.py::test_…", "check exclusivity"
    outcome: Outcome
    summary: str = ""
    expected: str = ""
    seen: str = ""
    proof: str = ""
    assumes: tuple[str, ...] = ()
    check: str = ""
    evidence: tuple[int, ...] = ()
    message: str = ""
    duration_s: float = 0.0
    tries: int = 1
    picked: Picked = field(default_factory=Picked)
    layout: Layout | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """One requirement (or, in a load run, one finding): what was promised, what was seen, how to see it again."""

    id: str  # also the deep link
    level: str
    profile: str
    outcome: Outcome
    group: Group
    summary: str
    again: str  # a command line
    requirement: Requirement | None = None  # None: not in this version's catalogue
    known_failure: str = ""
    expectation: str = ""  # what became of the expectation that covers it (words.EXPECTATIONS); "" without one
    remark: str = ""  # what that means for the expectations file
    root: str = ""  # blocked: the requirement that stood in the way
    blocks: tuple[str, ...] = ()  # the requirements that wait for this one
    more: int = 0  # findings of it that are not among the parts
    parts: tuple[Part, ...] = ()

    @property
    def area(self) -> str:
        return self.id.rpartition("-")[0] or self.id

    @property
    def title(self) -> str:
        """The requirement's id, or the name of the check that found it."""
        return self.parts[0].title if self.parts and self.parts[0].check and self.id.startswith("finding-") else self.id

    @property
    def note(self) -> bool:
        """Whether it is a finding that accuses nobody."""
        return self.id.startswith("finding-") and self.group is Group.TOLD

    @property
    def said(self) -> str:
        """Its outcome in a word."""
        return "note" if self.note else words.NAMES[self.outcome]

    @property
    def sign(self) -> str:
        return "i" if self.note else words.SIGNS[self.outcome]

    @property
    def tone(self) -> str:
        """The class of the page that gives it its colour."""
        return "told" if self.note else self.outcome.value

    @property
    def statement(self) -> str:
        return self.requirement.statement if self.requirement else ""

    @property
    def reason(self) -> str:
        """Why it stands where it does, in one line."""
        return " · ".join(filter(None, (self.remark, self.known_failure, self.summary))) or self.statement

    @property
    def failing(self) -> tuple[Part, ...]:
        """The parts that explain the outcome; all of them when none stands out."""
        found = tuple(part for part in self.parts if part.outcome is not Outcome.PASSED)
        return found or self.parts


def first_of_each(
    findings: Sequence[FindingResult],
) -> tuple[list[FindingResult], tuple[tuple[str, int], ...]]:
    shown: list[FindingResult] = []
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.check] += 1
        if seen[finding.check] <= MOST_FINDINGS:
            shown.append(finding)
    more = tuple((check, number - MOST_FINDINGS) for check, number in seen.items() if number > MOST_FINDINGS)
    return shown, more


def build_cards(
    requirements: Sequence[RequirementResult], findings: Sequence[FindingResult], manifest: Manifest | None
) -> tuple[tuple[Card, ...], tuple[Card, ...]]:
    """The cards of the requirements, in the catalogue's order, and those of the findings that no failure covers."""
    waiting: dict[str, list[str]] = {}
    for requirement in requirements:
        if requirement.outcome is Outcome.BLOCKED and requirement.root:
            waiting.setdefault(requirement.root, []).append(requirement.id)
    covered: dict[str, list[FindingResult]] = {
        requirement.id: [] for requirement in requirements if requirement.outcome is Outcome.FAILED
    }
    rest: list[FindingResult] = []
    for finding in sorted(findings, key=lambda finding: finding.weight != "violation"):
        covered.get(finding.requirement, rest).append(finding)
    order = {name: number for number, name in enumerate(catalogue())}
    cards = tuple(
        _card(result, covered.get(result.id, []), tuple(waiting.get(result.id, ())), manifest)
        for result in sorted(requirements, key=lambda result: order.get(result.id, len(order)))
    )
    return cards, tuple(_finding_card(number, finding, manifest) for number, finding in enumerate(rest, 1))


def _card(
    result: RequirementResult, findings: list[FindingResult], blocks: tuple[str, ...], manifest: Manifest | None
) -> Card:
    requirement = catalogue().get(result.id)
    parts = _parts(result, findings)
    return Card(
        id=result.id,
        level=result.level,
        profile=result.profile,
        outcome=result.outcome,
        group=_group(result, requirement, manifest),
        summary=result.summary or next((part.summary for part in parts if part.outcome is result.outcome), ""),
        again=command_for(manifest, result.id),
        requirement=requirement,
        known_failure=result.known_failure,
        expectation=result.expectation,
        remark=result.remark,
        root=result.root,
        blocks=blocks,
        more=max(0, len(findings) - _MOST_BESIDE),
        parts=tuple(parts),
    )


def _parts(result: RequirementResult, findings: list[FindingResult]) -> list[Part]:
    """Each case, and each finding that no case tells already; what a case took from a finding is the finding's."""
    found = {(finding.proof, frozenset(finding.operations)): finding for finding in findings[:_MOST_BESIDE]}
    parts = []
    for case in result.cases:
        key = (case.proof, frozenset(case.evidence))
        if not case.name.startswith(_CHECK):
            found.pop(key, None)
            parts.append(_case_part(case))
        elif not findings:
            parts.append(_case_part(case))
    parts += [_finding_part(finding) for finding in found.values()]
    return parts or ([_bare_part(result)] if result.outcome is not Outcome.PASSED else [])


def _group(result: RequirementResult, requirement: Requirement | None, manifest: Manifest | None) -> Group:
    """Known failures that matched do not gate; nor does what the catalogue only tells.

    A failure whose expectation ran out, or expected another failure, is as new as one without.
    """
    group = _BY_OUTCOME[result.outcome]
    standing = result.expectation
    if result.outcome is Outcome.FAILED and standing in _VOID:
        return Group.NEW
    if standing in _BY_EXPECTATION and (standing != "known" or result.outcome is not Outcome.PASSED):
        return _BY_EXPECTATION[standing]
    if standing:
        return group
    if result.outcome is Outcome.PASSED and result.known_failure:
        return Group.FIXED
    if group is not Group.NEW:
        return group
    if result.known_failure:
        return Group.KNOWN
    if requirement is None:
        return Group.NEW
    strict = manifest is not None and manifest.options.get("fail_on") == "should"
    return Group.NEW if requirement.gates or (strict and requirement.known != "inferred") else Group.TOLD


def _case_part(case: CaseResult) -> Part:
    check = case.name.removeprefix(_CHECK).partition(",")[0] if case.name.startswith(_CHECK) else ""
    return Part(
        title=check or case.name.rpartition("::")[2].removeprefix("test_").replace("_", " ") or case.requirement,
        source=case.name,
        outcome=case.outcome,
        summary=case.summary,
        expected="" if check else case.expected,  # a check's is the statement, which stands above it
        seen="" if check else case.seen,
        proof=case.proof,
        check=check,
        evidence=case.evidence,
        duration_s=case.duration_s,
        tries=case.tries,
    )


def _finding_part(finding: FindingResult) -> Part:
    return Part(
        title=finding.check.replace("_", " "),
        source=f"check {finding.check}, over the whole history",
        outcome=Outcome.FAILED if finding.weight == "violation" else Outcome.PASSED,
        summary=finding.summary,
        proof=finding.proof,
        assumes=finding.assumes,
        check=finding.check,
        evidence=finding.operations,
        message=finding.message,
    )


def _bare_part(result: RequirementResult) -> Part:
    return Part(title=result.id, source="", outcome=result.outcome, summary=result.summary, evidence=result.evidence)


def _finding_card(number: int, finding: FindingResult, manifest: Manifest | None) -> Card:
    requirement = catalogue().get(finding.requirement)
    violation = finding.weight == "violation"
    return Card(
        id=f"finding-{number}",
        level=requirement.level if requirement else "",
        profile=requirement.profile if requirement else "",
        outcome=Outcome.FAILED if violation else Outcome.PASSED,
        group=Group.NEW if violation else Group.TOLD,
        summary=finding.summary,
        again=command_of(manifest),
        requirement=requirement,
        parts=(_finding_part(finding),),
    )
