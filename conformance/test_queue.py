"""QUEUE: creating queues, and what may be left out."""

from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.ordering import fitting
from queueproof.drive.outcomes import NotSupported, Violation
from queueproof.drive.queue import Queue

HOLD_S = 30
DOZEN = 12


@proves("QUEUE-1")
async def test_creating_a_queue_gives_its_id(case: Case) -> None:
    """QUEUE-1: `POST /scopes/{scope_id}/queues` with the five QS fields MUST return `data.id`.

    As in the quickstart's first sample. Two queues whose slugs differ in one letter have two ids, and both work.
    """
    slug = case.world.slug("twin")
    first = await case.queue(slug=f"{slug}a", max_depth=0)
    second = await case.queue(slug=f"{slug}b", max_depth=0)
    case.require(
        first.id != second.id,
        "two queues were given one id",
        expected="an id of its own for each queue",
        seen=f"{first.id} twice",
        evidence=(first.created, second.created),
    )
    for queue in (first, second):
        await delivers(queue, root="CLAIM-1")


@proves("QUEUE-1")
async def test_a_dozen_queues_in_one_scope(case: Case) -> None:
    """QUEUE-1: `POST /scopes/{scope_id}/queues` with the five QS fields MUST return `data.id`.

    A dozen queues of one scope, each with an id of its own, of which the last one works. How many a scope may have is
    not documented: one that is refused is one too many, and no fault of the server's own.
    """
    if case.world.client.budget.rationed:
        raise NotSupported("the server counts requests: one scope is not given many queues there")
    scope = await case.own_scope()
    made = [(queue := await case.queue(scope=scope)).created]
    while len(made) < DOZEN:
        exchange = await ask(case, wire.create_queue(scope, case.queue_form()))
        case.require(
            exchange.ok or exchange.refused,
            f"queue {len(made) + 1} of a scope could not be created",
            expected="2xx with data.id, as for those before it",
            seen=exchange.told(),
            evidence=(made[-1], exchange),
        )
        if not exchange.ok:
            raise NotSupported(f"a scope takes no more than {len(made)} queues: {exchange.told()}")
        case.world.ledger.queue(scope, wire.identity(exchange.data))
        made.append(exchange)
    ids = [wire.identity(exchange.data) for exchange in made]
    case.require(
        len({*ids}) == DOZEN and all(ids),
        "the queues of one scope do not have an id each",
        expected=f"{DOZEN} ids",
        seen=spell(ids),
        evidence=made,
    )
    await delivers(Queue(case, scope, ids[-1], queue.fields, made[-1]), root="CLAIM-1")


@proves("QUEUE-2")
async def test_mode_and_depth_may_be_left_out(case: Case) -> None:
    """QUEUE-2: `consumer_mode` and `max_depth` MUST be optional.

    Left out one at a time and together, each time with a message through the queue; and together for the other
    orderings, which the server takes when both are given (the control).
    """
    without_mode: dict[str, Any] = {"consumer_mode": None, "max_depth": 0}
    without_depth: dict[str, Any] = {"max_depth": None}
    for fields in (without_mode, without_depth, {"consumer_mode": None, "max_depth": None}):
        queue = await case.queue(root="QUEUE-2", **fields)
        await delivers(queue, root="QUEUE-2")
    for ordering in ("priority", "deadline"):
        try:
            await case.queue(root="QUEUE-2", ordering=ordering, consumer_mode=None, max_depth=None)
        except Violation:
            await case.queue(root="QUEUE-3", ordering=ordering, max_depth=0)
            raise


@proves("QUEUE-3")
async def test_orderings_and_modes_are_accepted(case: Case) -> None:
    """QUEUE-3: `ordering` MUST accept `fifo`, `priority`, `deadline`; `consumer_mode` MUST accept `competing`,
    `broadcast`.

    Each with each (a queue has an ordering and a consumer mode), and the server's own words about the queue must not
    name another one. A competing queue of each ordering takes messages and hands them out.
    """
    for ordering in ("fifo", "priority", "deadline"):
        for mode in ("competing", "broadcast"):
            queue = await case.queue(root="QUEUE-3", ordering=ordering, consumer_mode=mode)
            keeps(case, queue, "ordering", ordering)
            keeps(case, queue, "consumer_mode", mode)
            if mode == "competing":
                await delivers(queue, root="QUEUE-3")


def keeps(case: Case, queue: Queue, field: str, sent: str) -> None:
    """The answer to the creation, where it shows the field, shows what was asked for."""
    row: dict[str, Any] = queue.created.data if isinstance(queue.created.data, dict) else {}
    case.require(
        row.get(field, sent) == sent,
        f"a queue was asked for with {field} {sent} and created with another",
        expected=f'"{field}": "{sent}"',
        seen=f'"{field}": {spell(row.get(field))}',
        evidence=(queue.created,),
    )


async def delivers(queue: Queue, *, root: str) -> None:
    """Three messages go through the queue: the control of an accepted creation."""
    messages = [await fitting(queue, root=root) for _ in range(3)]
    doing = "a message published to the new queue was lost"
    for delivery in await queue.take(*messages, timeout_s=HOLD_S, root=root, doing=doing):
        await queue.complete(delivery)
