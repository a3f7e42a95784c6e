"""IDEM: a key makes a publish safe to repeat."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.difference import contrast
from queueproof.drive.optional import tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, Disturbed
from queueproof.drive.queue import Delivery, Message, Queue, double_hold
from queueproof.evidence.digest import same_json

S = 1_000_000_000  # ns
HOLD_S = 30


@proves("IDEM-1")
async def test_replay_gives_the_first_id(case: Case) -> None:
    """IDEM-1: Same key + same body twice MUST return the same message id.

    Keys as people make them (long, with spaces, not ASCII, like numbers). Repeated with other labels (which may also be
    refused, but is no new message), at once, after other messages, and after the first was claimed: a publish is
    repeated because its answer was lost, and a consumer may be quick. Also one that is delayed by two days.
    """
    queue = await case.queue()
    originals = [await keyed(queue, case.world.token(), n) for n in range(3)]
    for form in KEYS:
        with tolerated():  # which keys a server takes is not documented: it may refuse odd ones
            key = form.format(case.world.token())
            originals.append(await keyed(queue, key, "under an odd key", root=UNDOCUMENTED))
    for original in originals:
        await replayed(case, queue, original, "at once")
    await relabelled(case, queue, originals[0])
    later = datetime.now(UTC) + timedelta(days=2)  # whatever the server's clock shows
    with tolerated():
        spelled = later.strftime("%Y-%m-%dT%H:%M:%SZ")
        delayed = await keyed(queue, case.world.token(), "delayed", root=UNDOCUMENTED, delay_until=spelled)
        await replayed(case, queue, delayed, "while it was delayed")
    await queue.publish_many(2)
    await asyncio.sleep(1.5)
    for original in reversed(originals):
        await replayed(case, queue, original, "after other messages and a second and a half")
    await queue.take(*originals, batch_size=10, timeout_s=HOLD_S)
    for original in originals:
        await replayed(case, queue, original, "while it was claimed")


@proves("IDEM-2")
async def test_replays_make_one_message(case: Case) -> None:
    """IDEM-2: After IDEM-1 exactly one message MUST be claimable.

    Three messages, each published three times before and twice after it was claimed: claims bring each once, and
    nothing else. In a queue ordered by priority as well.
    """
    orderings = ("fifo",) if case.world.thrift else ("fifo", "priority")
    await asyncio.gather(*(one_message_each(case, ordering) for ordering in orderings))


async def one_message_each(case: Case, ordering: str) -> None:
    """What is replayed is delivered once."""
    queue = await case.queue(ordering=ordering)
    originals = [await keyed(queue, case.world.token(), n) for n in range(3)]
    for original in originals:
        await replay(queue, original)
        await replay(queue, original)
    found = await queue.take(*originals, batch_size=2, timeout_s=HOLD_S, root="IDEM-2", doing=GONE)
    once(case, found)
    for original in originals:
        await replay(queue, original)
        await replay(queue, original)
    await nothing_more(case, queue, found)


@proves("IDEM-3")
async def test_another_body_under_the_same_key_conflicts(case: Case) -> None:
    """IDEM-3: Same key + different `body` MUST fail with `SCAIQUEUE_IDEMPOTENCY_CONFLICT`.

    Bodies that differ in a value, a type, deep inside, in the order of a list, by one member more or less; also while
    the first is claimed, where the other body was refused before, and in a queue ordered by priority. The same body
    again succeeds (the control).
    """
    queue = await case.queue()
    for first, second in DIFFERENT:
        original = await keyed(queue, case.world.token(), first)
        await replayed(case, queue, original, "at once", root="IDEM-1")
        await conflicts(case, queue, original, second)
    await queue.take(original, batch_size=10, timeout_s=HOLD_S)
    await conflicts(case, queue, original, second)
    if not case.world.thrift:
        ranked = await case.queue(ordering="priority")
        original = await keyed(ranked, case.world.token(), "a")
        await replayed(case, ranked, original, "at once", root="IDEM-1")
        await conflicts(case, ranked, original, "b")


@proves("IDEM-4")
async def test_a_conflict_leaves_the_original_alone(case: Case) -> None:
    """IDEM-4: After IDEM-3 the original MUST still be claimable with its original body, and nothing else.

    Three originals, each attacked with two other bodies, the second of which brings other labels: nothing of what was
    refused is delivered.
    """
    queue = await case.queue()
    originals = [await keyed(queue, case.world.token(), {"n": n, "list": [1, 2, 3]}) for n in range(3)]
    for original in originals:
        for other, more in (({"n": -1}, {}), (["n"], {"labels": OTHER_LABELS})):
            await conflicts(case, queue, original, other, root="IDEM-3", **more)
    found = await queue.take(*originals, batch_size=2, timeout_s=HOLD_S, root="IDEM-4", doing=GONE)
    once(case, found)
    for delivery in found:
        case.require(
            same_json(delivery.body, delivery.message.body),
            "a refused publish changed the body of the message that it conflicted with",
            **contrast(delivery.message.body, delivery.body),
            evidence=(delivery.message.publish, delivery.claim),
        )
        labels = delivery.item.get("labels")
        case.require(
            not isinstance(labels, dict) or labels.get("qp") != OTHER_LABELS["qp"],
            "a refused publish changed the labels of the message that it conflicted with",
            expected=spell(delivery.message.fields["labels"]),
            seen=spell(labels),
            evidence=(delivery.message.publish, delivery.claim),
        )
    await nothing_more(case, queue, found)


@proves("IDEM-4")
async def test_a_conflict_leaves_a_claimed_original_alone(case: Case) -> None:
    """IDEM-4: After IDEM-3 the original MUST still be claimable with its original body, and nothing else.

    The original is claimed when it is attacked, and compared when it comes back after its lock.
    """
    queue = await case.lasting_queue()
    original = await keyed(queue, case.world.token(), {"n": 1, "list": [1, 2, 3]})
    await queue.take(original)
    await conflicts(case, queue, original, {"n": 2}, root="IDEM-3")
    again_s = case.world.dialect.timeout_s + case.world.bound_s
    for delivery in await queue.take(original, root="VIS-2", within_s=again_s):
        case.require(
            same_json(delivery.body, original.body),
            "a refused publish changed the body of the claimed message that it conflicted with",
            **contrast(original.body, delivery.body),
            evidence=(original.publish, delivery.claim),
        )


# Pairs of contents under one key that are different bodies to anyone who reads JSON.
DIFFERENT: tuple[tuple[Any, Any], ...] = (
    ("a", "b"),
    ("a", "A"),
    ("a", "a "),
    ("é", "e"),
    (1, "1"),
    (1, True),
    (0, False),
    (0, None),
    ("", None),
    (1, 2),
    (1, 1.5),
    ([1, 2], [2, 1]),
    ([1], [1, 1]),
    ([], {}),
    ({"a": 1}, {"a": 1, "b": 2}),
    ({"a": 1, "b": 2}, {"a": 1}),
    ({"a": 1.5, "b": None}, {"a": 1.5}),
    ({"a": {"b": {"c": {"d": [1, 2, {"e": 1}]}}}}, {"a": {"b": {"c": {"d": [1, 2, {"e": 2}]}}}}),
    ("x" * 4000 + "a", "x" * 4000 + "b"),
)


OTHER_LABELS = {"qp": "other"}  # than those that every message has


def content(token: str, inner: Any) -> dict[str, Any]:
    """A body of its own whose members are those of an object, or with anything else in one."""
    return {"qp": token, **inner} if isinstance(inner, dict) else {"qp": token, "content": inner}


# Idempotency keys as people make them, around a token.
KEYS = (
    "{}",
    "order 4711 / {} / retry",
    "größe-漢字-😀-{}",
    "{}" + "0123456789abcdef" * 5,
    "{}:" + "x" * 150,
    "1{}",
)


async def keyed(queue: Queue, key: str, inner: Any, *, root: str = "PUB-1", **fields: Any) -> Message:
    """A message under a key, with `inner` in its body."""
    return await queue.publish(lambda token: content(token, inner), root=root, idempotency_key=key, **fields)


async def replay(queue: Queue, original: Message, fields: dict[str, Any] | None = None) -> Exchange:
    """The original's publish again, letter by letter (or with other `fields`), whatever comes of it."""
    sent = {**original.fields, **(fields or {})}
    request = wire.publish(queue.scope, queue.id, sent)
    for attempt in range(5):
        exchange = await queue.case.send(request, fields=queue.described(original.token, sent), urgent=True)
        if exchange.answer is not None and (exchange.status < 500 or exchange.status == 501):
            return exchange
        await asyncio.sleep(0.1 * 2**attempt)
    raise Disturbed(f"a replay was not answered: {exchange.told()}", evidence=(exchange.op,))


