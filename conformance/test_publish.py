"""PUB: publishing, what may be left out, and that a body arrives as it was sent."""

import asyncio
import math
import time
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.difference import contrast
from queueproof.drive.optional import tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, Blocked, Disturbed, Inconclusive, NotRun
from queueproof.drive.queue import Delivery, Message, Queue, S
from queueproof.evidence.digest import same_json

WAITING = 24  # publishes at once
LONGEST_HOLD_S = 30  # is waited for


@proves("PUB-1")
async def test_publish_gives_id_and_state(case: Case) -> None:
    """PUB-1: Publish with `type` and `body` MUST return `data.id` and `data.state`, the latter `pending`.

    With nothing but the two, with everything that the quickstart sends besides, and with types as people write them;
    in a queue ordered by priority, and while two dozen wait. The id is the one under which the message is handed out.
    """
    queue = await case.queue()
    bare: dict[str, Any] = {"priority": None, "labels": None, "correlation_id": None}
    messages = [
        await queue.publish(root="PUB-1", **bare),
        await queue.publish(),
        await queue.publish(idempotency_key=case.world.token()),
        await queue.publish(type="order.new.v2", **bare),
        await queue.publish(type="a", **bare),
    ]
    others: list[Message] = []
    if not case.world.thrift:
        ranked = await case.queue(ordering="priority")
        others = [await ranked.publish(), *await asyncio.gather(*(ranked.publish() for _ in range(WAITING)))]
        others.append(await ranked.publish())
    for message in (*messages, *others):
        state = message.row.get("state", wire.ABSENT)
        case.require(
            state == "pending",
            "a publish was acknowledged with another state than pending",
            expected='"state": "pending" in data',
            seen=f'"state": {spell(state)}',
            evidence=(message.publish,),
        )
    case.require(
        len({message.id for message in messages}) == len(messages),
        "two messages were given one id",
        expected="an id of its own for each message",
        seen=spell([message.id for message in messages]),
        evidence=[message.publish for message in messages],
    )
    await queue.take(*messages, batch_size=3, timeout_s=60)


@proves("PUB-2")
async def test_labels_and_priority_may_be_left_out(case: Case) -> None:
    """PUB-2: `labels` and `priority` MUST be optional.

    Left out one at a time and together, in a fifo queue and in one ordered by priority, and where there is a key; each
    message is delivered.
    """
    left_out: list[dict[str, Any]] = [
        {"labels": None},
        {"priority": None},
        {"labels": None, "priority": None},
    ]
    for ordering in ("fifo", "priority"):
        queue = await case.queue(ordering=ordering)
        messages = [await queue.publish(root="PUB-2", **fields) for fields in left_out]
        if not case.world.thrift:
            key = case.world.token()
            messages.append(await queue.publish(root="PUB-2", idempotency_key=key, **left_out[-1]))
        await queue.take(*messages, root="PUB-2", doing="a message without labels or priority was not delivered")


@proves("PUB-3")
async def test_idempotency_key_may_be_left_out(case: Case) -> None:
    """PUB-3: `idempotency_key` MUST be optional.

    Three messages without one, two of them with equal bodies: each is a message of its own, and delivered. One without
    a key in a queue ordered by priority, and where a correlation_id or a delay is taken with a key.
    """
    queue = await case.queue()
    same = case.world.token()
    messages = [
        await queue.publish(root="PUB-3", idempotency_key=None),
        await queue.publish({"same": same}, root="PUB-3", idempotency_key=None),
        await queue.publish({"same": same}, root="PUB-3", idempotency_key=None),
    ]
    ids = {message.id for message in messages}
    if len(ids) < len(messages):
        case.refuse(
            "IDEM-6",
            "publishes without an idempotency key were taken for replays of each other",
            expected="an id of its own for each message",
            seen=spell([message.id for message in messages]),
            evidence=[message.publish for message in messages],
        )
    doing = "a message without an idempotency key was not delivered"
    await queue.take(*messages, root="PUB-3", doing=doing)
    if not case.world.dialect.correlation:  # else every message has one
        await optional_beside(queue, correlation_id=case.world.token())
    if not case.world.thrift:
        await optional_beside(queue, delay_until=case.world.in_an_hour())
        ranked = await case.queue(ordering="priority")
        await ranked.take(await ranked.publish(root="PUB-3", idempotency_key=None), root="PUB-3", doing=doing)


async def optional_beside(queue: Queue, **more: Any) -> None:
    """What is taken along with a key is taken without one as well; which other fields a server takes is not asked."""
    with tolerated():
        await queue.publish(root=UNDOCUMENTED, idempotency_key=queue.world.token(), **more)
        await queue.publish(root="PUB-3", idempotency_key=None, **more)


