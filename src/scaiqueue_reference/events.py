"""The names under which the journal tells what happened to a message, and the envelope in which events leave."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Raw

from scaiqueue_reference.message import Entry

PUBLISHED = "scaiqueue.message.published"
CLAIMED = "scaiqueue.message.claimed"
COMPLETED = "scaiqueue.message.completed"
DEAD_LETTERED = "scaiqueue.message.dead_lettered"

# The contract's closed list; the names below stand in the audit log only.
EVENTS = (PUBLISHED, CLAIMED, COMPLETED, DEAD_LETTERED)

FAILED = "scaiqueue.message.failed"
RELEASED = "scaiqueue.message.released"
EXTENDED = "scaiqueue.message.extended"
RECLAIMED = "scaiqueue.message.reclaimed"
EXPIRED = "scaiqueue.message.expired"
ARCHIVED = "scaiqueue.message.archived"
AGED = "scaiqueue.message.aged"

CALLED = "scaiqueue.call."  # + the endpoint's name

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_id(number: int) -> str:
    """The id of the event that stands at line `number` of the journal: the same at every delivery."""
    return f"evt_{number:020d}"


def envelope(number: int, entry: Entry, response: bytes | None) -> dict[str, Any]:
    """An event as webhooks and readers get it; `response` only in `completed`."""
    payload: dict[str, Any] = {
        "message_id": entry.message_id,
        "queue_id": entry.queue_id,
        "scope_id": entry.scope_id,
        "correlation_id": entry.correlation_id,
        "message_type": entry.message_type,
        "attempts": entry.attempts,
    }
    if entry.event_type == COMPLETED:
        payload["response"] = Raw(response if response is not None else b"null")
    at = (_EPOCH + timedelta(microseconds=entry.at_us)).isoformat(timespec="milliseconds")
    return {
        "event_type": entry.event_type,
        "event_id": event_id(number),
        "source": "scaiqueue",
        "tenant_id": entry.tenant_id,
        "partner_id": None,
        "payload": payload,
        "timestamp": at.replace("+00:00", "Z"),
    }
