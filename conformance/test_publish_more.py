"""PUB: what publishing counts, how messages are traced and named, and which priorities there are."""

import asyncio
import contextlib
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask, listed
from queueproof.drive.burial import REASON, bury_in, graveyard, mortal_queue
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.counters import counters_are
from queueproof.drive.optional import publish_with, tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, Blocked, Disturbed, Inconclusive, NotSupported
from queueproof.drive.queue import Message, Queue

S = 1_000_000_000  # ns
HOLD_S = 60
# Counters may trail; a publish that is counted late has been counted by then.
SETTLE_S = 1.5
AT_ONCE = 16
ROUNDS = 6
CROWD, FEW_TOLD = 48, 8
DELAYED = "a delayed message is counted more than once, or takes others out of depth_pending"


@proves("PUB-4")
async def test_publish_raises_the_depth_by_one(case: Case) -> None:
    """PUB-4: Publish MUST raise `depth_pending` by one when no routing rule matches.

    By one for each message, critical ones among them, also where several publish at once, and not by a replay of one,
    nor by what its key's conflict refuses, nor by a publish into a neighbouring queue of the scope. Whether one counts
    that is delayed is not documented: never more than once.
    """
    scope = await case.own_scope()
    queue, neighbour = await case.queue(scope=scope), await case.queue(scope=scope)
    before, _ = await queue.counters()
    await depth(case, queue, before, [])
    messages = [await queue.publish(idempotency_key=case.world.token())]
    await depth(case, queue, before + 1, messages)
    for _ in range(2):
        await ask(case, wire.publish(scope, queue.id, messages[0].fields), fields=replayed(queue, messages[0]))
    other = {**messages[0].fields, "body": {"qp": messages[0].token, "other": 1}}
    conflict = await ask(case, wire.publish(scope, queue.id, other), fields=queue.described(messages[0].token, other))
    if conflict.ok:
        case.refuse(
            "IDEM-3",
            "another body under the same key was taken",
            expected=f"4xx {wire.IDEMPOTENCY_CONFLICT}",
            seen=conflict.told(),
            evidence=(messages[0].publish, conflict),
        )
    messages += await queue.publish_many(3, priority={"tier": "critical", "score": 900})
    await neighbour.publish_many(2)
    if not case.world.client.budget.rationed:
        crowd = (queue.publish(idempotency_key=case.world.token()) for _ in range(CROWD))
        messages += await asyncio.gather(*crowd)
    await asyncio.sleep(SETTLE_S)
    await depth(case, queue, before + len(messages), messages)
    if case.world.client.budget.rationed:
        return
    waiting = before + len(messages)
    with contextlib.suppress(NotSupported):
        await publish_with(queue, delay_until=case.world.in_an_hour())
        await counters_are(case, queue, waiting + 1, 0, or_pending=waiting, root="PUB-4", summary=DELAYED)


async def depth(case: Case, queue: Queue, expected: int, messages: list[Message]) -> None:
    """The queue shows this many pending messages, at once or soon."""
    pending, claimed = await case.eventually(queue.counters, lambda seen: seen == (expected, 0))
    if queue.unsettled:
        raise Disturbed("a publish whose answer was lost may be counted too")
    case.require(
        (pending, claimed) == (expected, 0),
        "depth_pending does not count what was published",
        expected=f"depth_pending {expected}, depth_claimed 0, after {len(messages)} publishes",
        seen=f"depth_pending {pending}, depth_claimed {claimed}",
        evidence=[*(message.publish for message in messages[-FEW_TOLD:]), case.exchanges[-1]],
        liveness=True,
    )


def replayed(queue: Queue, message: Message) -> dict[str, Any]:
    return queue.described(message.token, message.fields)


@proves("PUB-6")
async def test_a_chain_is_found_by_its_correlation(case: Case) -> None:
    """PUB-6: `correlation_id` MUST be stored and `GET /scopes/{scope_id}/messages?correlation_id=` MUST return every
    message carrying it.

    Chains of five messages in two queues, three of them with a key, one claimed and one completed, and of one that
    waits for its moment, where publish takes delays; with correlation ids of several lengths and spellings (one that is
    refused is passed over: what it may be is not documented).
    """
    scope = await case.own_scope()
    queues = [await case.queue(scope=scope), await case.queue(scope=scope)]
    forms = (
        "{}",
        str(uuid.uuid4()),
        "order/4711 & {}",
        "{} %41+b%2B",
        "{}." + "x" * 60 + ".a",
        "{}." + "x" * 60 + ".b",
    )
    chains = {}
    for form in forms:
        correlation = form.format(case.world.token())
        try:
            places = (0, 1, 0, 1, 0)
            keys = (None, case.world.token(), None, case.world.token(), case.world.token())
            chain = [
                await queues[n].publish(root="correlation", correlation_id=correlation, idempotency_key=key)
                for n, key in zip(places, keys, strict=True)
            ]
        except Blocked as end:
            if end.root != "correlation":
                raise
            continue
        chains[correlation] = chain
    if not chains:
        raise NotSupported("publish takes no correlation_id", evidence=case_ops(case))
    late = f"{case.world.token()}.late"
    with contextlib.suppress(NotSupported):
        chains[late] = [await publish_with(queues[0], correlation_id=late, delay_until=case.world.in_an_hour())]
    first = next(iter(chains.values()))
    held = await queues[0].take_one(first[0], timeout_s=HOLD_S)
    await queues[0].complete(held)
    await queues[0].take_one(first[2], timeout_s=HOLD_S)
    for correlation, chain in chains.items():
        await traced(case, scope, correlation, chain)


