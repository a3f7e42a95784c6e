"""The pending order: an index over the rows that says which messages of a queue come next.

It may be lost at any time and be rebuilt from the rows; it may hold ids that are claimable no more, because a claim
is decided by the row.
"""

from collections.abc import Sequence
from typing import Protocol

from scaiqueue_reference.message import Waiting


class PendingAway(Exception):  # noqa: N818 -- a state of the world: the rows answer instead
    """The order cannot be reached; what should have been put is found and put later, by the repair."""


class Pending(Protocol):
    """Which messages come next, queue by queue; every method may raise PendingAway."""

    async def close(self) -> None:
        """Lets go of what it holds."""

    async def put(self, waiting: Sequence[Waiting]) -> None:
        """Adds messages, or moves them to their new place; their claim locks are gone."""

    async def move(self, message: Waiting, former_score: int) -> None:
        """Gives a message that it holds at `former_score` its new place; one that it does not hold stays out."""

    async def take(self, queue_id: str, limit: int, now_us: int, lock_us: int) -> list[Waiting]:
        """Removes, locks and returns the first `limit` messages that are visible at `now_us`."""

    async def free(self, ids: Sequence[str]) -> None:
        """Drops the claim locks of messages that will never be claimed again."""

    async def forget(self, queue_id: str) -> None:
        """Drops a queue's order."""

    async def size(self, queue_id: str) -> int:
        """How many messages it holds for a queue."""

    async def missing(self, waiting: Sequence[Waiting]) -> list[Waiting]:
        """Those of `waiting` that it does not hold."""

    async def rebuilding(self) -> str | None:
        """The name of the rebuilding that is due, None while nothing is known to be missing; until then takes raise."""

    async def rebuilt(self, name: str) -> None:
        """Everything that waits was put since `rebuilding` gave this name; void if more was lost meanwhile."""
