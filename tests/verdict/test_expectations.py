"""How each outcome stands to what was expected, and what of it closes the gate."""

from datetime import date
from typing import Any

import pytest

from queueproof.contract.requirements import catalogue
from queueproof.errors import ExitCode
from queueproof.evidence.results import CaseResult, Outcome, RequirementResult
from queueproof.verdict.expectations import Expectation, Expectations
from queueproof.verdict.judge import Judgement, judge
from queueproof.verdict.signature import signature

TODAY = date(2026, 11, 24)
SHOULD = next(n for n, one in catalogue().items() if one.level == "SHOULD" and one.known != "inferred")


def case(requirement: str = "VIS-1", outcome: str = "failed", **more: Any) -> CaseResult:
    return CaseResult(
        name=f"t.py::test_{requirement}",
        requirement=requirement,
        outcome=Outcome(outcome),
        **{"summary": "it broke", **more},
    )


def signs(one: CaseResult) -> tuple[str, ...]:
    return signature(RequirementResult(id="VIS-1", level="MUST", profile="core", outcome=Outcome.FAILED, cases=(one,)))


def entry(requirement: str = "VIS-1", **more: Any) -> Expectation:
    fields: dict[str, Any] = {"why": "later", "signature": signs(case(requirement))} | more
    return Expectation(requirement=requirement, **fields)


def judged(*cases: CaseResult, entries: tuple[Expectation, ...] = (), **options: Any) -> Judgement:
    made_with = options.pop("catalogue", 1)
    names = {"SCOPE-1", *(one.requirement for one in cases)}
    return judge(
        [one for one in catalogue().values() if one.id in names],
        [case("SCOPE-1", "passed", summary=""), *cases],
        expectations=Expectations(catalogue=made_with, entries={one.requirement: one for one in entries}),
        today=TODAY,
        **options,
    )


def of(judgement: Judgement, requirement: str = "VIS-1") -> RequirementResult:
    return next(result for result in judgement.requirements if result.id == requirement)


@pytest.mark.parametrize(
    ("outcome", "expected", "standing", "code"),
    [
        ("failed", None, "new", 1),
        ("failed", entry(), "known", 0),
        ("failed", entry(signature=("VIS-1: otherwise [0a1b2c3d]",)), "unmatched", 1),
        ("failed", entry(outcome=Outcome.INCONCLUSIVE, signature=()), "unmatched", 1),
        ("failed", entry(expires=date(2026, 11, 23)), "expired", 1),
        ("failed", entry(expires=TODAY), "known", 0),
        ("passed", None, "", 0),
        ("passed", entry(), "stale", 1),
        ("passed", entry(outcome=Outcome.INCONCLUSIVE, signature=()), "stale", 1),
        ("passed", entry(expires=date(2026, 11, 23)), "stale", 1),
        ("passed", entry(sometimes=True, expires=TODAY), "known", 0),
        ("passed", entry(sometimes=True, expires=date(2026, 11, 23)), "expired", 1),
        ("not-supported", entry(), "unmatched", 1),
        ("not-supported", entry(outcome=Outcome.NOT_SUPPORTED, signature=()), "known", 0),
        ("inconclusive", None, "", 4),
        ("inconclusive", entry(), "untold", 4),
        ("inconclusive", entry(outcome=Outcome.INCONCLUSIVE, signature=()), "known", 0),
        ("not-run", entry(outcome=Outcome.NOT_RUN, signature=()), "known", 0),
        ("harness-error", entry(), "untold", 5),
    ],
)
def test_an_outcome_stands_to_its_entry(outcome: str, expected: Expectation | None, standing: str, code: int) -> None:
    judgement = judged(case(outcome=outcome), entries=(expected,) if expected else ())
    result = of(judgement)
    assert (result.expectation, judgement.exit_code) == (standing, code)
    assert bool(result.known_failure) is (expected is not None)
    assert bool(result.remark) is (standing not in {"", "new", "known"} or (standing, outcome) == ("known", "passed"))


def test_a_known_failure_hides_no_new_one() -> None:
    judgement = judged(case(), case("PUB-1"), entries=(entry(),))
    assert judgement.exit_code == ExitCode.DOES_NOT
    assert judgement.summary.startswith("Does not conform: it breaks PUB-1 (")
    assert "1 as expected" in judgement.summary


