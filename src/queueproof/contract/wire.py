"""The ScaiQueue API as bytes: requests to be sent and answers to be read, without input or output.

Strict in what it sends (the quickstart's own shapes), lenient in what it reads: a list or `{items: […]}`, `type` or
`message_type`, nested or flat priority, any 2xx, with or without `status` and `meta`, members that it does not know,
ids that are any string. Source of paths and shapes: docs/contract.md, sections 2 to 4.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

BASE: Final = "/v1/modules/scaiqueue"
WEBHOOKS: Final = "/v1/webhooks"  # the platform's, not the module's
PUBLISHED_EVENT: Final = "scaiqueue.message.published"
COMPLETED_EVENT: Final = "scaiqueue.message.completed"
DEAD_LETTERED_EVENT: Final = "scaiqueue.message.dead_lettered"

# Error codes that the contract names (section 2.6).
SCOPE_PAUSED: Final = "SCAIQUEUE_SCOPE_PAUSED"
QUEUE_PAUSED: Final = "SCAIQUEUE_QUEUE_PAUSED"
QUEUE_FULL: Final = "SCAIQUEUE_QUEUE_FULL"
IDEMPOTENCY_CONFLICT: Final = "SCAIQUEUE_IDEMPOTENCY_CONFLICT"
MODULE_CODES: Final = frozenset({SCOPE_PAUSED, QUEUE_PAUSED, QUEUE_FULL, IDEMPOTENCY_CONFLICT})
# No route at such a path, or none for such a method: nothing happened there.
NO_SUCH_VERB: Final = frozenset({404, 405, 501})
# "Come later" answers: they say nothing about the request.
UNAVAILABLE: Final = frozenset({502, 503, 504, 408, 429})

SYSTEM_QUEUES: Final = ("_dead_letter", "_events", "_audit", "_integrity", "_corrections")
# What a fail's reason may be called: the row's column, and what others call it.
REASON_FIELDS: Final = ("failure_reason", "reason", "error")
TIERS: Final = ("critical", "high", "normal", "low", "background")

# Bytes. A claim of a hundred messages of a few kilobytes stays far below; an answer that goes on beyond it is given up.
ANSWER_LIMIT: Final = 32 * 1024 * 1024


class _Absent:
    """The value of a member that is not there (None is a value of JSON)."""

    def __repr__(self) -> str:
        return "absent"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One HTTP request of the API, relative to the target's base URL."""

    verb: str  # what it asks for: "publish", "claim", …
    method: str
    path: str  # escaped, starts with BASE or WEBHOOKS
    body: bytes | None = None  # JSON, UTF-8
    scope: str = ""
    queue: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One HTTP response, read leniently."""

    status: int
    document: Any = ABSENT  # the decoded body; ABSENT when it is empty or no JSON
    text: str = ""  # the body as text, undecodable bytes replaced
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case

    @property
    def success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def json(self) -> bool:
        return self.document is not ABSENT

    @property
    def data(self) -> Any:
        """The member `data` of the envelope, ABSENT when there is none."""
        return self.document.get("data", ABSENT) if isinstance(self.document, dict) else ABSENT

    @property
    def error(self) -> dict[str, Any]:
        """The member `error` of the envelope, empty when there is none."""
        error = self.document.get("error") if isinstance(self.document, dict) else None
        return error if isinstance(error, dict) else {}

    @property
    def code(self) -> str:
        code = self.error.get("code")
        return code if isinstance(code, str) else ""

    @property
    def limits_rate(self) -> bool:
        """Whether it asks for fewer requests; a queue that is full or paused may be told by 429 as well."""
        return self.status == 429 and self.code not in MODULE_CODES

    @property
    def request_id(self) -> str:
        meta = self.document.get("meta") if isinstance(self.document, dict) else None
        value = meta.get("request_id") if isinstance(meta, dict) else None
        return value if isinstance(value, str) else self.headers.get("x-request-id", "")


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────


def encode(value: Any) -> bytes:
    """JSON in UTF-8; what UTF-8 cannot carry (a lone surrogate) is escaped."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def segment(value: str) -> str:
    """One path segment, whatever the id holds; a lone surrogate, which no URL can carry, becomes "?"."""
    escaped = quote(value, safe="", errors="replace")
    return escaped.replace(".", "%2E") if value in {".", ".."} else escaped


