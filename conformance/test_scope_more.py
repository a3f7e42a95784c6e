"""SCOPE, SYSQ: slugs are unique, scopes show their state, and system queues are each scope's own."""

import asyncio
import time
import uuid
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask, listed
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.outcomes import Blocked, Inconclusive, NotSupported
from queueproof.drive.queue import Message, Queue

HOLD_S = 30
# So many scopes come between one of a slug and the next try to take it.
OTHERS = 20


@proves("SCOPE-2")
async def test_a_slug_is_taken_once(case: Case) -> None:
    """SCOPE-2: A second scope with the same slug in the tenant MUST fail with 409; code SHOULD be `SLUG_CONFLICT`.

    Asked for with the same and with another display name, once more when others were made, and while the scope is
    paused; of two requests for one slug at the same moment, one is refused. Another slug is still free afterwards (the
    control).
    """
    scope = await case.own_scope()
    first = case.exchanges[-1]
    slug = next(slug for slug, created in case.world.ledger.scopes.items() if created.id == scope)
    for name in (f"queueproof {case.world.run} {case.requirement}", "queueproof, another name"):
        await is_taken(case, slug, name, scope, first)
    for _ in range(2 if case.world.thrift else OTHERS):
        await race(case, case.world.slug(case.requirement))
    await is_taken(case, slug, "queueproof, later", scope, first)
    if not case.world.thrift and (await ask(case, wire.change_scope(scope, "pause"))).ok:
        await is_taken(case, slug, "queueproof, paused", scope, first)
    await case.own_scope()


async def is_taken(case: Case, slug: str, name: str, scope: str, first: Exchange) -> None:
    """A scope of this slug, which `scope` has, is refused."""
    again = await ask(case, wire.create_scope(slug, name))
    second = wire.identity(again.data)
    if again.ok and second and second != scope:
        await case.send(wire.delete_scope(second))
    case.require(
        again.status == 409,
        "a second scope with the same slug was not refused with 409",
        expected="409 SLUG_CONFLICT",
        seen=f"{again.told()}, id {second}" if again.ok else again.told(),
        evidence=(first, again),
    )


async def race(case: Case, slug: str) -> None:
    """Two requests for a scope of one slug at the same moment do not make two; either may go unanswered."""
    case.world.ledger.intend(slug)
    request = wire.create_scope(slug, f"queueproof {case.world.run} {case.requirement}")
    answers = await asyncio.gather(*(case.send(request, burst=True) for _ in range(2)))
    made = sorted({wire.identity(exchange.data) for exchange in answers if exchange.ok} - {""})
    for scope in made[:1]:
        case.world.ledger.created(slug, scope)
    for scope in made[1:]:
        await case.send(wire.delete_scope(scope))
    case.require(
        len(made) <= 1,
        "two scopes with the same slug were made at the same moment",
        expected="409 SLUG_CONFLICT for one of them",
        seen=f"ids {', '.join(made)}",
        evidence=answers,
    )


@proves("LOSS-1")
async def test_what_is_created_again_loses_nothing(case: Case) -> None:
    """LOSS-1: A message whose publish was acknowledged MUST NOT be lost before it is completed or expires.

    A scope and a queue of the same slugs are asked for again, whatever comes of it, while two messages wait there.
    """
    scope = await case.own_scope()
    slug = next(slug for slug, created in case.world.ledger.scopes.items() if created.id == scope)
    queue = await case.queue(scope=scope, slug=f"{slug}q")
    queue.unmodelled = True  # a second creation may change it: this case alone judges it
    messages = await queue.publish_many(2)
    again = wire.create_queue(scope, case.queue_form(slug=f"{slug}q"))
    made = [await ask(case, wire.create_scope(slug, "queueproof")), await ask(case, again)]
    if made[0].ok and wire.identity(made[0].data) not in {"", scope}:
        await case.send(wire.delete_scope(wire.identity(made[0].data)))
    doing = "a message was lost when its scope or its queue was asked for a second time"
    await queue.take(*messages, timeout_s=HOLD_S, root="LOSS-1", doing=doing)


