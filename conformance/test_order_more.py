"""ORD: deadlines, tiers, and what leaves an order alone."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves
from queueproof.drive.optional import publish_with
from queueproof.drive.queue import Delivery, Message, Queue

HOLD_S = 60
# Two publishes closer than this may share a time stamp, and then their order is not documented.
APART_S = 0.008

# A server may raise messages that have waited (priority_aging, its formula is unknown): only fresh ones are compared.
FRESH_NS = 5_000_000_000

# Distances in seconds from a moment hours away: within one minute, across the hour, the day and the week.
DISTANCES_S = (7200, 20, 86_400 * 8, 3, 3600, 41, 86_400, 11, 58, 300)


@proves("ORD-2")
async def test_earlier_deadlines_go_first(case: Case) -> None:
    """ORD-2: `deadline`: earlier `deadline` MUST be claimed first, whatever the publish order.

    Ten deadlines, hours to days away and some of them seconds apart, one message at a time.
    """
    await by_deadline(case, batch_size=1)


@proves("ORD-2")
async def test_batches_take_the_earliest_deadlines(case: Case) -> None:
    """ORD-2: `deadline`: earlier `deadline` MUST be claimed first, whatever the publish order.

    The same in batches, and with messages that come while others are claimed already.
    """
    await by_deadline(case, batch_size=4)


@proves("ORD-2")
async def test_deadlines_are_moments_in_their_zone(case: Case) -> None:
    """ORD-2: `deadline`: earlier `deadline` MUST be claimed first, whatever the publish order.

    Each written in the time of another zone: the moment counts, and not its spelling.
    """
    await by_deadline(case, batch_size=1, zones=[timezone(timedelta(hours=hours)) for hours in (2, -7, 0, 9, -3)])


async def by_deadline(case: Case, *, batch_size: int, zones: Sequence[timezone] = (UTC,)) -> None:
    """Publishes the deadlines in their order and takes them in the order of their moments."""
    queue = await case.queue(ordering="deadline", root="QUEUE-3")
    base = (datetime.now(UTC) + timedelta(hours=6)).replace(minute=0, second=0, microsecond=0)
    messages: list[Message] = []
    moments: dict[Message, datetime] = {}
    for number, distance_s in enumerate(DISTANCES_S):
        moment = base + timedelta(seconds=distance_s)
        spelled = moment.astimezone(zones[number % len(zones)]).isoformat().replace("+00:00", "Z")
        messages.append(await publish_with(queue, deadline=spelled))
        moments[messages[-1]] = moment
        await asyncio.sleep(APART_S)
    found = await queue.take(*messages, batch_size=batch_size, timeout_s=HOLD_S)
    earliest_first = sorted(messages, key=lambda message: moments[message])
    in_order(case, queue, found, earliest_first, "of earlier deadline", lambda m: m.fields["deadline"])


# Each tier with the score that would place it last if tiers did not count, published in this order.
TIERED = (("low", 900), ("critical", 0), ("background", 1000), ("high", 10), ("normal", 500))
# More of each, close to its neighbours' scores.
MORE = (("background", 0), ("high", 1000), ("low", 1000), ("critical", 1000), ("normal", 0), ("normal", 1000))


@proves("ORD-4")
async def test_tiers_go_by_their_rank(case: Case) -> None:
    """ORD-4: `priority`: tiers SHOULD go critical, high, normal, low, background.

    The higher tier with the lower score each time, one message at a time; then several of each tier in batches.
    """
    await by_rank(case, TIERED, batch_size=1)
    await by_rank(case, TIERED + MORE, batch_size=3)


async def by_rank(case: Case, ranks: Sequence[tuple[str, int]], *, batch_size: int) -> None:
    queue = await case.queue(ordering="priority", root="QUEUE-3")
    queue.ordering = ""  # its tiers are mixed: this case alone judges it
    messages = await spaced(queue, [{"priority": {"tier": tier, "score": score}} for tier, score in ranks])
    found = await queue.take(*messages, batch_size=batch_size, timeout_s=HOLD_S)
    best_first = sorted(messages, key=lambda m: wire.TIERS.index(m.fields["priority"]["tier"]))
    place = {message: wire.TIERS.index(message.fields["priority"]["tier"]) for message in messages}
    in_order(case, queue, found, best_first, "of a higher tier", lambda m: m.fields["priority"]["tier"], place)


@proves("ORD-5")
async def test_priority_does_not_reorder_fifo(case: Case) -> None:
    """ORD-5: In a `fifo` queue priority MUST NOT reorder.

    Rising and falling tiers and scores, one message at a time and in batches.
    """
    rising = (("background", 0), ("low", 100), ("normal", 500), ("high", 900), ("critical", 1000))
    for batch_size in (1, 3):
        queue = await case.queue(ordering="fifo")
        ranks = (*rising, *reversed(rising), ("normal", 0), ("normal", 1000), ("normal", 1))
        messages = await spaced(queue, [{"priority": {"tier": tier, "score": score}} for tier, score in ranks])
        found = await queue.take(*messages, batch_size=batch_size, timeout_s=HOLD_S)
        in_order(
            case,
            queue,
            found,
            messages,
            "published earlier",
            lambda m: "{tier}:{score}".format_map(m.fields["priority"]),
        )


@proves("ORD-6")
async def test_equal_scores_keep_their_arrival(case: Case) -> None:
    """ORD-6: Equal score: arrival order SHOULD hold.

    Twelve messages of one tier and score, and as many without a priority of their own, one at a time.
    """
    for fields in ({"priority": {"tier": "high", "score": 700}}, {"priority": None}):
        queue = await case.queue(ordering="priority", root="QUEUE-3")
        queue.ordering = ""  # equal ranks: this case alone judges it
        messages = await spaced(queue, [dict(fields) for _ in range(12)])
        found = await queue.take(*messages, timeout_s=HOLD_S)
        in_order(case, queue, found, messages, "published earlier", lambda m: m.token.rpartition(".")[2])


async def spaced(queue: Queue, fields: Sequence[dict[str, Any]]) -> list[Message]:
    """Publishes one after the other, far enough apart that no two share a time stamp."""
    messages = []
    for more in fields:
        messages.append(await queue.publish(**more))
        await asyncio.sleep(APART_S)
    return messages


def in_order(
    case: Case,
    queue: Queue,
    found: Sequence[Delivery],
    best_first: Sequence[Message],
    better: str,
    label: Any,
    place: dict[Message, int] | None = None,
) -> None:
    """No first delivery came from an earlier claim than that of a better message that was there all the while.

    `place`: where each message belongs (default: its number in `best_first`); those of one place are not compared, nor
    those of one answer, nor a message that an unseen claim may have held: its attempts say so, or where a server shows
    none, the existence of such a claim.
    """
    places = place or {message: number for number, message in enumerate(best_first)}
    firsts: dict[Message, Delivery] = {}
    for delivery in found:
        if delivery.attempts == 1 or (not queue.unsure_until_ns and "attempts" not in delivery.item):
            firsts.setdefault(delivery.message, delivery)
    for late in firsts.values():
        for early in firsts.values():
            overtook = (
                early.claim.ret_ns < late.claim.inv_ns
                and places[early.message] > places[late.message]
                and late.message.publish.ret_ns < early.claim.inv_ns
                and early.claim.ret_ns - early.message.publish.inv_ns < FRESH_NS
            )
            case.require(
                not overtook,
                f"a message was handed out before one {better}",
                expected=f"in the order {' '.join(label(message) for message in best_first)}",
                seen=f"in the order {' '.join(label(message) for message in firsts)}",
                proof=f"the claim of {label(early.message)} returned before that of {label(late.message)} was sent",
                evidence=(late.message.publish, early.message.publish, early.claim, late.claim),
            )
