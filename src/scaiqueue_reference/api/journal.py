"""Handlers of the audit log, its traces, and the events."""

from collections.abc import Sequence
from typing import Any

from scaiqueue_reference import events
from scaiqueue_reference.api.call import Call, Result
from scaiqueue_reference.api.paging import after_of, cursor_of, limit_of
from scaiqueue_reference.api.views import moment
from scaiqueue_reference.audit import AuditLog
from scaiqueue_reference.errors import Invalid
from scaiqueue_reference.message import Entry, JournalPage
from scaiqueue_reference.places import Places
from scaiqueue_reference.store import Store

# A chain is given whole; one that is longer than this is no chain but a misuse of its id.
_LONGEST_TRACE = 10_000

_Lines = Sequence[tuple[int, Entry]]


class JournalHandlers:
    """Each method answers one endpoint."""

    def __init__(self, store: Store, places: Places, audit: AuditLog) -> None:
        self._store = store
        self._places = places
        self._audit = audit

    async def audit(self, call: Call) -> Result:
        """The scope's audit log, oldest first; filters: event_type, actor_id, correlation_id."""
        await self._places.owned(call.tenant, call.params["scope_id"])
        await self._audit.flush()
        query = call.query()
        types = (query["event_type"],) if "event_type" in query else ()
        lines, following = await self._page(call, types, query.get("actor_id"), query.get("correlation_id"))
        return Result([_line(*line) for line in lines], paged=True, next_cursor=following)

    async def trace(self, call: Call) -> Result:
        """Every audit event of the chain, in order."""
        await self._places.owned(call.tenant, call.params["scope_id"])
        page = JournalPage(
            tenant_id=call.tenant,
            scope_id=call.params["scope_id"],
            correlation_id=call.params["correlation_id"],
            limit=_LONGEST_TRACE,
        )
        return Result([_line(*line) for line in await self._store.journal(page)])

    async def events(self, call: Call) -> Result:
        """The scope's events, oldest first, in the envelope that webhooks get; filter: event_type."""
        await self._places.owned(call.tenant, call.params["scope_id"])
        wanted = call.query().get("event_type")
        if wanted is not None and wanted not in events.EVENTS:
            raise Invalid(("event_type", f"must be one of {', '.join(events.EVENTS)}"))
        lines, following = await self._page(call, events.EVENTS if wanted is None else (wanted,), None, None)
        return Result(await enveloped(self._store, lines), paged=True, next_cursor=following)

    async def _page(
        self, call: Call, types: tuple[str, ...], actor_id: str | None, correlation_id: str | None
    ) -> tuple[_Lines, str | None]:
        query = call.query()
        limit, after = limit_of(query), after_of(query) or "0"
        if not (after.isdigit() and len(after) < 19):
            raise Invalid(("cursor", "is none that this server gave"))
        page = JournalPage(
            tenant_id=call.tenant,
            scope_id=call.params["scope_id"],
            event_types=types,
            actor_id=actor_id,
            correlation_id=correlation_id,
            after=int(after),
            limit=limit + 1,
        )
        lines = await self._store.journal(page)
        return lines[:limit], cursor_of(str(lines[limit - 1][0])) if len(lines) > limit else None


async def enveloped(store: Store, lines: _Lines) -> list[dict[str, Any]]:
    """Journal lines as events, with the responses of those that completed."""
    completed = [entry.message_id for _, entry in lines if entry.event_type == events.COMPLETED]
    responses = await store.responses(completed) if completed else {}
    return [events.envelope(number, entry, responses.get(entry.message_id)) for number, entry in lines]


def _line(number: int, entry: Entry) -> dict[str, Any]:
    return {
        "id": f"aud_{number:020d}",
        "event_type": entry.event_type,
        "outcome": entry.outcome,
        "tenant_id": entry.tenant_id,
        "scope_id": entry.scope_id,
        "queue_id": entry.queue_id or None,
        "message_id": entry.message_id or None,
        "correlation_id": entry.correlation_id,
        "message_type": entry.message_type or None,
        "attempts": entry.attempts,
        "actor_type": entry.actor_type,
        "actor_id": entry.actor_id,
        "at": moment(entry.at_us),
    }
