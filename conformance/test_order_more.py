"""ORD: deadlines, tiers, and what leaves an order alone."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import Case, proves
from queueproof.drive.optional import publish_with
from queueproof.drive.ordering import APART_S, in_order, in_sight, ranked, spaced
from queueproof.drive.outcomes import NotSupported
from queueproof.drive.queue import Delivery, Message, Queue
from queueproof.evidence.operation import Result

HOLD_S = 60

# Distances in seconds from a moment hours away: within one minute, across the hour, the day and the week.
DISTANCES_S = (7200, 20, 86_400 * 8, 3, 3600, 41, 86_400, 11, 58, 300)


@proves("ORD-2")
async def test_earlier_deadlines_go_first(case: Case) -> None:
    """ORD-2: `deadline`: earlier `deadline` MUST be claimed first, whatever the publish order.

    Ten deadlines, a day and more away and some of them seconds apart, one of weeks and one of twenty years, one message
    at a time.
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

    Each written in the time of another zone: the moment counts, and not its spelling. Even as a moment of another zone
    it lies in the future.
    """
    await by_deadline(case, batch_size=1, zones=[timezone(timedelta(hours=hours)) for hours in (2, -7, 0, 9, -3)])


# More milliseconds than a whole number of 32 bits holds; and more seconds since 1970.
WEEKS_D, YEARS_D = 40, 20 * 366


async def by_deadline(case: Case, *, batch_size: int, zones: Sequence[timezone] = (UTC,)) -> None:
    """Publishes the deadlines in their order and takes them in the order of their moments."""
    queue = await case.queue(ordering="deadline", root="QUEUE-3")
    base = (datetime.now(UTC) + timedelta(hours=30)).replace(minute=0, second=0, microsecond=0)
    messages: list[Message] = []
    moments: dict[Message, datetime] = {}
    for days in (WEEKS_D,) if case.world.thrift else (WEEKS_D, YEARS_D):
        with contextlib.suppress(NotSupported):  # how far away one may be is not documented
            far = base + timedelta(days=days)
            messages.append(await publish_with(queue, deadline=far.isoformat().replace("+00:00", "Z")))
            moments[messages[-1]] = far
    for number, distance_s in enumerate(DISTANCES_S):
        moment = base + timedelta(seconds=distance_s)
        spelled = moment.astimezone(zones[number % len(zones)]).isoformat().replace("+00:00", "Z")
        messages.append(await publish_with(queue, deadline=spelled))
        moments[messages[-1]] = moment
        await asyncio.sleep(APART_S)
    await in_sight(queue)
    found = await queue.take(*messages, batch_size=batch_size, timeout_s=HOLD_S)
    earliest_first = sorted(messages, key=lambda message: moments[message])
    in_order(case, queue, found, earliest_first, "of earlier deadline", label=lambda m: str(m.fields["deadline"]))


# Each tier with the score that would place it last if tiers did not count, published in this order: the lowest of one
# comes after the highest of the tier below it, by which it would lose were they one rank.
TIERED = (("low", 1000), ("critical", 0), ("background", 1000), ("high", 10), ("normal", 0))
# More of each, close to its neighbours' scores.
MORE = (("background", 0), ("high", 1000), ("low", 900), ("critical", 1000), ("normal", 500), ("normal", 1000))


@proves("ORD-4")
async def test_tiers_go_by_their_rank(case: Case) -> None:
    """ORD-4: `priority`: tiers SHOULD go critical, high, normal, low, background.

    The higher tier with the lower score each time, one message at a time, down to the bounds of both; then several of
    each tier in batches.
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
    in_order(
        case,
        queue,
        found,
        best_first,
        "of a higher tier",
        label=lambda m: str(m.fields["priority"]["tier"]),
        places=place,
        ages=True,
    )


@proves("ORD-5")
async def test_priority_does_not_reorder_fifo(case: Case) -> None:
    """ORD-5: In a `fifo` queue priority MUST NOT reorder.

    Rising and falling tiers and scores, one message at a time and in batches; and after the creation of a queue of that
    slug, ordered by priority, was refused.
    """
    rising = (("background", 0), ("low", 100), ("normal", 500), ("high", 900), ("critical", 1000))
    for batch_size in (1, 3):
        queue = await case.queue(ordering="fifo") if batch_size == 1 else await asked_for_again(case)
        ranks = (*rising, *reversed(rising), ("normal", 0), ("normal", 1000), ("normal", 1))
        messages = await spaced(queue, [{"priority": {"tier": tier, "score": score}} for tier, score in ranks])
        found = await queue.take(*messages, batch_size=batch_size, timeout_s=HOLD_S)
        in_order(
            case,
            queue,
            found,
            messages,
            "published earlier",
            label=lambda m: "{tier}:{score}".format_map(m.fields["priority"]),
        )


