"""Stories of keys that forget, and of what a correct server may do with one."""

import pytest
from checks_story import CONFLICT, Story, got, notes, requirements

from queueproof.checks.idempotency import check_idempotency


@pytest.fixture
def story() -> Story:
    """A publish with a key was answered ok with the id "a"."""
    story = Story()
    story.publish("a", 0, 0.1, key="k", token="t", body="X")
    return story


def judged(story: Story) -> list[str]:
    return requirements(check_idempotency(story.history()))


def test_a_replay_with_the_same_id_is_right(story: Story) -> None:
    story.publish("a", 1, 1.1, key="k", token="t", body="X")
    assert judged(story) == []


def test_a_replay_with_a_second_id_violates(story: Story) -> None:
    story.publish("b", 1, 1.1, key="k", token="t", body="X")
    (finding,) = check_idempotency(story.history())
    assert finding.requirement == "IDEM-1"
    assert finding.operations == (1, 2)


@pytest.mark.parametrize("answer", ["a", "b"])
def test_another_body_taken_under_the_same_key_violates(story: Story, answer: str) -> None:
    story.publish(answer, 1, 1.1, key="k", token="u", body="Y")
    assert judged(story) == ["IDEM-3"]


def test_racing_publishes_with_two_ids_break_a_should(story: Story) -> None:
    story.publish("b", 0.05, 0.2, key="k", token="t", body="X")
    assert judged(story) == ["IDEM-7"]


def test_another_key_another_message(story: Story) -> None:
    story.publish("b", 1, 1.1, key="l", token="t2", body="X")
    assert judged(story) == []


def test_keys_are_exact(story: Story) -> None:
    for at, key in enumerate(("K", "k ", " k", "ḱ", "")):
        story.publish(f"b{at}", at + 1, at + 1.1, key=key, token=f"t{at}", body="X")
    assert judged(story) == []


def test_another_queue_may_hold_the_key_apart(story: Story) -> None:
    story.publish("b", 1, 1.1, key="k", token="t", body="X", queue="other")
    assert judged(story) == []


def test_a_conflict_with_an_acknowledged_body_is_right(story: Story) -> None:
    story.publish("b", 1, 1.1, key="k", token="u", body="Y", result="rejected", code=CONFLICT)
    assert judged(story) == []


def test_a_conflict_with_an_unknown_publish_is_right() -> None:
    story = Story()
    story.publish("a", 0, key="k", body="X")
    story.publish("b", 1, 1.1, key="k", body="Y", result="rejected", code=CONFLICT)
    assert judged(story) == []


def test_a_conflict_with_another_queues_publish_may_be_right() -> None:
    """How far a key reaches (queue, scope, tenant) is not promised."""
    story = Story()
    story.publish("a", 0, 0.1, key="k", body="X", queue="other")
    story.publish("b", 1, 1.1, key="k", body="Y", result="rejected", code=CONFLICT)
    assert judged(story) == []


def test_a_conflict_with_the_same_body_only_violates(story: Story) -> None:
    story.publish("b", 1, 1.1, key="k", token="t", body="X", result="rejected", code=CONFLICT)
    assert judged(story) == ["IDEM-1"]


def test_a_conflict_with_other_labels_may_be_right() -> None:
    """Whether labels, type or priority belong to what a key stands for is not promised."""
    story = Story()
    story.publish("a", 0, 0.1, key="k", body="X", rest="labelled")
    story.publish("b", 1, 1.1, key="k", body="X", rest="otherwise", result="rejected", code=CONFLICT)
    assert judged(story) == []


def test_a_conflict_with_nothing_violates() -> None:
    story = Story()
    story.publish("b", 1, 1.1, key="k", body="X", result="rejected", code=CONFLICT)
    assert judged(story) == ["IDEM-1"]


def test_a_conflict_with_a_rejected_publish_violates() -> None:
    """A refused publish holds no key."""
    story = Story()
    story.publish("a", 0, 0.1, key="k", body="Y", result="rejected", code="SCAIQUEUE_QUEUE_FULL")
    story.publish("b", 1, 1.1, key="k", body="X", result="rejected", code=CONFLICT)
    assert judged(story) == ["IDEM-1"]


def test_a_conflict_while_the_same_publish_is_under_way_breaks_a_should() -> None:
    story = Story()
    story.publish("a", 0, 1, key="k", token="t", body="X")
    story.publish("b", 0.5, 0.6, key="k", token="t", body="X", result="rejected", code=CONFLICT)
    assert judged(story) == ["IDEM-7"]


def test_a_key_may_be_forgotten_after_completion(story: Story) -> None:
    story.claim(0.5, 0.6, [got("a", token="t", body="X")])
    story.complete("a", 0.7, 0.8)
    story.publish("b", 1, 1.1, key="k", token="t", body="X")
    findings = check_idempotency(story.history())
    assert requirements(findings) == []
    assert notes(findings) == ["IDEM-8"]


def test_a_key_may_be_forgotten_after_a_minute(story: Story) -> None:
    story.publish("b", 100, 100.1, key="k", token="t", body="X")
    assert judged(story) == []


def test_a_lost_answer_and_a_retry_must_make_one_message() -> None:
    story = Story()
    story.publish("a", 0, key="k", token="t", body="X")
    story.publish("b", 1, 1.1, key="k", token="t", body="X")
    story.claim(2, 2.1, [got("z", token="t", body="X"), got("b", token="t", body="X")])
    (finding,) = check_idempotency(story.history())
    assert finding.requirement == "IDEM-2"
    assert finding.operations == (1, 2, 3)


def test_a_lost_answer_and_a_retry_without_a_key_may_make_two() -> None:
    story = Story()
    story.publish("a", 0, token="t", body="X")
    story.publish("b", 1, 1.1, token="t", body="X")
    story.claim(2, 2.1, [got("z", token="t", body="X"), got("b", token="t", body="X")])
    assert judged(story) == []


def test_a_late_publish_may_find_the_key_forgotten_after_completion() -> None:
    story = Story()
    story.publish("a", 0, key="k", token="t", body="X")
    story.publish("b", 1, 1.1, key="k", token="t", body="X")
    story.claim(2, 2.1, [got("b", token="t", body="X")])
    story.complete("b", 3, 3.1)
    story.claim(4, 4.1, [got("z", token="t", body="X")])
    assert judged(story) == []


def test_the_dead_letter_copy_may_have_an_id_of_its_own(story: Story) -> None:
    story.publish("a", 0.5, 0.6, key="k", token="t", body="X")
    story.claim(1, 1.1, [got("a", token="t", body="X")])
    story.fail("a", 2, 2.1)
    story.claim(3, 3.1, [got("copy", token="t", body="X")], queue="dead")
    assert judged(story) == []


def test_a_message_that_may_expire_frees_its_key() -> None:
    story = Story()
    for at, message in enumerate("ab"):
        story.publish(message, at, at + 0.1, key="k", token="t", body="X", untimed=True)
    assert judged(story) == []


def test_two_machines_are_not_compared(story: Story) -> None:
    story.machine("two")
    story.publish("b", 1, 1.1, key="k", token="u", body="Y")
    assert judged(story) == []
