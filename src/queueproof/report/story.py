"""Reads a run directory once and gives the pieces that every format shows: sentence, groups, cards.

Whatever is missing is said, not raised: a run that was cut off has a story too. Only a folder that is no run, or a
file that cannot be trusted, raises CorruptRunError.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from queueproof.contract.requirements import Requirement, catalogue
from queueproof.errors import CorruptRunError
from queueproof.evidence.results import CaseResult, FindingResult, Outcome, RequirementResult, Results, Verdict
from queueproof.evidence.run import MANIFEST, RESULTS, Manifest, RunDirectory
from queueproof.report import words
from queueproof.report.again import command_for, command_of
from queueproof.report.exchange import MOST_EXCHANGES, Picked, Want, exchanges, pick
from queueproof.report.text import count
from queueproof.report.timeline import Layout, lay_out

# The first of a check's findings tell all; thousands of alike ones would only bury the others.
MOST_FINDINGS: Final = 20
# Operations shown in one report altogether, shared by its cards: keeps a report of a very bad server under 1.5 MB.
_ALL_EXCHANGES: Final = 500
_FEWEST_EXCHANGES: Final = 5


class Group(StrEnum):
    """Where a requirement stands in a report, in the order of reading."""

    NEW = "new failures"
    HARNESS = "harness errors"
    KNOWN = "known failures"
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
    root: str = ""  # blocked: the requirement that stood in the way
    blocks: tuple[str, ...] = ()  # the requirements that wait for this one
    parts: tuple[Part, ...] = ()

    @property
    def area(self) -> str:
        return self.id.rpartition("-")[0] or self.id

    @property
    def title(self) -> str:
        """The requirement's id, or the name of the check that found it."""
        return self.parts[0].title if self.parts and self.parts[0].check and self.id.startswith("finding-") else self.id

    @property
    def statement(self) -> str:
        return self.requirement.statement if self.requirement else ""

    @property
    def failing(self) -> tuple[Part, ...]:
        """The parts that explain the outcome; all of them when none stands out."""
        found = tuple(part for part in self.parts if part.outcome is not Outcome.PASSED)
        return found or self.parts


@dataclass(frozen=True, kw_only=True)
class Story:
    """All that a report says about one run."""

    path: Path
    run: str
    kind: str
    sentence: str
    command: str  # runs the whole again
    manifest: Manifest | None
    results: Results | None  # None: cut off before a verdict
    cards: tuple[Card, ...] = ()  # one a requirement, in the catalogue's order
    findings: tuple[Card, ...] = ()  # findings that no requirement of this run covers
    more_findings: tuple[tuple[str, int], ...] = ()  # check, number not shown
    notes: tuple[str, ...] = ()  # what is missing or unreadable

    @property
    def complete(self) -> bool:
        return self.results is not None and self.results.complete

    @property
    def tone(self) -> str:
        """ "good", "bad" or "unsure"."""
        if self.results is None or self.results.verdict is Verdict.NO_VERDICT:
            return "unsure"
        return "good" if self.results.exit_code == 0 else "bad"

    @property
    def verdict(self) -> str:
        return words.VERDICTS[self.results.verdict] if self.results else "No verdict"

    def group(self, group: Group) -> tuple[Card, ...]:
        """The cards of a group; those that others wait for come first."""
        found = [card for card in self.cards if card.group is group]
        return tuple(sorted(found, key=lambda card: -len(card.blocks)))

    def counts(self) -> dict[Outcome, int]:
        """Requirements by outcome, those that occur, in the order of Outcome."""
        seen = Counter(card.outcome for card in self.cards)
        return {outcome: seen[outcome] for outcome in Outcome if seen[outcome]}

    def areas(self) -> dict[str, list[Card]]:
        grouped: dict[str, list[Card]] = {}
        for card in self.cards:
            grouped.setdefault(card.area, []).append(card)
        return grouped

    def blocked_by_root(self) -> dict[str, list[Card]]:
        grouped: dict[str, list[Card]] = {}
        for card in self.group(Group.BLOCKED):
            grouped.setdefault(card.root or "an earlier failure", []).append(card)
        return grouped


