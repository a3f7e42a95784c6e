"""Stories of paused queues that hand out messages."""

import pytest
from checks_story import Story, requirements

from queueproof.checks.pause import check_pause


def paused(verb: str = "pause-queue", queue: str = "tasks") -> Story:
    story = Story()
    story.publish("a", 0, 0.1)
    story.change(verb, 1, 1.1, queue=queue)
    return story


def judged(story: Story) -> list[str]:
    return requirements(check_pause(story.history()))


@pytest.mark.parametrize(("verb", "queue"), [("pause-queue", "tasks"), ("pause-scope", ""), ("archive-scope", "")])
def test_a_claim_inside_the_pause_returns_nothing(verb: str, queue: str) -> None:
    story = paused(verb, queue)
    story.claim(2, 2.1, [])
    assert judged(story) == []
    story.claim(3, 3.1, ["a"])
    (finding,) = check_pause(story.history())
    assert finding.requirement == "LIFE-4"
    assert finding.operations == (2, 4)


def test_an_archived_queue_is_not_promised_to_be_silent() -> None:
    story = paused("archive-queue")
    story.claim(3, 3.1, ["a"])
    assert judged(story) == []


def test_a_claim_sent_before_the_pause_was_answered_is_legal() -> None:
    story = paused()
    story.claim(1.05, 3, ["a"])
    assert judged(story) == []


@pytest.mark.parametrize("verb", ["resume-queue", "resume-scope", "unarchive-scope"])
@pytest.mark.parametrize("result", ["ok", "unknown"])
def test_whatever_may_have_opened_it_explains_the_claim(verb: str, result: str) -> None:
    story = paused()
    story.change(verb, 2, 2.1, result=result, queue="" if verb.endswith("scope") else "tasks")
    story.claim(3, 3.1, ["a"])
    assert judged(story) == []


def test_a_resume_from_before_the_pause_explains_nothing() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.change("resume-queue", 0.2, 0.3)
    story.change("pause-queue", 1, 1.1)
    story.claim(3, 3.1, ["a"])
    assert judged(story) == ["LIFE-4"]


def test_an_unknown_resume_from_before_may_act_later() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.change("resume-queue", 0.2)
    story.change("pause-queue", 1, 1.1)
    story.claim(3, 3.1, ["a"])
    assert judged(story) == []


def test_an_unknown_pause_proves_nothing() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.change("pause-queue", 1)
    story.claim(3, 3.1, ["a"])
    assert judged(story) == []


def test_another_queue_is_not_paused() -> None:
    story = paused()
    story.publish("b", 0, 0.1, queue="other")
    story.claim(3, 3.1, ["b"], queue="other")
    assert judged(story) == []


def test_a_resume_on_another_machine_may_have_come_at_any_time() -> None:
    story = paused()
    story.claim(3, 3.1, ["a"])
    story.machine("two")
    story.change("resume-queue", 900, 901)
    assert judged(story) == []