@proves("PUB-6")
async def test_a_chain_keeps_what_came_back(case: Case) -> None:
    """PUB-6: `correlation_id` MUST be stored and `GET /scopes/{scope_id}/messages?correlation_id=` MUST return every
    message carrying it.

    Of three messages one is released and one fails, where that is to be had, and the other lapses; those that were
    handed out again are looked for.
    """
    queue = await case.lasting_queue(scope=await case.own_scope())
    correlation = f"{case.world.token()}.back"
    try:
        chain = await queue.publish_many(3, root="correlation", correlation_id=correlation)
    except Blocked as end:
        if end.root != "correlation":
            raise
        raise NotSupported("publish takes no correlation_id", evidence=case_ops(case)) from end
    held = {delivery.message: delivery for delivery in await queue.take(*chain, batch_size=3)}
    with contextlib.suppress(NotSupported, Disturbed):
        await queue.act("release", held[chain[0]], root="VIS-6")
    with contextlib.suppress(NotSupported, Disturbed):
        await queue.act("fail", held[chain[1]], root="FAIL-1", reason=REASON)
    bound_ns = max(delivery.over_ns for delivery in held.values()) + round(case.world.bound_s * S)
    async for _ in queue.watch(bound_ns, batch_size=3, timeout_s=HOLD_S):
        if all(queue.counts[message] > 1 for message in chain):
            break
    back = [message for message in chain if queue.counts[message] > 1]
    if not back:
        raise Inconclusive("nothing that was claimed came back")
    await traced(case, queue.scope, correlation, back)


@proves("PUB-6")
async def test_a_chain_keeps_its_dead_letters(case: Case) -> None:
    """PUB-6: `correlation_id` MUST be stored and `GET /scopes/{scope_id}/messages?correlation_id=` MUST return every
    message carrying it.

    A message that has spent its attempts and that the list of `_dead_letter` shows under its own id is the same
    message. What a copy with an id of its own keeps is not documented.
    """
    scope = await case.own_scope()
    queue = await mortal_queue(case, scope)
    queue.unmodelled = True  # its message ends in another queue
    letters = await graveyard(case, scope)
    letters.claimable = False  # what is held may be found where dead letters are not
    buried = await bury_in(case, queue, letters)
    message = buried.message
    if not message.correlation:
        raise NotSupported("publish takes no correlation_id", evidence=(message.publish.op,))
    if all(wire.identity(item) != message.id for item, _ in buried.seen):
        raise NotSupported("a dead letter has an id of its own")
    await traced(case, scope, message.correlation, [message])


def case_ops(case: Case) -> tuple[int, ...]:
    return tuple(exchange.op for exchange in case.exchanges[-1:])


async def traced(case: Case, scope: str, correlation: str, chain: list[Message]) -> None:
    """The search finds every message of the chain, and each that shows its correlation_id shows this one."""

    async def search() -> list[dict[str, Any]]:
        rows = await listed(case, lambda **page: wire.trace_messages(scope, correlation, **page))
        return rows or []

    wanted = {message.id for message in chain}
    rows = await case.eventually(search, lambda found: wanted <= {wire.identity(row) for row in found})
    found = {wire.identity(row): row for row in rows}
    missing = [message for message in chain if message.id not in found]
    case.require(
        not missing,
        "the search by correlation_id does not find every message that carries it",
        expected=f"{len(chain)} messages with correlation_id {correlation}",
        seen=f"{len(chain) - len(missing)} of them, without {spell([message.id for message in missing])}",
        evidence=[*(message.publish for message in missing), case.exchanges[-1]],
        liveness=True,
    )
    for message in chain:
        shown = found[message.id].get("correlation_id", correlation)
        case.require(
            shown == correlation,
            "a message is stored with another correlation_id than the one it was published with",
            expected=correlation,
            seen=spell(shown),
            evidence=(message.publish, case.exchanges[-1]),
        )