async def asked_for_again(case: Case) -> Queue:
    """A fifo queue, of whose slug another queue was asked for in vain: what is refused changes nothing."""
    slug = case.world.slug(case.requirement)
    queue = await case.queue(ordering="fifo", slug=slug)
    again = await ask(case, wire.create_queue(queue.scope, case.queue_form(slug=slug, ordering="priority")))
    if again.result is Result.REJECTED:
        return queue
    if again.ok and wire.identity(again.data):
        case.world.ledger.queue(queue.scope, wire.identity(again.data))
    queue.unmodelled = True  # it may be what was asked for the second time
    return await case.queue(ordering="fifo")


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
        in_order(case, queue, found, messages, "published earlier")


# More than the fifty or hundred oldest that a server may look at, and few where requests are counted.
CROWD, SMALL_CROWD = 110, 8
LATER = 3


@proves("ORD-3")
async def test_the_best_of_a_crowd_goes_first(case: Case) -> None:
    """ORD-3: `priority`: within one tier, higher `score` MUST be claimed first.

    More than a hundred messages, the worst first: the best are the youngest. Then, three times, a better one than all
    that wait is published, and has to be the next.
    """
    queue = await case.queue(ordering="priority", root="QUEUE-3")
    crowd = crowd_of(case)
    scores = [100 + 5 * number for number in range(crowd)]
    ranks = [{"priority": {"tier": "normal", "score": score}} for score in (*scores, *range(900, 900 + LATER))]
    messages, found = await the_youngest_first(queue, partial(queue.publish, root="ORD-3"), ranks)
    best_first = sorted(messages, key=lambda message: -int(message.fields["priority"]["score"]))
    ranked(case, queue, found, best_first)


@proves("ORD-2")
async def test_the_most_urgent_of_a_crowd_goes_first(case: Case) -> None:
    """ORD-2: `deadline`: earlier `deadline` MUST be claimed first, whatever the publish order.

    More than a hundred messages, the earliest deadline last; then, three times, an earlier one than all that wait is
    published, and has to be the next.
    """
    queue = await case.queue(ordering="deadline", root="QUEUE-3")
    base = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    moments = [base - timedelta(minutes=number) for number in range(crowd_of(case) + LATER)]
    ranks = [{"deadline": moment.isoformat().replace("+00:00", "Z")} for moment in moments]
    messages, found = await the_youngest_first(queue, partial(publish_with, queue), ranks)
    earliest_first = sorted(messages, key=lambda message: str(message.fields["deadline"]))
    in_order(case, queue, found, earliest_first, "of earlier deadline", label=lambda m: str(m.fields["deadline"]))


def crowd_of(case: Case) -> int:
    """How many messages are a crowd."""
    return SMALL_CROWD if case.world.client.budget.rationed else CROWD


async def the_youngest_first(
    queue: Queue, publish: Callable[..., Awaitable[Message]], ranks: Sequence[dict[str, Any]]
) -> tuple[list[Message], list[Delivery]]:
    """Publishes messages, the best last, and claims; the last few are published one by one, with a claim after each.

    Of the others, the best few are claimed in the end: the rest tells nothing.
    """
    messages = list(await asyncio.gather(*(publish(**rank) for rank in ranks[:-LATER])))
    await in_sight(queue)
    found = (await queue.claim(1, HOLD_S)).deliveries
    for rank in ranks[-LATER:]:
        messages.append(await publish(**rank))
        await in_sight(queue)
        found += (await queue.claim(1, HOLD_S)).deliveries
    missing = [message for message in messages[-2 * SMALL_CROWD :] if not queue.counts[message]]
    return messages, found + await queue.take(*missing, batch_size=10, timeout_s=HOLD_S)


