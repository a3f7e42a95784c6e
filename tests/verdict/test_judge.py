"""The judge: from outcomes to one verdict and one exit code."""

import pytest

from queueproof.checks.finding import Finding
from queueproof.contract.requirements import select
from queueproof.errors import ExitCode
from queueproof.evidence.results import CaseResult, Outcome, Verdict
from queueproof.verdict.judge import Proof, judge

O = Outcome  # noqa: E741 -- a table of them follows


def case(requirement: str, outcome: Outcome, root: str = "") -> CaseResult:
    return CaseResult(name=f"t.py::{requirement}", requirement=requirement, outcome=outcome, summary="told", root=root)


@pytest.mark.parametrize(
    ("outcomes", "options", "code"),
    [
        ({"VIS-1": O.PASSED}, {}, ExitCode.CONFORMS),
        ({"VIS-1": O.FAILED}, {}, ExitCode.DOES_NOT),
        ({"VIS-1": O.FAILED, "VIS-2": O.HARNESS_ERROR}, {}, ExitCode.DOES_NOT),
        ({"VIS-1": O.PASSED, "VIS-2": O.HARNESS_ERROR}, {}, ExitCode.HARNESS),
        ({"VIS-1": O.PASSED, "VIS-2": O.INCONCLUSIVE}, {}, ExitCode.NO_VERDICT),
        ({"VIS-1": O.PASSED, "VIS-2": O.NOT_RUN}, {}, ExitCode.NO_VERDICT),
        ({"VIS-1": O.PASSED, "VIS-2": O.INCONCLUSIVE}, {"allow_inconclusive": True}, ExitCode.CONFORMS),
        ({"VIS-1": O.INCONCLUSIVE}, {"allow_inconclusive": True}, ExitCode.NO_VERDICT),
        ({"VIS-1": O.PASSED, "VIS-5": O.INCONCLUSIVE}, {}, ExitCode.CONFORMS),
        ({"VIS-5": O.NOT_RUN}, {}, ExitCode.NO_VERDICT),
        ({"VIS-1": O.PASSED, "SYSQ-1": O.NOT_SUPPORTED}, {}, ExitCode.CONFORMS),
        ({"SYSQ-1": O.NOT_SUPPORTED}, {}, ExitCode.NO_VERDICT),
        ({"FAIL-4": O.FAILED}, {}, ExitCode.CONFORMS),
        ({"FAIL-4": O.FAILED}, {"fail_on": "should"}, ExitCode.DOES_NOT),
        ({"DONE-5": O.FAILED}, {"fail_on": "should"}, ExitCode.CONFORMS),
        ({"VIS-1": O.FAILED}, {"complete": False}, ExitCode.INTERRUPTED),
        ({}, {}, ExitCode.NO_VERDICT),
    ],
)
def test_outcomes_become_an_exit_code(outcomes: dict[str, Outcome], options: dict[str, object], code: ExitCode) -> None:
    selected = select("core", outcomes) if outcomes else ()
    cases = [case(name, outcome) for name, outcome in outcomes.items()]
    assert judge(selected, cases, **options).exit_code is code  # type: ignore[arg-type]


def test_the_worst_case_of_a_requirement_counts() -> None:
    selected = select("core", ["VIS-1"])
    cases = [case("VIS-1", O.PASSED), case("VIS-1", O.FAILED), case("VIS-1", O.INCONCLUSIVE)]
    assert judge(selected, cases).requirements[0].outcome is O.FAILED
    aside = judge(selected, [case("VIS-1", O.NOT_SUPPORTED), case("VIS-1", O.PASSED)])
    assert aside.requirements[0].outcome is O.PASSED


def test_a_blocked_requirement_stands_under_its_root() -> None:
    selected = select("core", ["PUB-1", "VIS-1"])
    blocked = case("VIS-1", O.BLOCKED, root="PUB-1")
    results = {r.id: r for r in judge(selected, [case("PUB-1", O.FAILED), blocked]).requirements}
    assert (results["VIS-1"].outcome, results["VIS-1"].root) == (O.BLOCKED, "PUB-1")
    met = {r.id: r for r in judge(selected, [case("PUB-1", O.PASSED), blocked]).requirements}
    assert met["VIS-1"].outcome is O.INCONCLUSIVE


def test_a_root_that_was_proven_broken_fails_though_its_own_case_passed() -> None:
    selected = select("core", ["PUB-1", "VIS-1"])
    blocked = case("VIS-1", O.BLOCKED, root="PUB-1")
    result = judge(selected, [case("PUB-1", O.PASSED), blocked], proofs=[Proof(root="PUB-1", case=blocked)])
    assert {r.id: r.outcome for r in result.requirements} == {"PUB-1": O.FAILED, "VIS-1": O.BLOCKED}
    assert result.exit_code is ExitCode.DOES_NOT


def test_a_finding_outside_the_selection_fails_the_server_too() -> None:
    finding = Finding(
        check="exclusivity", requirement="CLAIM-6", summary="two holders", operations=(1, 2), proof="1 < 2"
    )
    result = judge(select("core", ["VIS-1"]), [case("VIS-1", O.PASSED)], findings=[finding])
    assert result.exit_code is ExitCode.DOES_NOT
    assert result.verdict is Verdict.DOES_NOT_CONFORM
    assert "CLAIM-6" in result.summary


def test_a_note_accuses_nobody() -> None:
    note = Finding(check="empty", requirement="", summary="x", operations=(), proof="", weight="note")
    assert judge(select("core", ["VIS-1"]), [case("VIS-1", O.PASSED)], findings=[note]).exit_code is ExitCode.CONFORMS
