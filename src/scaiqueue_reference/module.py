"""The module's gate: a tenant for which it is disabled gets 403 everywhere, and finds its data again afterwards."""

import hashlib
import time

from scaiqueue_reference.clock import Clock, resource_id
from scaiqueue_reference.errors import ModuleNotEnabled, SlugTaken
from scaiqueue_reference.message import Document
from scaiqueue_reference.store import Store

_KIND = "module"
_FRESH_S = 1.0  # how long a process believes what it read: another one may have moved the gate


class ModuleGate:
    """Enabled unless a row says otherwise."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[bool, float]] = {}

    async def check(self, tenant_id: str) -> None:
        """Raises ModuleNotEnabled."""
        enabled, until = self._known.get(tenant_id, (True, 0.0))
        if time.monotonic() > until:
            enabled = not await self._store.records(Document, scope_id=_place(tenant_id), kind=_KIND)
            self._remember(tenant_id, enabled)
        if not enabled:
            raise ModuleNotEnabled

    async def move(self, tenant_id: str, *, enabled: bool) -> None:
        """Opens or closes the gate for a tenant; this process at once, others within a second."""
        if enabled:
            await self._store.remove_records(Document, scope_id=_place(tenant_id), kind=_KIND)
        else:
            await self._disable(tenant_id)
        self._remember(tenant_id, enabled)

    async def _disable(self, tenant_id: str) -> None:
        created_us = self._clock.tick_us()
        document = Document(
            id=resource_id("mod", created_us),
            scope_id=_place(tenant_id),
            kind=_KIND,
            name="disabled",
            version="",
            position=0,
            body=b"{}",
            created_us=created_us,
        )
        try:
            await self._store.add_record(document)
        except SlugTaken:
            return

    def _remember(self, tenant_id: str, enabled: bool) -> None:
        self._known[tenant_id] = (enabled, time.monotonic() + _FRESH_S)


def _place(tenant_id: str) -> str:
    """Where the row stands: among the documents, under a scope id that no scope has; any tenant's name fits."""
    return f"tn_{hashlib.sha256(tenant_id.encode()).hexdigest()[:32]}"
