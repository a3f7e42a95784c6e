"""Stories of messages that jump the queue, and of what a client cannot know about it."""

from checks_story import Story, got, notes, requirements

from queueproof.checks.order import check_order


def two(first: int | None = None, second: int | None = None) -> Story:
    """ "a" is published before "b"."""
    story = Story()
    story.publish("a", 0, 0.1, rank=first)
    story.publish("b", 0.2, 0.3, rank=second)
    return story


def judged(story: Story, ordering: str = "fifo", **options: object) -> list[str]:
    return requirements(check_order(story.history(), {"tasks": ordering}, **options))  # type: ignore[dict-item, arg-type]


def test_the_oldest_first_is_right() -> None:
    story = two()
    story.claim(1, 1.1, ["a"])
    story.claim(2, 2.1, ["b"])
    assert judged(story) == []


def test_the_newest_first_violates() -> None:
    story = two()
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    (finding,) = check_order(story.history(), {"tasks": "fifo"})
    assert finding.requirement == "ORD-1"
    assert finding.operations == (1, 2, 3, 4)
    assert "0.100 s < 0.200 s" in finding.proof
    assert "1.100 s < 2.000 s" in finding.proof


def test_a_message_never_claimed_is_a_note() -> None:
    """It was overtaken or lost: the loss check tells which."""
    story = two()
    story.claim(1, 1.1, ["b"])
    (finding,) = check_order(story.history(), {"tasks": "fifo"})
    assert finding.requirement == "ORD-1"
    assert finding.weight == "note"
    assert finding.operations == (1, 2, 3)


def test_queues_whose_ordering_is_not_told_are_not_judged() -> None:
    story = two()
    story.claim(1, 1.1, ["b"])
    assert check_order(story.history(), {}) == []


def test_overlapping_publishes_have_no_order() -> None:
    story = Story()
    story.publish("a", 0, 0.25)
    story.publish("b", 0.2, 0.3)
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    assert judged(story) == []


def test_overlapping_claims_have_no_order() -> None:
    story = two()
    story.claim(1, 2.5, ["b"])
    story.claim(2, 2.1, ["a"])
    assert judged(story) == []


def test_one_time_stamp_for_two_publishes_is_a_note() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.publish("b", 0.102, 0.2)
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    findings = check_order(story.history(), {"tasks": "fifo"})
    assert requirements(findings) == []
    assert notes(findings) == ["ORD-1"]


def test_an_unknown_claim_may_have_held_it() -> None:
    story = two()
    story.claim(0.5)
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, [got("a", 2)])
    assert judged(story) == []


def test_an_unknown_claim_may_have_held_it_and_been_undone() -> None:
    """A server may take back, uncounted, what it could not deliver: attempts 1 is a note then, no proof."""
    story = two()
    story.claim(0.5)
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    findings = check_order(story.history(), {"tasks": "fifo"})
    assert requirements(findings) == []
    assert notes(findings) == ["ORD-1"]


def test_an_unknown_claim_of_another_machine_may_have_been_there_before() -> None:
    story = two()
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    story.machine("two")
    story.claim(900)
    assert judged(story) == []


def test_an_unknown_claim_that_comes_later_explains_nothing() -> None:
    story = two()
    story.claim(1, 1.1, ["b"])
    story.claim(1.2)
    story.claim(2, 2.1, ["a"])
    assert judged(story) == ["ORD-1"]


def test_a_server_without_attempts_can_be_judged_while_every_claim_is_known() -> None:
    story = two()
    story.claim(1, 1.1, [got("b", None)])
    story.claim(2, 2.1, [got("a", None)])
    assert judged(story) == ["ORD-1"]


def test_a_released_message_may_go_to_the_tail() -> None:
    story = two()
    story.claim(1, 1.1, ["a"])
    story.release("a", 1.2, 1.3)
    story.claim(1.4, 1.5, ["b"])
    story.claim(2, 2.1, ["a"])
    assert judged(story) == []


def test_a_lapsed_message_may_go_to_the_tail() -> None:
    story = two()
    story.claim(1, 1.1, ["a"], timeout=1)
    story.claim(4, 4.1, ["b"])
    story.claim(5, 5.1, [got("a", 2)])
    assert judged(story) == []


def test_a_fail_of_a_waiting_message_may_have_hidden_it() -> None:
    """What a fail of a message that nobody holds does is not promised; it may back it off."""
    story = two()
    story.fail("a", 0.5, 0.6)
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    assert judged(story) == []


