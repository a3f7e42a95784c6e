"""Outcomes to one exit code: a table of what each means, and who may accuse whom."""

from collections.abc import Sequence

import pytest

from queueproof.checks.finding import Finding
from queueproof.contract.requirements import Requirement, catalogue
from queueproof.errors import ExitCode
from queueproof.evidence.results import CaseResult, Outcome, RequirementResult, Verdict
from queueproof.verdict.judge import Judgement, Proof, gates, judge

KNOWN = catalogue()


def first(**wanted: object) -> str:
    """A requirement of the catalogue with these members."""
    return next(
        name for name, one in KNOWN.items() if all(getattr(one, member) == value for member, value in wanted.items())
    )


CORE = [name for name, one in KNOWN.items() if one.profile == "core" and one.gates]
MUST, OTHER = CORE[:2]
EXTENDED = first(profile="extended", level="MUST", gates=True)
SHOULD = next(n for n, one in KNOWN.items() if one.level == "SHOULD" and one.known != "inferred")
INFERRED = first(level="MUST", known="inferred")


def case(requirement: str, outcome: Outcome | str, *, root: str = "", summary: str = "", number: int = 0) -> CaseResult:
    return CaseResult(
        name=f"test_x.py::test_{requirement}_{number}",
        requirement=requirement,
        outcome=Outcome(outcome),
        summary=summary,
        root=root,
        evidence=(number,),
    )


def finding(requirement: str, *, weight: str = "violation") -> Finding:
    return Finding(
        check="exclusivity",
        requirement=requirement,
        summary="two holders",
        operations=(1, 2),
        proof="1 < 2",
        weight=weight,
    )  # type: ignore[arg-type]


def judged(*cases: CaseResult, selected: Sequence[str] = (), **options: object) -> Judgement:
    names = selected or sorted({one.requirement for one in cases})
    wanted: list[Requirement] = [KNOWN[name] for name in KNOWN if name in names]
    return judge(wanted, cases, **options)  # type: ignore[arg-type]


def of(judgement: Judgement, requirement: str) -> RequirementResult:
    return next(result for result in judgement.requirements if result.id == requirement)


