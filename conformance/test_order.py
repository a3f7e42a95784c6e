"""ORD: in which order messages are handed out."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from queueproof.drive.case import Case, proves
from queueproof.drive.crowding import let_go
from queueproof.drive.ordering import in_order, ranked, spaced
from queueproof.drive.outcomes import Blocked, NotSupported

HOLD_S = 60
CROWD = 70


# Messages that differ in everything by which fifo ordering must not go.
MIXED: tuple[dict[str, Any], ...] = (
    {"type": "z.last"},
    {"labels": None},
    {"type": "a.first", "labels": {"region": "eu", "urgent": "yes"}},
    {"body": {"pad": "x" * 6000}},
    {"type": "m.middle"},
    {"body": {}},
    {"labels": {"a": "1"}},
    {"type": "a.first"},
)


@proves("ORD-1")
async def test_fifo_hands_out_the_oldest_first(case: Case) -> None:
    """ORD-1: `fifo`: sequentially published messages MUST be claimed oldest first.

    One consumer, one message at a time, while further messages are published; of several types, with and without
    labels or a key, small and large: nothing but the time of its publish places a message.
    """
    queue = await case.queue(ordering="fifo")
    keyed = [{"idempotency_key": case.world.token()} if n % 3 == 1 else {} for n in range(len(MIXED))]
    messages = await spaced(queue, [fields | key for fields, key in zip(MIXED, keyed, strict=True)])
    found = await queue.take(messages[0], messages[1], timeout_s=HOLD_S)
    messages += await spaced(queue, [{}] * 6)
    found += await queue.take(*(set(messages) - {d.message for d in found}), timeout_s=HOLD_S)
    in_order(case, queue, found, messages, "published earlier")


@proves("ORD-1")
async def test_fifo_goes_by_no_deadline(case: Case) -> None:
    """ORD-1: `fifo`: sequentially published messages MUST be claimed oldest first.

    Messages with and without deadlines, the nearest one last, all of them hours away.
    """
    queue = await case.queue(ordering="fifo")
    now = datetime.now(UTC)
    deadlines = [(now + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ") for hours in (9, 7, 5, 3)]
    fields: list[dict[str, Any]] = [{}, *({"deadline": deadline} for deadline in deadlines)]
    try:
        messages = await spaced(queue, fields, root="deadline")
    except Blocked as end:
        raise NotSupported(f"publish takes no deadline: {end.summary}", evidence=end.evidence) from end
    found = await queue.take(*messages, timeout_s=HOLD_S)
    in_order(case, queue, found, messages, "published earlier")


@proves("ORD-1")
async def test_fifo_batches_take_the_oldest(case: Case) -> None:
    """ORD-1: `fifo`: sequentially published messages MUST be claimed oldest first.

    In batches of all sizes: no message is handed out while an older one still waits.
    """
    queue = await case.queue(ordering="fifo")
    messages = await spaced(queue, [{}] * 22)
    found = [d for size in (4, 7, 2) for d in (await queue.claim(size, HOLD_S)).deliveries]
    missing = set(messages) - {delivery.message for delivery in found}
    found += await queue.take(*missing, batch_size=4, timeout_s=HOLD_S) if missing else []
    in_order(case, queue, found, messages, "published earlier")


@proves("ORD-1")
async def test_the_oldest_of_a_crowd_goes_first(case: Case) -> None:
    """ORD-1: `fifo`: sequentially published messages MUST be claimed oldest first.

    Of seventy that wait, one at a time and in batches, until all of them have come. The first are completed meanwhile:
    a server may hand out only so many.
    """
    if case.world.client.budget.rationed:
        raise NotSupported("the server counts requests: a crowd is left out there")
    queue = await case.queue(ordering="fifo")
    messages = await spaced(queue, [{}] * CROWD)
    found = [d for size in (1, 1, 10, 1, 20) for d in (await queue.claim(size, HOLD_S)).deliveries]
    await let_go(case, [queue])
    missing = set(messages) - {delivery.message for delivery in found}
    found += await queue.take(*missing, batch_size=10, timeout_s=HOLD_S) if missing else []
    in_order(case, queue, found, messages, "published earlier")


# Look-alikes when compared as text, neighbours, and the bounds; published in this order.
SCORES = (500, 9, 1000, 100, 0, 20, 999, 2, 501, 10, 1, 200, 499, 99)


@proves("ORD-3")
async def test_higher_scores_go_first(case: Case) -> None:
    """ORD-3: `priority`: within one tier, higher `score` MUST be claimed first.

    Fourteen scores, the bounds and look-alikes among them, one message at a time.
    """
    await by_score(case, "normal", batch_size=1)


@proves("ORD-3")
async def test_batches_take_the_highest_scores(case: Case) -> None:
    """ORD-3: `priority`: within one tier, higher `score` MUST be claimed first.

    The same in batches: no message is handed out while a better one still waits.
    """
    await by_score(case, "normal", batch_size=4)


@proves("ORD-3")
async def test_every_tier_orders_by_score(case: Case) -> None:
    """ORD-3: `priority`: within one tier, higher `score` MUST be claimed first.

    The other tiers, each in a queue of its own.
    """
    for tier in ("critical", "high", "low", "background"):
        await by_score(case, tier, batch_size=1, scores=SCORES[: 3 if case.world.thrift else 5])


# The lower score of two neighbours, and the higher one: at the bounds, at hundreds, at powers of two, in the middle.
PAIRS = (
    (999, 1000),
    (900, 901),
    (0, 1),
    (500, 501),
    (9, 10),
    (99, 100),
    (127, 128),
    (255, 256),
    (742, 743),
    (899, 900),
    (990, 991),
    (100, 1000),
)
FEW_PAIRS = 3  # under a tight limit


@proves("ORD-3")
async def test_the_higher_of_two_goes_first(case: Case) -> None:
    """ORD-3: `priority`: within one tier, higher `score` MUST be claimed first.

    A dozen pairs of neighbouring scores, the lower one published first: by its arrival it would win. One pair after the
    other, so that none has waited for long.
    """
    queue = await case.queue(ordering="priority", root="QUEUE-3")
    for scores in PAIRS[: FEW_PAIRS if case.world.thrift else None]:
        fields = [{"priority": {"tier": "normal", "score": score}} for score in scores]
        low, high = await spaced(queue, fields, root="ORD-3")
        ranked(case, queue, await queue.take(low, high, timeout_s=HOLD_S), [high, low])


async def by_score(case: Case, tier: str, *, batch_size: int, scores: Sequence[int] = SCORES) -> None:
    """Publishes the scores in their order, a third of them under keys, and takes them in the order of their height."""
    queue = await case.queue(ordering="priority", root="QUEUE-3")
    keys = [{"idempotency_key": case.world.token()} if number % 3 == 1 else {} for number in range(len(scores))]
    ranks = [{"priority": {"tier": tier, "score": score}} for score in scores]
    messages = await spaced(queue, [rank | key for rank, key in zip(ranks, keys, strict=True)], root="ORD-3")
    found = await queue.take(*messages, batch_size=batch_size, timeout_s=HOLD_S)
    best_first = sorted(messages, key=lambda message: -int(message.fields["priority"]["score"]))
    ranked(case, queue, found, best_first)
