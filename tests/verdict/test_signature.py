"""A signature is the same in two runs of one failure, and another for another failure."""

import pytest

from queueproof.evidence.results import CaseResult, Outcome, RequirementResult
from queueproof.verdict.signature import is_sign, matches, signature, steady


def case(name: str = "test_visibility.py::test_hidden", outcome: str = "failed", **told: str) -> CaseResult:
    return CaseResult(name=name, requirement="VIS-1", outcome=Outcome(outcome), **told)


def failed(*cases: CaseResult, summary: str = "") -> RequirementResult:
    return RequirementResult(
        id="VIS-1", level="MUST", profile="core", outcome=Outcome.FAILED, cases=cases, summary=summary
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("message 0198f0aa-6f4e-7cc2 came", "message 77aa00bb-1111-2222 came"),
        ("seen after 0.917 s, at 12:30:01", "seen after 12 s, at 12:31:59"),
        ("3 messages were lost", "1 message was lost".replace("was", "were")),
        ("it broke (seen 2 times in 3 tries)", "it broke"),
        ("queueproof abcdefgh VIS-1", "queueproof zyxwvuts VIS-1"),
        ('slug "qpabcdefghvis114"', 'slug "qpzyxwvutsvis1102"'),
        ("body qp.abcdefgh.7", "body qp.zyxwvuts.1024"),
        ("http://127.0.0.1:33567/v1", "http://127.0.0.1:8000/v1"),
        ("6 of 7 did not  come back", "1 of 3 did not come back"),
    ],
)
def test_what_varies_between_two_runs_is_left_out(one: str, other: str) -> None:
    assert steady(one) == steady(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("it was answered 404 NOT_FOUND", "it was answered 409 NOT_FOUND"),
        ("it was answered 404", "it was answered 404 NOT_FOUND"),
        ("blocked by VIS-1", "blocked by VIS-2"),
        ("a message was lost", "a message was late"),
    ],
)
def test_what_tells_two_bugs_apart_stays(one: str, other: str) -> None:
    assert steady(one) != steady(other)


def test_only_a_failure_has_a_signature() -> None:
    passed = RequirementResult(id="VIS-1", level="MUST", profile="core", outcome=Outcome.PASSED, cases=(case(),))
    assert signature(passed) == ()


def test_a_sign_is_a_case_and_what_it_said() -> None:
    signs = signature(failed(case(summary="it was answered 500", seen="500"), case("t.py::test_other", "passed")))
    assert len(signs) == 1
    assert signs[0].startswith("hidden: it was answered 500 [")
    assert is_sign(signs[0])


def test_what_the_checks_found_besides_is_left_out() -> None:
    """How many of its findings a check has depends on the hour; alone, it is all that there is."""
    check = case("check exclusivity, over the whole history", summary="message m-1 was given to two claims")
    assert signature(failed(case(), check)) == signature(failed(case()))
    assert signature(failed(check))[0].startswith("check_exclusivity: message # was given")
    again = case("check exclusivity, over the whole history", summary="message m-9 was given to two claims")
    assert signature(failed(check, again)) == signature(failed(again))


def test_a_failure_without_cases_has_its_summary() -> None:
    assert signature(failed(summary="nothing answered"))[0].startswith("VIS-1: nothing answered [")


def test_a_number_that_is_too_small_is_another_bug_than_one_that_is_too_large() -> None:
    small, large, larger = (
        signature(failed(case(expected="attempts: 2", seen=f"attempts: {number}"))) for number in (1, 3, 4)
    )
    assert small != large
    assert large == larger


def test_the_numbers_of_a_list_are_not_compared() -> None:
    """Their order may be another in every run."""
    one, other = (signature(failed(case(expected="1, 2, 3, 4", seen=seen))) for seen in ("1, 3, 2, 4", "4, 3, 2, 1"))
    assert one == other


def test_a_text_that_was_cut_inside_an_id_is_the_same() -> None:
    """What a case shows of an answer ends somewhere, and ids have no fixed length."""
    answer = '{"status": "error", "error": {"code": "INTERNAL", "message": "it broke"}, ' + '"more": "text", ' * 12
    one, other = (signature(failed(case(seen=(answer + end)[:300]))) for end in ('"id": "aa-1', '"id": "aaaa-22'))
    assert one == other


class TestMatching:
    """Known again where it was seen before, and nowhere in a new way."""

    ONE, TWO = "one: it broke [00000001]", "two: it broke [00000001]"
    OTHER = "one: it broke otherwise [00000002]"

    @pytest.mark.parametrize(
        ("seen", "known", "same"),
        [
            ([ONE], [ONE], True),
            ([ONE], [ONE, TWO], True),  # half mended, or a race
            ([ONE, TWO], [ONE], True),  # it shows in one more place, in the same way
            ([TWO], [ONE], False),  # another place alone
            ([OTHER], [ONE], False),
            ([ONE, OTHER], [ONE], False),  # one failure more hides behind the known one
            ([ONE], [], False),
            ([], [ONE], False),
        ],
    )
    def test_a_failure_is_known(self, seen: list[str], known: list[str], same: bool) -> None:
        assert matches(seen, known) is same

    @pytest.mark.parametrize("text", ["", "it broke", "one: it broke", "one: it broke [xyz]", "one two: x [00000001]"])
    def test_anything_else_is_no_sign(self, text: str) -> None:
        assert not is_sign(text)
