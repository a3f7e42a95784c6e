"""Reads the results of several implementations and lays them side by side: requirements, observations, identities."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from queueproof.contract.requirements import PROFILES, Requirement, catalogue
from queueproof.errors import UsageError
from queueproof.evidence.results import Outcome, RequirementResult, Results
from queueproof.evidence.run import MANIFEST, RESULTS, Manifest, RunDirectory
from queueproof.report import words
from queueproof.report.again import command_of, harmless
from queueproof.report.cards import Group, build_cards
from queueproof.report.text import count, plain

# What a target may say of itself, in the order in which it names it; addresses and keys are told elsewhere.
_IDENTITY: Final = ("name", "implementation", "software", "product", "version", "revision", "commit", "build", "image")
# Outcomes that say how an implementation is, not what the run lacked.
_TOLD: Final = frozenset({Outcome.PASSED, Outcome.FAILED, Outcome.NOT_SUPPORTED})
_NAMES: Final = ("name", "implementation", "software", "product")
_STAMPED: Final = re.compile(r"\d{8}-\d{6}-")
_GIVEN: Final = re.compile(r"([^=/\\]+)=(.+)")


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """One run of one implementation: a column."""

    name: str
    slug: str  # for file names and anchors; unique
    results: Results
    manifest: Manifest | None

    @property
    def outcomes(self) -> dict[str, RequirementResult]:
        return {result.id: result for result in self.results.requirements}

    @property
    def verdict(self) -> str:
        return words.VERDICTS[self.results.verdict]

    @property
    def tone(self) -> str:
        """ "good", "bad" or "unsure"."""
        if self.results.verdict.value == "no-verdict":
            return "unsure"
        return "good" if self.results.exit_code == 0 else "bad"

    @property
    def counts(self) -> dict[Outcome, int]:
        seen = Counter(result.outcome for result in self.results.requirements)
        return {outcome: seen[outcome] for outcome in Outcome if seen[outcome]}

    @cached_property
    def groups(self) -> dict[str, Group]:
        """Where each requirement stands, as its own report says it."""
        cards, _ = build_cards(self.results.requirements, (), self.manifest)
        return {card.id: card.group for card in cards}

    @property
    def broken(self) -> list[str]:
        """Failed requirements that gate: no known failure, and nothing that is only told."""
        return [name for name, group in self.groups.items() if group is Group.NEW]

    @property
    def identity(self) -> str:
        """What the target says of itself: "mini-queue 1.4.2 (a1b2c3d)"; "" when it said nothing."""
        told = self._told(_IDENTITY)
        return " ".join(dict.fromkeys(told))

    def _told(self, names: Sequence[str]) -> list[str]:
        target = self.manifest.target if self.manifest else {}
        says = target.get("says") or target.get("identity")
        places = [target, says] if isinstance(says, dict) else [target]
        return [plain(place[name], 60) for name in names for place in places if isinstance(place.get(name), str)]

    @property
    def url(self) -> str:
        return harmless(str(self.manifest.target.get("url") or "")) if self.manifest else ""

    @property
    def date(self) -> str:
        return self.manifest.started[:16].replace("T", " ") if self.manifest else ""

    @property
    def version(self) -> str:
        """Of queueproof."""
        return self.manifest.version if self.manifest else ""

    @property
    def command(self) -> str:
        return command_of(self.manifest)

    @property
    def partial(self) -> str:
        """Why this is less than the whole contract, in words; "" when all of it was tried."""
        if not self.results.complete:
            return "cut off: only what had finished by then"
        number = len(self.results.requirements)
        held = len(catalogue())
        if number >= held:
            return ""
        profile = str(self.manifest.options.get("profile", "")) if self.manifest else ""
        named = bool(self.manifest.options.get("requirement")) if self.manifest else False
        chosen = f"{profile} profile: " if profile in PROFILES and not named else ""
        return f"{chosen}{number} of {count(held, 'requirement')}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One requirement over all implementations; None where a run did not try it."""

    id: str
    requirement: Requirement | None
    cells: tuple[RequirementResult | None, ...]

    @property
    def area(self) -> str:
        return self.id.rpartition("-")[0] or self.id

    @property
    def level(self) -> str:
        return self.requirement.level if self.requirement else self._first.level

    @property
    def profile(self) -> str:
        return self.requirement.profile if self.requirement else self._first.profile

    @property
    def _first(self) -> RequirementResult:
        return next(cell for cell in self.cells if cell is not None)

    @property
    def differs(self) -> bool:
        """Whether two implementations were seen to differ; what could not be told is no difference."""
        return len({cell.outcome for cell in self.cells if cell is not None and cell.outcome in _TOLD}) > 1


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One open question over all implementations; "" where a run did not look."""

    id: str
    statement: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        return len({value for value in self.values if value}) > 1


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Everything that the page, the Markdown and the badges show."""

    implementations: tuple[Implementation, ...]
    rows: tuple[Row, ...]
    observations: tuple[Observed, ...]

    def areas(self) -> dict[str, list[Row]]:
        grouped: dict[str, list[Row]] = {}
        for row in self.rows:
            grouped.setdefault(row.area, []).append(row)
        return grouped


