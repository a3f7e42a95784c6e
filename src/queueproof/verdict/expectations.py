"""What a user expects to fail, and how each outcome of a run stands to it: only what is new gates.

An entry that no longer holds fails the run as well (stale, unmatched, expired): a list of known failures that nobody
has to look at again would hide the next bug behind the last one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import msgspec

from queueproof.contract.requirements import catalogue
from queueproof.evidence.results import Outcome, RequirementResult
from queueproof.verdict.signature import matches, signature

# What an entry may expect. A pass needs none, and a crash of ours is nothing to get used to.
EXPECTED: Final = tuple(one for one in Outcome if one not in {Outcome.PASSED, Outcome.HARNESS_ERROR})
DEFINITE: Final = frozenset({Outcome.PASSED, Outcome.FAILED, Outcome.NOT_SUPPORTED})
# Entries that fail a run, whatever the level of their requirement; what may lack without failing it.
GATING: Final = frozenset({"stale", "unmatched", "expired"})
EXCUSED: Final = frozenset({"known", "provisional"})


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One entry of the file."""

    requirement: str
    outcome: Outcome = Outcome.FAILED
    why: str
    issue: str = ""
    expires: date | None = None  # the last day on which it holds, UTC
    signature: tuple[str, ...] = ()
    sometimes: bool = False  # it does not fail in every run, so that a pass proves nothing
    line: int = 0  # of the file, from 1; 0 where that is not known

    @property
    def words(self) -> str:
        """Why it is known, where it is followed up, and until when, in one line."""
        until = f"until {self.expires.isoformat()}" if self.expires else ""
        more = ", ".join(filter(None, (self.issue, until)))
        return f"{self.why} ({more})" if more else self.why


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """A file of expectations. `catalogue`: the catalogue that it was made with; what came later is provisional."""

    name: str = ""
    catalogue: int = 1
    entries: Mapping[str, Expectation] = field(default_factory=dict)  # by requirement, in the order of the file


def compare(
    results: Sequence[RequirementResult],
    expectations: Expectations | None,
    *,
    today: date,
    gates: Callable[[RequirementResult], bool],
    fixed: Collection[str] = (),
) -> tuple[RequirementResult, ...]:
    """The same results, each with its signature and with how it stands to what was expected.

    `today`: UTC; `gates`: whether a failure of the requirement fails a server; `fixed`: entries just taken out.
    """
    compared = (_compared(result, expectations, today, gates) for result in results)
    return tuple(
        _with(one, "fixed", "its entry has been taken out") if one.id in fixed and not one.expectation else one
        for one in compared
    )


def _compared(
    result: RequirementResult,
    expectations: Expectations | None,
    today: date,
    gates: Callable[[RequirementResult], bool],
) -> RequirementResult:
    signs = signature(result)
    entry = expectations.entries.get(result.id) if expectations else None
    if entry is not None:
        kind, remark = _standing(result, signs, entry, today)
        return _with(result, kind, remark, signature=signs, known_failure=entry.words)
    if expectations is not None and result.outcome not in DEFINITE - {Outcome.FAILED}:
        since = catalogue()[result.id].since
        if since > expectations.catalogue:
            remark = (
                f"it came with catalogue {since}, and the expectations are of catalogue {expectations.catalogue}: "
                "it gates once --update-expectations has written the new number"
            )
            return _with(result, "provisional", remark, signature=signs)
    new = result.outcome is Outcome.FAILED and gates(result)
    return _with(result, "new" if new else "", "", signature=signs)


def _standing(result: RequirementResult, signs: tuple[str, ...], entry: Expectation, today: date) -> tuple[str, str]:
    """How an outcome stands to the entry about its requirement, and what that means for the user."""
    if result.outcome is Outcome.PASSED and not entry.sometimes:
        return "stale", "it passes now: take its entry away, or run with --update-expectations"
    if entry.expires is not None and entry.expires < today:
        return "expired", f"its entry expired on {entry.expires.isoformat()}: mend it, or set a new date by hand"
    if result.outcome is Outcome.PASSED:
        return "known", "it passed this time; its entry says that it fails only sometimes"
    if result.outcome is not entry.outcome and result.outcome not in DEFINITE:
        return "untold", f"whether its entry ({entry.outcome}) still holds could not be told"
    if result.outcome is not entry.outcome:
        return "unmatched", f"its entry says {entry.outcome}, and it is {result.outcome}: look at it anew"
    if result.outcome is Outcome.FAILED and not matches(signs, entry.signature):
        was = "; ".join(entry.signature) or "nothing"
        return "unmatched", f"it fails in another way than its entry says ({was}): look at it anew"
    return "known", ""


def _with(result: RequirementResult, kind: str, remark: str, **more: object) -> RequirementResult:
    return msgspec.structs.replace(result, expectation=kind, remark=remark, **more)


def counted(results: Sequence[RequirementResult]) -> dict[str, int]:
    """How many requirements stand how, those kinds that occur."""
    kinds = [result.expectation for result in results if result.expectation]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