@proves("SCOPE-3")
async def test_a_scope_shows_its_state(case: Case) -> None:
    """SCOPE-3: `GET /scopes/{scope_id}` MUST return the scope with its state.

    Of a new scope, with its own slug where one is shown, and nothing of the kind for an id that no scope has; and,
    where it can be paused and resumed, `paused` in between and no longer so afterwards. One that was archived says so,
    and one that drains, with a message still held, unless requests are counted.
    """
    scope = await case.own_scope()
    fresh = await shown(case, scope, lambda state: bool(state) and state != "paused", "its state")
    case.require(
        wire.identity(fresh.data) == scope,
        "a scope is read under another id than its own",
        expected=f"id {scope}",
        seen=spell(fresh.data),
        evidence=(fresh,),
    )
    slug = next(slug for slug, created in case.world.ledger.scopes.items() if created.id == scope)
    told = fresh.data.get("slug", slug) if isinstance(fresh.data, dict) else slug
    case.require(
        not isinstance(told, str) or told.lower() == slug.lower(),
        "a scope is read with the slug of another",
        expected=f"slug {slug}",
        seen=f"slug {told}",
        evidence=(fresh,),
    )
    if not case.world.thrift:
        nowhere = await ask(case, wire.read_scope(str(uuid.uuid4())))
        case.require(
            not nowhere.ok,
            "an id that no scope has is answered with a scope",
            expected="no 2xx answer",
            seen=f"{nowhere.told()}, id {wire.identity(nowhere.data)}",
            evidence=(nowhere,),
        )
    paused = await ask(case, wire.change_scope(scope, "pause"))
    if not paused.ok:
        return  # the path is not documented
    if not case.world.thrift:
        await closed(case)
    await shown(case, scope, lambda state: state == "paused", "paused, after it was paused")
    resumed = await ask(case, wire.change_scope(scope, "resume"))
    if resumed.ok:
        await shown(case, scope, lambda state: bool(state) and state != "paused", "another state after it was resumed")


async def closed(case: Case) -> None:
    """Scopes that are archived and that drain, where they can be told to, show that state."""
    archived, draining = await case.own_scope(), await case.own_scope()
    queue = await case.queue(scope=draining)
    queue.unmodelled = True  # it drains: this case alone judges it
    await queue.take_one(await queue.publish(), timeout_s=HOLD_S)
    for scope, move, state in ((archived, "archive", "archived"), (draining, "drain", "draining")):
        if (await ask(case, wire.change_scope(scope, move))).ok:
            await shown(case, scope, lambda seen, state=state: seen == state, f"{state}, after it was told to {move}")


async def shown(case: Case, scope: str, accept: Any, wanted: str) -> Exchange:
    """The scope's row once its state is as it should be; ends the case when it never is."""
    exchange: Exchange = await case.eventually(
        lambda: ask(case, wire.read_scope(scope)), lambda read: read.ok and accept(wire.state(read.data))
    )
    case.require(
        exchange.ok and accept(wire.state(exchange.data)),
        "a scope does not show its state",
        expected=f"a state: {wanted}",
        seen=spell(exchange.data) if exchange.ok else exchange.told(),
        evidence=(exchange,),
        liveness=True,
    )
    return exchange


@proves("SYSQ-2")
async def test_system_queues_are_listed(case: Case) -> None:
    """SYSQ-2: The five SHOULD be visible in `GET /scopes/{scope_id}/queues`.

    In a new scope's list, which shows a user's queue as well (the control); with a few more queues, and while the scope
    is paused, unless requests are counted.
    """
    scope = await case.own_scope()
    await all_listed(case, scope, await case.queue(scope=scope))
    if case.world.thrift:
        return
    for _ in range(3):
        last = await case.queue(scope=scope)
    await all_listed(case, scope, last)
    if (await ask(case, wire.change_scope(scope, "pause"))).ok:
        await all_listed(case, scope, last)


async def all_listed(case: Case, scope: str, queue: Queue) -> None:
    """The five are in the scope's list, and so is that queue."""

    async def names() -> dict[str, str]:
        return await slugs(case, scope)

    found = await case.eventually(names, lambda seen: queue.id in seen.values() and not lacking(seen))
    if queue.id not in found.values():
        raise Inconclusive("the list of a scope's queues does not show a queue that was created in it")
    case.require(
        not lacking(found),
        f"the list of a scope's queues does not show {', '.join(lacking(found))}",
        expected=f"{', '.join(wire.SYSTEM_QUEUES)} in the list",
        seen=spell(sorted(found)),
        evidence=case.exchanges[-1:],
    )