def test_a_retried_publish_may_have_been_first() -> None:
    """b's answer was lost at first: its message may be older than a."""
    story = Story()
    story.publish("b", 0, key="k")
    story.publish("a", 0.1, 0.2)
    story.publish("b", 0.5, 0.6, key="k")
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    assert judged(story) == []


def test_an_unacknowledged_publish_may_have_come_late() -> None:
    story = Story()
    story.publish("a", 0)
    story.publish("b", 0.2, 0.3)
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    assert judged(story) == []


def test_delayed_messages_are_not_judged() -> None:
    story = Story()
    story.publish("a", 0, 0.1, untimed=True)
    story.publish("b", 0.2, 0.3)
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    assert judged(story) == []


def test_claims_during_a_fault_are_not_judged() -> None:
    story = two()
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    assert judged(story, disturbed=[(0, 1_050_000_000)]) == []
    assert judged(story, disturbed=[(1_500_000_000, 1_600_000_000)]) == ["ORD-1"]


def test_two_queues_have_nothing_to_do_with_each_other() -> None:
    story = Story()
    story.publish("a", 0, 0.1, queue="tasks")
    story.publish("b", 0.2, 0.3, queue="other")
    story.claim(1, 1.1, ["b"], queue="other")
    story.claim(2, 2.1, ["a"], queue="tasks")
    assert check_order(story.history(), {"tasks": "fifo", "other": "fifo"}) == []


def test_positions_within_one_answer_are_a_note() -> None:
    story = two()
    story.claim(1, 1.1, ["b", "a"])
    findings = check_order(story.history(), {"tasks": "fifo"})
    assert requirements(findings) == []
    assert notes(findings) == ["ORD-1"]


def test_a_better_rank_goes_first_though_it_came_later() -> None:
    story = two(500, 400)
    story.claim(1.5, 1.6, ["a"])
    story.claim(2, 2.1, ["b"])
    (finding,) = check_order(story.history(), {"tasks": "priority"})
    assert finding.requirement == "ORD-3"
    assert finding.operations == (2, 1, 3, 4)
    assert "rank 400 < 500" in finding.proof


def test_a_better_tier_is_a_should() -> None:
    story = two(2500, 400)
    story.claim(1.5, 1.6, ["a"])
    story.claim(2, 2.1, ["b"])
    assert judged(story, "priority") == ["ORD-4"]


def test_an_earlier_deadline_goes_first() -> None:
    story = Story()
    story.publish("a", 0, 0.1, rank=2000, untimed=True)
    story.publish("b", 0.2, 0.3, rank=1000, untimed=True)
    story.claim(1.5, 1.6, ["a"])
    story.claim(2, 2.1, ["b"])
    assert judged(story, "deadline") == ["ORD-2"]


def test_a_rank_published_a_moment_before_may_not_be_in_sight() -> None:
    story = two(500, 400)
    story.claim(1.2, 1.25, ["a"])  # 0.9 s after the publish of "b" was answered
    story.claim(2, 2.1, ["b"])
    assert judged(story, "priority") == []


def test_equal_ranks_have_no_order() -> None:
    story = two(500, 500)
    story.claim(1, 1.1, ["b"])
    story.claim(2, 2.1, ["a"])
    assert judged(story, "priority") == []


def test_a_better_rank_that_came_during_the_claim_proves_nothing() -> None:
    story = two(500, 400)
    story.claim(0.25, 0.4, ["a"])
    story.claim(2, 2.1, ["b"])
    assert judged(story, "priority") == []


def test_a_message_that_waited_long_may_have_been_raised() -> None:
    story = Story()
    story.publish("a", 0, 0.1, rank=500)
    story.publish("b", 60, 60.1, rank=400)
    story.claim(61, 61.1, ["a"])
    story.claim(62, 62.1, ["b"])
    assert judged(story, "priority") == []


def test_many_ranks_are_all_compared() -> None:
    """Each of 40 ranks against each other, claimed worst first."""
    story = Story()
    for rank in range(40):
        story.publish(f"m{rank}", rank * 0.01, rank * 0.01 + 0.005, rank=rank)
    for rank in reversed(range(40)):
        story.claim(2 - rank * 0.01, 2 - rank * 0.01 + 0.005, [f"m{rank}"])
    assert judged(story, "priority") == ["ORD-3"] * 39
