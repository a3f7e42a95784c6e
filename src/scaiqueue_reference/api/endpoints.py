"""The table of endpoints: method, path, the one permission each asks for, handler, and how well the path is known."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from scaiqueue_reference.api import requests
from scaiqueue_reference.api.agents import AgentHandlers
from scaiqueue_reference.api.call import Call, Result
from scaiqueue_reference.api.documents import (
    DocumentHandlers,
    PatternRequest,
    PreviewRequest,
    RuleRequest,
    SchemaRequest,
)
from scaiqueue_reference.api.journal import JournalHandlers
from scaiqueue_reference.api.messages import MessageHandlers
from scaiqueue_reference.api.module import ModuleHandlers
from scaiqueue_reference.api.places import PlaceHandlers
from scaiqueue_reference.api.webhooks import WebhookHandlers, WebhookRequest, WebhookUpdate
from scaiqueue_reference.auth import CONSUME, MANAGE, PUBLISH, VIEW, WEBHOOKS
from scaiqueue_reference.documents import PATTERN, RULE, SCHEMA
from scaiqueue_reference.lifecycle import PlaceStep

BASE = "/v1/modules/scaiqueue"

# What no page that was read says about a call, and how it is here; the questions are open at the vendor.
INFERRED = {
    "create_scope": "Bounds and form of `slug`, and that `display_name` may be left out.",
    "create_queue": "The defaults (fifo, competing, max_depth 0 for no limit, overflow_policy reject, max_retries 5); "
    "the policy dead_letter.",
    "publish": "Statuses: 201, 200 for a replay, 409 for the four SCAIQUEUE_ codes. The key's domain is the queue, and "
    "it lives as long as the row. What `body` means to a replay: equal as JSON. `ttl_seconds` counts from the publish; "
    "a passed deadline or lifetime ends the message as `expired`. Default priority normal, 500.",
    "claim": "Bounds and defaults of both fields. Of a draining place messages are still served. In a priority queue a "
    "message that has waited long counts as one of a higher tier.",
    "complete": "Only the identity that claimed may do it, and only while the message is claimed; else 409.",
    "fail": "`reason` or `failure_reason`; a backoff from 0.5 s, doubled up to 30 s; the place in the queue is kept.",
    "release": "The attempt stays counted; the message is claimable at once, at its old place.",
    "extend": "`visibility_timeout_s`, counted from now.",
    "read_queue": "`depth_pending` counts delayed messages too.",
}

Handler = Callable[[Call], Awaitable[Result]]


class Endpoint(Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str  # in metrics, logs and OpenAPI
    method: str
    path: str
    permission: str
    handler: Handler
    shape: type[Any] | None = None  # of the request's body
    fixed: tuple[tuple[str, str], ...] = ()  # parameters that the path spells out
    journaled: bool = False  # the change itself writes the journal's line
    inferred: bool = True  # the path stands on no page that was read


class Handlers(Struct, frozen=True, kw_only=True):
    """Who answers."""

    messages: MessageHandlers
    places: PlaceHandlers
    journal: JournalHandlers
    documents: DocumentHandlers
    webhooks: WebhookHandlers
    module: ModuleHandlers
    agents: AgentHandlers


def endpoints(handlers: Handlers) -> list[Endpoint]:
    """All endpoints, those with longer paths of the same shape first."""
    messages, places = handlers.messages, handlers.places
    table = _scopes(places) + _journal(handlers.journal) + _documents(handlers.documents)
    table += _webhooks(handlers.webhooks) + _module(handlers.module)
    table.append(_row("list_system_agents", "GET", "/system-agents", VIEW, handlers.agents.list_all))
    for prefix, suffix, short in (("/scopes/{scope_id}", "", False), ("", "_short", True)):
        table += _queues(places, prefix, suffix, short=short)
        table += _queue_messages(messages, prefix, suffix, short=short)
    return table + _scope_messages(messages)


def _scopes(places: PlaceHandlers) -> list[Endpoint]:
    one = "/scopes/{scope_id}"
    table = [
        _row("create_scope", "POST", "/scopes", MANAGE, places.create_scope, requests.ScopeRequest, known=True),
        _row("list_scopes", "GET", "/scopes", VIEW, places.list_scopes, known=True),
        _row("read_scope", "GET", one, VIEW, places.read_scope, known=True),
        _row("update_scope", "PATCH", one, MANAGE, places.update_scope, requests.ScopeUpdate),
        _row("replace_scope", "PUT", one, MANAGE, places.update_scope, requests.ScopeUpdate),
        _row("delete_scope", "DELETE", one, MANAGE, places.delete_scope),
        _row("create_queue", "POST", f"{one}/queues", MANAGE, places.create_queue, requests.QueueRequest, known=True),
        _row("list_queues", "GET", f"{one}/queues", VIEW, places.list_queues, known=True),
    ]
    return table + [
        _row(f"{step}_scope", "POST", f"{one}/{step}", MANAGE, places.step_scope, step=step, known=step == "resume")
        for step in PlaceStep
    ]


def _queues(places: PlaceHandlers, prefix: str, suffix: str, *, short: bool) -> list[Endpoint]:
    one = f"{prefix}/queues/{{queue_id}}"
    table = [
        _row(f"read_queue{suffix}", "GET", one, VIEW, places.read_queue, known=True),
        _row(f"update_queue{suffix}", "PATCH", one, MANAGE, places.update_queue, requests.QueueUpdate),
        _row(f"replace_queue{suffix}", "PUT", one, MANAGE, places.update_queue, requests.QueueUpdate),
        _row(f"delete_queue{suffix}", "DELETE", one, MANAGE, places.delete_queue),
    ]
    for step in PlaceStep:
        known = step == "resume" and not short
        path = f"{one}/{step}"
        table.append(_row(f"{step}_queue{suffix}", "POST", path, MANAGE, places.step_queue, step=step, known=known))
    return table


def _queue_messages(messages: MessageHandlers, prefix: str, suffix: str, *, short: bool) -> list[Endpoint]:
    path, known = f"{prefix}/queues/{{queue_id}}/messages", not short
    claim = f"{path}/claim"
    return [
        _row(f"claim{suffix}", "POST", claim, CONSUME, messages.claim, requests.ClaimRequest, known=known),
        _row(f"publish{suffix}", "POST", path, PUBLISH, messages.publish, requests.PublishRequest, known=known),
        _row(f"list_queue_messages{suffix}", "GET", path, VIEW, messages.list_queue, known=known),
    ]


def _scope_messages(messages: MessageHandlers) -> list[Endpoint]:
    all_, one = "/scopes/{scope_id}/messages", "/scopes/{scope_id}/messages/{message_id}"
    complete = _row(
        "complete", "POST", f"{one}/complete", CONSUME, messages.complete, requests.CompleteRequest, known=True
    )
    return [
        complete,
        _row("fail", "POST", f"{one}/fail", CONSUME, messages.fail, requests.FailRequest),
        _row("release", "POST", f"{one}/release", CONSUME, messages.release, requests.ReleaseRequest),
        _row("extend", "POST", f"{one}/extend", CONSUME, messages.extend, requests.ExtendRequest),
        _row("list_scope_messages", "GET", all_, VIEW, messages.list_scope, known=True),
        _row("read_message", "GET", one, VIEW, messages.read),
    ]


def _journal(journal: JournalHandlers) -> list[Endpoint]:
    scope = "/scopes/{scope_id}"
    return [
        _row("trace", "GET", f"{scope}/audit/trace/{{correlation_id:path}}", VIEW, journal.trace, known=True),
        _row("audit", "GET", f"{scope}/audit", VIEW, journal.audit, known=True),
        _row("events", "GET", f"{scope}/events", VIEW, journal.events),
    ]


def _documents(documents: DocumentHandlers) -> list[Endpoint]:
    kinds: list[tuple[str, str, Handler, type[Any], bool]] = [
        (SCHEMA, "schemas", documents.create_schema, SchemaRequest, True),
        (PATTERN, "hitl-patterns", documents.create_pattern, PatternRequest, True),
        (RULE, "routing-rules", documents.create_rule, RuleRequest, False),
    ]
    table: list[Endpoint] = []
    for kind, word, create, shape, known in kinds:
        path, fixed = f"/scopes/{{scope_id}}/{word}", (("kind", kind),)
        one = f"{path}/{{document_id}}"
        table += [
            _row(f"create_{kind}", "POST", path, MANAGE, create, shape, fixed=fixed, known=known),
            _row(f"list_{kind}s", "GET", path, VIEW, documents.list_all, fixed=fixed, known=known),
            _row(f"read_{kind}", "GET", one, VIEW, documents.read, fixed=fixed),
            _row(f"delete_{kind}", "DELETE", one, MANAGE, documents.delete, fixed=fixed),
        ]
        if kind != RULE:
            named = f"{path}/{{name}}/{{version}}"
            table.append(_row(f"read_{kind}_version", "GET", named, VIEW, documents.read_version, fixed=fixed))
    preview = "/scopes/{scope_id}/hitl-patterns/{document_id}/preview"
    rule = "/scopes/{scope_id}/routing-rules/{document_id}"
    table.append(
        _row("replace_rule", "PUT", rule, MANAGE, documents.replace_rule, RuleRequest, fixed=(("kind", RULE),))
    )
    fixed = (("kind", PATTERN),)
    return [*table, _row("preview", "POST", preview, VIEW, documents.preview, PreviewRequest, fixed=fixed)]


def _webhooks(webhooks: WebhookHandlers) -> list[Endpoint]:
    path, one = "/v1/webhooks", "/v1/webhooks/{webhook_id}"
    rows: list[tuple[str, str, str, Handler, type[Any] | None]] = [
        ("create_webhook", "POST", path, webhooks.create, WebhookRequest),
        ("list_webhooks", "GET", path, webhooks.list_all, None),
        ("read_webhook", "GET", one, webhooks.read, None),
        ("update_webhook", "PUT", one, webhooks.update, WebhookUpdate),
        ("delete_webhook", "DELETE", one, webhooks.delete, None),
        ("test_webhook", "POST", f"{one}/test", webhooks.test, None),
        ("list_deliveries", "GET", f"{one}/deliveries", webhooks.deliveries, None),
    ]
    return [
        _row(name, method, at, WEBHOOKS, handler, shape, known=True, base="")
        for name, method, at, handler, shape in rows
    ]


def _module(module: ModuleHandlers) -> list[Endpoint]:
    known = {"enable": True, "disable": False}
    return [
        _row(f"{step}_module", "POST", f"/v1/modules/scaiqueue/{step}", MANAGE, handler, known=known[step], base="")
        for step, handler in (("enable", module.enable), ("disable", module.disable))
    ]


def _row(
    name: str,
    method: str,
    path: str,
    permission: str,
    handler: Handler,
    shape: type[Any] | None = None,
    *,
    step: str | None = None,
    fixed: tuple[tuple[str, str], ...] = (),
    known: bool = False,
    base: str = BASE,
) -> Endpoint:
    if step is not None:
        fixed = (("step", step),)
    return Endpoint(
        name=name,
        method=method,
        path=base + path,
        permission=permission,
        handler=handler,
        shape=shape,
        fixed=fixed,
        journaled=permission in (PUBLISH, CONSUME),
        inferred=not known,
    )
