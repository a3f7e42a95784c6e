"""Q9 to Q14 of the contract's open questions: one observer each, on queues of its own."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from queueproof.contract import paging, wire
from queueproof.drive.asking import ask
from queueproof.drive.case import Case, spell
from queueproof.drive.observe import OBSERVERS, Observer, Seen, observes
from queueproof.drive.optional import listed, publish_with, tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, NotSupported
from queueproof.drive.questions import HOLD_S, published, told
from queueproof.drive.queue import Queue
from queueproof.evidence.operation import Result

# How long something that lapses by itself is given before it is looked at.
LIFETIME_S = 1
LOOK_AFTER_S = 3.5


def moment(ahead_s: float) -> str:
    """RFC 3339, UTC."""
    return (datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@observes("Q9", "a delayed message counts as pending", "a claimed message counts for max_depth")
async def counting(case: Case, seen: Seen) -> None:
    """What the counters and the limit count."""
    limited = await case.queue(max_depth=1)
    first = await limited.publish()
    await limited.take_one(first, timeout_s=HOLD_S)
    more = await published(case, limited, first)
    if more.ok or more.result is Result.REJECTED:
        seen["a claimed message counts for max_depth"] = not more.ok
    queue = await case.queue()
    await publish_with(queue, delay_until=moment(600))
    pending, _ = await case.eventually(queue.counters, lambda found: found[0] == 1, within_s=2.0)
    seen["a delayed message counts as pending"] = pending == 1


@observes(
    "Q10",
    "a message past its ttl_seconds is handed out",
    "the state of a message past its ttl_seconds",
    "completing a message whose ttl_seconds ended while it was held is answered",
)
async def lifetime(case: Case, seen: Seen) -> None:
    """What ttl_seconds does to a pending and to a claimed message."""
    queue = await case.queue()
    held = await publish_with(queue, ttl_seconds=LIFETIME_S + 1)
    delivery = await queue.take_one(held, timeout_s=HOLD_S)
    waiting = await publish_with(queue, ttl_seconds=LIFETIME_S)
    await asyncio.sleep(LOOK_AFTER_S)
    exchange = await ask(case, wire.complete(queue.scope, delivery.id))
    seen["completing a message whose ttl_seconds ended while it was held is answered"] = told(exchange)
    await outlived(queue, waiting, seen, "ttl_seconds")


async def outlived(queue: Queue, message: Any, seen: Seen, name: str) -> None:
    """Whether claims still bring a message whose time is over, and what its row says."""
    try:
        seen[f"the state of a message past its {name}"] = wire.state(await queue.read(message)) or "none"
    except NotSupported as end:
        seen[f"the state of a message past its {name}"] = f"not seen: {end.summary}"
    control = await queue.publish()
    claims = []
    for _ in range(10):
        claims.append(await queue.claim(1, HOLD_S))
        if claims[-1].of(control):
            break
    seen[f"a message past its {name} is handed out"] = any(claim.of(message) for claim in claims)


@observes(
    "Q11",
    "a message past its deadline is handed out",
    "the state of a message past its deadline",
    "a publish with a deadline in the past is answered",
)
async def deadlines(case: Case, seen: Seen) -> None:
    """Whether a deadline expires as well as orders."""
    queue = await case.queue(ordering="deadline")
    late = await publish_with(queue, deadline=moment(LIFETIME_S))
    past = await published(case, queue, late, deadline=moment(-3600))
    seen["a publish with a deadline in the past is answered"] = told(past)
    await asyncio.sleep(LOOK_AFTER_S)
    await outlived(queue, late, seen, "deadline")


@observes("Q12", "a publish into _events is answered", "a claim from _events is answered", "_events holds")
async def system_queues(case: Case, seen: Seen) -> None:
    """Whether a user may publish to and claim from a system queue."""
    scope = await case.own_scope()
    found = {row.get("slug"): wire.identity(row) for row in await listed(case, scope)}
    place = found.get("_events")
    if not place:
        raise NotSupported("the list of queues shows no _events")
    rows = wire.rows((await ask(case, wire.list_queue_messages(scope, place))).data)
    message = {"type": "qp.case", "body": {"qp": case.world.token()}}
    seen["a publish into _events is answered"] = told(await ask(case, wire.publish(scope, place, message)))
    request = wire.claim(scope, place, batch_size=1, visibility_timeout_s=HOLD_S)
    exchange = await ask(case, request, fields={"timeout_s": HOLD_S, "limit": 1})
    seen["a claim from _events is answered"] = told(exchange)
    if rows is not None:
        seen["_events holds"] = "messages" if rows else "nothing, in a new scope"


@observes("Q13", "the list of scopes is", "the list of queues is", "the list of messages is", "limit=1 brings")
async def lists(case: Case, seen: Seen) -> None:
    """Shapes of lists, and whether they come in pages."""
    queue = await case.queue()
    await queue.publish_many(2)
    for name, request in (
        ("scopes", wire.list_scopes()),
        ("queues", wire.list_queues(queue.scope)),
        ("messages", wire.list_queue_messages(queue.scope, queue.id)),
    ):
        exchange = await ask(case, request)
        seen[f"the list of {name} is"] = shape(exchange.data) if exchange.ok else told(exchange)
    exchange = await ask(case, wire.list_queue_messages(queue.scope, queue.id, limit=1))
    rows = wire.rows(exchange.data)
    if exchange.ok and rows is not None and exchange.answer is not None:
        page = "and a next page" if paging.next_page(exchange.answer, {}, len(rows)) is not None else "and no next page"
        seen["limit=1 brings"] = f"{len(rows)} of 2 {page}"


def shape(data: Any) -> str:
    """A list answer's form."""
    if isinstance(data, list):
        return "an array"
    if isinstance(data, dict) and wire.rows(data) is not None:
        name = next(key for key, value in data.items() if isinstance(value, list))
        return f"an object with {name}"
    return spell(data, 60)