def load_story(path: Path) -> Story:
    """The story of the run in `path`; raises CorruptRunError when `path` is no run or its files contradict it."""
    if not path.is_dir():
        raise CorruptRunError(f"there is no run directory {path}", hint="name one, for example reports/latest")
    directory, notes = RunDirectory(path), list[str]()
    histories = any(path.glob("history-*.ndjson"))
    if not (path / MANIFEST).is_file() and not directory.has_results() and not histories:
        raise CorruptRunError(
            f"{path} is no run directory: it has no {MANIFEST}", hint="name one, for example reports/latest"
        )
    manifest = directory.manifest() if (path / MANIFEST).is_file() else None
    results = directory.results() if directory.has_results() else None
    if manifest is None:
        notes.append(f"{MANIFEST} is missing: what ran, and against what, is not known")
    if results is None:
        notes.append(f"{RESULTS} is missing: the run was cut off before it could judge")
    elif not results.complete:
        notes.append("the run was interrupted: only what had finished by then is here")
    if not histories and results is not None and (results.requirements or results.findings):
        notes.append("there is no history-*.ndjson: failures are told without their operations")
    return _tell(path, manifest, results, notes)


def _tell(path: Path, manifest: Manifest | None, results: Results | None, notes: list[str]) -> Story:
    cards: tuple[Card, ...] = ()
    findings: tuple[Card, ...] = ()
    more: tuple[tuple[str, int], ...] = ()
    if results is not None:
        shown, more = _first_of_each(results.findings)
        cards, findings = _cards(results.requirements, shown, manifest)
        cards, findings = _with_operations(path, cards, findings, manifest, notes)
    return Story(
        path=path,
        run=manifest.run if manifest else path.name,
        kind=manifest.kind if manifest else "conformance" if cards else "load",
        sentence=_sentence(path, results, cards, notes),
        command=command_of(manifest),
        manifest=manifest,
        results=results,
        cards=cards,
        findings=findings,
        more_findings=more,
        notes=tuple(notes),
    )


def _first_of_each(
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


def _cards(
    requirements: Sequence[RequirementResult], findings: Sequence[FindingResult], manifest: Manifest | None
) -> tuple[tuple[Card, ...], tuple[Card, ...]]:
    waiting: dict[str, list[str]] = {}
    for requirement in requirements:
        if requirement.outcome is Outcome.BLOCKED and requirement.root:
            waiting.setdefault(requirement.root, []).append(requirement.id)
    by_requirement: dict[str, list[FindingResult]] = {}
    failed = {requirement.id for requirement in requirements if requirement.outcome is Outcome.FAILED}
    for finding in findings:
        if finding.requirement in failed:
            by_requirement.setdefault(finding.requirement, []).append(finding)
    order = {name: number for number, name in enumerate(catalogue())}
    cards = tuple(
        _card(result, by_requirement.get(result.id, []), tuple(waiting.get(result.id, ())), manifest)
        for result in sorted(requirements, key=lambda result: order.get(result.id, len(order)))
    )
    rest = [finding for finding in findings if finding.requirement not in failed]
    return cards, tuple(_finding_card(number, finding, manifest) for number, finding in enumerate(rest, 1))


def _card(
    result: RequirementResult, findings: list[FindingResult], blocks: tuple[str, ...], manifest: Manifest | None
) -> Card:
    requirement = catalogue().get(result.id)
    parts = [_case_part(case) for case in result.cases]
    told = {(part.proof, frozenset(part.evidence)) for part in parts}
    # A case that used a check says the same as the check over the whole history: once is enough.
    parts += [
        _finding_part(finding) for finding in findings if (finding.proof, frozenset(finding.operations)) not in told
    ]
    if not parts and result.outcome is not Outcome.PASSED:
        parts = [_bare_part(result)]
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
        root=result.root,
        blocks=blocks,
        parts=tuple(parts),
    )


