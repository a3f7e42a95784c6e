"""What each right lets a caller do: one request an endpoint, and its answers with keys that lack the right."""

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask, handed_out
from queueproof.drive.case import Case, spell
from queueproof.drive.client import Exchange
from queueproof.drive.outcomes import Disturbed, Inconclusive
from queueproof.drive.queue import QUICKSTART_PRIORITY, Delivery, Queue
from queueproof.drive.rights import RIGHTS

HOLD_S = 60
DENIED = "403 AUTHZ_PERMISSION_DENIED"


@dataclass(frozen=True, kw_only=True)
class Deed:
    """A request that needs one right. `root`: the promise that it succeeds with it; "" for a path that may be absent.

    `fields` is what the history should know of it, `held` the delivery on whose hold its success rests.
    """

    right: str
    name: str
    request: wire.Request
    root: str = ""
    fields: dict[str, Any] | None = None
    held: Delivery | None = None


def reading(queue: Queue) -> Deed:
    return Deed(right="view", name="reading a scope", request=wire.read_scope(queue.scope), root="SCOPE-3")


def publishing(case: Case, queue: Queue) -> Deed:
    token = case.world.token()
    sent = {"type": "qp.case", "body": {"qp": token}, "priority": QUICKSTART_PRIORITY, "labels": {"qp": "yes"}}
    if case.world.dialect.publish_key_needed:
        sent["idempotency_key"] = token
    request = wire.publish(queue.scope, queue.id, sent)
    return Deed(
        right="publish", name="publish", request=request, root="PUB-1", fields=dict(queue.described(token, sent))
    )


def claiming(queue: Queue) -> Deed:
    request = wire.claim(queue.scope, queue.id, batch_size=1, visibility_timeout_s=HOLD_S)
    fields = {"timeout_s": HOLD_S, "limit": 1}
    return Deed(right="consume", name="claim", request=request, root="CLAIM-2", fields=fields)


def creating_queue(case: Case, scope: str) -> Deed:
    request = wire.create_queue(scope, case.queue_form())
    return Deed(right="manage", name="creating a queue", request=request, root="QUEUE-1")


def creating_scope(case: Case) -> Deed:
    slug = case.world.slug(case.requirement)
    case.world.ledger.intend(slug)
    request = wire.create_scope(slug, f"queueproof {case.world.run} {case.requirement}")
    return Deed(right="manage", name="creating a scope", request=request, root="SCOPE-1")


def few_deeds(case: Case, queue: Queue) -> list[Deed]:
    """One of each right, and one read more: those whose paths are documented, and which need nothing prepared."""
    lists = wire.list_queue_messages(queue.scope, queue.id)
    return [
        reading(queue),
        Deed(right="view", name="listing a queue's messages", request=lists),
        publishing(case, queue),
        claiming(queue),
        creating_queue(case, queue.scope),
    ]


def moving(queue: Queue) -> list[tuple[Deed, wire.Request]]:
    """What resumes a queue and its scope, which is documented, and what pauses them, which is not."""
    scope = queue.scope
    resumes = {"a queue": wire.change_queue(scope, queue.id, "resume"), "a scope": wire.change_scope(scope, "resume")}
    pauses = (wire.change_queue(scope, queue.id, "pause"), wire.change_scope(scope, "pause"))
    return [
        (Deed(right="manage", name=f"resuming {level}", request=request, root="LIFE-5"), pause)
        for (level, request), pause in zip(resumes.items(), pauses, strict=True)
    ]


def managing(case: Case, queue: Queue) -> list[Deed]:
    """Each endpoint but those that create scopes and queues which the right to manage covers; most paths are likely."""
    scope, path = queue.scope, wire.queue_path(queue.scope, queue.id)
    named = {"name": case.world.slug("kept"), "version": "1"}
    limit = wire.encode({"max_depth": 1})
    requests = {
        **{f"{verb} a queue": wire.change_queue(scope, queue.id, verb) for verb in ("pause", "drain", "archive")},
        **{f"{verb} a scope": wire.change_scope(scope, verb) for verb in ("pause", "drain", "archive")},
        "changing a queue": wire.Request(
            verb="change-queue", method="PATCH", path=path, body=limit, scope=scope, queue=queue.id
        ),
        "adding a schema": wire.add_schema(scope, {**named, "schema": {"type": "object"}}),
        "adding a review pattern": wire.add_hitl_pattern(scope, {**named, "spec": {"sections": [], "timeout_s": 60}}),
        "deleting a queue": wire.delete_queue(scope, queue.id),
        "deleting a scope": wire.delete_scope(scope),
    }
    return [
        *(resume for resume, _ in moving(queue)),
        *(Deed(right="manage", name=name, request=request) for name, request in requests.items()),
    ]


async def deeds(case: Case, queue: Queue) -> list[Deed]:
    """One of each endpoint, on things that exist: three messages are held for those that settle one."""
    messages = await queue.publish_many(4)
    held = {delivery.message: delivery for delivery in await queue.take(*messages, batch_size=4, timeout_s=HOLD_S)}
    scope = queue.scope
    reads = {
        "reading a queue": wire.read_queue(scope, queue.id),
        "listing queues": wire.list_queues(scope),
        "listing scopes": wire.list_scopes(limit=1),
        "listing a queue's messages": wire.list_queue_messages(scope, queue.id),
        "reading a message": wire.read_message(scope, messages[0].id),
        "finding messages by correlation_id": wire.trace_messages(scope, messages[0].correlation or "none"),
        "reading the audit log": wire.audit(scope),
    }
    return [
        *settling(scope, [held[message] for message in messages]),  # first: their holds go on for a minute only
        reading(queue),
        *(Deed(right="view", name=name, request=request) for name, request in reads.items()),
        publishing(case, queue),
        claiming(queue),
        creating_queue(case, scope),
        creating_scope(case),
    ]


