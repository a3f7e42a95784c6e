"""AUTH: who may call, and what with which right."""

from collections.abc import Sequence
from dataclasses import replace

from queueproof.contract import wire
from queueproof.drive.asking import ask, holds
from queueproof.drive.case import Case, proves
from queueproof.drive.deeds import (
    DENIED,
    Deed,
    claiming,
    deeds,
    denied,
    few_deeds,
    managing,
    moving,
    no_key_was_idle,
    nothing_published,
    others,
    publishing,
    reading,
    succeeds,
    working_keys,
)
from queueproof.drive.lists import objects, pages
from queueproof.drive.optional import change, try_publish
from queueproof.drive.outcomes import Inconclusive, NotRun, NotSupported
from queueproof.drive.queue import Queue

HOLD_S = 60
UNKNOWN = "sgk_" + "0" * 40


@proves("AUTH-1")
async def test_no_token(case: Case) -> None:
    """AUTH-1: A request without `Authorization` MUST get 401 and code `AUTH_TOKEN_MISSING`.

    Every documented verb, each on things that exist; the same requests with the key succeed (the control).
    """
    await refused_everywhere(case, "without a token", "AUTH_TOKEN_MISSING", authorization="")


async def refused_everywhere(case: Case, how: str, code: str, **call: str) -> None:
    """Every endpoint refuses a call that is sent so, on things that exist; the same with the key succeeds.

    A path that is not documented may not be there.
    """
    for deed in await deeds(case, await case.queue(scope=await case.own_scope())):
        exchange = await ask(case, deed.request, fields=deed.fields, **call)
        if not exchange.ok and await succeeds(case, deed) is None:
            continue
        case.require(
            (exchange.status, exchange.code) == (401, code),
            f"{deed.name} {how} was answered {exchange.told()}",
            expected=f"401 {code}",
            seen=exchange.told(),
            evidence=(exchange, case.exchanges[-1]),
        )


@proves("AUTH-2")
async def test_unknown_token(case: Case) -> None:
    """AUTH-2: An unknown or revoked token MUST get 401 and `AUTH_TOKEN_INVALID`.

    Tokens that never were: made up, long and short, the right one with a character changed, with one more, cut short,
    and, where its letters are of both cases, with each in the other one. The same requests with the right one succeed
    (the control). Where requests are not counted, one of them on every endpoint. A revoked token would need a way to
    revoke one: the API has none.
    """
    if not case.world.client.budget.rationed:
        await refused_everywhere(case, "with an unknown token", "AUTH_TOKEN_INVALID", key=UNKNOWN)
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
    """Tokens that no server gave out. A changed character stands where, in a signed token, the signature is."""
    place = len(right) * 7 // 8
    bare = right.rstrip("=")  # padding that is not there may be made up for
    short = [cut for cut in (right[:place], bare[:-1]) if cut and cut != right]
    changed = [right[:at] + _other(right[at : at + 1]) + right[at + 1 :] for at in (place, len(right) - 1)]
    kept = max(right.find("_"), right.rfind(".")) + 1  # what tells the kind of a token is no secret
    secret = right[kept:]
    # Letters of one case alone may spell a number, as hexadecimal digits do, and mean the same in the other.
    mixed = secret != secret.lower() and secret != secret.upper()
    swapped = [right[:kept] + secret.swapcase()] if mixed else []
    return [UNKNOWN, "sgk_no", *changed, right + "x", *short, *swapped]


def _other(character: str) -> str:
    """Another one, of another value in base64 too, where a last character may have bits that count for nothing."""
    return "0" if "A" <= character <= "Z" or "a" <= character <= "f" else "a"


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


