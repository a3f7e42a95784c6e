"""What a scope keeps by name and version, and what it means for a publish: schemas, HITL patterns, routing rules."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from scaiqueue_reference import hitl, json_schema, ordering, routing
from scaiqueue_reference.clock import Clock, resource_id
from scaiqueue_reference.errors import Invalid, NotFound
from scaiqueue_reference.lifecycle import State
from scaiqueue_reference.message import DEAD_LETTER, Document, Draft, Message, Queue, Scope
from scaiqueue_reference.store import Store

SCHEMA, PATTERN, RULE = "schema", "hitl_pattern", "routing_rule"

_CACHED = 1_000  # scopes whose documents are kept in the process


class Kept(msgspec.Struct, frozen=True):
    """A scope's documents, read: the newest schema by message type, patterns by name and version, rules in order."""

    schemas: Mapping[str, Any]
    patterns: Mapping[tuple[str, str], Any]
    rules: Sequence[routing.Rule]


_NOTHING = Kept({}, {}, ())


class Documents:
    """Documents of all scopes; a scope's revision says when they are to be read anew."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: dict[str, tuple[int, Kept]] = {}

    async def of(self, scope: Scope) -> Kept:
        """The scope's documents as of its revision."""
        if not scope.revision:
            return _NOTHING
        revision, kept = self._kept.get(scope.id, (0, _NOTHING))
        if revision != scope.revision:
            kept = _read(await self._store.records(Document, scope_id=scope.id))
            if len(self._kept) >= _CACHED:
                self._kept.clear()
            self._kept[scope.id] = (scope.revision, kept)
        return kept

    async def shape(self, scope: Scope, draft: Draft) -> Draft:
        """The draft with its body checked and its HITL pattern filled in; raises Invalid."""
        kept = await self.of(scope)
        schema = kept.schemas.get(draft.message_type)
        if schema is not None:
            wrong = tuple(json_schema.violations(schema, _parsed("body", draft.body)))
            if wrong:
                raise Invalid(*wrong[:20])
        return _with_pattern(kept, draft)

    async def route(self, scope: Scope, queue: Queue, message: Message) -> tuple[Queue, Message]:
        """Where the rules lead the message, and what it is then; in circles they lead to the dead letters."""
        rules = (await self.of(scope)).rules
        if not rules:
            return queue, message
        queues = {sibling.slug: sibling for sibling in await self._store.queues(scope.id)}
        for _ in range(routing.MOST_HOPS):
            rule = routing.first_match(rules, message, queue.slug)
            if rule is None:
                return queue, message
            message = _acted(rule, message)
            target = queues.get(rule.action.queue or queue.slug)
            if target is None or target.id == queue.id or message.state == State.ARCHIVED:
                return queue, _placed(queue, message)
            queue, message = target, _placed(target, message)
        dead = queues[DEAD_LETTER]
        buried = msgspec.structs.replace(
            message, state=State.DEAD_LETTERED, failure_reason="routing loop", dead_lettered_us=message.created_us
        )
        return dead, _placed(dead, buried)

    async def add(self, scope: Scope, kind: str, name: str, version: str, position: int, content: object) -> Document:
        """Keeps a document; raises SlugTaken when the name has that version."""
        created_us = self._clock.tick_us()
        document = Document(
            id=resource_id("doc", created_us),
            scope_id=scope.id,
            kind=kind,
            name=name,
            version=version,
            position=position,
            body=msgspec.json.encode(content),
            created_us=created_us,
        )
        await self._store.add_record(document)
        await self._changed(scope)
        return document

    async def find(self, scope_id: str, kind: str, document_id: str) -> Document:
        """Raises NotFound."""
        found = await self._store.records(Document, scope_id=scope_id, kind=kind, id=document_id)
        if not found:
            raise NotFound(kind, document_id)
        return found[0]

    async def version(self, scope_id: str, kind: str, name: str, version: str) -> Document:
        """By the pair that identifies it; raises NotFound."""
        found = await self._store.records(Document, scope_id=scope_id, kind=kind, name=name, version=version)
        if not found:
            raise NotFound(kind, f"{name} {version}")
        return found[0]

    async def all(self, scope_id: str, kind: str) -> list[Document]:
        """Oldest first."""
        return await self._store.records(Document, scope_id=scope_id, kind=kind)

    async def replace(self, scope: Scope, document: Document, name: str, position: int, content: object) -> Document:
        """Keeps other content under the same id; raises SlugTaken when another one has the name, NotFound."""
        changed = msgspec.structs.replace(document, name=name, position=position, body=msgspec.json.encode(content))
        if not await self._store.save_record(changed):
            raise NotFound(document.kind, document.id)
        await self._changed(scope)
        return changed

    async def remove(self, scope: Scope, kind: str, document_id: str) -> None:
        """Raises NotFound."""
        await self.find(scope.id, kind, document_id)
        await self._store.remove_records(Document, scope_id=scope.id, kind=kind, id=document_id)
        await self._changed(scope)

    async def _changed(self, scope: Scope) -> None:
        latest = await self._store.scope(scope.id)
        if latest is not None:
            await self._store.save_scope(msgspec.structs.replace(latest, revision=latest.revision + 1))


def _read(documents: Sequence[Document]) -> Kept:
    schemas: dict[str, Any] = {}
    patterns: dict[tuple[str, str], Any] = {}
    rules: list[tuple[int, str, routing.Rule]] = []
    for document in documents:
        if document.kind == SCHEMA:
            schemas[document.name] = json.loads(document.body)
        elif document.kind == PATTERN:
            spec = json.loads(document.body)
            patterns[document.name, document.version] = patterns[document.name, ""] = spec
        else:
            rules.append((document.position, document.id, msgspec.json.decode(document.body, type=routing.Rule)))
    return Kept(schemas, patterns, [rule for _, _, rule in sorted(rules, key=lambda row: row[:2])])


def _acted(rule: routing.Rule, message: Message) -> Message:
    if rule.action.kind == "archive":
        return msgspec.structs.replace(message, state=State.ARCHIVED, finished_us=message.created_us)
    if rule.action.kind == "escalate":
        message = routing.escalated(message)
    return routing.transformed(message, rule.action.set)


def _placed(queue: Queue, message: Message) -> Message:
    score = ordering.score(
        queue.ordering,
        created_us=message.created_us,
        deadline_us=message.deadline_us,
        tier=message.priority_tier,
        priority=message.priority_score,
    )
    return msgspec.structs.replace(message, queue_id=queue.id, score=score)


def _with_pattern(kept: Kept, draft: Draft) -> Draft:
    if draft.hitl_spec is None:
        return draft
    spec = _parsed("hitl_spec", draft.hitl_spec)
    if "pattern" not in spec:
        return draft
    name, version = str(spec["pattern"]), str(spec.get("version", ""))
    pattern = kept.patterns.get((name, version))
    if pattern is None:
        raise Invalid(("hitl_spec.pattern", f"there is no pattern {name!r} {version}".rstrip()))
    return msgspec.structs.replace(draft, hitl_spec=msgspec.json.encode(filled(pattern, spec.get("params", {}))))


def filled(pattern: Any, parameters: Any) -> Any:
    """A pattern's spec with its parameters; raises Invalid naming the first that is missing."""
    if not isinstance(parameters, dict):
        raise Invalid(("params", "must be an object"))
    missing = sorted(hitl.holes(pattern) - parameters.keys())
    if missing:
        raise Invalid(*((f"params.{name}", "is required") for name in missing))
    return hitl.expand(pattern, parameters)


def _parsed(field: str, text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid((field, "is too deep or has numbers too long to be checked")) from error
