"""The pending order: an index over the rows that says which messages of a queue come next.

It may be lost at any time and be rebuilt from the rows; it may hold ids that are claimable no more, because a claim
is decided by the row. What it must not do is lose an id that was put while it lives.
"""

from collections.abc import Sequence
from typing import Protocol

from scaiqueue_reference.message import Waiting


class Pending(Protocol):
    """Which messages come next, queue by queue."""

    async def put(self, waiting: Sequence[Waiting]) -> None:
        """Adds messages, or moves them to their new place."""

    async def take(self, queue_id: str, limit: int, now_us: int) -> list[Waiting]:
        """Removes and returns the first `limit` messages that are visible at `now_us`."""

    async def forget(self, queue_id: str) -> None:
        """Drops a queue's order."""