def scopes_path() -> str:
    return f"{BASE}/scopes"


def scope_path(scope: str) -> str:
    return f"{BASE}/scopes/{segment(scope)}"


def queue_path(scope: str, queue: str) -> str:
    return f"{scope_path(scope)}/queues/{segment(queue)}"


def message_path(scope: str, message: str) -> str:
    return f"{scope_path(scope)}/messages/{segment(message)}"


def create_scope(slug: str, display_name: str) -> Request:
    return Request(
        verb="create-scope",
        method="POST",
        path=scopes_path(),
        body=encode({"slug": slug, "display_name": display_name}),
    )


def create_queue(scope: str, fields: Mapping[str, Any]) -> Request:
    """`fields`: slug, display_name and, where wanted, consumer_mode, ordering, max_depth, max_retries, …"""
    return Request(
        verb="create-queue",
        method="POST",
        path=f"{scope_path(scope)}/queues",
        body=encode(dict(fields)),
        scope=scope,
    )


def publish(scope: str, queue: str, message: Mapping[str, Any]) -> Request:
    """`message`: type and body and, where wanted, priority {tier, score}, labels, idempotency_key, …"""
    return Request(
        verb="publish",
        method="POST",
        path=f"{queue_path(scope, queue)}/messages",
        body=encode(dict(message)),
        scope=scope,
        queue=queue,
    )


def claim(scope: str, queue: str, *, batch_size: int, visibility_timeout_s: float) -> Request:
    return Request(
        verb="claim",
        method="POST",
        path=f"{queue_path(scope, queue)}/messages/claim",
        body=encode({"batch_size": batch_size, "visibility_timeout_s": visibility_timeout_s}),
        scope=scope,
        queue=queue,
    )


def complete(scope: str, message: str, *, response: Any = ABSENT) -> Request:
    return _on_message("complete", scope, message, {} if response is ABSENT else {"response": response})


def fail(scope: str, message: str, *, reason: str | None = None) -> Request:
    """The request field's name is not documented: it goes by each of `REASON_FIELDS`.

    Nor is it said that there has to be a reason: None sends none.
    """
    return _on_message("fail", scope, message, {} if reason is None else dict.fromkeys(REASON_FIELDS, reason))


def release(scope: str, message: str) -> Request:
    return _on_message("release", scope, message, {})


def extend(scope: str, message: str, *, visibility_timeout_s: float) -> Request:
    return _on_message("extend", scope, message, {"visibility_timeout_s": visibility_timeout_s})


def no_such_verb(scope: str, message: str) -> Request:
    """What no server of this API knows: how it answers a path that there is not."""
    return _on_message("queueproof-no-such-verb", scope, message, {})


def _on_message(verb: str, scope: str, message: str, body: Mapping[str, Any]) -> Request:
    return Request(
        verb=verb,
        method="POST",
        path=f"{message_path(scope, message)}/{verb}",
        body=encode(dict(body)),
        scope=scope,
        message=message,
    )


def change_scope(scope: str, verb: str) -> Request:
    """`verb`: pause, resume, archive, unarchive or drain."""
    return Request(verb=f"{verb}-scope", method="POST", path=f"{scope_path(scope)}/{verb}", body=b"{}", scope=scope)


def change_queue(scope: str, queue: str, verb: str) -> Request:
    """`verb`: pause, resume, archive or drain."""
    path = f"{queue_path(scope, queue)}/{verb}"
    return Request(verb=f"{verb}-queue", method="POST", path=path, body=b"{}", scope=scope, queue=queue)