@proves("PUB-9")
async def test_a_search_finds_its_chain_alone(case: Case) -> None:
    """PUB-9: A search by `correlation_id` SHOULD return no message that carries another one, nor one of another scope.

    Correlation ids that resemble each other: in all but case, one longer at an end or at the other, with a character in
    the place of which a pattern would take any, or long ones that differ at their end; and one that nobody carries. One
    that is refused is passed over.
    """
    queue = await case.queue(scope=await case.own_scope())
    token = case.world.token()
    known: dict[str, Message] = {}
    near = ("{}-order_1", "{}-ORDER_1", "{}-order_1-2", "x-{}-order_1", "{}-orderX1", "{}-order%")
    for form in (*near, "{}." + "x" * 60 + ".a", "{}." + "x" * 60 + ".b"):
        correlation = form.format(token)
        try:
            known[correlation] = await queue.publish(root="correlation", correlation_id=correlation)
        except Blocked as end:
            if end.root != "correlation":
                raise
    if len(known) < 2:
        raise NotSupported("publish takes no correlation_id", evidence=case_ops(case))
    for correlation, message in (*known.items(), (f"{token}-nobody", None)):
        rows = await listed(case, lambda _=correlation, **page: wire.trace_messages(queue.scope, _, **page))
        if rows is None:
            raise NotSupported("there is no search by correlation_id", evidence=case_ops(case))
        others = {other.id: name for name, other in known.items() if other is not message}
        found = {wire.identity(row): others[wire.identity(row)] for row in rows if wire.identity(row) in others}
        case.require(
            not found,
            "the search by correlation_id finds a message that was published with another one",
            expected=f"{message.id if message else 'nothing'} alone, with correlation_id {correlation}",
            seen=", ".join(f"{identity} with {name}" for identity, name in found.items()),
            evidence=(*(known[name].publish for name in found.values()), case.exchanges[-1]),
        )


@proves("PUB-9")
async def test_a_search_stays_in_its_scope(case: Case) -> None:
    """PUB-9: A search by `correlation_id` SHOULD return no message that carries another one, nor one of another scope.

    One correlation id in two scopes: the search in each of them shows no row of the other's message, known by its body
    or by the scope that it names (an id alone may be used in two scopes).
    """
    queues = [await case.queue(scope=await case.own_scope()) for _ in range(2)]
    correlation = case.world.token()
    messages = []
    for queue in queues:
        try:
            messages.append(await queue.publish(root="correlation", correlation_id=correlation))
        except Blocked as end:
            if end.root != "correlation":
                raise
            raise NotSupported("publish takes no correlation_id", evidence=end.evidence) from end
    for queue, other, there in zip(queues, reversed(messages), reversed(queues), strict=True):
        rows = await listed(case, lambda _=queue.scope, **page: wire.trace_messages(_, correlation, **page))
        if rows is None:
            raise NotSupported("there is no search by correlation_id", evidence=case_ops(case))
        strays = [
            row for row in rows if wire.token(row.get("body")) == other.token or row.get("scope_id") == there.scope
        ]
        case.require(
            not strays,
            "the search by correlation_id in one scope finds a message of another scope",
            expected=f"messages of scope {queue.scope} alone",
            seen=spell(strays[:1]),
            evidence=(other.publish, case.exchanges[-1]),
        )


@proves("PUB-7")
async def test_ids_are_the_servers_and_distinct(case: Case) -> None:
    """PUB-7: Message ids MUST be server-assigned and distinct; SHOULD be UUIDs.

    Publishes at once and one after the other, into two queues of a scope: each has an id of its own. Then publishes
    that name an id, that of an earlier message and a fresh one: it is not taken (they may be refused). That ids are
    UUIDs is not asked for: a client takes them as they are.
    """
    scope = await case.own_scope()
    queues = [await case.queue(scope=scope), await case.queue(scope=scope)]
    published: list[Exchange] = []
    for _ in range(1 if case.world.client.budget.rate_limited else ROUNDS):
        published += await asyncio.gather(*(plain(queues[n % 2], burst=True) for n in range(AT_ONCE)))
        published += [await plain(queue) for queue in queues]
    seen: dict[str, Exchange] = {}
    for exchange in published:
        if not exchange.ok or not wire.identity(exchange.data):
            continue
        first = seen.setdefault(wire.identity(exchange.data), exchange)
        case.require(
            first is exchange,
            "two messages were given one id",
            expected="an id of its own for each message of a scope",
            seen=f"{wire.identity(exchange.data)} twice",
            evidence=(first, exchange),
        )
    if len(seen) < len(published) // 2:
        raise Disturbed("most publishes were not answered")
    for wanted in (next(iter(seen)), str(uuid.uuid4())):
        exchange = await plain(queues[0], id=wanted)
        case.require(
            not exchange.ok or wire.identity(exchange.data) != wanted,
            "a publish chose its message's id",
            expected="an id that the server assigned, or a refusal",
            seen=f"id {wanted}, as sent",
            evidence=(seen[wanted], exchange) if wanted in seen else (exchange,),
        )


