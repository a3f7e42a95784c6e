"""QUEUE: orderings that are none, a depth of zero, slugs that are taken, lists with a limit, and the state shown."""

import asyncio
from collections.abc import Callable

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.outcomes import NotSupported
from queueproof.drive.queue import Queue

HOLD_S = 30
MESSAGES = 12
# More than the fifty or hundred that a server may have meant by no limit.
MANY, PUBLISHERS = 108, 6
LIMIT = 10  # as the page has it that shows the parameter: a smaller one may be less than a server's smallest page


@proves("QUEUE-4")
async def test_an_unknown_ordering_is_refused(case: Case) -> None:
    """QUEUE-4: An unknown `ordering` SHOULD give 422 `VALIDATION_ERROR`.

    A word that is none of the orderings; the same request with `fifo` succeeds (the control).
    """
    known = await case.queue()
    exchange = await ask(case, wire.create_queue(known.scope, case.queue_form(ordering="sideways")))
    if exchange.ok and wire.identity(exchange.data):
        case.world.ledger.queue(known.scope, wire.identity(exchange.data))
    case.require(
        (exchange.status, exchange.code) == (422, "VALIDATION_ERROR"),
        "a queue with an unknown ordering was not refused as invalid",
        expected="422 VALIDATION_ERROR",
        seen=exchange.told(),
        evidence=(known.created, exchange),
    )


@proves("QUEUE-5")
async def test_depth_zero_is_no_limit(case: Case) -> None:
    """QUEUE-5: `max_depth: 0` MUST NOT block publishing.

    A dozen messages in a row and a hundred more from several publishers, none of them claimed meanwhile; then the dozen
    is delivered (the control), and one more is taken.
    """
    queue = await case.queue(max_depth=0)
    messages = [await queue.publish(root="QUEUE-5") for _ in range(MESSAGES)]
    if not case.world.client.budget.rationed:
        shares = [MANY // PUBLISHERS] * PUBLISHERS
        await asyncio.gather(*(queue.publish_many(share, root="QUEUE-5") for share in shares))
    await queue.take(*messages, batch_size=5, timeout_s=HOLD_S)
    await queue.publish(root="QUEUE-5")


@proves("QUEUE-6")
async def test_a_queues_slug_is_taken_once(case: Case) -> None:
    """QUEUE-6: A second queue with the same slug in a scope SHOULD fail with 409.

    Asked for with the same and with another display name and ordering; another slug is still free afterwards (the
    control).
    """
    slug = case.world.slug(case.requirement)
    first = await case.queue(slug=slug)
    for more in ({}, {"display_name": "queueproof, another name", "ordering": "priority"}):
        again = await ask(case, wire.create_queue(first.scope, case.queue_form(slug=slug, **more)))
        if again.ok and wire.identity(again.data):
            case.world.ledger.queue(first.scope, wire.identity(again.data))
        case.require(
            again.status == 409,
            "a second queue with the same slug was not refused with 409",
            expected="409 SLUG_CONFLICT",
            seen=f"{again.told()}, id {wire.identity(again.data)}" if again.ok else again.told(),
            evidence=(first.created, again),
        )
    await case.queue()


@proves("QUEUE-7")
async def test_a_list_keeps_to_its_limit(case: Case) -> None:
    """QUEUE-7: A queue's list of messages, asked for with `limit`, SHOULD bring at most so many.

    Three messages more than the limit of ten wait. A server that has no such list, or refuses the parameter, is passed
    over.
    """
    queue = await case.queue()
    messages = await queue.publish_many(LIMIT + 3)
    exchange = await ask(case, wire.list_queue_messages(queue.scope, queue.id, limit=LIMIT))
    rows = wire.rows(exchange.data) if exchange.ok else None
    if rows is None:
        raise NotSupported(f"the list of a queue's messages with a limit is answered {exchange.told()}")
    case.require(
        len(rows) <= LIMIT,
        "a list of messages is longer than the limit that was asked for",
        expected=f"at most {LIMIT} messages",
        seen=f"{len(rows)} messages",
        evidence=(messages[-1].publish, exchange),
    )


CLOSED = {"pause": "paused", "drain": "draining", "archive": "archived"}


@proves("QUEUE-8")
async def test_a_queue_shows_its_state(case: Case) -> None:
    """QUEUE-8: `GET /scopes/{scope_id}/queues/{queue_id}` MUST return the queue with its state.

    Of a new queue; and, where it can be paused, drained or archived while a message waits in it, the name of that
    state, which it has no longer after a resume that is acknowledged.
    """
    for verb, name in CLOSED.items():
        queue = await case.queue()
        queue.unmodelled = True  # closed: this case alone judges it
        await queue.publish()
        await shown(case, queue, lambda state: bool(state) and state not in CLOSED.values(), "none of a closed queue")
        moved = await ask(case, wire.change_queue(queue.scope, queue.id, verb))
        if not moved.ok:
            continue  # the path is not documented
        await shown(case, queue, {name}.__contains__, f"{name}, after its {verb}")
        if verb == "pause" and (await ask(case, wire.change_queue(queue.scope, queue.id, "resume"))).ok:
            await shown(case, queue, lambda state: bool(state) and state != "paused", "another after its resume")


async def shown(case: Case, queue: Queue, accept: Callable[[str], bool], wanted: str) -> None:
    """Ends the case unless the queue's row shows such a state, once it had its time."""
    exchange = await case.eventually(
        lambda: ask(case, wire.read_queue(queue.scope, queue.id)),
        lambda read: read.unsupported or (read.ok and accept(wire.state(read.data))),
    )
    if exchange.unsupported:
        raise NotSupported(f"reading a queue is answered {exchange.told()}", evidence=(exchange.op,))
    same = exchange.ok and wire.identity(exchange.data) == queue.id
    case.require(
        same and accept(wire.state(exchange.data)),
        "a queue does not show its state",
        expected=f"id {queue.id}, and a state: {wanted}",
        seen=spell(exchange.data) if exchange.ok else exchange.told(),
        evidence=(queue.created, exchange),
        liveness=True,
    )
