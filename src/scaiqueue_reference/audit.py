"""The audit log of calls: who called what, with which outcome.

What happens to messages stands in the journal already, written with the change itself. Here the other calls are added:
what managers do, before its answer leaves; reads and refusals in the background, within half a second, so that they are
lost when the process is killed at the wrong moment.
"""

import asyncio
import logging

from scaiqueue_reference.errors import ApiError
from scaiqueue_reference.message import Entry
from scaiqueue_reference.store import Store

_log = logging.getLogger(__name__)

_EVERY_S = 0.5
_MOST_WAITING = 10_000  # while the rows are away; older lines go first


class AuditLog:
    """Gathers lines and writes them together."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Entry] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, entry: Entry) -> None:
        """One call."""
        self._waiting.append(entry)
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[: _MOST_WAITING // 2]

    async def flush(self) -> None:
        """Writes what waits, so that a reader sees its own calls; raises Unavailable and keeps it."""
        if not self._waiting:
            return
        entries, self._waiting = self._waiting, []
        try:
            await self._store.append(entries)
        except ApiError:
            self._waiting[:0] = entries
            raise

    def start(self) -> None:
        """Starts the writing in the running loop."""
        self._task = asyncio.create_task(self._repeat(), name="audit_log")

    async def stop(self) -> None:
        """Writes what waits, once more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self.flush()
        except ApiError as error:
            _log.warning("%d audit lines are lost: %s", len(self._waiting), error)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.flush()
            except ApiError as error:
                _log.warning("the audit log waits: %s", error)