def settling(scope: str, held: Sequence[Delivery]) -> Iterable[Deed]:
    """Each verb that settles a message, on a message of its own."""
    first, second, third, fourth = (delivery.id for delivery in held)
    yield Deed(right="consume", name="complete", request=wire.complete(scope, first), root="DONE-1", held=held[0])
    yield Deed(right="consume", name="extend", request=wire.extend(scope, second, visibility_timeout_s=HOLD_S))
    yield Deed(right="consume", name="fail", request=wire.fail(scope, third, reason="queueproof"))
    yield Deed(right="consume", name="release", request=wire.release(scope, fourth))


async def succeeds(case: Case, deed: Deed, *, broken: str = "") -> Exchange | None:
    """The deed with all rights; None where its path may be absent and is.

    `broken`: the promise that a conflict breaks, since then an earlier try of this deed, though refused, was done.
    """
    if not deed.root:
        exchange = await ask(case, deed.request, fields=deed.fields)
        return exchange if exchange.ok else None

    def blame(exchange: Exchange) -> str:
        if deed.held is not None and exchange.ret_ns > deed.held.held_until_ns:
            raise Disturbed(f"it took so long that the hold of {deed.name} may have lapsed meanwhile")
        return broken if exchange.status == 409 else ""

    exchange = await case.persist(
        lambda: deed.request, deed.root, deed.name, fields=lambda: deed.fields or {}, blame=blame
    )
    if deed.request.verb == "create-scope":
        case.world.ledger.created(json.loads(deed.request.body or b"{}")["slug"], wire.identity(exchange.data))
    return exchange


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def working_keys(case: Case, queue: Queue) -> tuple[list[str], list[Exchange]]:
    """The names of the given keys that work on an endpoint of their own right, and how the others were refused."""
    given = [name for name in RIGHTS if name in case.world.keys]
    if not given:
        case.key("view")
    own: dict[str, Callable[[], Deed]] = {
        "view": lambda: reading(queue),
        "publish": lambda: publishing(case, queue),
        "consume": lambda: claiming(queue),
        "manage": lambda: creating_queue(case, queue.scope),
    }
    names, refused = [], []
    for name in given:
        deed = own[name]()
        exchange = await ask(case, deed.request, key=case.key(name), fields=deed.fields)
        if exchange.ok:
            names.append(name)
        else:
            refused.append(exchange)
    return names, refused


def no_key_was_idle(refused: Sequence[Exchange]) -> None:
    """A key that does not work even where it should makes every refusal of it worthless."""
    for exchange in refused:
        raise Inconclusive(
            f"a key that was given for {exchange.request.verb} does not work there: {exchange.told()}",
            evidence=(exchange.op,),
        )


def others(names: Sequence[str], deed: Deed) -> list[str]:
    return [name for name in names if name != deed.right]


async def denied(case: Case, deed: Deed, names: Sequence[str], *, root: str, controlled: bool = True) -> list[Exchange]:
    """The refusals that the deed meets with each of these keys; none where its path may be absent and is.

    A success ends the case: `root` is broken. Then the deed succeeds with all rights, unless that is left to the
    caller.
    """
    refusals = []
    for name in names:
        exchange = await ask(case, deed.request, key=case.key(name), fields=deed.fields)
        if exchange.ok:
            case.refuse(
                root,
                f"{deed.name} needs scaiqueue:{deed.right}, and was granted to a key with scaiqueue:{name}",
                expected=DENIED,
                seen=exchange.told(),
                proof=f"the key given as --{name}-key has scaiqueue:{name} alone",
                evidence=(exchange,),
            )
        _readable(case, deed, exchange)
        refusals.append(exchange)
    if controlled and refusals and await succeeds(case, deed, broken=root) is None:
        return []
    return refusals


def _readable(case: Case, deed: Deed, exchange: Exchange) -> None:
    """A refusal that has a code has a message too."""
    error = exchange.answer.error if exchange.answer is not None else {}
    if exchange.code and not isinstance(error.get("message"), str):
        case.refuse(
            "ENV-3",
            f"{deed.name} was refused without a message",
            expected="error.message, a text",
            seen=f"{exchange.told()}, message {spell(error.get('message'))}",
            evidence=(exchange,),
        )


async def nothing_published(case: Case, queue: Queue, names: Sequence[str]) -> None:
    """Publishes that were refused for want of a right are never delivered; one that was accepted is (the control)."""
    tried = [(name, publishing(case, queue)) for name in itertools.chain(names, names) if name != "publish"]
    for name, deed in tried:
        await denied(case, deed, [name], root="AUTH-4", controlled=False)
    control = await queue.publish()
    refused = {str((deed.fields or {})["token"]): name for name, deed in tried}
    for item, claim in await handed_out(queue, control):
        name = refused.get(wire.token(item.get("body")), "")
        case.require(
            not name,
            "a publish that was refused for want of a right was delivered all the same",
            expected="a refused publish has no effect",
            seen=f"id {wire.identity(item)}, published with the key given as --{name}-key",
            evidence=(claim,),
        )
