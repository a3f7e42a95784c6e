"""Stories of messages that do not come back, and of every reason why that may be right."""

import pytest
from checks_story import Story, got, notes, requirements

from queueproof.checks.redelivery import check_redelivery


def polls(story: Story, start: float, end: float, step: float = 0.4, **more: object) -> None:
    """Claims that return nothing."""
    for number in range(round((end - start) / step) + 1):
        story.claim(start + number * step, start + number * step + 0.01, [], **more)  # type: ignore[arg-type]


def lost_lapse(*, polling: bool = True, control: bool = True, timeout: float = 2.0) -> Story:
    """ "a" is claimed for two seconds at 1.0 and never seen again; "c", a control, lapses and returns."""
    story = Story()
    story.publish("a", 0, 0.1)
    story.publish("c", 0, 0.1, queue="control")
    story.claim(1.0, 1.1, ["a"], timeout=timeout)
    if control:
        story.claim(1.0, 1.1, ["c"], timeout=timeout, queue="control")
        story.claim(4.0, 4.1, [got("c", 2)], timeout=timeout, queue="control")
    if polling:
        polls(story, 2.8, 12.0)
    return story


def judged(story: Story, **options: object) -> list[str]:
    return requirements(check_redelivery(story.history(), **options))  # type: ignore[arg-type]


def test_a_message_that_never_comes_back_violates() -> None:
    (finding,) = check_redelivery(lost_lapse().history())
    assert finding.requirement == "VIS-2"
    assert finding.weight == "violation"
    assert finding.message == "a"
    assert "2.104 s" in finding.proof


def test_without_a_control_nothing_is_said() -> None:
    assert judged(lost_lapse(control=False)) == []
    assert judged(lost_lapse(control=False), control=False) == ["VIS-2"]


def crowded(*, others: int, at_once: int = 2, ends: bool = False) -> Story:
    """`lost_lapse`, of whose queue `at_once` messages are held at first, and later so many others, not "a"."""
    story = lost_lapse(polling=False)
    names = [f"o{number}" for number in range(max(at_once - 1, others))]
    for name in names:
        story.publish(name, 0, 0.1)
    for name in names[: at_once - 1]:
        story.claim(1.1, 1.2, [name], timeout=30.0)
        if others < at_once - 1:
            story.complete(name, 2.0, 2.1)
    for name in names[at_once - 1 : others]:
        story.claim(2.9, 3.0, [name], timeout=30.0)
    if ends:
        story.complete(names[0], 9.0, 9.1)
    polls(story, 2.8, 12.0)
    return story


@pytest.mark.parametrize(("others", "at_once", "judgement"), [(2, 2, []), (1, 2, ["VIS-2"]), (0, 3, ["VIS-2"])])
def test_a_queue_may_hand_out_only_so_many_at_a_time(others: int, at_once: int, judgement: list[str]) -> None:
    """As many as were ever held at once are held: what else waits may have to wait for them."""
    assert judged(crowded(others=others, at_once=at_once)) == judgement


def test_a_place_that_became_free_has_to_be_filled() -> None:
    assert judged(crowded(others=2, ends=True)) == ["VIS-2"]


def test_without_claims_nothing_is_said() -> None:
    assert judged(lost_lapse(polling=False)) == []


def test_a_pause_in_the_claims_says_nothing() -> None:
    story = lost_lapse(polling=False)
    polls(story, 2.8, 6.0)
    polls(story, 7.0, 12.0)
    assert judged(story) == []


def test_claims_that_end_before_the_bound_say_nothing() -> None:
    story = lost_lapse(polling=False)
    polls(story, 2.8, 8.9)
    assert judged(story) == []


def test_answers_with_something_in_them_are_no_room() -> None:
    """A server may answer short: what it returned says nothing about what it still has."""
    story = lost_lapse(polling=False)
    for number in range(24):
        name = f"other{number}"
        story.publish(name, 0.2, 0.3)
        story.claim(2.8 + 0.4 * number, 2.9 + 0.4 * number, [name])
        story.complete(name, 2.95 + 0.4 * number, 3 + 0.4 * number)
    assert judged(story) == []


@pytest.mark.parametrize("verb", ["complete", "fail", "release"])
@pytest.mark.parametrize("result", ["ok", "unknown"])
def test_what_may_have_ended_the_message_explains_it(verb: str, result: str) -> None:
    story = lost_lapse()
    getattr(story, verb)("a", 1.5, 1.6, result=result)
    assert judged(story) == []


def test_an_extension_moves_the_bound() -> None:
    story = lost_lapse()
    story.extend("a", 1.5, 1.6, timeout=30)
    assert judged(story) == []


def test_an_unknown_extension_may_act_later() -> None:
    story = lost_lapse()
    story.extend("a", 1.5, timeout=0.1)
    assert judged(story) == []


def test_an_unknown_claim_may_hold_it() -> None:
    story = lost_lapse()
    story.claim(0.5)
    assert judged(story) == []


@pytest.mark.parametrize("queue", ["tasks", ""])
def test_a_closed_queue_explains_it(queue: str) -> None:
    story = lost_lapse()
    story.change("pause-queue" if queue else "pause-scope", 5.0, 5.1, queue=queue)
    assert judged(story) == []


def test_a_queue_that_was_open_again_before_explains_nothing() -> None:
    story = lost_lapse()
    story.change("pause-queue", 0.2, 0.3)
    story.change("resume-queue", 0.4, 0.5)
    assert judged(story) == ["VIS-2"]


def test_a_fault_explains_it() -> None:
    assert judged(lost_lapse(), disturbed=[(5_000_000_000, 6_000_000_000)]) == []


def test_the_last_retry_may_move_it_away() -> None:
    assert judged(lost_lapse(), max_retries={"tasks": 1}) == []
    assert judged(lost_lapse(), max_retries={"tasks": 2}) == ["VIS-2"]


def test_a_second_lapse_is_judged_only_where_the_limit_is_known() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.claim(1.0, 1.1, ["a"], timeout=2.0)
    story.claim(3.5, 3.6, [got("a", 2)], timeout=2.0)
    polls(story, 5.0, 14.0)
    assert judged(story, control=False) == []
    assert judged(story, control=False, max_retries={"tasks": 5}) == ["VIS-2"]


def test_a_message_that_comes_back_in_time_is_right() -> None:
    story = lost_lapse()
    story.claim(4.5, 4.6, [got("a", 2)], timeout=100)
    assert judged(story) == []


def test_a_late_return_is_a_note() -> None:
    story = lost_lapse()
    story.claim(12.5, 12.6, [got("a", 2)], timeout=100)
    findings = check_redelivery(story.history())
    assert requirements(findings) == []
    assert notes(findings) == ["VIS-2"]


def test_untimed_messages_are_not_judged() -> None:
    story = Story()
    story.publish("a", 0, 0.1, untimed=True)
    story.claim(1.0, 1.1, ["a"], timeout=2.0)
    polls(story, 2.8, 12.0)
    assert judged(story, control=False) == []


def test_a_return_with_a_long_hold_is_a_return() -> None:
    """What is completed long after the bound, but within the second hold, came back all the same."""
    story = crowded(others=0, at_once=3)
    story.claim(3.2, 3.3, [got("a", 2)], timeout=60.0)
    story.complete("a", 10.0, 10.1)
    assert judged(story) == []
