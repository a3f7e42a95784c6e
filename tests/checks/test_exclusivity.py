"""Stories of two holders, and of what only looks like it."""

import pytest
from checks_story import Story, got, requirements

from queueproof.checks.exclusivity import check_exclusivity


@pytest.fixture
def story() -> Story:
    """A message "a" is published and claimed once, from 1.0 to 1.1, for ten seconds."""
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.0, 1.1, ["a"], timeout=10)
    return story


def judged(story: Story) -> list[str]:
    return requirements(check_exclusivity(story.history()))


def test_a_second_claim_at_the_same_time_is_two_holders(story: Story) -> None:
    story.claim(1.05, 1.2, [got("a", 2)], timeout=10)
    assert judged(story) == ["CLAIM-6"]


def test_a_claim_before_the_end_is_an_early_return(story: Story) -> None:
    story.claim(9.0, 9.5, [got("a", 2)], timeout=10)
    assert judged(story) == ["VIS-1"]


def test_the_proof_names_both_claims_and_the_numbers(story: Story) -> None:
    story.claim(9.0, 9.5, [got("a", 2)], timeout=10)
    (finding,) = check_exclusivity(story.history())
    assert finding.operations == (2, 3)
    assert "returned at 8.500 s < 0.000 s + 10 s" in finding.proof
    assert finding.message == "a"
    assert finding.queue == "tasks"


def test_the_same_attempts_later_within_the_lock_are_one_claim_given_twice(story: Story) -> None:
    story.claim(5.0, 5.5, [got("a", 1)], timeout=10)
    assert judged(story) == ["CLAIM-6"]


def test_a_claim_after_the_end_is_a_redelivery(story: Story) -> None:
    story.claim(12.0, 12.1, [got("a", 2)], timeout=10)
    assert judged(story) == []


def test_a_claim_that_may_have_been_served_after_the_end_is_legal(story: Story) -> None:
    story.claim(2.0, 11.5, [got("a", 2)], timeout=10)
    assert judged(story) == []


def test_the_margin_covers_a_server_clock_that_runs_a_little_fast(story: Story) -> None:
    story.claim(10.9, 10.9895, [got("a", 2)], timeout=10)
    assert judged(story) == []


def test_an_early_pop_answered_late_accuses_nobody() -> None:
    """The counter-history of the one-sided rule: e was taken at 0, lapsed, and its answer came after d's."""
    story = Story()
    story.publish("a", -1, -0.9)
    story.claim(0, 1.2, [got("a", 1)], timeout=0.05)
    story.claim(1.0, 1.1, [got("a", 2)], timeout=0.5)
    assert judged(story) == []


@pytest.mark.parametrize("verb", ["complete", "fail", "release"])
@pytest.mark.parametrize("result", ["ok", "unknown"])
def test_what_may_have_freed_the_message_explains_it(story: Story, verb: str, result: str) -> None:
    getattr(story, verb)("a", 2.0, 2.1, result=result)
    story.claim(3.0, 3.1, [got("a", 2)], timeout=10)
    assert judged(story) == []


@pytest.mark.parametrize(("start", "back"), [(1.15, 1.6), (1.35, 1.6), (0.9, 1.6)])
def test_a_complete_beside_a_second_claim_explains_nothing(story: Story, start: float, back: float) -> None:
    """Before it acted the message was held, and after it the message was terminal."""
    story.complete("a", start, back)
    story.claim(1.2, 1.4, [got("a", 2)], timeout=10)
    assert judged(story) == ["VIS-1"]


def test_a_complete_beside_a_redelivery_is_legal(story: Story) -> None:
    """The lock had lapsed, and the first holder completed late."""
    story.claim(11.5, 11.7, [got("a", 2)], timeout=10)
    story.complete("a", 11.4, 11.9)
    assert judged(story) == []


def test_a_complete_and_a_release_beside_a_second_claim_explain_it(story: Story) -> None:
    story.complete("a", 1.15, 1.6)
    story.release("a", 1.15, 1.6)
    story.claim(1.2, 1.4, [got("a", 2)], timeout=10)
    assert judged(story) == []


@pytest.mark.parametrize("result", ["rejected", "not_sent"])
def test_a_refused_release_explains_nothing(story: Story, result: str) -> None:
    story.release("a", 2.0, 2.1, result=result)
    story.claim(3.0, 3.1, [got("a", 2)], timeout=10)
    assert judged(story) == ["VIS-1"]


def test_a_release_after_both_explains_nothing(story: Story) -> None:
    story.claim(3.0, 3.1, [got("a", 2)], timeout=10)
    story.release("a", 4.0, 4.1)
    assert judged(story) == ["VIS-1"]


def test_an_unknown_release_from_before_the_first_claim_may_still_act() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.release("a", 0.5)
    story.claim(1.0, 1.1, ["a"], timeout=10)
    story.claim(3.0, 3.1, [got("a", 2)], timeout=10)
    assert judged(story) == []


def test_a_release_before_the_first_claim_explains_nothing() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.release("a", 0.5, 0.6)
    story.claim(1.0, 1.1, ["a"], timeout=10)
    story.claim(3.0, 3.1, [got("a", 2)], timeout=10)
    assert judged(story) == ["VIS-1"]


