"""Stories of full queues that take more, and of queues with room that refuse."""

from checks_story import FULL, Story, requirements

from queueproof.checks.depth import check_depth


def filled(count: int) -> Story:
    story = Story()
    for number in range(count):
        story.publish(f"m{number}", number, number + 0.1)
    return story


def judged(story: Story, limit: int = 2) -> list[str]:
    return requirements(check_depth(story.history(), {"tasks": limit}))


def test_one_more_than_the_limit_violates() -> None:
    story = filled(3)
    (finding,) = check_depth(story.history(), {"tasks": 2})
    assert finding.requirement == "DEPTH-1"
    assert finding.operations == (3,)
    assert "at least 3" in finding.proof
    assert judged(story, 3) == []


def test_no_limit_is_no_limit() -> None:
    assert check_depth(filled(3).history(), {}) == []
    assert check_depth(filled(3).history(), {"tasks": 0}) == []


def test_a_claim_may_have_made_room() -> None:
    story = filled(2)
    story.claim(2, 2.1, ["m0"])
    story.publish("m2", 3, 3.1)
    assert judged(story) == []
    story.publish("m3", 4, 4.1)
    assert judged(story) == ["DEPTH-1"]


def test_an_unknown_claim_may_have_taken_as_many_as_it_asked_for() -> None:
    story = filled(2)
    story.claim(2, limit=1)
    story.publish("m2", 3, 3.1)
    assert judged(story) == []
    story.publish("m3", 4, 4.1)
    assert judged(story) == ["DEPTH-1"]


def test_a_replay_adds_nothing() -> None:
    story = Story()
    for at in range(3):
        story.publish("a", at, at + 0.1, key="k")
    assert judged(story, 1) == []


def test_messages_that_may_be_hidden_or_expire_are_not_counted() -> None:
    story = filled(2)
    story.publish("d", 2, 2.1, untimed=True)
    assert judged(story) == []


def test_a_refusal_with_room_violates() -> None:
    story = filled(1)
    story.publish("x", 2, 2.1, result="rejected", code=FULL)
    (finding,) = check_depth(story.history(), {"tasks": 2})
    assert finding.requirement == "DEPTH-3"
    assert "at most 1" in finding.proof


def test_a_refusal_of_a_full_queue_is_right() -> None:
    story = filled(2)
    story.publish("x", 2, 2.1, result="rejected", code=FULL)
    assert judged(story) == []


def test_an_unknown_publish_may_fill_the_queue() -> None:
    story = filled(1)
    story.publish("u", 1.5)
    story.publish("x", 2, 2.1, result="rejected", code=FULL)
    assert judged(story) == []


def test_a_claimed_message_may_still_count() -> None:
    story = filled(2)
    story.claim(2, 2.1, ["m0", "m1"])
    story.publish("x", 3, 3.1, result="rejected", code=FULL)
    assert judged(story) == []


def test_a_completed_message_makes_room() -> None:
    story = filled(2)
    story.claim(2, 2.1, ["m0"])
    story.complete("m0", 2.2, 2.3)
    story.publish("x", 3, 3.1, result="rejected", code=FULL)
    assert judged(story) == ["DEPTH-3"]


def test_a_complete_under_way_may_not_have_made_room_yet() -> None:
    story = filled(2)
    story.claim(2, 2.1, ["m0"])
    story.complete("m0", 2.2, 3.05)
    story.publish("x", 3, 3.1, result="rejected", code=FULL)
    assert judged(story) == []


def test_publishes_that_race_a_removal_are_not_judged() -> None:
    story = filled(2)
    story.claim(2.5, 9, ["m0"])
    story.publish("m2", 2, 3)
    assert judged(story) == []
