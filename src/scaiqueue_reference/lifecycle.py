"""What may follow what: the states of a message and of a place (scope or queue) as tables."""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Of a message."""

    PENDING = "pending"
    CLAIMED = "claimed"
    COMPLETED = "completed"
    DEAD_LETTERED = "dead_lettered"
    EXPIRED = "expired"
    ARCHIVED = "archived"


class Step(StrEnum):
    """What happens to a message."""

    CLAIM = "claim"
    COMPLETE = "complete"
    RETRY = "retry"  # fail with attempts < max_retries
    BURY = "bury"  # fail with attempts >= max_retries
    RELEASE = "release"
    RECLAIM = "reclaim"  # the lock ran out
    EXTEND = "extend"
    EXPIRE = "expire"
    ARCHIVE = "archive"


_BURIED = {
    (State.CLAIMED, Step.RETRY): State.DEAD_LETTERED,
    (State.CLAIMED, Step.RELEASE): State.DEAD_LETTERED,
    (State.CLAIMED, Step.RECLAIM): State.DEAD_LETTERED,
}

TRANSITIONS: Mapping[tuple[State, Step], State] = {
    (State.PENDING, Step.CLAIM): State.CLAIMED,
    (State.DEAD_LETTERED, Step.CLAIM): State.CLAIMED,
    (State.CLAIMED, Step.COMPLETE): State.COMPLETED,
    (State.CLAIMED, Step.RETRY): State.PENDING,
    (State.CLAIMED, Step.BURY): State.DEAD_LETTERED,
    (State.CLAIMED, Step.RELEASE): State.PENDING,
    (State.CLAIMED, Step.RECLAIM): State.PENDING,
    (State.CLAIMED, Step.EXTEND): State.CLAIMED,
    (State.PENDING, Step.EXPIRE): State.EXPIRED,
    (State.DEAD_LETTERED, Step.EXPIRE): State.EXPIRED,
    (State.COMPLETED, Step.ARCHIVE): State.ARCHIVED,
    (State.EXPIRED, Step.ARCHIVE): State.ARCHIVED,
}

RESTING = (State.PENDING, State.DEAD_LETTERED)  # waiting for a claim


def sources(step: Step) -> tuple[State, ...]:
    """The states from which `step` is possible."""
    return tuple(state for state, possible in TRANSITIONS if possible is step)


def after(state: State, step: Step, *, buried: bool = False) -> State | None:
    """The state that follows, None when `step` is not possible.

    A message that lives in `_dead_letter` (`buried`) goes back there where another one goes back to pending.
    """
    target = TRANSITIONS.get((state, step))
    return _BURIED.get((state, step), target) if buried else target


class PlaceState(StrEnum):
    """Of a scope or a queue."""

    ACTIVE = "active"
    PAUSED = "paused"
    DRAINING = "draining"
    ARCHIVED = "archived"


class PlaceStep(StrEnum):
    """What a manager does to a scope or a queue."""

    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"


PLACE_TRANSITIONS: Mapping[tuple[PlaceState, PlaceStep], PlaceState] = {
    (PlaceState.ACTIVE, PlaceStep.PAUSE): PlaceState.PAUSED,
    (PlaceState.ACTIVE, PlaceStep.RESUME): PlaceState.ACTIVE,
    (PlaceState.ACTIVE, PlaceStep.DRAIN): PlaceState.DRAINING,
    (PlaceState.ACTIVE, PlaceStep.ARCHIVE): PlaceState.ARCHIVED,
    (PlaceState.PAUSED, PlaceStep.PAUSE): PlaceState.PAUSED,
    (PlaceState.PAUSED, PlaceStep.RESUME): PlaceState.ACTIVE,
    (PlaceState.PAUSED, PlaceStep.DRAIN): PlaceState.DRAINING,
    (PlaceState.PAUSED, PlaceStep.ARCHIVE): PlaceState.ARCHIVED,
    (PlaceState.DRAINING, PlaceStep.PAUSE): PlaceState.PAUSED,
    (PlaceState.DRAINING, PlaceStep.RESUME): PlaceState.ACTIVE,
    (PlaceState.DRAINING, PlaceStep.DRAIN): PlaceState.DRAINING,
    (PlaceState.DRAINING, PlaceStep.ARCHIVE): PlaceState.ARCHIVED,
    (PlaceState.ARCHIVED, PlaceStep.ARCHIVE): PlaceState.ARCHIVED,
    (PlaceState.ARCHIVED, PlaceStep.UNARCHIVE): PlaceState.PAUSED,
}

ACCEPTING = frozenset({PlaceState.ACTIVE})  # publish
SERVING = frozenset({PlaceState.ACTIVE, PlaceState.DRAINING})  # claim; elsewhere it finds nothing
