"""Stories of acknowledged messages that come to nothing, and of what a drain cannot rule out."""

from typing import Any

import polars as pl
import pytest
from checks_story import Story, got, ns, requirements

from queueproof.checks.loss import ROWS, Drain, check_loss

QUIET = 10.0


def drained(
    story: Story, *, until: float = 30.0, step: float = 0.5, queues: tuple[str, ...] = ("tasks", "dead")
) -> Story:
    """Nothing is returned from QUIET on."""
    for number in range(1, round((until - QUIET) / step) + 1):
        for queue in queues:
            story.claim(QUIET + number * step, QUIET + number * step + 0.01, [], timeout=2, queue=queue)
    return story


def told() -> Story:
    """ "a" is published; nothing else is known of it."""
    story = Story()
    story.publish("a", 0, 0.1)
    return story


def judged(story: Story, state: str = "", *, read: float = 31.0, **options: Any) -> list[str]:
    settings = {"queues": ("tasks", "dead"), "quiet_from_ns": ns(QUIET), "longest_wait_ns": 0} | options
    rows = [{"scope": "scope", "message": "a", "state": state, "inv": ns(read), "ret": ns(read)}] if state else []
    return requirements(check_loss(story.history(), [Drain(**settings)], pl.DataFrame(rows, schema=ROWS)))


def test_never_delivered_is_lost() -> None:
    assert judged(drained(told())) == ["LOSS-1"]


def test_the_proof_says_how_long_was_waited() -> None:
    story = drained(told())
    (finding,) = check_loss(story.history(), [Drain(queues=("tasks", "dead"), quiet_from_ns=ns(QUIET))])
    assert finding.operations == (1,)
    assert "8.004 s" in finding.proof


@pytest.mark.parametrize(
    ("state", "requirement"),
    [("absent", "LOSS-1"), ("pending", "LOSS-2"), ("claimed", "LOSS-3"), ("completed", "LOSS-1")],
)
def test_the_row_says_what_became_of_it(state: str, requirement: str) -> None:
    assert judged(drained(told()), state) == [requirement]


@pytest.mark.parametrize("state", ["archived", "dead_lettered", "expired", "something else"])
def test_a_state_that_no_page_names_is_not_judged(state: str) -> None:
    assert judged(drained(told()), state) == []


@pytest.mark.parametrize("result", ["ok", "unknown"])
@pytest.mark.parametrize("state", ["", "absent", "completed", "pending"])
def test_what_may_have_been_completed_is_settled(state: str, result: str) -> None:
    story = told()
    story.claim(1, 1.1, ["a"])
    story.complete("a", 2, 2.1, result=result)
    assert judged(drained(story), state) == []


def test_what_was_completed_under_another_id_is_settled() -> None:
    """The dead-letter queue's copy has an id of its own."""
    story = told()
    story.claim(1, 1.1, ["a"], timeout=2)
    story.fail("a", 2, 2.1)
    story.claim(3, 3.1, [got("copy", token="token-a")], queue="dead", timeout=2)
    story.complete("copy", 4, 4.1)
    assert judged(drained(story), "absent") == []


def test_completed_by_nobody_needs_no_drain() -> None:
    assert judged(told(), "completed", read=1.0) == ["LOSS-1"]


def test_an_unacknowledged_publish_may_have_never_happened() -> None:
    story = Story()
    story.publish("a", 0)
    assert judged(drained(story)) == []


def test_a_drain_cut_short_says_nothing() -> None:
    for state in ("", "absent", "pending", "claimed"):
        assert judged(drained(told(), until=17.0), state) == []


def test_a_drain_with_a_hole_says_nothing() -> None:
    story = drained(told(), until=13.0)
    for number in range(20):
        for queue in ("tasks", "dead"):
            story.claim(19 + number, 19.01 + number, [], timeout=2, queue=queue)
    assert judged(story) == []


def test_a_drain_that_still_delivered_says_nothing() -> None:
    story = drained(told())
    story.publish("b", 0.2, 0.3)
    story.claim(12.2, 12.3, ["b"], timeout=2)
    assert judged(story) == []


def test_a_drain_that_left_a_queue_out_says_nothing() -> None:
    assert judged(drained(told(), queues=("tasks",))) == []


def test_without_the_dead_letter_queue_only_untouched_messages_are_judged() -> None:
    options = {"queues": ("tasks",), "dead_letter": False}
    assert judged(drained(told(), queues=("tasks",)), "absent", **options) == ["LOSS-1"]
    story = told()
    story.claim(1, 1.1, ["a"], timeout=2)
    assert judged(drained(story, queues=("tasks",)), "absent", **options) == []