@proves("ORD-3")
async def test_a_deadline_outranks_no_score(case: Case) -> None:
    """ORD-3: `priority`: within one tier, higher `score` MUST be claimed first.

    The lower scores have a deadline, a day and more away; a queue that is ordered by priority knows none.
    """
    queue = await case.queue(ordering="priority", root="QUEUE-3")
    queue.ordering = ""  # what has a deadline is not timed: this case alone judges it
    later = (datetime.now(UTC) + timedelta(hours=30)).isoformat(timespec="seconds").replace("+00:00", "Z")
    messages = []
    for score in (200, 800, 400, 600, 500):
        priority = {"tier": "normal", "score": score}
        due = {"deadline": later} if score <= 500 else {}
        messages.append(await publish_with(queue, priority=priority, **due))
        await asyncio.sleep(APART_S)
    await in_sight(queue)
    found = await queue.take(*messages, timeout_s=HOLD_S)
    best_first = sorted(messages, key=lambda message: -int(message.fields["priority"]["score"]))
    ranked(case, queue, found, best_first)


@proves("ORD-2")
async def test_a_tier_outranks_no_deadline(case: Case) -> None:
    """ORD-2: `deadline`: earlier `deadline` MUST be claimed first, whatever the publish order.

    The later the deadline, the higher the tier and score.
    """
    queue = await case.queue(ordering="deadline", root="QUEUE-3")
    base = datetime.now(UTC) + timedelta(hours=30)
    messages = []
    for place in (0, 3, 1, 4, 2):
        moment = (base + timedelta(hours=place)).isoformat(timespec="seconds").replace("+00:00", "Z")
        priority = {"tier": wire.TIERS[-1 - place], "score": 200 * place}
        messages.append(await publish_with(queue, deadline=moment, priority=priority))
        await asyncio.sleep(APART_S)
    await in_sight(queue)
    found = await queue.take(*messages, timeout_s=HOLD_S)
    earliest_first = sorted(messages, key=lambda message: str(message.fields["deadline"]))
    in_order(case, queue, found, earliest_first, "of earlier deadline", label=lambda m: str(m.fields["deadline"]))


# Long enough that a few publishes lie before its end.
DELAY_S = 2.0


async def due_together(case: Case, queue: Queue, fields: Sequence[dict[str, Any]]) -> list[Message]:
    """Messages that are delayed until one moment, when by any reading of the server's clock all of them can be claimed.

    Ends as not supported where they cannot be delayed, or where requests are counted: meanwhile they would age.
    """
    moment = case.world.moment(DELAY_S)
    if moment is None or case.world.thrift:
        raise NotSupported("the server's clock may be another one, or it counts requests: a delay is not waited for")
    due = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    end_s = time.monotonic() + case.world.come_s(DELAY_S) + case.world.bound_s
    messages = [await publish_with(queue, delay_until=due, **more) for more in fields]
    await asyncio.sleep(max(0.0, end_s - time.monotonic()))
    return messages


@proves("ORD-3")
async def test_scores_outlast_a_delay(case: Case) -> None:
    """ORD-3: `priority`: within one tier, higher `score` MUST be claimed first.

    Of messages that were delayed, all until one moment, and can be claimed since: one at a time.
    """
    queue = await case.queue(ordering="priority", root="QUEUE-3")
    queue.ordering = ""  # what is delayed is not timed: this case alone judges it
    scores = (200, 800, 400, 600)
    fields = [{"priority": {"tier": "normal", "score": score}} for score in scores]
    messages = await due_together(case, queue, fields)
    found = await queue.take(*messages, timeout_s=HOLD_S, root="CLAIM-8")
    best_first = sorted(messages, key=lambda message: -int(message.fields["priority"]["score"]))
    in_order(case, queue, found, best_first, "of higher score, delayed like it", ages=True, liveness=True)


@proves("ORD-2")
async def test_deadlines_outlast_a_delay(case: Case) -> None:
    """ORD-2: `deadline`: earlier `deadline` MUST be claimed first, whatever the publish order.

    Of messages that were delayed, all until one moment, and can be claimed since: one at a time.
    """
    queue = await case.queue(ordering="deadline", root="QUEUE-3")
    base = datetime.now(UTC) + timedelta(hours=30)
    moments = [base + timedelta(hours=place) for place in (2, 0, 3, 1)]
    fields = [{"deadline": moment.isoformat(timespec="seconds").replace("+00:00", "Z")} for moment in moments]
    messages = await due_together(case, queue, fields)
    found = await queue.take(*messages, timeout_s=HOLD_S, root="CLAIM-8")
    earliest_first = sorted(messages, key=lambda message: str(message.fields["deadline"]))
    in_order(case, queue, found, earliest_first, "of earlier deadline, delayed like it", liveness=True)