@proves("SYSQ-3")
async def test_dead_letters_are_each_scopes_own(case: Case) -> None:
    """SYSQ-3: Two scopes MUST have separate `_dead_letter` queues.

    Two messages that are made to fail for good, one in the last of three scopes and one in that before, turn up in
    their own scope's queue each (the control), and not in those of the others. Nor are the three one queue: but every
    path to a queue names its scope, so that equal ids prove it only on a server whose ids are not numbered or named
    within their scope.
    """
    scopes = [await case.scope(), await case.own_scope(), await case.own_scope()]
    places = [await dead_letters(case, scope) for scope in scopes]
    if len(set(places)) < len(places) and "dead" not in places[2].lower():
        slug = case.world.slug("same")
        twins = [await case.queue(scope=scope, slug=slug) for scope in scopes[1:]]
        case.require(
            twins[0].id == twins[1].id,
            "two scopes share one _dead_letter queue",
            expected="a queue of its own for each scope, as other queues of one slug are",
            seen=spell(dict(zip(scopes, places, strict=True))),
            evidence=case.exchanges[-5:],
        )
    for scope in scopes[1:]:
        failed = await failing(case, scope)
        if failed is None:
            return
        await at_home(case, *failed, dict(zip(scopes, places, strict=True)))


async def at_home(case: Case, queue: Queue, message: Message, places: dict[str, str]) -> None:
    """A message that has failed for good is in its own scope's dead letters, and in no other's of `places`."""
    end = time.monotonic() + case.world.bound_s
    while time.monotonic() < end:
        for scope, place in places.items():
            row = await buried(case, scope, place, message)
            case.require(
                row is None or scope == queue.scope,
                "a message that failed in one scope is in another scope's _dead_letter queue",
                expected=f"{message.id} in {places[queue.scope]}, scope {queue.scope}",
                seen=f"in {place}, scope {scope}: {spell(row)}",
                evidence=(message.publish, case.exchanges[-1]),
            )
            if row is not None:
                return
        await fail_again(queue, message)
        await asyncio.sleep(0.2)


async def dead_letters(case: Case, scope: str) -> str:
    """The id of a scope's _dead_letter queue."""
    found: dict[str, str] = await case.eventually(lambda: slugs(case, scope), lambda seen: "_dead_letter" in seen)
    if not found.get("_dead_letter"):
        raise NotSupported("the list of a scope's queues shows no _dead_letter", lacks=("dead-letter",))
    return found["_dead_letter"]


async def slugs(case: Case, scope: str) -> dict[str, str]:
    """Ids by slug of the queues that a scope's list shows."""
    rows = await listed(case, lambda **page: wire.list_queues(scope, **page))
    if rows is None:
        raise NotSupported("there is no list of a scope's queues", evidence=(case.exchanges[-1].op,))
    return {str(row.get("slug", row.get("name"))): wire.identity(row) for row in rows}


def lacking(found: dict[str, str]) -> list[str]:
    return [name for name in wire.SYSTEM_QUEUES if name not in found]


async def failing(case: Case, scope: str) -> tuple[Queue, Message] | None:
    """A message that has failed as often as its queue allows, or None where that cannot be done."""
    try:
        queue = await case.queue(scope=scope, root="max_retries", max_retries=1)
        queue.unmodelled = True  # its message goes to another queue
        message = await queue.publish()
        delivery = await queue.take_one(message, timeout_s=HOLD_S)
        await queue.act("fail", delivery, root="FAIL-1", reason="queueproof: it has to fail")
    except NotSupported:
        return None
    except Blocked as end:
        if end.root != "max_retries":
            raise
        return None
    return queue, message


async def fail_again(queue: Queue, message: Message) -> None:
    """Fails the message once more if it came back (a queue may allow one retry after the first delivery)."""
    for delivery in (await queue.claim(1, HOLD_S)).of(message):
        await queue.act("fail", delivery, root="FAIL-1", reason="queueproof: it has to fail again")


async def buried(case: Case, scope: str, place: str, message: Message) -> dict[str, Any] | None:
    """The message's row in a _dead_letter queue, known by its body or its id; None when it is not shown there."""
    rows = await listed(case, lambda **page: wire.list_queue_messages(scope, place, **page))
    for row in rows or []:
        if wire.token(row.get("body")) == message.token or ("body" not in row and wire.identity(row) == message.id):
            return row
    return None
