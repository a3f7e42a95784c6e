"""Stories of empty answers while something was waiting: notes, never accusations."""

from checks_story import Story, notes, requirements

from queueproof.checks.empty import check_empty


def test_an_empty_answer_over_a_waiting_message_is_a_note() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1, 1.1, [])
    story.claim(1.5, 1.6, [])
    story.claim(2, 2.1, ["a"])
    (finding,) = check_empty(story.history())
    assert finding.weight == "note"
    assert finding.operations == (1, 2)
    assert finding.summary.startswith("2 claim(s)")
    assert requirements([finding]) == []


def told(story: Story) -> list[str]:
    return notes(check_empty(story.history()))


def test_a_message_published_meanwhile_may_have_come_too_late() -> None:
    story = Story()
    story.publish("a", 0, 1.05)
    story.claim(1, 1.1, [])
    assert told(story) == []


def test_a_claim_under_way_may_have_taken_it() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.05, 2, ["a"])
    story.claim(1, 1.1, [])
    assert told(story) == []


def test_an_unknown_claim_may_have_taken_it() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(0.5)
    story.claim(1, 1.1, [])
    assert told(story) == []


def test_a_paused_queue_is_empty_by_right() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.change("pause-queue", 0.5, 0.6)
    story.claim(1, 1.1, [])
    assert told(story) == []


def test_a_delayed_message_is_hidden_by_right() -> None:
    story = Story()
    story.publish("a", 0, 0.1, untimed=True)
    story.claim(1, 1.1, [])
    assert told(story) == []