@proves("AUTH-3")
async def test_places_are_managed_by_those_who_may(case: Case) -> None:
    """AUTH-3: A caller lacking the endpoint's key MUST get 403 and `AUTHZ_PERMISSION_DENIED`.

    Moving, changing and deleting a queue and a scope, schemas and review patterns, all of which `scaiqueue:manage`
    covers, each with every other key; a path that is not documented may be absent. What was refused must not have
    happened: messages are taken and handed out as before, and what is paused stays so until it is resumed with all
    rights (the controls).
    """
    queue = await case.queue(scope=await case.own_scope())
    queue.unmodelled = True  # paused: this case alone judges it
    names, idle = await working_keys(case, await case.queue(scope=queue.scope))
    names = [name for name in names if name != "manage"]
    if not names:
        no_key_was_idle(idle)
        case.key("view")
    messages = [await queue.publish()]
    for number, deed in enumerate(managing(case, queue)):
        few = [names[number % len(names)]] if case.world.thrift else names
        await denied(case, deed, few, root="AUTH-3", controlled=False)
    messages += [await queue.publish(root="AUTH-3") for _ in range(2)]
    doing = "a message is not delivered after changes of its queue and scope were refused for want of a right"
    await queue.take(*messages, batch_size=3, timeout_s=HOLD_S, root="AUTH-3", doing=doing)
    for resume, pause in moving(queue):
        await stays_paused(case, queue, resume, pause, names[:1] if case.world.thrift else names)
    no_key_was_idle(idle)


async def stays_paused(case: Case, queue: Queue, resume: Deed, pause: wire.Request, names: Sequence[str]) -> None:
    """What can be paused is resumed by nobody who lacks the right, and by one who has it."""
    try:
        await change(case, pause)
    except NotSupported:
        return
    before = await try_publish(queue, forbidden="AUTH-3")
    for exchange in await denied(case, resume, names, root="AUTH-3", controlled=False):
        case.require(
            (exchange.status, exchange.code) == (403, "AUTHZ_PERMISSION_DENIED"),
            f"{resume.name} without scaiqueue:{resume.right} was answered {exchange.told()}",
            expected=DENIED,
            seen=exchange.told(),
            evidence=(exchange,),
        )
    after = await try_publish(queue, forbidden="AUTH-3")
    case.require(
        before.ok or not after.ok,
        f"{resume.name} was refused for want of a right, and happened all the same",
        expected="publishes refused until it is resumed by one who may",
        seen=f"before it a publish was answered {before.told()}, after it {after.told()}",
        evidence=(before, *case.exchanges[-1 - len(names) : -1], after),
    )
    await succeeds(case, resume)


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

    Key by key: each works on an endpoint of its own right (the control) and is refused on those of the three others,
    also when their paths are written with a query or a slash at the end.
    """
    queue = await case.queue(scope=await case.own_scope())
    names, idle = await working_keys(case, await case.queue(scope=queue.scope))
    for name in names:
        for deed in few_deeds(case, queue):
            if deed.right != name:
                await denied(case, deed, [name], root="AUTH-5")
                for end in () if case.world.client.budget.rationed else ("?qp=1", "/", "/?qp=1"):
                    request = replace(deed.request, path=deed.request.path + end)
                    await denied(case, replace(deed, request=request), [name], root="AUTH-5", controlled=False)
    no_key_was_idle(idle)


@proves("AUTH-6")
async def test_another_tenant_reads_nothing(case: Case) -> None:
    """AUTH-6: A scope of another tenant MUST NOT be readable; 404 SHOULD be used.

    Nor what is in it: its queues, its messages, by lists and by claims, and its audit log; nor is it in the other
    tenant's own list of scopes, on any page. The owner reads all of it (the control).
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
        requests.append(wire.audit_trace(scope, message.correlation))
    requests.append(wire.audit(scope))
    answers = [await ask(case, request, key=foreign) for request in requests]
    own = await case.persist(lambda: wire.read_scope(scope), "SCOPE-3", "reading a scope")
    slug = own.data.get("slug") if isinstance(own.data, dict) else None
    shown = [page async for page in pages(wire.list_scopes, lambda request: ask(case, request, key=foreign))]
    # Ids may be unique within a tenant only; slugs are the harness's own.
    answers += [page for page in shown if slug and any(row.get("slug") == slug for row in objects(page))]
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