def test_each_unknown_claim_may_hold_it_once_more() -> None:
    story = told()
    story.claim(1, timeout=2)
    assert judged(drained(story, until=25.9), "claimed") == []
    assert judged(drained(story, until=27.0), "claimed") == ["LOSS-3"]


def test_a_harness_may_know_that_no_unknown_claim_can_act_any_more() -> None:
    story = told()
    story.claim(1, timeout=2)
    assert judged(drained(story, until=20.0), "claimed", outstanding=0) == ["LOSS-3"]


def test_a_backoff_of_unknown_length_may_hide_what_was_touched() -> None:
    story = told()
    story.claim(1, 1.1, ["a"], timeout=2)
    story.fail("a", 2, 2.1)
    assert judged(drained(story), "pending", longest_wait_ns=None) == []
    assert judged(drained(story), "pending", longest_wait_ns=ns(1)) == ["LOSS-2"]
    assert judged(drained(story), "pending", longest_wait_ns=ns(100)) == []


def test_a_row_read_too_early_says_nothing() -> None:
    assert judged(drained(told()), "pending", read=12.0) == []


def test_untimed_messages_are_not_judged() -> None:
    story = Story()
    story.publish("a", 0, 0.1, untimed=True)
    assert judged(drained(story)) == []


def test_a_closed_queue_gives_nothing() -> None:
    story = drained(told())
    story.change("pause-scope", 5, 5.1, queue="")
    assert judged(story, "pending") == []
    story.change("resume-scope", 6, 6.1, queue="")
    assert judged(story, "pending") == ["LOSS-2"]


def test_a_deleted_queue_deletes_its_messages() -> None:
    story = drained(told())
    story.change("delete-queue", 5, 5.1)
    assert judged(story, "absent") == []


def test_a_claim_without_a_known_timeout_may_hold_for_ever() -> None:
    story = told()
    story.claim(1, 1.1, [], timeout=None)
    assert judged(drained(story), "claimed") == []
    assert judged(drained(story), "claimed", longest_timeout_ns=ns(2)) == ["LOSS-3"]


def test_an_unknown_extension_may_hold_for_ever() -> None:
    story = told()
    story.claim(1, 1.1, ["a"], timeout=2)
    story.extend("a", 1.5, timeout=2)
    assert judged(drained(story), "claimed") == []


def forgotten(
    story: Story, *, code: str = "SCAIQUEUE_SCOPE_NOT_FOUND", known: bool = True, still: bool = False
) -> Story:
    """From QUIET on the server knows neither queue any more; `still`: but the message's own now and then."""
    if known:
        story.claim(0.2, 0.3, [], timeout=2)
    for number in range(1, 40):
        for queue in ("tasks", "dead"):
            at = QUIET + number * 0.5
            empty = still and queue == "tasks" and number % 5 == 0
            story.claim(at, at + 0.01, [], timeout=2, queue=queue, result="ok" if empty else "rejected", code=code)
    return story


def test_what_is_gone_with_its_queue_is_lost() -> None:
    """A server that was killed and has forgotten everything gives no empty answer to wait for."""
    story = forgotten(told())
    assert judged(story, "absent") == ["LOSS-1"]
    drain = Drain(queues=("tasks", "dead"), quiet_from_ns=ns(QUIET), longest_wait_ns=0)
    row = {"scope": "scope", "message": "a", "state": "absent", "inv": ns(31.0), "ret": ns(31.0)}
    (finding,) = check_loss(story.history(), [drain], pl.DataFrame([row], schema=ROWS))
    assert "so is its queue" in finding.summary
    assert "found no such queue" in finding.proof


@pytest.mark.parametrize(
    ("state", "read", "options"),
    [
        ("", 31.0, {}),  # a row that cannot be read is no evidence
        ("pending", 31.0, {}),
        ("absent", 11.0, {}),  # read before the last lock could end
        ("absent", 31.0, {"code": "NOT_FOUND"}),  # of the path, as a proxy says it
        ("absent", 31.0, {"code": "RATE_LIMITED"}),
        ("absent", 31.0, {"known": False}),  # it never answered
    ],
)
def test_a_queue_that_is_gone_proves_nothing_alone(state: str, read: float, options: dict[str, Any]) -> None:
    assert judged(forgotten(told(), **options), state, read=read) == []


def test_a_queue_that_is_refused_now_and_then_is_not_gone() -> None:
    assert judged(forgotten(told(), still=True), "absent") == []


def test_a_queue_that_was_deleted_is_gone_rightly() -> None:
    story = told()
    story.claim(0.2, 0.3, [], timeout=2)
    story.change("delete-scope", 5, 5.1, queue="")
    assert judged(forgotten(story), "absent") == []