def update_queue(scope: str, queue: str, fields: Mapping[str, Any]) -> Request:
    """Only what is sent should change (TS names what; the method and path are read from its family)."""
    path = queue_path(scope, queue)
    return Request(verb="update-queue", method="PATCH", path=path, body=encode(fields), scope=scope, queue=queue)


def delete_scope(scope: str) -> Request:
    return Request(verb="delete-scope", method="DELETE", path=scope_path(scope), scope=scope)


def delete_queue(scope: str, queue: str) -> Request:
    return Request(verb="delete-queue", method="DELETE", path=queue_path(scope, queue), scope=scope, queue=queue)


def read_scope(scope: str) -> Request:
    return Request(verb="read-scope", method="GET", path=scope_path(scope), scope=scope)


def read_queue(scope: str, queue: str) -> Request:
    return Request(verb="read-queue", method="GET", path=queue_path(scope, queue), scope=scope, queue=queue)


def read_message(scope: str, message: str) -> Request:
    return Request(verb="read-message", method="GET", path=message_path(scope, message), scope=scope, message=message)


def list_scopes(**query: str | int) -> Request:
    return Request(verb="list-scopes", method="GET", path=scopes_path() + _query(query))


def list_queues(scope: str, /, **query: str | int) -> Request:
    return Request(verb="list-queues", method="GET", path=f"{scope_path(scope)}/queues{_query(query)}", scope=scope)


def list_queue_messages(scope: str, queue: str, /, **query: str | int) -> Request:
    path = f"{queue_path(scope, queue)}/messages{_query(query)}"
    return Request(verb="list-messages", method="GET", path=path, scope=scope, queue=queue)


def trace_messages(scope: str, correlation_id: str, /, **query: str | int) -> Request:
    path = f"{scope_path(scope)}/messages{_query({'correlation_id': correlation_id, **query})}"
    return Request(verb="trace-messages", method="GET", path=path, scope=scope)


def audit(scope: str, /, **query: str | int) -> Request:
    return Request(verb="audit", method="GET", path=f"{scope_path(scope)}/audit{_query(query)}", scope=scope)


def audit_trace(scope: str, correlation_id: str) -> Request:
    path = f"{scope_path(scope)}/audit/trace/{segment(correlation_id)}"
    return Request(verb="audit-trace", method="GET", path=path, scope=scope)


def add_schema(scope: str, fields: Mapping[str, Any]) -> Request:
    """`fields`: name, version, schema; only that a schema has a name and a version is documented."""
    path = f"{scope_path(scope)}/schemas"
    return Request(verb="add-schema", method="POST", path=path, body=encode(dict(fields)), scope=scope)


def list_schemas(scope: str, /, **query: str | int) -> Request:
    path = f"{scope_path(scope)}/schemas{_query(query)}"
    return Request(verb="list-schemas", method="GET", path=path, scope=scope)


def read_schema(scope: str, name: str, version: str) -> Request:
    """By the likely path: that a schema is known by name and version is documented, how it is read is not."""
    path = f"{scope_path(scope)}/schemas/{segment(name)}/{segment(version)}"
    return Request(verb="read-schema", method="GET", path=path, scope=scope)


def add_hitl_pattern(scope: str, fields: Mapping[str, Any]) -> Request:
    """`fields`: name, version, spec {sections, timeout_s}."""
    path = f"{scope_path(scope)}/hitl-patterns"
    return Request(verb="add-hitl-pattern", method="POST", path=path, body=encode(dict(fields)), scope=scope)


def list_hitl_patterns(scope: str, /, **query: str | int) -> Request:
    path = f"{scope_path(scope)}/hitl-patterns{_query(query)}"
    return Request(verb="list-hitl-patterns", method="GET", path=path, scope=scope)


def health() -> Request:
    """Outside the module's own paths, and without a key (docs/contract.md)."""
    return Request(verb="health", method="GET", path="/health")