class TestExitCodes:
    """What each outcome of a requirement makes of the run (beside one that passed)."""

    @pytest.mark.parametrize(
        ("requirement", "outcome", "plain", "allowing"),
        [
            (OTHER, "passed", 0, 0),
            (OTHER, "failed", 1, 1),
            (OTHER, "not-supported", 0, 0),
            (OTHER, "not-run", 4, 0),
            (OTHER, "inconclusive", 4, 0),
            (OTHER, "harness-error", 5, 5),
            (EXTENDED, "failed", 1, 1),
            (EXTENDED, "inconclusive", 0, 0),
            (EXTENDED, "not-run", 0, 0),
            (EXTENDED, "harness-error", 5, 5),
            (SHOULD, "failed", 0, 0),
            (SHOULD, "inconclusive", 0, 0),
            (INFERRED, "failed", 0, 0),
        ],
    )
    def test_beside_a_pass(self, requirement: str, outcome: str, plain: int, allowing: int) -> None:
        cases = case(MUST, "passed"), case(requirement, outcome)
        assert judged(*cases).exit_code == plain
        assert judged(*cases, allow_inconclusive=True).exit_code == allowing

    def test_a_failure_counts_more_than_what_could_not_be_told(self) -> None:
        assert judged(case(MUST, "failed"), case(OTHER, "inconclusive")).exit_code == ExitCode.DOES_NOT
        assert judged(case(MUST, "failed"), case(OTHER, "harness-error")).exit_code == ExitCode.DOES_NOT

    def test_an_interruption_counts_more_than_anything(self) -> None:
        assert judged(case(MUST, "failed"), complete=False).exit_code == ExitCode.INTERRUPTED
        assert judged(case(MUST, "passed"), complete=False, allow_inconclusive=True).exit_code == ExitCode.INTERRUPTED

    @pytest.mark.parametrize("allow", [False, True])
    @pytest.mark.parametrize("outcome", ["not-supported", "not-run", "inconclusive", "blocked"])
    def test_nothing_that_ran_no_case_exits_0(self, outcome: str, allow: bool) -> None:
        judgement = judged(case(MUST, outcome), allow_inconclusive=allow)
        assert (judgement.exit_code, judgement.verdict) == (ExitCode.NO_VERDICT, Verdict.NO_VERDICT)

    @pytest.mark.parametrize("allow", [False, True])
    def test_no_case_at_all(self, allow: bool) -> None:
        assert judged(selected=[MUST], allow_inconclusive=allow).exit_code == ExitCode.NO_VERDICT
        assert judge([], [], allow_inconclusive=allow).exit_code == ExitCode.NO_VERDICT

    def test_a_selected_core_must_without_a_case_is_open(self) -> None:
        judgement = judged(case(MUST, "passed"), selected=[MUST, OTHER])
        assert (judgement.exit_code, of(judgement, OTHER).outcome) == (ExitCode.NO_VERDICT, Outcome.NOT_RUN)

    def test_should_fails_when_it_is_asked_to(self) -> None:
        cases = case(MUST, "passed"), case(SHOULD, "failed")
        assert judged(*cases, fail_on="should").exit_code == ExitCode.DOES_NOT

    def test_what_is_only_inferred_never_fails(self) -> None:
        for name, requirement in KNOWN.items():
            if requirement.known == "inferred":
                assert not any(gates(result, "should") for result in judged(case(name, "failed")).requirements)

    def test_the_verdict_follows_the_exit_code(self) -> None:
        assert judged(case(MUST, "passed")).verdict is Verdict.CONFORMS
        assert judged(case(MUST, "failed")).verdict is Verdict.DOES_NOT_CONFORM
        assert judged(case(MUST, "harness-error")).verdict is Verdict.NO_VERDICT


class TestCases:
    """Several cases of one requirement."""

    @pytest.mark.parametrize(
        ("outcomes", "expected"),
        [
            (["passed", "failed"], "failed"),
            (["harness-error", "failed"], "failed"),
            (["passed", "harness-error"], "harness-error"),
            (["passed", "inconclusive"], "inconclusive"),
            (["passed", "not-supported"], "passed"),
            (["passed", "not-run"], "passed"),
            (["not-supported", "not-supported"], "not-supported"),
        ],
    )
    def test_the_worst_counts(self, outcomes: list[str], expected: str) -> None:
        for order in (outcomes, outcomes[::-1]):
            cases = [case(MUST, outcome, number=number) for number, outcome in enumerate(order)]
            assert of(judged(*cases), MUST).outcome == expected

    def test_the_failing_cases_words_are_the_requirements(self) -> None:
        result = of(judged(case(MUST, "passed"), case(MUST, "failed", summary="it broke", number=7)), MUST)
        assert (result.summary, result.evidence, len(result.cases)) == ("it broke", (7,), 2)


