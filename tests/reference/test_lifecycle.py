"""The state machine as a table."""

import pytest

from scaiqueue_reference.lifecycle import (
    PLACE_TRANSITIONS,
    TRANSITIONS,
    PlaceState,
    PlaceStep,
    State,
    Step,
    after,
    sources,
)

TERMINAL = (State.COMPLETED, State.EXPIRED, State.ARCHIVED)


def test_a_claimed_message_can_only_be_left_by_its_holder_or_the_clock() -> None:
    """Nothing but the holder's verbs and the reclaim leads out of claimed."""
    steps = {step for state, step in TRANSITIONS if state is State.CLAIMED}
    assert steps == {Step.COMPLETE, Step.RETRY, Step.BURY, Step.RELEASE, Step.RECLAIM, Step.EXTEND}


@pytest.mark.parametrize("state", TERMINAL)
def test_a_terminal_message_is_never_claimed_again(state: State) -> None:
    """From a terminal state, no number of steps leads back to claimed."""
    reached = {state}
    for _ in State:
        reached |= {target for (source, _), target in TRANSITIONS.items() if source in reached}
    assert State.CLAIMED not in reached
    assert State.PENDING not in reached


def test_every_state_is_reached() -> None:
    """Each state but the first is some step's target."""
    assert set(TRANSITIONS.values()) | {State.PENDING} == set(State)


@pytest.mark.parametrize("step", [Step.RETRY, Step.RELEASE, Step.RECLAIM])
def test_a_buried_message_goes_back_to_the_dead_letters(step: Step) -> None:
    """What others return to is pending."""
    assert after(State.CLAIMED, step) is State.PENDING
    assert after(State.CLAIMED, step, buried=True) is State.DEAD_LETTERED


def test_an_impossible_step_has_no_target() -> None:
    """`after` answers None, and `sources` names what would have been possible."""
    assert after(State.PENDING, Step.COMPLETE) is None
    assert sources(Step.CLAIM) == (State.PENDING, State.DEAD_LETTERED)


def test_an_archived_place_must_be_unarchived_before_it_resumes() -> None:
    """Resume is no step from archived; unarchive leads to paused, from where it is."""
    assert (PlaceState.ARCHIVED, PlaceStep.RESUME) not in PLACE_TRANSITIONS
    paused = PLACE_TRANSITIONS[PlaceState.ARCHIVED, PlaceStep.UNARCHIVE]
    assert PLACE_TRANSITIONS[paused, PlaceStep.RESUME] is PlaceState.ACTIVE