def test_an_extension_holds_beyond_the_first_end(story: Story) -> None:
    story.extend("a", 9.0, 9.1, timeout=10)
    story.claim(12.0, 12.1, [got("a", 2)])
    (finding,) = check_exclusivity(story.history())
    assert finding.requirement == "VIS-5"
    assert finding.operations == (3, 4)


def test_a_chain_of_extensions_holds(story: Story) -> None:
    for at in (9.0, 18.0, 27.0):
        story.extend("a", at, at + 0.1, timeout=10)
    story.claim(33.0, 33.1, [got("a", 2)])
    assert judged(story) == ["VIS-5"]


def test_an_extension_of_a_lapsed_lock_proves_nothing(story: Story) -> None:
    """Answered ok though the lock had lapsed: there may have been nothing left to extend."""
    story.extend("a", 11.5, 11.6, timeout=10)
    story.claim(12.0, 12.1, [got("a", 2)])
    assert judged(story) == []


def test_an_extension_may_have_shortened_the_lock(story: Story) -> None:
    """Its timeout may count from now: two seconds at 2.0 end at 4.0, not at 11.0."""
    story.extend("a", 2.0, 2.1, timeout=2)
    story.claim(5.0, 5.1, [got("a", 2)])
    assert judged(story) == []


def test_an_unknown_extension_leaves_the_smaller_of_both_ends(story: Story) -> None:
    story.extend("a", 2.0, timeout=30)
    story.claim(12.0, 12.1, [got("a", 2)])
    assert judged(story) == []


def test_an_unknown_extension_may_shorten_too(story: Story) -> None:
    story.extend("a", 1.5, timeout=1)
    story.claim(5.0, 5.1, [got("a", 2)])
    assert judged(story) == []


def test_a_released_extension_holds_nothing(story: Story) -> None:
    story.extend("a", 9.0, 9.1, timeout=10)
    story.release("a", 9.5, 9.6)
    story.claim(12.0, 12.1, [got("a", 2)])
    assert judged(story) == []


def test_one_answer_may_not_hold_a_message_twice() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.0, 1.1, ["a", "a"])
    (finding,) = check_exclusivity(story.history())
    assert finding.requirement == "CLAIM-6"
    assert finding.operations == (2,)


def test_untimed_messages_are_not_judged() -> None:
    story = Story()
    story.publish("a", 0, 0.1, untimed=True)
    story.claim(1.0, 1.1, ["a"])
    story.claim(2.0, 2.1, [got("a", 2)])
    assert judged(story) == []


def test_a_claim_without_a_known_timeout_holds_nothing() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.0, 1.1, ["a"], timeout=None)
    story.claim(2.0, 2.1, [got("a", 2)])
    assert judged(story) == []


def test_clocks_of_two_machines_are_never_compared(story: Story) -> None:
    story.machine("two")
    story.claim(3.0, 3.1, [got("a", 2)])
    assert judged(story) == []


def test_a_release_on_another_machine_may_have_freed_the_message(story: Story) -> None:
    story.claim(3.0, 3.1, [got("a", 2)])
    story.machine("two")
    story.release("a", 900, 901)
    assert judged(story) == []


def test_equal_ids_in_two_scopes_are_two_messages() -> None:
    story = Story()
    for scope in ("north", "south"):
        story.publish("1", 0, 0.1, scope=scope, token=f"token-{scope}")
    for at, scope in ((1.0, "north"), (1.5, "south")):
        story.claim(at, at + 0.1, [got("1", token=f"token-{scope}")], scope=scope)
    assert judged(story) == []


def test_a_broadcast_queue_is_not_judged(story: Story) -> None:
    story.claim(3.0, 3.1, [got("a", 1)])
    assert check_exclusivity(story.history(), unmodelled=["tasks"]) == []


def test_the_twin_needs_no_timeout() -> None:
    """Overlapping claims that both say attempts 1 are one claim given twice, whatever the timeout."""
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.0, 3.0, ["a"], timeout=0.05)
    story.claim(2.0, 4.0, ["a"], timeout=0.05)
    (finding,) = check_exclusivity(story.history())
    assert finding.requirement == "CLAIM-6"
    assert "attempts 1" in finding.proof


def test_a_release_may_refund_the_attempt_between_twins() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.0, 3.0, ["a"], timeout=0.05)
    story.release("a", 1.5, 1.6)
    story.claim(2.0, 4.0, ["a"], timeout=0.05)
    assert judged(story) == []


def test_attempts_may_start_again_in_the_dead_letter_queue() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.0, 6.0, ["a"], timeout=0.05)
    story.claim(2.0, 7.0, ["a"], timeout=0.05, queue="dead")
    assert judged(story) == []


def test_a_late_answer_does_not_hide_a_shorter_overlap() -> None:
    """The longest hold proves nothing (it was answered too late), the one before it does."""
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.0, 1.1, [got("a", 1)], timeout=20)
    story.claim(1.2, 50.0, [got("a", 2)], timeout=60)
    story.claim(3.0, 3.1, [got("a", 3)], timeout=5)
    assert judged(story) == ["VIS-1"]


def test_one_call_that_may_have_ended_thousands_of_holds_makes_no_thousands_of_pairs_of_each(story: Story) -> None:
    """With all pairs of equal ends this history would need gigabytes."""
    for number in range(3_000):
        at = 2.0 + number / 1_000
        story.claim(at, at + 0.0005, [got("a", 2)], timeout=10)
    story.complete("a", 6.0, 6.1)
    found = check_exclusivity(story.history())
    assert len(found) > 2