async def replayed(case: Case, queue: Queue, original: Message, when: str, *, root: str = "") -> None:
    """A replay succeeds with the first id."""
    exchange = await replay(queue, original)
    seen = f"id {wire.identity(exchange.data)}" if exchange.ok else exchange.told()
    if not exchange.ok or wire.identity(exchange.data) != original.id:
        case.refuse(
            root or case.requirement,
            f"the same publish again, {when}, did not give the first message's id",
            expected=f"id {original.id}",
            seen=seen,
            evidence=(original.publish, exchange),
        )


async def relabelled(case: Case, queue: Queue, original: Message) -> None:
    """The key and body again with other labels or priority: the first id, or a refusal, but no second message."""
    others: dict[str, Any] = {"labels": OTHER_LABELS, "priority": {"tier": "low", "score": 7}}
    for name, value in others.items():
        exchange = await replay(queue, original, fields={name: value})
        case.require(
            not exchange.ok or wire.identity(exchange.data) == original.id,
            f"the same key and body with other {name} made a second message",
            expected=f"id {original.id}, or a refusal",
            seen=f"id {wire.identity(exchange.data)}",
            evidence=(original.publish, exchange),
        )


async def conflicts(case: Case, queue: Queue, original: Message, inner: Any, *, root: str = "", **fields: Any) -> None:
    """A publish with the same key and another body (and other `fields`) is refused with the code for it."""
    exchange = await replay(queue, original, {**fields, "body": content(original.token, inner)})
    if exchange.ok or exchange.code != wire.IDEMPOTENCY_CONFLICT:
        case.refuse(
            root or case.requirement,
            "another body under the same key was not refused as a conflict",
            expected=f"4xx {wire.IDEMPOTENCY_CONFLICT} for {spell(inner, 60)} after {spell(original.body, 120)}",
            seen=f"{exchange.told()}, id {wire.identity(exchange.data)}" if exchange.ok else exchange.told(),
            evidence=(original.publish, exchange),
        )


async def nothing_more(case: Case, queue: Queue, held: list[Delivery]) -> None:
    """Claims bring nothing of what is held, and a fresh message meanwhile (the control)."""
    control = await queue.publish()
    end_ns = time.monotonic_ns() + 1 * S
    found = await queue.take(control, batch_size=10, timeout_s=HOLD_S)
    async for claim in queue.watch(end_ns, timeout_s=HOLD_S):
        found += claim.deliveries
    once(case, [*held, *found])


GONE = "a message that was published under a key is not delivered"


def once(case: Case, deliveries: list[Delivery]) -> None:
    """No message was delivered twice within a hold."""
    seen: dict[Message, Delivery] = {}
    for delivery in deliveries:
        first = seen.setdefault(delivery.message, delivery)
        case.require(
            first is delivery or not double_hold(first, delivery),
            "one key's message was delivered twice while it was held",
            expected="one delivery for each key",
            seen=f"id {delivery.id} twice",
            proof=double_hold(first, delivery),
            evidence=(delivery.message.publish, first.claim, delivery.claim),
        )