def build(sources: Sequence[str]) -> Matrix:
    """The matrix of results: each source a run directory or a results.json, `NAME=SOURCE` to name it.

    Raises UsageError for a source that is no result of a conformance run, or for two of one name; CorruptRunError for
    a file that cannot be read as one.
    """
    found = [_read(source) for source in sources]
    _refuse_twins([name for name, *_ in found], sources)
    slugs: Counter[str] = Counter()
    implementations = []
    for name, results, manifest in found:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "implementation"
        slugs[slug] += 1
        unique = slug if slugs[slug] == 1 else f"{slug}-{slugs[slug]}"
        implementations.append(Implementation(name=name, slug=unique, results=results, manifest=manifest))
    outcomes = [implementation.outcomes for implementation in implementations]
    known = catalogue()
    names = dict.fromkeys([*known, *(name for each in outcomes for name in each)])
    rows = tuple(
        Row(id=name, requirement=known.get(name), cells=tuple(each.get(name) for each in outcomes))
        for name in names
        if any(name in each for each in outcomes)
    )
    return Matrix(implementations=tuple(implementations), rows=rows, observations=tuple(_observed(implementations)))


def _observed(implementations: Sequence[Implementation]) -> list[Observed]:
    """Every question that any run answered, by its number."""
    answers: list[dict[str, Any]] = [{o.id: o.value for o in each.results.observations} for each in implementations]
    statements = {o.id: o.statement for each in implementations for o in each.results.observations}
    order = sorted(statements, key=lambda name: (int("".join(re.findall(r"\d", name)[:6]) or 0), name))
    return [
        Observed(
            id=name,
            statement=statements[name],
            values=tuple(plain(words.value(each[name]), 200) if name in each else "" for each in answers),
        )
        for name in order
    ]


def _refuse_twins(names: Sequence[str], sources: Sequence[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            twins = [source for called, source in zip(names, sources, strict=True) if called == name]
            raise UsageError(
                f"{' and '.join(twins)} are both named {plain(name, 60)!r}", hint=f"name them apart: OTHER={twins[-1]}"
            )


def _read(source: str) -> tuple[str, Results, Manifest | None]:
    """Name, results and manifest of one source."""
    given, place = "", Path(source)
    if not place.exists() and (named := _GIVEN.fullmatch(source)):
        given, place = plain(named[1].strip(), 60), Path(named[2])
    if not place.exists():
        raise UsageError(f"there is no {place}", hint=f"name a run directory, or its {RESULTS}")
    folder = place if place.is_dir() else place.parent
    if place.is_dir() and not (place / RESULTS).is_file():
        raise UsageError(f"{place} holds no {RESULTS}", hint="name a run directory of queueproof conformance")
    results = RunDirectory(folder).results(place.name if place.is_file() else RESULTS)
    if not results.requirements:
        raise UsageError(
            f"{place} holds no requirements: it is not of a conformance run",
            hint="run queueproof conformance against the implementation first",
        )
    beside = (folder / MANIFEST).is_file() and (place.is_dir() or place.name == RESULTS)
    manifest = RunDirectory(folder).manifest() if beside else None
    return given or _name(place, manifest), results, manifest


def _name(place: Path, manifest: Manifest | None) -> str:
    """What an implementation is called: as it names itself, else as its folder or file, else by its address."""
    target = manifest.target if manifest else {}
    told = next((plain(target[name], 60) for name in _NAMES if isinstance(target.get(name), str) and target[name]), "")
    if told:
        return told
    place = place.resolve()
    own = place.parent.name if place.name == RESULTS else place.stem if place.is_file() else place.name
    if _STAMPED.match(own) and target.get("url"):
        return plain(
            str(target["kind"] if target.get("kind") not in {None, "", "url"} else harmless(target["url"])), 60
        )
    return plain(own, 60)


def as_json(matrix: Matrix) -> str:
    """The matrix for a script: implementations by slug, requirements and observations by implementation."""
    slugs = [each.slug for each in matrix.implementations]
    told = {
        "implementations": [
            {
                "slug": each.slug, "name": each.name, "verdict": each.results.verdict, "partial": each.partial,
                "identity": each.identity, "date": each.date, "command": each.command,
            }
            for each in matrix.implementations
        ],
        "requirements": {
            row.id: {slug: cell.outcome for slug, cell in zip(slugs, row.cells, strict=True) if cell}
            for row in matrix.rows
        },
        "observations": {
            seen.id: {slug: value for slug, value in zip(slugs, seen.values, strict=True) if value}
            for seen in matrix.observations
        },
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"
