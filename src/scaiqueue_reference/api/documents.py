"""Handlers of the calls about schemas, HITL patterns and routing rules."""

import json
from typing import Any

from msgspec import Raw, Struct

from scaiqueue_reference import hitl, json_schema, routing
from scaiqueue_reference.api import requests
from scaiqueue_reference.api.call import Call, Result
from scaiqueue_reference.api.views import moment
from scaiqueue_reference.documents import PATTERN, RULE, SCHEMA, Documents, filled
from scaiqueue_reference.errors import Invalid
from scaiqueue_reference.message import Document
from scaiqueue_reference.places import Places


class SchemaRequest(Struct):
    """POST …/schemas: `name` is the message type whose bodies are checked"""

    name: requests.Short
    version: requests.Short | int
    schema: dict[str, Any] | bool


class PatternRequest(Struct):
    """POST …/hitl-patterns"""

    name: requests.Short
    version: requests.Short | int
    spec: hitl.Spec


class PreviewRequest(Struct):
    """POST …/hitl-patterns/{document_id}/preview"""

    params: dict[str, Any] = {}


class RuleRequest(Struct):
    """POST …/routing-rules: the lowest `order` is tried first, the first match wins"""

    name: requests.Short
    action: routing.Action
    conditions: tuple[routing.Condition, ...] = ()
    order: int = 100
    queue: str | None = None
    trigger: str = "message_published"


class DocumentHandlers:
    """Each method answers one endpoint; which kind of document is a fixed parameter of the path."""

    def __init__(self, documents: Documents, places: Places) -> None:
        self._documents = documents
        self._places = places

    async def create_schema(self, call: Call) -> Result:
        """201 with the schema; from then on bodies of that message type are checked against it."""
        request = requests.decode(SchemaRequest, call.body)
        _refuse(list(json_schema.faults(request.schema)))
        return await self._add(call, SCHEMA, request.name, str(request.version), 0, request.schema)

    async def create_pattern(self, call: Call) -> Result:
        """201 with the pattern."""
        request = requests.decode(PatternRequest, call.body)
        _refuse(hitl.problems(request.spec))
        spec = json.loads(call.body)["spec"]  # with the members that this server does not read
        return await self._add(call, PATTERN, request.name, str(request.version), 0, spec)

    async def create_rule(self, call: Call) -> Result:
        """201 with the rule."""
        request, rule = _rule(call)
        return await self._add(call, RULE, request.name, "", request.order, rule)

    async def replace_rule(self, call: Call) -> Result:
        """The rule as it was sent, at its own place in their order."""
        request, rule = _rule(call)
        scope = await self._places.scope(call.tenant, call.params["scope_id"])
        document = await self._documents.find(scope.id, RULE, call.params["document_id"])
        return Result(_view(await self._documents.replace(scope, document, request.name, request.order, rule)))

    async def list_all(self, call: Call) -> Result:
        """All of the scope, oldest first."""
        await self._places.owned(call.tenant, call.params["scope_id"])
        documents = await self._documents.all(call.params["scope_id"], call.params["kind"])
        return Result([_view(document) for document in documents], paged=True)

    async def read(self, call: Call) -> Result:
        """One of them."""
        return Result(_view(await self._find(call)))

    async def read_version(self, call: Call) -> Result:
        """The one of that name and version."""
        await self._places.owned(call.tenant, call.params["scope_id"])
        name, version = call.params["name"], call.params["version"]
        return Result(_view(await self._documents.version(call.params["scope_id"], call.params["kind"], name, version)))

    async def delete(self, call: Call) -> Result:
        """The id of what was deleted."""
        scope = await self._places.scope(call.tenant, call.params["scope_id"])
        await self._documents.remove(scope, call.params["kind"], call.params["document_id"])
        return Result({"id": call.params["document_id"], "deleted": True})

    async def preview(self, call: Call) -> Result:
        """The pattern's spec with the parameters filled in; nothing is kept."""
        document = await self._find(call)
        request = requests.decode(PreviewRequest, call.body)
        return Result({"spec": filled(json.loads(document.body), request.params)})

    async def _find(self, call: Call) -> Document:
        await self._places.owned(call.tenant, call.params["scope_id"])
        return await self._documents.find(call.params["scope_id"], call.params["kind"], call.params["document_id"])

    async def _add(self, call: Call, kind: str, name: str, version: str, position: int, content: object) -> Result:
        scope = await self._places.scope(call.tenant, call.params["scope_id"])
        return Result(_view(await self._documents.add(scope, kind, name, version, position, content)), 201)


def _rule(call: Call) -> tuple[RuleRequest, routing.Rule]:
    request = requests.decode(RuleRequest, call.body)
    rule = routing.Rule(request.action, request.conditions, request.queue, request.trigger)
    _refuse(routing.problems(rule))
    if not -(2**31) < request.order < 2**31:
        raise Invalid(("order", "must fit 32 bits"))
    return request, rule


def _refuse(problems: list[tuple[str, str]]) -> None:
    if problems:
        raise Invalid(*problems[:20])


def _view(document: Document) -> dict[str, Any]:
    view: dict[str, Any] = {"id": document.id, "scope_id": document.scope_id, "name": document.name}
    if document.kind == RULE:
        view |= {"order": document.position, **json.loads(document.body)}
    else:
        view |= {"version": document.version, "spec" if document.kind == PATTERN else "schema": Raw(document.body)}
    return {**view, "created_at": moment(document.created_us)}