def change_module(verb: str) -> Request:
    """`verb`: enable, or disable (whose path is not documented), for the whole tenant of the key."""
    return Request(verb=f"{verb}-module", method="POST", path=f"{BASE}/{verb}", body=b"{}")


def create_webhook(fields: Mapping[str, Any]) -> Request:
    """`fields`: url, events, secret, status. The platform's own path, outside the module's."""
    return Request(verb="create-webhook", method="POST", path=WEBHOOKS, body=encode(fields))


def delete_webhook(webhook: str) -> Request:
    return Request(verb="delete-webhook", method="DELETE", path=f"{WEBHOOKS}/{segment(webhook)}")


def _query(values: Mapping[str, str | int]) -> str:
    return f"?{urlencode(values)}" if values else ""


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def read_answer(status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """An HTTP response as an Answer; never raises."""
    text = content.decode("utf-8", "replace")
    try:
        document = json.loads(content) if content.strip() else ABSENT
    except (ValueError, RecursionError):
        document = ABSENT
    return Answer(status=status, document=document, text=text, headers={k.lower(): v for k, v in headers.items()})


def identity(value: Any) -> str:
    """The member `id` of a resource as an opaque string; "" when it has none. Numbers are taken as their text."""
    found = value.get("id", ABSENT) if isinstance(value, dict) else ABSENT
    if isinstance(found, str):
        return found
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else ""


def rows(data: Any) -> list[Any] | None:
    """The elements of a list answer, given bare or under `items` (or one member that is a list); None if neither."""
    if isinstance(data, list):
        return data
    if isinstance(data, dict):
        if isinstance(data.get("items"), list):
            return list(data["items"])
        lists = [value for value in data.values() if isinstance(value, list)]
        if len(lists) == 1:
            return lists[0]
    return None


def message_type(message: Mapping[str, Any]) -> Any:
    return message.get("message_type", message.get("type", ABSENT))


def priority(message: Mapping[str, Any]) -> tuple[Any, Any]:
    """(tier, score), from `priority: {tier, score}` or `priority_tier`, `priority_score`; ABSENT where missing."""
    nested = message.get("priority")
    if isinstance(nested, dict):
        return nested.get("tier", ABSENT), nested.get("score", ABSENT)
    return message.get("priority_tier", ABSENT), message.get("priority_score", ABSENT)


def rank(tier: str, score: int) -> int:
    """A message's place under `priority` ordering, smaller first (docs/contract.md, section 6.1)."""
    return TIERS.index(tier) * 1001 + (1000 - score)


def state(resource: Any) -> str:
    """The member `state` (or `status`, where that is what a server calls it) in lower case; "" when absent."""
    if not isinstance(resource, dict):
        return ""
    found = resource.get("state", resource.get("status"))
    return found.lower() if isinstance(found, str) else ""


def attempts(message: Mapping[str, Any]) -> int | None:
    return whole(message.get("attempts"))


def whole(value: Any) -> int | None:
    """A whole number, also where JSON spells it 1.0 or 1e0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def token(body: Any) -> str:
    """The harness's token in a body that it published: member `qp`, a first element, or the text itself."""
    if isinstance(body, dict):
        body = body.get("qp")
    elif isinstance(body, list) and body:
        body = body[0]
    return body if isinstance(body, str) and body.startswith("qp.") else ""


def retry_after_s(answer: Answer, *, now_s: float) -> float | None:
    """Seconds to wait that the answer asks for: `Retry-After` (seconds or an HTTP date) or `error.retry_after`.

    `now_s`: Unix time, for the date form. None when it asks for nothing readable.
    """
    from email.utils import parsedate_to_datetime

    text = answer.headers.get("retry-after", "").strip()
    if text:
        try:
            return max(0.0, float(text))
        except ValueError:
            try:
                return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
            except (ValueError, OverflowError, TypeError, IndexError):  # all of these come of what is no date
                pass
    value = answer.error.get("retry_after")
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return max(0.0, float(min(value, 1e9)))  # a whole number may be beyond any float
