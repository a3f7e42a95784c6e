"""Stories of messages that should not exist, and of doubles that may."""

from typing import Any

from checks_story import FULL, Story, got, requirements

from queueproof.checks.ghosts import check_ghosts


def judged(story: Story, **options: Any) -> list[str]:
    return requirements(check_ghosts(story.history(), **options))


def twin(name: str) -> Any:
    return got(name, token="token-a", body="body-a")


def test_one_publish_delivered_under_two_ids_is_a_ghost() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1, 1.1, ["a", twin("b")])
    (finding,) = check_ghosts(story.history())
    assert finding.requirement == "GHOST-1"
    assert finding.operations == (1, 2)
    assert finding.proof.startswith("2 ids > 1 publish of token")


def test_a_delivery_under_another_id_than_was_answered_is_a_ghost() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1, 1.1, [twin("b")])
    assert judged(story) == ["GHOST-1"]


def test_a_retried_publish_may_exist_twice() -> None:
    story = Story()
    story.publish("a", 0)
    story.publish("a", 1, 1.1)
    story.claim(2, 2.1, ["a", twin("b")])
    assert judged(story) == []
    story.claim(3, 3.1, [twin("c")])
    assert judged(story) == ["GHOST-1"]


def test_a_refused_retry_explains_nothing() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.publish("a", 1, 1.1, result="rejected")
    story.claim(2, 2.1, ["a", twin("b")])
    assert judged(story) == ["GHOST-1"]


def test_a_replayed_key_gives_one_id() -> None:
    story = Story()
    story.publish("a", 0, 0.1, key="k")
    story.publish("a", 1, 1.1, key="k")
    story.claim(2, 2.1, ["a"])
    story.claim(40, 40.1, [got("a", 2)])
    assert judged(story) == []


def test_a_dead_letter_copy_may_have_an_id_of_its_own() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1, 1.1, ["a"])
    story.fail("a", 2, 2.1)
    story.claim(3, 3.1, [twin("copy")], queue="dead")
    assert judged(story) == []


def test_a_refused_publish_that_is_delivered_is_a_phantom() -> None:
    story = Story()
    story.publish("a", 0, 0.1, result="rejected")
    story.claim(1, 1.1, ["a"])
    (finding,) = check_ghosts(story.history())
    assert finding.requirement == "PHANTOM-1"
    assert finding.operations == (1, 2)


def test_a_publish_refused_for_want_of_room_may_not_be_delivered() -> None:
    story = Story()
    story.publish("a", 0, 0.1, result="rejected", code=FULL)
    story.claim(1, 1.1, ["a"])
    assert judged(story) == ["DEPTH-2"]


def test_a_token_of_this_run_that_nobody_published_is_a_phantom() -> None:
    story = Story()
    story.claim(1, 1.1, [got("x", token="run7-1")])
    assert judged(story, token_prefix="run7-") == ["PHANTOM-1"]


def test_a_token_of_another_run_is_not_judged() -> None:
    story = Story()
    story.claim(1, 1.1, [got("x", token="run6-1"), got("y", token="")])
    assert judged(story, token_prefix="run7-") == []
    assert judged(story) == []


def test_a_body_without_a_token_under_an_unknown_id_is_a_phantom() -> None:
    """Where every publish carries one; what a known id was delivered with is integrity's to tell."""
    story = Story()
    story.publish("a", 0, 0.1, token="run7-a")
    story.claim(1, 1.1, [got("a", token="", body="other"), got("x", token="", body="empty")])
    (finding,) = check_ghosts(story.history(), token_prefix="run7-")
    assert (finding.requirement, finding.message) == ("PHANTOM-1", "x")
    assert judged(story) == []


def test_a_body_without_a_token_from_a_queue_of_others_is_not_judged() -> None:
    story = Story()
    story.publish("a", 0, 0.1, token="run7-a")
    story.claim(1, 1.1, [got("x", token="", body="event")], queue="_events")
    assert judged(story, token_prefix="run7-") == []


def test_bodies_without_tokens_are_not_judged_where_some_were_published_so() -> None:
    story = Story()
    story.publish("a", 0, 0.1, token="run7-a")
    story.publish("b", 0, token="", body="empty")
    story.claim(1, 1.1, [got("x", token="", body="empty")])
    assert judged(story, token_prefix="run7-") == []


def test_a_delivery_before_its_publish_was_sent_is_a_phantom() -> None:
    story = Story()
    story.claim(1, 1.1, ["a"])
    story.publish("a", 2, 2.1)
    assert judged(story) == ["PHANTOM-1"]
    early = Story()
    early.claim(1, 2.05, ["a"])
    early.publish("a", 2, 2.1)
    assert judged(early) == []


def test_two_machines_are_not_compared() -> None:
    story = Story()
    story.claim(1, 1.1, ["a"])
    story.machine("two")
    story.publish("a", 2, 2.1)
    assert judged(story) == []
