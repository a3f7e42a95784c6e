"""The table of endpoints: method, path, the one permission each asks for, handler, and how well the path is known."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from scaiqueue_reference.api import requests
from scaiqueue_reference.api.call import Call, Result
from scaiqueue_reference.api.messages import MessageHandlers
from scaiqueue_reference.api.places import PlaceHandlers
from scaiqueue_reference.auth import CONSUME, MANAGE, PUBLISH, VIEW
from scaiqueue_reference.lifecycle import PlaceStep

BASE = "/v1/modules/scaiqueue"

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
    inferred: bool = True  # the path stands on no page that was read


def endpoints(messages: MessageHandlers, places: PlaceHandlers) -> list[Endpoint]:
    """All endpoints, those with longer paths of the same shape first."""
    table = _scopes(places)
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


def _row(
    name: str,
    method: str,
    path: str,
    permission: str,
    handler: Handler,
    shape: type[Any] | None = None,
    *,
    step: str | None = None,
    known: bool = False,
) -> Endpoint:
    fixed = () if step is None else (("step", step),)
    return Endpoint(
        name=name,
        method=method,
        path=BASE + path,
        permission=permission,
        handler=handler,
        shape=shape,
        fixed=fixed,
        inferred=not known,
    )
