"""SCOPE, SYSQ: scopes, and the five queues that come with each."""

import asyncio
from collections.abc import Sequence
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import Case, proves
from queueproof.drive.optional import DEAD_LETTER, listed
from queueproof.drive.outcomes import NotSupported
from queueproof.evidence.operation import Result

# Rows that every list shows on its first page, as far as anybody pages lists.
SHORT = 20


@proves("SCOPE-1")
async def test_creating_a_scope_gives_its_id(case: Case) -> None:
    """SCOPE-1: `POST /scopes` with `slug`, `display_name` MUST return `data.id`.

    Two scopes have two ids, and each is a namespace of its own: the same queue slug fits into both. A name beyond ASCII
    may be refused, and is no fault of the server's own.
    """
    first = await case.own_scope()
    second = await case.own_scope()
    case.require(
        first != second,
        "two scopes were given one id",
        expected="an id of its own for each scope",
        seen=f"{first} twice",
        evidence=case.exchanges[-2:],
    )
    slug = case.world.slug("same")
    for scope, root in ((first, "QUEUE-1"), (second, "SCOPE-1")):
        await case.queue(scope=scope, slug=slug, root=root)
    slug = case.world.slug(case.requirement)
    case.world.ledger.intend(slug)
    named = await ask(case, wire.create_scope(slug, f"queueproof {case.world.run} «été», Ωμέγα, 漢字"))
    if named.ok and wire.identity(named.data):
        case.world.ledger.created(slug, wire.identity(named.data))
    case.require(
        named.status < 500 and (not named.ok or bool(wire.identity(named.data))),
        "a scope whose name is beyond ASCII was not created, and not refused either",
        expected="data.id, or a 4xx answer",
        seen=named.told(),
        evidence=(named,),
    )


async def hyphened(case: Case) -> list[str]:
    """A scope whose slug has a hyphen; none where a server takes no such slug."""
    slug = f"{case.world.slug('hyphen')}-b"
    case.world.ledger.intend(slug)
    exchange = await ask(case, wire.create_scope(slug, f"queueproof {case.world.run} hyphen"))
    scope = wire.identity(exchange.data) if exchange.ok else ""
    if scope:
        case.world.ledger.created(slug, scope)
    return [scope] if scope else []


@proves("SYSQ-1")
async def test_a_scope_brings_its_system_queues(case: Case) -> None:
    """SYSQ-1: Creating a scope MUST create `_dead_letter`, `_events`, `_audit`, `_integrity`, `_corrections` in it.

    Read off the list of queues, page by page, of the run's first scope and of another one. A list that shows no system
    queue in any scope, or `_dead_letter` alone, which is the only one whose use is documented, hides the others, which
    is allowed (that they should be shown is SYSQ-2). Then their slugs tell: where a scope takes a slug only once, a
    user's queue of that slug can only be created if there is none yet. The first scope has many queues by now: a long
    list may be cut, and what it does not show proves nothing. In the other one no system queue is there twice, under
    two ids. Three more are created at the same moment, and one with a hyphen in its slug, unless requests are counted.
    """
    scopes = [await case.scope(), await case.own_scope()]
    if not case.world.thrift:
        scopes += await asyncio.gather(*(case.own_scope() for _ in range(3)))
        scopes += await hyphened(case)
    await each_once(case, scopes[1])

    async def missing() -> list[tuple[list[str], int]]:
        return [await lacking(case, scope) for scope in scopes]

    absent = await case.eventually(missing, lambda found: not any(map(proved, found)), within_s=2.0)
    if all(set(names) >= set(wire.SYSTEM_QUEUES) - {DEAD_LETTER} for names, _ in absent):
        await taken(case, scopes[1], absent[1][0])
        return
    for scope, found in zip(scopes, absent, strict=True):
        names = proved(found)
        case.require(
            not names,
            f"a new scope came without {', '.join(names)}",
            expected=f"{', '.join(wire.SYSTEM_QUEUES)} in the list of its queues",
            seen=f"the list of scope {scope} lacks {', '.join(names)}",
            evidence=(case.exchanges[-2], case.exchanges[-1]),
        )


async def each_once(case: Case, scope: str) -> None:
    """The list of a new scope's queues shows no two system queues of one slug."""
    rows = await listed(case, scope)
    for name in wire.SYSTEM_QUEUES:
        ids = {wire.identity(row) for row in rows if row.get("slug") == name} - {""}
        case.require(
            len(ids) <= 1,
            f"a new scope came with {len(ids)} queues {name}",
            expected=f"one {name}, among {', '.join(wire.SYSTEM_QUEUES)}",
            seen=f"ids {', '.join(sorted(ids))}",
            evidence=case.exchanges[-1:],
        )


async def lacking(case: Case, scope: str) -> tuple[list[str], int]:
    """The system queues that a scope's list does not show, and how many rows it has."""
    rows = await listed(case, scope)
    names = {name for row in rows for name in names_of(row)}
    return [name for name in wire.SYSTEM_QUEUES if name not in names], len(rows)


def proved(found: tuple[list[str], int]) -> list[str]:
    """Of what a list lacks, what it would surely show."""
    names, rows = found
    return names if rows <= SHORT else []


async def taken(case: Case, scope: str, names: Sequence[str]) -> None:
    """Every one of these system queues' slugs is taken, in a scope that takes a user's slug once (the control)."""
    slug = case.world.slug("once")
    await case.queue(scope=scope, slug=slug)
    again = await case.send(wire.create_queue(scope, case.queue_form(slug=slug)))
    if again.result is not Result.REJECTED:
        raise NotSupported(f"the list of queues does not show {', '.join(names)}, and a slug may be used twice")
    for name in names:
        exchange = await case.send(wire.create_queue(scope, case.queue_form(slug=name)))
        case.require(
            not exchange.ok,
            f"a new scope came without {name}",
            expected=f"{name} is listed, or at least taken",
            seen=f"it is not listed, and a queue of that slug was created ({exchange.told()})",
            evidence=(again, exchange),
        )
    raise NotSupported(f"the list of queues does not show {', '.join(names)}; their slugs are taken")


def names_of(row: dict[str, Any]) -> list[str]:
    """What a queue's row may be known by."""
    return [str(row[name]) for name in ("slug", "name", "id") if isinstance(row.get(name), str)]
