"""What the API shows of a scope, a queue and a message."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from msgspec import Raw, Struct

from scaiqueue_reference.message import Depth, Message, Queue, Scope

_EMPTY = Raw(b"{}")
_NULL = Raw(b"null")


class MessageView(Struct, frozen=True, gc=False):
    """A message as the API shows it: payloads byte by byte, times in RFC 3339 UTC with µs."""

    id: str
    tenant_id: str
    scope_id: str
    queue_id: str
    state: str
    attempts: int
    type: str
    message_type: str
    content_type: str
    body: Raw
    labels: Raw
    priority_tier: str
    priority_score: int
    correlation_id: str | None
    causation_id: str | None
    parent_id: str | None
    source_type: str
    source_id: str
    idempotency_key: str | None
    ttl_seconds: float | None
    deadline: str | None
    delay_until: str | None
    visible_at: str | None
    expires_at: str | None
    hitl_spec: Raw
    created_at: str | None
    claimed_by_type: str | None
    claimed_by_id: str | None
    claimed_at: str | None
    claim_expires_at: str | None
    finished_at: str | None
    dead_lettered_at: str | None
    origin_queue_id: str
    failure_reason: str | None
    response: Raw


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")


def moment(at_us: int | None) -> str | None:
    """µs since 1970 as RFC 3339 in UTC."""
    if at_us is None:
        return None
    seconds, micros = divmod(at_us, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z"


def message_view(message: Message) -> MessageView:
    """The row as the API shows it."""
    created_at = moment(message.created_us)
    at_once = message.visible_us <= message.created_us
    return MessageView(
        message.id,
        message.tenant_id,
        message.scope_id,
        message.queue_id,
        message.state,
        message.attempts,
        message.message_type,
        message.message_type,
        message.content_type,
        Raw(message.body),
        _EMPTY if message.labels is None else Raw(message.labels),
        message.priority_tier,
        message.priority_score,
        message.correlation_id,
        message.causation_id,
        message.parent_id,
        message.source_type,
        message.source_id,
        None if message.idempotency_key is None else message.idempotency_key.decode(),
        _plain(message.ttl_seconds),
        moment(message.deadline_us),
        moment(message.delay_until_us),
        created_at if at_once else moment(message.visible_us),
        moment(message.expires_us),
        _NULL if message.hitl_spec is None else Raw(message.hitl_spec),
        created_at,
        message.claimed_by_type,
        message.claimed_by_id,
        moment(message.claimed_us),
        moment(message.lock_until_us),
        moment(message.finished_us),
        moment(message.dead_lettered_us),
        message.origin_queue_id,
        message.failure_reason,
        _NULL if message.response is None else Raw(message.response),
    )


def _plain(number: float | None) -> float | None:
    """60 for 60.0: the rows of one of the databases know only doubles."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def scope_view(scope: Scope) -> dict[str, Any]:
    """The row as the API shows it."""
    return {
        "id": scope.id,
        "tenant_id": scope.tenant_id,
        "slug": scope.slug,
        "display_name": scope.display_name,
        "description": scope.description,
        "state": scope.state,
        "created_at": moment(scope.created_us),
    }


def queue_view(queue: Queue, depth: Depth) -> dict[str, Any]:
    """The row and its counters as the API shows them."""
    return {
        "id": queue.id,
        "tenant_id": queue.tenant_id,
        "scope_id": queue.scope_id,
        "slug": queue.slug,
        "display_name": queue.display_name,
        "description": queue.description,
        "ordering": queue.ordering,
        "consumer_mode": queue.consumer_mode,
        "max_depth": queue.max_depth,
        "overflow_policy": queue.overflow_policy,
        "max_retries": queue.max_retries,
        "state": queue.state,
        "system": queue.system,
        "depth_pending": depth.pending,
        "depth_claimed": depth.claimed,
        "created_at": moment(queue.created_us),
    }