def test_an_entry_about_something_else_is_passed_over() -> None:
    """A run of a few requirements says nothing about the others."""
    assert judged(case(outcome="passed"), entries=(entry("PUB-1"),)).exit_code == ExitCode.CONFORMS


def test_what_never_gates_is_not_new_but_may_be_stale() -> None:
    assert of(judged(case(SHOULD)), SHOULD).expectation == ""
    assert of(judged(case(SHOULD), fail_on="should"), SHOULD).expectation == "new"
    assert judged(case(SHOULD, "passed"), entries=(entry(SHOULD),)).exit_code == ExitCode.DOES_NOT


def test_what_waits_for_a_known_failure_leaves_nothing_open() -> None:
    waiting = case("VIS-2", "blocked", root="VIS-1"), case("VIS-3", "blocked", root="VIS-2")
    assert judged(case(), *waiting, entries=(entry(),)).exit_code == ExitCode.CONFORMS
    other = case("PUB-2", "blocked", root="PUB-1")
    assert judged(case(), *waiting, other, case("PUB-1", "inconclusive"), entries=(entry(),)).exit_code == 4


def test_a_requirement_that_is_newer_than_the_file_is_provisional() -> None:
    """Whatever becomes of it, a user who has made no decision about it is not held up."""
    for outcome in ("failed", "inconclusive", "blocked", "not-run"):
        judgement = judged(case(outcome=outcome, root="PUB-1" if outcome == "blocked" else ""), catalogue=0)
        assert (of(judgement).expectation, judgement.exit_code) == ("provisional", 0), outcome
        assert "catalogue 1" in of(judgement).remark
    assert of(judged(case(outcome="passed"), catalogue=0)).expectation == ""
    assert of(judged(case(), entries=(entry(),), catalogue=0)).expectation == "known"


def test_without_a_file_every_requirement_gates() -> None:
    judgement = judge([catalogue()["VIS-1"]], [case()])
    assert (of(judgement).expectation, judgement.exit_code) == ("new", 1)
    assert of(judgement).signature == signs(case())


def test_nothing_that_ran_no_case_conforms_however_well_it_was_expected() -> None:
    expected = entry(outcome=Outcome.NOT_RUN, signature=())
    judgement = judge(
        [catalogue()["VIS-1"]],
        [case(outcome="not-run")],
        expectations=Expectations(entries={"VIS-1": expected}),
        today=TODAY,
    )
    assert judgement.exit_code == ExitCode.NO_VERDICT


def test_an_interruption_is_one_whatever_was_expected() -> None:
    assert judged(case(outcome="passed"), entries=(entry(),), complete=False).exit_code == ExitCode.INTERRUPTED


def test_the_words_of_an_entry() -> None:
    told = entry(issue="#41", expires=TODAY).words
    assert told == "later (#41, until 2026-11-24)"
    assert entry().words == "later"


class TestDeclared:
    """A declared verb that is absent fails the requirement that is about it, and nothing else does."""

    @staticmethod
    def extend(**more: Any) -> CaseResult:
        return case("VIS-5", "not-supported", **{"summary": "extend answers 404", "lacks": ("extend",), **more})

    def test_its_absence_fails(self) -> None:
        judgement = judged(self.extend(), declared=["extend"])
        assert (of(judgement, "VIS-5").outcome, judgement.exit_code) == (Outcome.FAILED, 1)
        assert "no extend" in of(judgement, "VIS-5").cases[0].seen

    def test_undeclared_it_is_not_supported(self) -> None:
        for declared in ([], ["release"]):
            judgement = judged(self.extend(), declared=declared)
            assert (of(judgement, "VIS-5").outcome, judgement.exit_code) == (Outcome.NOT_SUPPORTED, 0)

    def test_what_is_only_refused_accuses_nobody(self) -> None:
        """A body that the server wants otherwise, where no page says how."""
        judgement = judged(self.extend(lacks=()), declared=["extend"])
        assert of(judgement, "VIS-5").outcome is Outcome.NOT_SUPPORTED

    def test_another_requirement_that_missed_the_verb_is_not_broken(self) -> None:
        judgement = judged(case("DONE-5", "not-supported", lacks=("extend",)), declared=["extend"])
        assert of(judgement, "DONE-5").outcome is Outcome.NOT_SUPPORTED
