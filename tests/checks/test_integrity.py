"""Stories of swapped bodies and messages in the wrong queue."""

from checks_story import CONFLICT, Story, got, requirements

from queueproof.checks.integrity import check_integrity


def judged(story: Story, **options: object) -> list[str]:
    return requirements(check_integrity(story.history(), **options))  # type: ignore[arg-type]


def test_the_published_body_is_right() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1, 1.1, ["a"])
    assert judged(story) == []


def test_a_changed_body_under_its_own_token_violates() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1, 1.1, [got("a", body="something else")])
    (finding,) = check_integrity(story.history())
    assert finding.requirement == "PUB-5"
    assert finding.operations == (1, 2)


def test_two_bodies_swapped_violate_though_each_was_published() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.publish("b", 0, 0.1)
    story.claim(1, 1.1, [got("a", token="token-b", body="body-b"), got("b", token="token-a", body="body-a")])
    assert judged(story) == ["PUB-5", "PUB-5"]


def test_an_unknown_publish_is_known_by_its_token() -> None:
    story = Story()
    story.publish("a", 0)
    story.claim(1, 1.1, [got("server-id", token="token-a", body="body-a")])
    assert judged(story) == []


def test_either_body_of_two_unknown_publishes_under_one_token_is_right() -> None:
    story = Story()
    story.publish("a", 0, key="k")
    story.publish("a", 1, 1.1, key="k", body="second")
    story.publish("a", 2, 2.1, key="k", body="third", result="rejected", code=CONFLICT)
    story.claim(3, 3.1, [got("b", token="token-a", body="body-a")])
    assert judged(story) == []
    story.claim(4, 4.1, [got("b", token="token-a", body="third")])
    assert judged(story) == ["PUB-5"]


def test_foreign_messages_are_not_judged() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1, 1.1, [got("x", token="", body="whatever"), got("y", token="another run's", body="z")])
    assert judged(story) == []


def test_a_body_that_was_not_digested_is_not_judged() -> None:
    story = Story()
    story.publish("a", 0, 0.1, body="")
    story.publish("b", 0, 0.1)
    story.claim(1, 1.1, ["a", got("b", body="")])
    assert judged(story) == []


def test_a_message_of_another_queue_violates() -> None:
    story = Story()
    story.publish("a", 0, 0.1, queue="north")
    story.publish("b", 0, 0.1, queue="south")
    story.claim(1, 1.1, ["a"], queue="south")
    (finding,) = check_integrity(story.history())
    assert finding.requirement == "CLAIM-9"
    assert finding.operations == (1, 3)


def test_a_dead_letter_queue_delivers_what_was_published_elsewhere() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1, 1.1, ["a"])
    story.fail("a", 2, 2.1)
    story.claim(3, 3.1, ["a"], queue="dead")
    assert judged(story, dead_letter=()) == []


def test_a_dead_letter_queue_that_was_published_to_is_legal_when_named() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.publish("b", 0, 0.1, queue="dead")
    story.claim(1, 1.1, ["a"])
    story.fail("a", 2, 2.1)
    story.claim(3, 3.1, ["a"], queue="dead")
    assert judged(story, dead_letter=["dead"]) == []
    assert judged(story, dead_letter=()) == ["CLAIM-9"]


def test_without_a_name_whatever_was_claimed_before_may_have_moved() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.publish("b", 0, 0.1, queue="dead")
    story.claim(1, 1.1, ["a"])
    story.claim(3, 3.1, ["a"], queue="dead")
    assert judged(story) == []


def test_without_a_name_whatever_an_unknown_claim_held_may_have_moved() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.publish("b", 0, 0.1, queue="dead")
    story.claim(1)
    story.claim(3, 3.1, ["a"], queue="dead")
    assert judged(story) == []


def test_one_token_published_to_two_queues_may_come_from_either() -> None:
    story = Story()
    story.publish("a", 0, queue="north")
    story.publish("a", 1, 1.1, queue="south")
    story.publish("b", 1, 1.1, queue="north")
    story.claim(2, 2.1, ["a"], queue="south")
    story.claim(2, 2.1, [got("a2", token="token-a", body="body-a")], queue="north")
    assert judged(story) == []
