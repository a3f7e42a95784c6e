"""Stories of counters that lie, and of those that only seem to."""

from checks_story import Story, got, requirements

from queueproof.checks.attempts import check_attempts


def told() -> Story:
    story = Story()
    story.publish("a", 0, 0.1)
    return story


def judged(story: Story) -> list[str]:
    return requirements(check_attempts(story.history()))


def test_one_then_two_is_right() -> None:
    story = told()
    story.claim(1, 1.1, ["a"], timeout=1)
    story.claim(3, 3.1, [got("a", 2)])
    assert judged(story) == []


def test_a_first_delivery_that_says_two_counts_a_claim_that_never_was() -> None:
    story = told()
    story.claim(1, 1.1, [got("a", 2)])
    assert judged(story) == ["CLAIM-4"]


def test_zero_is_too_low() -> None:
    story = told()
    story.claim(1, 1.1, [got("a", 0)])
    assert judged(story) == ["CLAIM-4"]


def test_a_counter_that_stays_is_too_low() -> None:
    story = told()
    story.claim(1, 1.1, ["a"], timeout=1)
    story.claim(3, 3.1, [got("a", 1)])
    (finding,) = check_attempts(story.history())
    assert finding.operations == (2, 3)
    assert "attempts 1 < 2" in finding.proof


def test_a_counter_that_skips_is_too_high() -> None:
    story = told()
    story.claim(1, 1.1, ["a"], timeout=1)
    story.claim(3, 3.1, [got("a", 3)])
    assert judged(story) == ["CLAIM-4"]


def test_an_unknown_claim_may_have_counted() -> None:
    story = told()
    story.claim(0.5)
    story.claim(1, 1.1, [got("a", 2)])
    assert judged(story) == []


def test_an_unknown_claim_explains_one_only() -> None:
    story = told()
    story.claim(0.5)
    story.claim(1, 1.1, [got("a", 3)])
    assert judged(story) == ["CLAIM-4"]


def test_a_later_unknown_claim_explains_nothing() -> None:
    story = told()
    story.claim(1, 1.1, [got("a", 2)])
    story.claim(2)
    assert judged(story) == ["CLAIM-4"]


def test_an_unknown_claim_on_another_queue_explains_nothing() -> None:
    story = told()
    story.claim(0.5, queue="other")
    story.claim(1, 1.1, [got("a", 2)])
    assert judged(story) == ["CLAIM-4"]


def test_a_refused_claim_did_not_count() -> None:
    story = told()
    story.claim(0.5, 0.6, result="rejected")
    story.claim(1, 1.1, [got("a", 2)])
    assert judged(story) == ["CLAIM-4"]


def test_a_release_may_refund() -> None:
    story = told()
    story.claim(1, 1.1, ["a"])
    story.release("a", 2, 2.1)
    story.claim(3, 3.1, [got("a", 1)])
    assert judged(story) == []


def test_a_release_need_not_refund() -> None:
    story = told()
    story.claim(1, 1.1, ["a"])
    story.release("a", 2, 2.1)
    story.claim(3, 3.1, [got("a", 2)])
    assert judged(story) == []


def test_one_release_refunds_one() -> None:
    story = told()
    story.claim(1, 1.1, ["a"])
    story.release("a", 2, 2.1)
    story.claim(3, 3.1, [got("a", 1)], timeout=1)
    story.claim(5, 5.1, [got("a", 1)])
    assert judged(story) == ["CLAIM-4"]


def test_an_unknown_release_may_refund_much_later() -> None:
    story = told()
    story.claim(1, 1.1, ["a"], timeout=1)
    story.release("a", 1.5)
    story.claim(5, 5.1, [got("a", 2)], timeout=1)
    story.claim(8, 8.1, [got("a", 2)])
    assert judged(story) == []


def test_a_refused_release_refunds_nothing() -> None:
    story = told()
    story.claim(1, 1.1, ["a"], timeout=1)
    story.release("a", 5, 5.1, result="rejected")
    story.claim(6, 6.1, [got("a", 1)])
    assert judged(story) == ["CLAIM-4"]


def test_a_fail_does_not_refund() -> None:
    story = told()
    story.claim(1, 1.1, ["a"])
    story.fail("a", 2, 2.1)
    story.claim(3, 3.1, [got("a", 1)])
    assert judged(story) == ["CLAIM-4"]


def test_two_after_two_is_too_low_though_unknown_claims_abound() -> None:
    story = told()
    story.claim(0.5)
    story.claim(0.6)
    story.claim(1, 1.1, [got("a", 2)], timeout=0.5)
    story.claim(3, 3.1, [got("a", 2)])
    assert judged(story) == ["CLAIM-4"]


def test_overlapping_claims_may_come_in_either_order() -> None:
    story = told()
    story.claim(1, 5, [got("a", 2)], timeout=0.1)
    story.claim(1.1, 4, [got("a", 1)], timeout=0.1)
    assert judged(story) == []


def test_the_dead_letter_queue_may_start_again_or_go_on() -> None:
    for attempts in (1, 3, 9):
        story = told()
        story.claim(1, 1.1, ["a"])
        story.fail("a", 2, 2.1)
        story.claim(3, 3.1, [got("a", attempts)], queue="dead")
        assert judged(story) == []


def test_a_server_that_says_no_attempts_is_not_judged() -> None:
    story = told()
    story.claim(1, 1.1, [got("a", None)], timeout=1)
    story.claim(3, 3.1, [got("a", None)])
    assert judged(story) == []


def test_an_unsaid_attempt_still_counts_for_the_next() -> None:
    story = told()
    story.claim(1, 1.1, [got("a", None)], timeout=1)
    story.claim(3, 3.1, [got("a", 2)])
    assert judged(story) == []


def test_unknown_claims_of_another_machine_may_have_come_at_any_time() -> None:
    story = told()
    story.claim(1, 1.1, [got("a", 2)])
    story.machine("two")
    story.claim(900)
    assert judged(story) == []
