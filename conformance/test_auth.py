"""AUTH: who may call, and what with which right."""

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask, handed_out, holds
from queueproof.drive.case import QUICKSTART_QUEUE, Case, proves
from queueproof.drive.client import Exchange
from queueproof.drive.outcomes import Disturbed, Inconclusive, NotRun, NotSupported
from queueproof.drive.queue import QUICKSTART_PRIORITY, Delivery, Queue

RIGHTS = ("view", "publish", "consume", "manage")
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


@proves("AUTH-1")
async def test_no_token(case: Case) -> None:
    """AUTH-1: A request without `Authorization` MUST get 401 and code `AUTH_TOKEN_MISSING`.

    Every documented verb, each on things that exist; the same requests with the key succeed (the control).
    """
    for deed in await deeds(case, await case.queue(scope=await case.own_scope())):
        exchange = await ask(case, deed.request, authorization="", fields=deed.fields)
        if not exchange.ok and await succeeds(case, deed) is None:
            continue  # a path that is not documented, and not there
        case.require(
            (exchange.status, exchange.code) == (401, "AUTH_TOKEN_MISSING"),
            f"{deed.name} without a token was answered {exchange.told()}",
            expected="401 AUTH_TOKEN_MISSING",
            seen=exchange.told(),
            evidence=(exchange, case.exchanges[-1]),
        )


@proves("AUTH-2")
async def test_unknown_token(case: Case) -> None:
    """AUTH-2: An unknown or revoked token MUST get 401 and `AUTH_TOKEN_INVALID`.

    Tokens that never were: made up, the right one with one character changed, with one more, and with its letters in
    the other case. The same requests with the right one succeed (the control). A revoked token would need a way to
    revoke one: the API has none.
    """
    queue = await case.queue()
    message = await queue.publish()
    right = case.world.client.key
    for deed in (reading(queue), publishing(case, queue), claiming(queue)):
        for token in unknown_tokens(right):
            exchange = await ask(case, deed.request, key=token, fields=deed.fields)
            case.require(
                (exchange.status, exchange.code) == (401, "AUTH_TOKEN_INVALID"),
                f"{deed.name} with an unknown token was answered {exchange.told()}",
                expected="401 AUTH_TOKEN_INVALID",
                seen=exchange.told(),
                evidence=(exchange,),
            )
        if deed.right == "view":
            await succeeds(case, deed)
    await queue.take(message, batch_size=10, timeout_s=HOLD_S)


def unknown_tokens(right: str) -> list[str]:
    """Tokens that no server gave out. The changed character stands where, in a signed token, the signature is."""
    place = len(right) * 7 // 8
    changed = right[:place] + ("a" if right[place : place + 1] != "a" else "b") + right[place + 1 :]
    kept = max(right.find("_"), right.rfind(".")) + 1  # what tells the kind of a token is no secret
    swapped = right[:kept] + right[kept:].swapcase()
    return ["sgk_" + "0" * 40, changed, right + "x", *([swapped] if swapped != right else [])]


@proves("AUTH-3")
async def test_denied_as_documented(case: Case) -> None:
    """AUTH-3: A caller lacking the endpoint's key MUST get 403 and `AUTHZ_PERMISSION_DENIED`.

    Each key that was given, on documented endpoints of the other rights, after it worked on one of its own. The same
    requests with all rights succeed (the control).
    """
    queue = await case.queue(scope=await case.own_scope())
    names, idle = await working_keys(case, await case.queue(scope=queue.scope))
    for deed in few_deeds(case, queue):
        for exchange in await denied(case, deed, others(names, deed), root="AUTH-4"):
            case.require(
                (exchange.status, exchange.code) == (403, "AUTHZ_PERMISSION_DENIED"),
                f"{deed.name} without scaiqueue:{deed.right} was answered {exchange.told()}",
                expected=DENIED,
                seen=exchange.told(),
                evidence=(exchange, case.exchanges[-1]),
            )
    no_key_was_idle(idle)


@proves("AUTH-4")
async def test_every_deed_needs_its_right(case: Case) -> None:
    """AUTH-4: Creating scopes/queues MUST need `scaiqueue:manage`; publish `scaiqueue:publish`;
    claim/complete/fail/release/extend `scaiqueue:consume`; reads `scaiqueue:view`.

    Every one of these with every other key that was given, and then with all rights (the control; a path that is not
    documented may be absent). What was refused must not have happened: a refused claim holds nothing, a refused
    complete leaves its message to be completed, a refused publish is never delivered, a refused slug is still free.
    """
    queue = await case.queue(scope=await case.own_scope())
    names, idle = await working_keys(case, await case.queue(scope=queue.scope))
    waiting = await queue.publish()
    await denied(case, claiming(queue), others(names, claiming(queue)), root="AUTH-4", controlled=False)
    doing = "a message is not delivered after a claim of it was refused for want of a right"
    await queue.take(waiting, timeout_s=HOLD_S, root="AUTH-4", doing=doing)
    for deed in await deeds(case, queue):
        if deed.name != "publish":
            await denied(case, deed, others(names, deed), root="AUTH-4")
    await nothing_published(case, await case.queue(scope=queue.scope), names)
    no_key_was_idle(idle)