def _group(result: RequirementResult, requirement: Requirement | None, manifest: Manifest | None) -> Group:
    """Known failures that matched do not gate; nor does what the catalogue only tells."""
    group = _BY_OUTCOME[result.outcome]
    if result.outcome is Outcome.PASSED and result.known_failure:
        return Group.FIXED
    if group is not Group.NEW:
        return group
    if result.known_failure:
        return Group.KNOWN
    if requirement is None:
        return Group.NEW
    strict = bool(manifest) and (manifest.options.get("fail_on") == "should" if manifest else False)
    told = requirement.known == "inferred" or requirement.profile == "advisory"
    return Group.NEW if requirement.gates or (strict and not told) else Group.TOLD


def _case_part(case: CaseResult) -> Part:
    return Part(
        title=case.name.rpartition("::")[2].removeprefix("test_").replace("_", " ") or case.requirement,
        source=case.name,
        outcome=case.outcome,
        summary=case.summary,
        expected=case.expected,
        seen=case.seen,
        proof=case.proof,
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


def _with_operations(
    path: Path, cards: tuple[Card, ...], findings: tuple[Card, ...], manifest: Manifest | None, notes: list[str]
) -> tuple[tuple[Card, ...], tuple[Card, ...]]:
    """The same cards, with exchanges and a layout in every part that did not pass."""
    everything = [*cards, *findings]
    wanted = [
        part
        for card in everything
        for part in card.parts
        if part.evidence and (part.outcome is not Outcome.PASSED or card.group is Group.TOLD)
    ]
    cap = max(_FEWEST_EXCHANGES, min(MOST_EXCHANGES, _ALL_EXCHANGES // max(1, len(wanted))))
    wants = [Want(operations=frozenset(part.evidence), message=part.message) for part in wanted]
    picked, troubles = pick(path, wants, cap=cap)
    notes += troubles
    slack_s = _slack_s(manifest)
    filled: dict[int, Part] = {}
    for part, found in zip(wanted, picked, strict=True):
        layout = lay_out(found.exchanges, subjects=found.subjects, check=part.check, slack_s=slack_s)
        filled[id(part)] = replace(part, picked=found, layout=layout)
    done = [replace(card, parts=tuple(filled.get(id(part), part) for part in card.parts)) for card in everything]
    return tuple(done[: len(cards)]), tuple(done[len(cards) :])


def _slack_s(manifest: Manifest | None) -> float:
    if manifest is None:
        return 0.0
    value = manifest.options.get("slack_s", manifest.options.get("slack"))
    return float(value) if isinstance(value, int | float) and value > 0 else 0.0


def _sentence(path: Path, results: Results | None, cards: tuple[Card, ...], notes: list[str]) -> str:
    """The answer to "may I ship?"."""
    if results is None:
        return _cut_off(path, notes)
    if results.summary:
        return results.summary
    if results.verdict in {Verdict.OBJECTIVES_MET, Verdict.OBJECTIVES_MISSED}:
        met = sum(bool(objective.get("met")) for objective in results.objectives)
        said = f"{met} of {count(len(results.objectives), 'objective')} met"
        violations = sum(finding.weight == "violation" for finding in results.findings)
        return f"{said}, {count(violations, 'finding')}." if violations else f"{said}."
    new = [card.id for card in cards if card.group is Group.NEW]
    passed = sum(card.outcome is Outcome.PASSED for card in cards)
    if results.verdict is Verdict.CONFORMS and passed == len(cards):
        return f"{'The' if passed == 1 else 'All'} {count(passed, 'requirement')} passed."
    if results.verdict is Verdict.CONFORMS:
        return f"{passed} of {count(len(cards), 'requirement')} passed; nothing among the rest gates."
    if new:
        return f"{words.enumerate_words(new)} failed; {passed} of {count(len(cards), 'requirement')} passed."
    return f"Too little was seen to judge: {passed} of {count(len(cards), 'requirement')} passed."


def _cut_off(path: Path, notes: list[str]) -> str:
    cases: set[str] = set()
    calls = 0
    for exchange in exchanges(path, notes):
        calls += 1
        cases.add(exchange.invoke.case)
    cases.discard("")
    seen = f"{count(calls, 'call')} of {count(len(cases), 'case')} were recorded" if calls else "no call was recorded"
    return f"The run was cut off before a verdict; {seen}."
