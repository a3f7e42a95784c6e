"""Stories of counters that are wrong at rest."""

import polars as pl
from checks_story import Story, ns, requirements

from queueproof.checks.counters import READINGS, check_counters


def judged(story: Story, at: float, pending: int | None = None, claimed: int | None = None) -> list[str]:
    values = {"depth_pending": pending, "depth_claimed": claimed}
    rows = [
        {"scope": "scope", "queue": "tasks", "name": name, "value": value, "inv": ns(at), "ret": ns(at + 0.01)}
        for name, value in values.items()
        if value is not None
    ]
    return requirements(check_counters(story.history(), pl.DataFrame(rows, schema=READINGS)))


def three() -> Story:
    story = Story()
    for number in range(3):
        story.publish(f"m{number}", number, number + 0.1)
    return story


def test_what_was_published_is_pending() -> None:
    assert judged(three(), 10, pending=3, claimed=0) == []
    assert judged(three(), 10, pending=2) == ["PUB-4"]
    assert judged(three(), 10, pending=4) == ["PUB-4"]


def test_nothing_is_said_before_the_counters_may_have_settled() -> None:
    assert judged(three(), 3, pending=0) == []


def test_nothing_is_said_while_a_lock_may_live() -> None:
    story = three()
    story.claim(3, 3.1, ["m0"], timeout=10)
    assert judged(story, 15, pending=0, claimed=7) == []


def test_a_completed_message_is_nowhere() -> None:
    story = three()
    story.claim(3, 3.1, ["m0"], timeout=2)
    story.complete("m0", 4, 4.1)
    assert judged(story, 30, pending=2, claimed=0) == []
    assert judged(story, 30, pending=3) == ["PUB-4"]
    assert judged(story, 30, claimed=1) == ["DONE-3"]


def test_a_lapsed_lock_counts_as_claimed_no_more() -> None:
    story = three()
    story.claim(3, 3.1, ["m0"], timeout=2)
    assert judged(story, 30, pending=3, claimed=0) == []
    assert judged(story, 30, claimed=1) == ["VIS-4"]


def test_a_lapsed_message_may_have_been_dead_lettered() -> None:
    story = three()
    story.claim(3, 3.1, ["m0"], timeout=2)
    assert judged(story, 30, pending=2) == []


def test_an_unknown_publish_may_count() -> None:
    story = three()
    story.publish("u", 3)
    assert judged(story, 30, pending=3) == []
    assert judged(story, 30, pending=4) == []
    assert judged(story, 30, pending=5) == ["PUB-4"]


def test_an_unknown_claim_may_hold_for_ever() -> None:
    story = three()
    story.claim(3)
    assert judged(story, 30, pending=0, claimed=9) == []


def test_a_delayed_message_may_count_or_not() -> None:
    story = three()
    story.publish("d", 3, 3.1, untimed=True)
    assert judged(story, 30, pending=3) == []
    assert judged(story, 30, pending=4) == []


def test_a_queue_that_took_in_dead_letters_is_not_judged() -> None:
    story = three()
    story.publish("x", 3, 3.1, queue="other")
    story.claim(4, 4.1, ["x"], timeout=2)
    assert judged(story, 30, pending=7) == []


def test_a_reading_amid_later_calls_is_not_judged() -> None:
    story = three()
    story.publish("later", 40, 40.1)
    assert judged(story, 30, pending=0) == []
