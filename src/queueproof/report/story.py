"""Reads a run directory once and gives the pieces that every format shows: sentence, groups, cards.

Whatever is missing is said, not raised: a run that was cut off has a story too. Only a folder that is no run, or a
file that cannot be trusted, raises CorruptRunError.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from queueproof.errors import CorruptRunError, ExitCode
from queueproof.evidence.results import Outcome, Results, Verdict
from queueproof.evidence.run import MANIFEST, RESULTS, Manifest, RunDirectory
from queueproof.report import words
from queueproof.report.again import command_of, harmless, is_secret
from queueproof.report.cards import Card, Group, Part, build_cards, first_of_each
from queueproof.report.exchange import MOST_EXCHANGES, Want, exchanges, pick
from queueproof.report.load import load_troubles
from queueproof.report.text import count
from queueproof.report.timeline import lay_out

# Operations shown in one report altogether, shared by its cards: keeps a report of a very bad server under 1.5 MB.
_ALL_EXCHANGES: Final = 500
_FEWEST_EXCHANGES: Final = 5


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
    def target(self) -> str:
        """The target's address, "" when it is not known."""
        return harmless(str(self.manifest.target.get("url") or "")) if self.manifest else ""

    @property
    def needs_key(self) -> bool:
        """Whether a command that runs it again has to be given a key: the target was not started by the run."""
        return self.manifest is not None and self.manifest.target.get("kind") == "url"

    @property
    def facts(self) -> list[tuple[str, Any]]:
        """What else the manifest tells of the target and of the options; no secret, whoever wrote it there."""
        if self.manifest is None:
            return []
        told = [(f"Target: {name}", value) for name, value in self.manifest.target.items() if name != "url"]
        told += [(f"Option: {name}", value) for name, value in self.manifest.options.items() if not is_secret(name)]
        return [(name.replace("_", " "), value) for name, value in told if value not in (None, "", [], {}, ())]

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

    def findings_by_check(self) -> dict[str, list[Card]]:
        """Violations before notes, as they stand in `findings`."""
        grouped: dict[str, list[Card]] = {}
        for card in self.findings:
            grouped.setdefault(card.title, []).append(card)
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
        how = "was interrupted" if results.exit_code == ExitCode.INTERRUPTED else "ended early"
        notes.append(f"the run {how}: only what had finished by then is here")
    if results is not None:
        notes += load_troubles(results)
    if not histories and results is not None and (results.requirements or results.findings):
        notes.append("there is no history-*.ndjson: failures are told without their operations")
    return _tell(path, manifest, results, notes)


def _tell(path: Path, manifest: Manifest | None, results: Results | None, notes: list[str]) -> Story:
    cards: tuple[Card, ...] = ()
    findings: tuple[Card, ...] = ()
    more: tuple[tuple[str, int], ...] = ()
    if results is not None:
        shown, more = first_of_each(results.findings)
        cards, findings = build_cards(results.requirements, shown, manifest)
        cards, findings = _with_operations(path, cards, findings, _slack_s(manifest, results), notes)
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


def _with_operations(
    path: Path,
    cards: tuple[Card, ...],
    findings: tuple[Card, ...],
    slack_s: float,
    notes: list[str],
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
    filled: dict[int, Part] = {}
    for part, found in zip(wanted, picked, strict=True):
        layout = lay_out(found.exchanges, subjects=found.subjects, check=part.check, slack_s=slack_s)
        filled[id(part)] = replace(part, picked=found, layout=layout)
    done = [replace(card, parts=tuple(filled.get(id(part), part) for part in card.parts)) for card in everything]
    return tuple(done[: len(cards)]), tuple(done[len(cards) :])


def _slack_s(manifest: Manifest | None, results: Results) -> float:
    """How much later than its timeout a message might come back, as the run was told; 0 when it says nothing."""
    options = manifest.options if manifest else {}
    for value in (options.get("slack_s"), options.get("slack"), results.load.get("slack_s")):
        if isinstance(value, int | float) and value > 0:
            return float(value)
    return 0.0


def _sentence(path: Path, results: Results | None, cards: tuple[Card, ...], notes: list[str]) -> str:
    """The answer to "may I ship?"."""
    if results is None:
        return _cut_off(path, notes)
    if results.summary:
        return _without_verdict(results.summary, words.VERDICTS[results.verdict])
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


def _without_verdict(sentence: str, verdict: str) -> str:
    """The verdict stands above it: "Does not conform: it breaks VIS-1." → "It breaks VIS-1." """
    rest = sentence[len(verdict) + 1 :].strip()
    if not sentence.lower().startswith(f"{verdict.lower()}:") or not rest:
        return sentence
    return rest[0].upper() + rest[1:]


def _cut_off(path: Path, notes: list[str]) -> str:
    cases: set[str] = set()
    calls = 0
    for exchange in exchanges(path, notes):
        calls += 1
        cases.add(exchange.invoke.case)
    cases.discard("")
    seen = f"{count(calls, 'call')} of {count(len(cases), 'case')} were recorded" if calls else "no call was recorded"
    return f"The run was cut off before a verdict; {seen}."