class TestBlocked:
    """Grouped under the root that stood in the way."""

    def test_by_a_root_that_failed(self) -> None:
        judgement = judged(case(MUST, "failed"), case(OTHER, "blocked", root=MUST))
        assert (of(judgement, OTHER).outcome, of(judgement, OTHER).root) == (Outcome.BLOCKED, MUST)
        assert judgement.exit_code == ExitCode.DOES_NOT

    def test_by_a_root_that_passed_elsewhere_it_is_inconclusive(self) -> None:
        judgement = judged(case(MUST, "passed"), case(OTHER, "blocked", root=MUST))
        result = of(judgement, OTHER)
        assert (result.outcome, result.root) == (Outcome.INCONCLUSIVE, "")
        assert judgement.exit_code == ExitCode.NO_VERDICT

    def test_what_another_case_proved_fails_the_root(self) -> None:
        stopped = case(OTHER, "blocked", root=MUST, summary="no scope")
        judgement = judged(case(MUST, "passed"), stopped, proofs=[Proof(root=MUST, case=stopped)])
        result = of(judgement, MUST)
        assert (result.outcome, result.summary, result.root) == (Outcome.FAILED, "no scope", "")
        assert of(judgement, OTHER).outcome is Outcome.BLOCKED
        assert judgement.exit_code == ExitCode.DOES_NOT

    def test_a_proven_root_that_was_not_selected_is_listed_and_fails(self) -> None:
        stopped = case(OTHER, "blocked", root=MUST)
        judgement = judged(stopped, proofs=[Proof(root=MUST, case=stopped)])
        assert of(judgement, MUST).outcome is Outcome.FAILED
        assert judgement.exit_code == ExitCode.DOES_NOT


class TestFindings:
    """What the checks over the whole history add."""

    def test_a_finding_fails_a_requirement_whose_cases_passed(self) -> None:
        judgement = judged(case(MUST, "passed"), findings=[finding(MUST)])
        result = of(judgement, MUST)
        assert (result.outcome, result.summary, result.evidence) == (Outcome.FAILED, "two holders", (1, 2))
        assert result.cases[-1].proof == "1 < 2"
        assert judgement.findings[0].check == "exclusivity"

    def test_a_finding_outside_the_selection_counts_too(self) -> None:
        judgement = judged(case(MUST, "passed"), findings=[finding(OTHER)])
        assert of(judgement, OTHER).outcome is Outcome.FAILED
        assert judgement.exit_code == ExitCode.DOES_NOT

    def test_a_note_accuses_nobody(self) -> None:
        judgement = judged(case(MUST, "passed"), findings=[finding(MUST, weight="note")])
        assert judgement.exit_code == ExitCode.CONFORMS
        assert len(judgement.findings) == 1

    def test_a_finding_on_what_is_only_inferred_is_told(self) -> None:
        judgement = judged(case(MUST, "passed"), findings=[finding(INFERRED)])
        assert of(judgement, INFERRED).outcome is Outcome.FAILED
        assert judgement.exit_code == ExitCode.CONFORMS


class TestSentence:
    """The sentence that answers "may I ship?"."""

    @pytest.mark.parametrize(
        ("cases", "options", "words"),
        [
            ([case(MUST, "passed")], {}, "Conforms: 1 of 1 requirements passed."),
            ([case(MUST, "failed")], {}, f"Does not conform: it breaks {MUST} "),
            ([case(MUST, "inconclusive")], {}, f"No verdict: {MUST} could not be told"),
            ([case(MUST, "harness-error")], {}, f"No verdict: the harness itself failed on {MUST}."),
            ([case(MUST, "passed")], {"complete": False}, "Interrupted: 1 requirements had passed"),
            ([case(MUST, "passed"), case(SHOULD, "failed")], {"fail_on": "should"}, f"breaks {SHOULD} "),
            ([case(MUST, "not-supported")], {}, "No verdict: nothing could be told"),
        ],
    )
    def test_words(self, cases: list[CaseResult], options: dict[str, object], words: str) -> None:
        assert words in judged(*cases, **options).summary

    def test_a_long_list_is_cut(self) -> None:
        summary = judged(*[case(name, "failed") for name in CORE[:12]]).summary
        assert "and 4 more" in summary

    def test_both_kinds_of_failure_are_named(self) -> None:
        cases = case(MUST, "failed"), case(SHOULD, "failed")
        summary = judged(*cases, fail_on="should").summary
        assert MUST in summary
        assert SHOULD in summary

    def test_requirements_stand_in_the_catalogues_order(self) -> None:
        ids = [result.id for result in judged(case(OTHER, "passed"), case(MUST, "passed")).requirements]
        assert ids == [name for name in KNOWN if name in {MUST, OTHER}]