async def plain(queue: Queue, *, burst: bool = False, **fields: Any) -> Exchange:
    """One publish, whatever comes of it: unlike Queue.publish it passes no judgement on the id."""
    token = queue.case.world.token()
    sent = {"type": "qp.case", "body": {"qp": token}, **fields}
    if queue.case.world.dialect.publish_key_needed:
        sent["idempotency_key"] = token
    request = wire.publish(queue.scope, queue.id, sent)
    return await queue.case.send(request, burst=burst, fields=queue.described(token, sent))


@proves("PUB-8")
async def test_priorities_have_bounds(case: Case) -> None:
    """PUB-8: `priority.score` outside 0-1000 or an unknown tier SHOULD give 422.

    Scores below and above, and a tier that is none. Each tier with the scores at its bounds is accepted (the control).
    """
    queue = await case.queue(ordering="priority")
    for tier in wire.TIERS:
        for score in (0, 1000):
            await queue.publish(root="PUB-8", priority={"tier": tier, "score": score})
    for priority in ({"tier": "normal", "score": -1}, {"tier": "normal", "score": 1001}, {"tier": "urgent"}):
        token = case.world.token()
        sent: dict[str, Any] = {"type": "qp.case", "body": {"qp": token}, "priority": {"score": 500, **priority}}
        if case.world.dialect.publish_key_needed:
            sent["idempotency_key"] = token
        exchange = await ask(case, wire.publish(queue.scope, queue.id, sent))
        case.require(
            exchange.status == 422,
            f"a publish with priority {spell(sent['priority'])} was not refused as invalid",
            expected="422",
            seen=exchange.told(),
            evidence=(exchange,),
        )


LATER = timedelta(hours=30)
# The one field more that each message is published with: a server may take none of them.
MORE: tuple[dict[str, Any], ...] = ({}, {"ttl_seconds": 86_400}, {"deadline": LATER}, {"delay_until": LATER})
MOMENTS_APART_S = 1.0


@proves("PUB-10")
async def test_a_row_shows_what_was_published(case: Case) -> None:
    """PUB-10: What a message's row shows of its publish SHOULD be what was published.

    Type, priority, correlation_id and idempotency key of a message, and a lifetime, a deadline and a delay of one each,
    under the names that pages give them. What a row leaves out or shows as null is passed over.
    """
    queue = await case.queue()
    for more in MORE:
        moment = (datetime.now(UTC) + LATER).isoformat(timespec="seconds").replace("+00:00", "Z")
        sent = {name: moment if value is LATER else value for name, value in more.items()}
        with tolerated():
            message = await queue.publish(
                root=UNDOCUMENTED if more else "PUB-1",
                type="qp.row",
                priority={"tier": "high", "score": 321},
                idempotency_key=case.world.token(),
                **sent,
            )
            await case.eventually(partial(unlike, queue, message), lambda wrong: wrong is None)
            wrong = await unlike(queue, message)
            case.require(
                wrong is None,
                f"a row shows another {wrong[0]} than was published" if wrong else "",
                expected=spell(wrong[1]) if wrong else "",
                seen=wrong[2] if wrong else "",
                evidence=(message.publish, case.exchanges[-1]),
            )


async def unlike(queue: Queue, message: Message) -> tuple[str, Any, Any] | None:
    """What the message's row shows otherwise than it was published: its name, what was sent, what is shown."""
    row, sent = await queue.read(message), message.fields
    tier, score = wire.priority(row)
    shown = {
        "type": (sent["type"], wire.message_type(row)),
        "priority tier": (sent["priority"]["tier"], tier),
        "priority score": (sent["priority"]["score"], score),
        **{name: (sent.get(name), row.get(name)) for name in ("correlation_id", "idempotency_key", "ttl_seconds")},
        **{name: (instant(sent.get(name)), instant(row.get(name))) for name in ("deadline", "delay_until")},
    }
    for name, (before, after) in shown.items():
        if before is None or after is None or after is wire.ABSENT:
            continue
        near = isinstance(before, datetime) and abs((after - before).total_seconds()) <= MOMENTS_APART_S
        if not near and before != after:
            return name, str(before), str(after)
    return None


def instant(value: Any) -> datetime | None:
    """A moment that names its zone; None for any other spelling."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None
