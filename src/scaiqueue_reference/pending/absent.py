"""No pending order at all: the rows alone decide, which is slower and always right."""

import sys
from collections.abc import Sequence

from scaiqueue_reference.message import Waiting
from scaiqueue_reference.pending import PendingAway


class AbsentPending:
    """What a database without Redis runs on."""

    async def close(self) -> None:
        return None

    async def put(self, waiting: Sequence[Waiting]) -> None:
        return None

    async def move(self, message: Waiting, former_score: int) -> None:
        return None

    async def take(self, queue_id: str, limit: int, now_us: int, lock_us: int) -> list[Waiting]:
        raise PendingAway

    async def free(self, ids: Sequence[str]) -> None:
        return None

    async def forget(self, queue_id: str) -> None:
        return None

    async def size(self, queue_id: str) -> int:
        return sys.maxsize  # nothing is ever missing in what is never asked

    async def rebuilding(self) -> str | None:
        return None

    async def rebuilt(self, name: str) -> None:
        return None

    async def missing(self, waiting: Sequence[Waiting]) -> list[Waiting]:
        return []
