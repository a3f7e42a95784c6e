"""IDEM, VIS, DLQ: bodies that are lists, texts, numbers or null, and large ones: replayed, redelivered and buried."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.burial import bury_in, graveyard, mortal_queue
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.difference import contrast
from queueproof.drive.optional import tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, Disturbed, NotSupported
from queueproof.drive.queue import Message, Queue
from queueproof.evidence.digest import same_json

S = 1_000_000_000  # ns
HOLD_S = 60
A_KILOBYTE = "0123456789abcdef" * 64
# Two bodies each that are different to anyone who reads JSON: of one kind, so that one that takes the first body has to
# take the second's kind as well, and of two.
ALIKE: tuple[tuple[Any, Any], ...] = ((["a", 1], ["a", 2]), ("a", "b"), (1, 2), (True, False))
UNLIKE: tuple[tuple[Any, Any], ...] = (([], [[]]), ("", None), (0, "0"))
Body = Callable[[str], Any]
KINDS: Mapping[str, Body] = {
    "list": lambda token: [token, {"n": None}, []],
    "text": lambda token: token,
    "large object": lambda token: {"qp": token, "pad": A_KILOBYTE * 24},
    "object of many kinds": lambda token: {"qp": token, "é": ["😀", 1e-7, None, True, {}, ""]},
}


async def of_every_kind(queue: Queue) -> dict[str, Message]:
    """A message with a body of each kind that the server takes, by its name."""
    found: dict[str, Message] = {}
    for name, body in KINDS.items():
        with tolerated():
            found[name] = await queue.publish(body, root=UNDOCUMENTED)
    if not found:
        raise NotSupported("publish takes none of the bodies")
    return found


@proves("IDEM-3")
async def test_whole_bodies_of_other_kinds_conflict(case: Case) -> None:
    """IDEM-3: Same key + different `body` MUST fail with `SCAIQUEUE_IDEMPOTENCY_CONFLICT`.

    Bodies that are no objects, where a server takes such: the same one again is answered with the first id (the
    control), another one is not taken, and told as a conflict where it is of the same kind.
    """
    queue = await case.queue()
    taken = 0
    for first, second in (*ALIKE, *UNLIKE)[: 2 if case.world.thrift else None]:
        with tolerated():
            key = case.world.token()
            message = await queue.publish(first, root=UNDOCUMENTED, idempotency_key=key)
            taken += 1
            again = await ask(case, wire.publish(queue.scope, queue.id, message.fields), fields=told(queue, message))
            if not again.ok or wire.identity(again.data) != message.id:
                case.refuse(
                    "IDEM-1",
                    "a replay did not return its original",
                    expected=f"id {message.id}",
                    seen=f"{again.told()}, id {wire.identity(again.data)}",
                    evidence=(message.publish, again),
                )
            sent = {**message.fields, "body": second}
            other = await ask(case, wire.publish(queue.scope, queue.id, sent), fields=queue.described("", sent))
            case.require(
                not other.ok and (other.code == wire.IDEMPOTENCY_CONFLICT or (first, second) not in ALIKE),
                "another body under the same key was not refused as a conflict",
                expected=f"4xx {wire.IDEMPOTENCY_CONFLICT}",
                seen=f"{other.told()} for {spell(second)} after {spell(first)}",
                evidence=(message.publish, other),
            )
    if not taken:
        raise NotSupported("publish takes no body that is not an object")


def told(queue: Queue, message: Message) -> dict[str, Any]:
    return queue.described(message.token, message.fields)


@proves("VIS-3")
async def test_other_bodies_come_back_as_they_were(case: Case) -> None:
    """VIS-3: The re-claim MUST show the same id and `attempts` = previous + 1.

    And so the same body: of a list, a text, a large object and one of many kinds, after their hold is over.
    """
    if case.world.thrift:
        raise NotSupported("requests are counted: other bodies are redelivered in a run without a limit alone")
    queue = await case.lasting_queue()
    messages = await of_every_kind(queue)
    held = await queue.take(*messages.values(), batch_size=len(messages))
    due_ns = max(delivery.over_ns for delivery in held)
    await asyncio.sleep(max(0.0, (due_ns - time.monotonic_ns()) / S))
    wait_s = case.world.bound_s
    found = await queue.take(*messages.values(), batch_size=len(messages), root="VIS-2", within_s=wait_s)
    if queue.unsure_until_ns:
        raise Disturbed("a claim of unknown result may have come between")
    for delivery in found:
        case.require(
            same_json(delivery.body, delivery.message.body),
            "a redelivered message has another body",
            **contrast(delivery.message.body, delivery.body),
            evidence=(delivery.message.publish, delivery.claim),
        )


@proves("DLQ-2")
async def test_dead_letters_keep_other_bodies(case: Case) -> None:
    """DLQ-2: The message MUST appear in the same scope's `_dead_letter`, with its body.

    A list, a text, a large object and one of many kinds: whatever `_dead_letter` shows as their body is their body.
    """
    scope = await case.own_scope()
    queue = await mortal_queue(case, scope)
    queue.unmodelled = True  # its messages end in another queue
    letters = await graveyard(case, scope)
    for body in KINDS.values():
        with tolerated():
            buried = await bury_in(case, queue, letters, body=body, root=UNDOCUMENTED)
            for item, exchange in buried.seen:
                case.require(
                    "body" not in item or same_json(item["body"], buried.message.body),
                    "a dead letter has another body",
                    **contrast(buried.message.body, item.get("body", wire.ABSENT)),
                    evidence=(buried.message.publish, *buried.fails, exchange),
                )