@proves("AUTH-5")
async def test_a_right_is_no_other(case: Case) -> None:
    """AUTH-5: Holding one key MUST NOT grant another key's endpoints.

    Key by key: each works on an endpoint of its own right (the control) and is refused on those of the three others.
    """
    queue = await case.queue(scope=await case.own_scope())
    names, idle = await working_keys(case, await case.queue(scope=queue.scope))
    for name in names:
        for deed in few_deeds(case, queue):
            if deed.right != name:
                await denied(case, deed, [name], root="AUTH-5")
    no_key_was_idle(idle)


@proves("AUTH-6")
async def test_another_tenant_reads_nothing(case: Case) -> None:
    """AUTH-6: A scope of another tenant MUST NOT be readable; 404 SHOULD be used.

    Nor what is in it: its queues, its messages, by lists and by claims. The owner reads all of it (the control).
    """
    foreign = case.key("foreign")
    scope = await case.own_scope()
    queue = await case.queue(scope=scope)
    message = await queue.publish()
    requests = [
        wire.read_scope(scope),
        wire.list_queues(scope),
        wire.read_queue(scope, queue.id),
        wire.list_queue_messages(scope, queue.id),
        wire.read_message(scope, message.id),
        claiming(queue).request,
    ]
    if message.correlation:
        requests.append(wire.trace_messages(scope, message.correlation))
    answers = [await ask(case, request, key=foreign) for request in requests]
    if all(answer.status == 401 for answer in answers):
        raise Inconclusive("the key given as --foreign-key is not accepted at all", evidence=(answers[0].op,))
    for answer in answers:
        told = [known for known in (scope, queue.id, message.id) if answer.ok and holds(answer.data, known)]
        case.require(
            not told,
            f"another tenant's key was answered {answer.request.verb}",
            expected="404 (or another refusal)",
            seen=f"{answer.told()}, with id {', '.join(told)}",
            evidence=(answer,),
        )
    await case.persist(lambda: wire.read_scope(scope), "SCOPE-3", "reading a scope")
    await queue.take(message, timeout_s=HOLD_S)


@proves("AUTH-7")
async def test_a_disabled_module_says_so(case: Case) -> None:
    """AUTH-7: With the module disabled, endpoints MUST answer 403 `MODULE_NOT_ENABLED`.

    Only on a server that the run itself started: disabled for the tenant of the foreign key, while that tenant has no
    scope; then enabled again. Its list of scopes is answered before and afterwards (the control).
    """
    if not case.world.ours:
        raise NotRun("it would switch the module off for a tenant: tried only on a server that the run started itself")
    foreign = case.key("foreign")
    before = await ask(case, wire.list_scopes(), key=foreign)
    if not before.ok:
        raise NotSupported(f"the other tenant's list of scopes is answered {before.told()}", evidence=(before.op,))
    if wire.rows(before.data) != []:
        raise NotRun("the tenant of --foreign-key has scopes: the module is not disabled where it is in use")
    gate = await ask(case, wire.change_module("disable"), key=foreign)
    if not gate.ok:
        raise NotSupported(f"disabling the module is answered {gate.told()}", evidence=(gate.op,))
    try:
        closed = await case.eventually(lambda: ask(case, wire.list_scopes(), key=foreign), lambda read: not read.ok)
    finally:
        opened = await ask(case, wire.change_module("enable"), key=foreign)
    if closed.ok:
        raise Inconclusive("the module was disabled and its endpoints still answer", evidence=(gate.op, closed.op))
    case.require(
        (closed.status, closed.code) == (403, "MODULE_NOT_ENABLED"),
        f"with the module disabled, the list of scopes was answered {closed.told()}",
        expected="403 MODULE_NOT_ENABLED",
        seen=closed.told(),
        evidence=(before, gate, closed),
    )
    after = await case.eventually(lambda: ask(case, wire.list_scopes(), key=foreign), lambda read: read.ok)
    if not (opened.ok and after.ok):
        raise Inconclusive("the module could not be enabled again", evidence=(opened.op, after.op))


# ── deeds ─────────────────────────────────────────────────────────────────────────────────────────────────────────


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
    slug = case.world.slug(case.requirement)
    fields = {"slug": slug, "display_name": "queueproof", **QUICKSTART_QUEUE, "max_depth": 0}
    request = wire.create_queue(scope, fields)
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
        refusals.append(exchange)
    if controlled and refusals and await succeeds(case, deed, broken=root) is None:
        return []
    return refusals


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