# What a body may be by any reading: an object, of ordinary size and content. These must be taken, and come back as
# they went.
PLAIN_BODIES: dict[str, Any] = {
    "the quickstart's": {"order_id": "ord_12345"},
    "empty": {},
    "nothing in it": {"a": None, "b": "", "c": [], "d": {}, "e": False, "f": 0},
    "nested": {"a": {"b": {"c": {"d": [1, [2, [3, {"g": [{}]}]]]}}}},
    "numbers": {"n": [0, -1, 1, 255, 256, 65536, 2147483648, -2147483649, 9007199254740991, 0.1, -2.5, 1e-7, 3.5e10]},
    "fractions": {"n": [0.30000000000000004, 12345.678901, 99.99, 1.23456789012]},
    "truth and its look-alikes": {"v": [True, 1, "true", "1", "True", False, 0, "false", "0", "no", None, "null"]},
    "texts like numbers": {"v": ["007", "1e5", "1.0", "-0", "0x1F", "1_000", "NaN", "Infinity", " 1", "+1"]},
    "texts like dates": {"v": ["2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "12:30"]},
    "white space": {"v": [" a", "a ", "  ", "a\nb", "a\r\nb", "\ta", "a\u00a0", "\u2003a"], " k ": 1},
    "quotes and markup": {"v": ['"', "'", "\\", "\\n", "</script>", "<b>&amp;</b>", "{{x}}", "${x}", "%s", "a+b"]},
    "scripts of the world": {"v": ["é", "ß", "Ωμέγα", "привет", "漢字", "العربية", "हिन्दी", "İıŞ", "ﬁ"], "größe": "ü"},
    "composed and not": {"v": ["\u00e9", "e\u0301", "\u212b", "\u00c5"], "\u00e9": 1, "e\u0301": 2},
    "beyond the basic plane": {
        "v": ["😀", "👩\u200d👩\u200d👧\u200d👦", "𝒳", "🇪🇺"],
        "😀": "in the 😀 middle",
    },
    "reserved names": {"body": 1, "type": "x", "state": "completed", "labels": {"a": "b"}, "attempts": 99, "qp": "x"},
    "names in two cases": {"Key": 1, "key": 2, "KEY": 3, "camelCase": 4, "snake_case": 5},
    "list in order": {"v": [3, 1, 2, 2, 1, "b", "a", "b", None, [2, 1], [1, 2]]},
    "a few kilobytes": {"text": "0123456789abcdef" * 512},
    "many members": {f"member_{number}": number for number in range(200)},
    "a long list": {"v": list(range(1000))},
}

# What a server may refuse, but must not change once it took it.
ODD_BODIES: dict[str, Any] = {
    "a list": ["qp", 1, {"a": []}],
    "a list of one": [{"a": 1}],
    "a list in a list": [[]],
    "a text": "just a text",
    "an empty text": "",
    "a text like a number": "123",
    "a text like an object": '{"a": 1}',
    "a text like nothing": "null",
    "a number": 42,
    "zero": 0,
    "true": True,
    "false": False,
    "null": None,
    "an empty list": [],
    "a NUL": {"v": "a\u0000b"},
    "control characters": {"v": ["\u0001", "\u001f", "\u007f", "\b\f\v"]},
    "line separators": {"v": ["a\u2028b", "a\u2029b", "\ufeffa", "\u200b", "\u202eabc"]},
    "odd names": {"": 1, "a.b": {"c.d": 2}, "a[0]": 3, "$set": 4, "__proto__": 5, "constructor": 6, "a/b": 7, "id": 8},
    "what logs mask": {
        "password": "hunter2",
        "Authorization": "Bearer x",
        "card": "4111 1111 1111 1111",
        "mail": "a@b.cd",
    },
    "a long name": {"n" * 300: 1, "n" * 299 + "m": 2},
    "twenty deep": {"leaf": "at the bottom"},
    "a hundred deep": {"leaf": "at the bottom"},
    "a longer list": {"v": list(range(2000))},
    "60 kilobytes": {"text": "é" * 30_000},
}
for _ in range(20):
    ODD_BODIES["twenty deep"] = {"down": ODD_BODIES["twenty deep"]}
for _ in range(100):
    ODD_BODIES["a hundred deep"] = {"down": ODD_BODIES["a hundred deep"]}


@proves("PUB-5")
async def test_body_arrives_as_it_was_sent(case: Case) -> None:
    """PUB-5: `body` MUST be returned on claim equal as JSON to what was published.

    Nearly fifty bodies, claimed one at a time, and completed where calls are not dear: a server may hand out only so
    many. Those that are no objects, odd, or long may be refused, but what a server took it hands out. Compared with
    types; the order of an object's members and the spelling of a number are free (1.0 may come back as 1).
    """
    queue = await case.queue()
    for message in await published(queue):
        if message in queue.latest:
            continue
        for delivery in await unchanged(case, queue, [message], batch_size=1):
            if not case.world.thrift:
                await case.send(wire.complete(queue.scope, delivery.id))


@proves("PUB-5")
async def test_bodies_of_one_batch_stay_apart(case: Case) -> None:
    """PUB-5: `body` MUST be returned on claim equal as JSON to what was published.

    The same bodies claimed many at a time, and again when they are redelivered; half of them where calls are dear.
    """
    queue = await case.lasting_queue()
    messages = await published(queue, every=2 if case.world.thrift else 1)
    hold_s = long_enough_s(case, messages)
    await unchanged(case, queue, messages, batch_size=50, hold_s=hold_s)
    await unchanged(case, queue, messages, batch_size=50, hold_s=hold_s, again=True)


def long_enough_s(case: Case, messages: list[Message]) -> int:
    """So long a hold that all are claimed before the first lapses, be it one by one: twice what publishing took."""
    if case.world.thrift:  # there waiting for a long hold is dearer than a case that cannot be told
        return case.world.dialect.timeout_s
    took_ns = messages[-1].publish.ret_ns - messages[0].publish.inv_ns
    return max(case.world.dialect.timeout_s, min(LONGEST_HOLD_S, math.ceil(2 * took_ns / S)))


@proves("PUB-5")
async def test_being_read_changes_no_body(case: Case) -> None:
    """PUB-5: `body` MUST be returned on claim equal as JSON to what was published.

    A short and a long body, each read twice by every path that shows a row before it is claimed.
    """
    queue = await case.queue()
    messages = [await queue.publish(), await queue.publish({"text": "0123456789 é" * 2000, "list": [1, None, {}]})]
    for message in messages * 2:
        await case.send(wire.read_message(queue.scope, message.id))
        await case.send(wire.list_queue_messages(queue.scope, queue.id))
        if message.correlation:
            await case.send(wire.trace_messages(queue.scope, message.correlation))
    await unchanged(case, queue, messages, batch_size=1)


# Beyond the column types of 64 kB; each of them may be refused.
SIZES = (70_000, 100_000, 300_000, 1_000_000)
# A line that takes longer than this to carry one there and back is spared the next size.
QUICK_S = 3.0


@proves("PUB-5")
async def test_long_texts_arrive_whole(case: Case) -> None:
    """PUB-5: `body` MUST be returned on claim equal as JSON to what was published.

    Texts of 70 kB to 1 MB, one at a time. How large a body may be is not documented: a server may refuse any of them,
    but what it took it hands out whole.
    """
    queue = await case.queue()
    for size in SIZES[: 1 if case.world.thrift else None]:
        begun = time.monotonic()
        message = await taken(queue, size)
        if message is None:
            return
        await unchanged(case, queue, [message], batch_size=1)
        if time.monotonic() > begun + QUICK_S:
            return


async def taken(queue: Queue, size: int) -> Message | None:
    """A message with a text of so many characters; None where it is refused, by whoever stands before the server."""
    text = "".join(f"{number:07d} é" for number in range(size // 9)).ljust(size, ".")
    try:
        return await queue.publish(lambda token: {"qp": token, "text": text}, root=UNDOCUMENTED)
    except (Disturbed, Inconclusive, NotRun):
        return None
    except Blocked as end:
        if end.root != UNDOCUMENTED:
            raise
        return None


async def published(queue: Queue, *, every: int = 1) -> list[Message]:
    """A message for every plain body, and for every odd one that the server takes; of each second body, `every` two."""
    messages = [await queue.publish(body, root="PUB-5") for body in list(PLAIN_BODIES.values())[::every]]
    for body in list(ODD_BODIES.values())[::every]:
        with tolerated():
            messages.append(await queue.publish(body, root=UNDOCUMENTED))
    return messages


async def unchanged(
    case: Case, queue: Queue, messages: list[Message], *, batch_size: int, hold_s: float = 60, again: bool = False
) -> list[Delivery]:
    """Takes every message and compares its body with what was sent; `again`: once its hold of `hold_s` has lapsed."""
    bound_s = case.world.bound_s + (hold_s if again else 0)
    root = "VIS-2" if again else "CLAIM-1"
    found = await queue.take(*messages, batch_size=batch_size, timeout_s=hold_s, root=root, within_s=bound_s)
    for delivery in found:
        case.require(
            same_json(delivery.body, delivery.message.body),
            "a body came back changed" + (" when it was redelivered" if again else ""),
            **contrast(delivery.message.body, delivery.body),
            evidence=(delivery.message.publish, delivery.claim),
        )
    return found