@observes(
    "Q14",
    "a claimed message of a broadcast queue is handed out to another claim",
    "streams are answered",
    "subscriptions are answered",
    "routing-rules are answered",
    "acl is answered",
)
async def beyond(case: Case, seen: Seen) -> None:
    """Broadcast, and the areas of which no page shows a path."""
    scope = await case.scope()
    for name in ("streams", "subscriptions", "routing-rules", "acl"):
        request = wire.Request(verb=f"list-{name}", method="GET", path=f"{wire.scope_path(scope)}/{name}", scope=scope)
        verb = "is" if name == "acl" else "are"
        seen[f"{name} {verb} answered"] = told(await ask(case, request))
    with tolerated():
        queue = await case.queue(consumer_mode="broadcast", root=UNDOCUMENTED)
        token = (await queue.publish()).token
        keys: list[dict[str, str]] = [{}]
        keys += [{"key": case.world.keys["consume"]}] if "consume" in case.world.keys else [{}]
        tokens = [await _claimed(case, queue, **key) for key in keys]
        if token in tokens[0]:
            seen["a claimed message of a broadcast queue is handed out to another claim"] = token in tokens[1]


async def _claimed(case: Case, queue: Queue, **key: str) -> list[str]:
    """What one claim brings, by tokens: a broadcast may hand out copies with ids of their own."""
    request = wire.claim(queue.scope, queue.id, batch_size=1, visibility_timeout_s=HOLD_S)
    exchange = await ask(case, request, fields={"timeout_s": HOLD_S, "limit": 1}, **key)
    rows = wire.rows(exchange.data) if exchange.ok else None
    return [wire.token(row.get("body")) for row in rows or [] if isinstance(row, dict)]


def questions() -> tuple[Observer, ...]:
    """Every observer, in the order of the contract's questions."""
    return tuple(OBSERVERS)
