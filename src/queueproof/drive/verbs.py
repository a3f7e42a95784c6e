"""Which verbs and paths a server has beyond the quickstart's, seen by using each once on what is the examination's own.

Most of them are documented by name only, so their absence is no fault; what is there widens what a run can tell.
"""

import asyncio
from collections.abc import Mapping

from queueproof.contract import wire
from queueproof.drive.client import Exchange
from queueproof.drive.probe import ask, message
from queueproof.drive.world import World
from queueproof.evidence.checkup import Line, Sign

HOLD_S = 60
CLAIMS = 10
POLL_S = 0.1
QUEUE_MOVES = ("pause", "resume", "drain", "archive")
SCOPE_MOVES = ("pause", "resume", "archive", "unarchive")
NOT_UNDERSTOOD = frozenset({400, 415, 422})


async def verbs_of(world: World, queue: str) -> list[Line]:
    """The lines "there", "not there" and, where there are any, those that answered otherwise."""
    answers: dict[str, Exchange] = {}
    for look in (_held, _reads, _places):
        answers |= await look(world, queue)
    return grouped(answers)


async def _held(world: World, queue: str) -> Mapping[str, Exchange]:
    """The verbs on a claimed message."""
    for _ in range(2):
        await ask(world, message(world, queue))
    answers: dict[str, Exchange] = {}
    found = await _claimed(world, queue)
    if found:
        answers["extend"] = await ask(world, wire.extend(world.scope, found, visibility_timeout_s=HOLD_S))
        answers["release"] = await ask(world, wire.release(world.scope, found))
    found = await _claimed(world, queue)
    if found:
        answers["fail"] = await ask(world, wire.fail(world.scope, found, reason="queueproof doctor"))
        answers["read a message"] = await ask(world, wire.read_message(world.scope, found))
    found = await _claimed(world, queue)
    if found:
        await ask(world, wire.complete(world.scope, found))
    return answers


async def _claimed(world: World, queue: str) -> str:
    """A message that is claimed now; "" when none came."""
    request = wire.claim(world.scope, queue, batch_size=1, visibility_timeout_s=HOLD_S)
    for _ in range(CLAIMS):
        rows = wire.rows((await ask(world, request)).data) or []
        if rows:
            return wire.identity(rows[0])
        await asyncio.sleep(POLL_S)
    return ""


async def _reads(world: World, queue: str) -> Mapping[str, Exchange]:
    """Lists, traces and logs; all of them read only."""
    scope, trace = world.scope, world.token()
    reads = {
        "list scopes": wire.list_scopes(),
        "read a scope": wire.read_scope(scope),
        "list queues": wire.list_queues(scope),
        "read a queue": wire.read_queue(scope, queue),
        "list messages": wire.list_queue_messages(scope, queue),
        "messages by correlation_id": wire.trace_messages(scope, trace),
        "audit": wire.audit(scope),
        "audit trace": wire.audit_trace(scope, trace),
        "schemas": wire.list_schemas(scope),
        "hitl-patterns": wire.list_hitl_patterns(scope),
        "events (webhooks)": wire.Request(verb="list-webhooks", method="GET", path="/v1/webhooks"),
    }
    asked = await asyncio.gather(*(ask(world, request) for request in reads.values()))
    return dict(zip(reads, asked, strict=True))


async def _places(world: World, queue: str) -> Mapping[str, Exchange]:
    """Changing and moving a queue, then its scope, through their lives; last of all, since some of it ends them."""
    scope = world.scope
    path = wire.queue_path(scope, queue)
    body = wire.encode({"max_depth": 1000})
    changes = {
        "change a queue": wire.Request(verb="change-queue", method="PATCH", path=path, body=body, scope=scope),
        **{
            f"{verb} a queue": wire.change_queue(scope, queue, verb) for verb in ("pause", "resume", "drain", "archive")
        },
        "delete a queue": wire.delete_queue(scope, queue),
        **{f"{verb} a scope": wire.change_scope(scope, verb) for verb in SCOPE_MOVES},
    }
    return {name: await ask(world, request) for name, request in changes.items()}


def grouped(answers: Mapping[str, Exchange]) -> list[Line]:
    """One line for each thing that the answers say."""
    groups: dict[tuple[str, Sign], list[str]] = {}
    for name, exchange in answers.items():
        groups.setdefault(_said(exchange), []).append(name)
    return [
        Line(area="verbs", name=said, sign=sign, said=", ".join(names), value=names)
        for (said, sign), names in groups.items()
    ]


def _said(exchange: Exchange) -> tuple[str, Sign]:
    if exchange.ok:
        return "there", Sign.GOOD
    if exchange.unsupported:
        return "not there", Sign.TOLD
    if exchange.status in NOT_UNDERSTOOD:
        return "there, spelt otherwise", Sign.TOLD
    if exchange.status in {401, 403}:
        return "not for this key", Sign.TOLD
    return f"answered {exchange.told()}", Sign.TOLD
