"""Stories of completed messages that come back, and of what only looks like it."""

import pytest
from checks_story import Story, got, requirements

from queueproof.checks.terminality import check_terminality


@pytest.fixture
def story() -> Story:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.0, 1.1, ["a"])
    return story


def judged(story: Story) -> list[str]:
    return requirements(check_terminality(story.history()))


def test_a_delivery_asked_for_after_the_complete_returned_violates(story: Story) -> None:
    story.complete("a", 2.0, 2.1)
    story.claim(2.2, 2.3, [got("a", 2)])
    (finding,) = check_terminality(story.history())
    assert finding.requirement == "DONE-4"
    assert finding.operations == (3, 4)
    assert "0.000 s < 0.100 s" in finding.proof


def test_a_delivery_asked_for_before_the_complete_returned_is_legal(story: Story) -> None:
    story.complete("a", 2.0, 2.3)
    story.claim(2.2, 2.4, [got("a", 2)])
    assert judged(story) == []


@pytest.mark.parametrize("result", ["unknown", "rejected", "not_sent"])
def test_a_complete_that_may_not_have_happened_proves_nothing(story: Story, result: str) -> None:
    story.complete("a", 2.0, 2.1, result=result)
    story.claim(3.0, 3.1, [got("a", 2)])
    assert judged(story) == []


def test_a_failed_message_comes_back_legally(story: Story) -> None:
    story.fail("a", 2.0, 2.1)
    story.claim(3.0, 3.1, [got("a", 2)])
    assert judged(story) == []


def test_the_first_of_two_completes_counts(story: Story) -> None:
    story.complete("a", 2.0, 2.1)
    story.claim(3.0, 3.1, [got("a", 2)])
    story.complete("a", 4.0, 4.1)
    assert judged(story) == ["DONE-4"]


def test_the_dead_letter_queue_may_not_revive_it_either(story: Story) -> None:
    story.complete("a", 2.0, 2.1)
    story.claim(3.0, 3.1, [got("a", 1)], queue="dead")
    assert judged(story) == ["DONE-4"]


def test_two_machines_are_not_compared(story: Story) -> None:
    story.machine("two")
    story.complete("a", 0.2, 0.3)
    assert judged(story) == []


def test_equal_ids_in_two_scopes_are_two_messages(story: Story) -> None:
    story.publish("a", 0, 0.1, scope="other", token="other-token")
    story.complete("a", 2.0, 2.1)
    story.claim(3.0, 3.1, [got("a", token="other-token")], scope="other")
    assert judged(story) == []
