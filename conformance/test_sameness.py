"""SAME: what must change nothing: a replay, a pause and a resume, a claim and a release, claims in batches."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.optional import change, released, tolerated
from queueproof.drive.ordering import in_order, in_sight
from queueproof.drive.outcomes import UNDOCUMENTED, Disturbed, NotSupported, Violation
from queueproof.drive.queue import BACKOFF_S, Delivery, Message, Queue
from queueproof.evidence.digest import same_json

S = 1_000_000_000  # ns
HOLD_S = 60
# Rows and counters may trail: what they show so long after the last call they go on showing.
SETTLE_S = 1.5
DELAY_S = 5.0  # far enough for the pause to be there first
# What a row tells of a message, and what a claim or a hold in between has no part in.
TOLD = ("state", "attempts", "body", "labels", "correlation_id", "response", "failure_reason")


async def rows(queue: Queue, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """What each message's row tells; empty where the server shows none."""
    try:
        found = [await queue.read(message) for message in messages]
    except NotSupported:
        return []
    return [{name: row[name] for name in TOLD if name in row} for row in found]


async def counters(queue: Queue) -> tuple[int, int] | None:
    """The queue's counters; None where the server shows none."""
    try:
        return await queue.counters()
    except NotSupported:
        return None


async def changed(
    case: Case, queue: Queue, messages: Sequence[Message], before: Mapping[str, Any], doing: str
) -> Violation | None:
    """What rows and counters say otherwise than before, for as long as they may trail; the claims are looked at first,
    which prove by one observation.
    """

    async def now() -> dict[str, Any]:
        return {"rows": await rows(queue, messages), "counters": await counters(queue)}

    after = await case.eventually(now, lambda seen: same_json(_plain(seen), _plain(before)))
    for name, was in before.items():
        if not same_json(_plain(after[name]), _plain(was)):
            return Violation(
                f"{doing} changed the {name}",
                expected=spell(was),
                seen=spell(after[name]),
                evidence=tuple(message.publish.op for message in messages),
                liveness=True,
            )
    return None


def _plain(value: Any) -> Any:
    """The value with lists for tuples, as JSON has it."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value


def _padded(letter: str) -> Callable[[str], dict[str, str]]:
    return lambda token: {"qp": token, "pad": letter * 9000}


@proves("SAME-1")
async def test_batches_are_as_many_singles(case: Case) -> None:
    """SAME-1: Claims of many MUST hand out what claims of one hand out: the same messages with the same contents, each
    once.

    Two queues are filled alike, with and without labels and keys, large and small; one is emptied one by one, the
    other in batches smaller and larger than what waits.
    """
    shapes: list[dict[str, Any]] = [{"labels": {"n": "1"}}, {"labels": None}, {}, {"labels": {"m": "2"}}]
    shapes += [{"labels": None, "type": "qp.other"}, {"priority": None}, {}, {"labels": {}}]
    shapes += [{"body": _padded(letter)} for letter in "vwxyz"]
    told: list[list[Any]] = []
    for sizes in ((1,), (3, 2, 100)):
        queue = await case.queue()
        messages = [await queue.publish(**shape) for shape in shapes]
        found: dict[Message, Delivery] = {}
        for size in sizes[:-1]:
            for delivery in (await queue.claim(size, HOLD_S)).deliveries:
                found[delivery.message] = delivery
        rest = [message for message in messages if message not in found]
        for delivery in await queue.take(*rest, batch_size=sizes[-1], timeout_s=HOLD_S, root="SAME-1"):
            found.setdefault(delivery.message, delivery)
        if queue.unsettled:
            raise Disturbed("a call of unknown result may have taken a message")
        for message, delivery in found.items():
            right = same_json(delivery.body, message.body) and delivery.attempts in (1, wire.ABSENT)
            case.require(
                right,
                "a batch hands out other contents, or counts another delivery, than was published",
                expected=f"attempts 1 and body {spell(message.body, 120)}",
                seen=f"attempts {delivery.attempts!r} and body {spell(delivery.body, 120)}",
                evidence=(message.publish, delivery.claim),
            )
        told.append([labels_of(found[message], "n", "m", "qp") for message in messages])
    case.require(
        same_json(*told),
        "batches hand out other labels than single claims",
        expected=spell(told[0]),
        seen=spell(told[1]),
        evidence=[],
    )


def labels_of(delivery: Delivery, *names: str) -> dict[str, Any]:
    """Those of the delivery's labels that are ours; a server may add some of its own."""
    labels = delivery.item.get("labels") or {}
    return {name: labels[name] for name in names if name in labels} if isinstance(labels, dict) else {"": labels}


@proves("SAME-2")
async def test_a_replay_changes_nothing(case: Case) -> None:
    """SAME-2: A replayed publish MUST change nothing: neither the message, nor its place, nor its holder, nor the
    counters.

    Replayed while it waits, while it is held, and after it came back once; then a publish that conflicts with it.
    """
    queue = await case.lasting_queue()
    first = await queue.publish(idempotency_key=f"{case.world.token()}-first", labels={"a": "b"})
    others = [await queue.publish(idempotency_key=case.world.token()) for _ in range(2)]
    messages = [first, *others]

    async def replay() -> None:
        """The first message again, three times, and once with another body."""
        await asyncio.sleep(SETTLE_S)
        before = {"rows": await rows(queue, messages), "counters": await counters(queue)}
        for body in (first.body, first.body, first.body, {"instead": True}):
            sent = {**first.fields, "body": body}
            answer = await ask(
                case, wire.publish(queue.scope, queue.id, sent), fields=queue.described(first.token, sent)
            )
            if body is first.body and answer.ok and wire.identity(answer.data) != first.id:
                case.refuse(
                    "IDEM-1", "a replay was answered with another id", expected=first.id,
                    seen=wire.identity(answer.data), evidence=(first.publish, answer),
                )  # fmt: skip
        late.append(await changed(case, queue, messages, before, "a replay"))

    late: list[Violation | None] = []
    await replay()
    seen = [await queue.take_one(first, timeout_s=case.world.dialect.timeout_s)]
    placed(case, queue, seen[0], others, "a replay")
    await asyncio.sleep(max(0.0, (seen[0].over_ns - time.monotonic_ns()) / S))
    seen.append(await queue.take_one(first, timeout_s=HOLD_S, root="VIS-2"))
    await replay()
    control = await queue.publish()
    after = await queue.take(control, *(m for m in others if m not in queue.latest), batch_size=10, timeout_s=HOLD_S)
    queue.holding(seen[-1])
    again = [delivery for delivery in after if delivery.message is first]
    case.require(
        not again,
        "a replay or a conflict freed the message that it names",
        expected=f"no further delivery of {first.id} while it is held",
        seen=f"{len(again)} more",
        evidence=(first.publish, seen[-1].claim, *(delivery.claim for delivery in again)),
    )
    with_release = await released(queue, seen[-1])
    if with_release and not queue.unsettled:
        last = await queue.given_back(first, timeout_s=HOLD_S)
        if isinstance(seen[-1].attempts, int) and not queue.unsettled:
            grown = (seen[-1].attempts, seen[-1].attempts + 1)
            case.require(
                last.attempts in grown,
                "a replay changed the attempts",
                expected=f"attempts {grown[0]} or {grown[1]}",
                seen=f"attempts {last.attempts!r}",
                evidence=(first.publish, seen[-1].claim, last.claim),
            )
    for violation in late:
        if violation is not None:
            raise violation


@proves("SAME-2")
async def test_a_replay_brings_no_labels_and_no_priority(case: Case) -> None:
    """SAME-2: A replayed publish MUST change nothing: neither the message, nor its place, nor its holder, nor the
    counters.

    Replayed with other labels and another priority, of three messages the first with the lowest and the last with the
    highest; a server may also refuse that. Claims bring them in the order, and with the labels, that they were first
    published with.
    """
    queue = await case.queue(ordering="priority", root="QUEUE-3")
    queue.ordering = ""  # the replays name other priorities: this case alone judges it
    labels = {"first": "a", "both": "1"}
    messages = [
        await queue.publish(
            idempotency_key=case.world.token(), labels=labels, priority={"tier": "normal", "score": score}
        )
        for score in (900, 500, 100)
    ]
    for message, score in ((messages[0], 50), (messages[2], 950)):
        sent = {
            **message.fields,
            "labels": {"second": "b", "both": "2"},
            "priority": {"tier": "normal", "score": score},
        }
        fields = {**queue.described(message.token, sent), "rank": queue.described("", message.fields)["rank"]}
        answer = await ask(case, wire.publish(queue.scope, queue.id, sent), fields=fields)
        if answer.ok and wire.identity(answer.data) != message.id:
            case.refuse(
                "IDEM-1", "a replay with other labels and priority was answered with another id", expected=message.id,
                seen=wire.identity(answer.data), evidence=(message.publish, answer),
            )  # fmt: skip
    await in_sight(queue)
    found = await queue.take(*messages, timeout_s=HOLD_S)
    for delivery in found:
        shown = labels_of(delivery, "first", "both", "second")
        case.require(
            "labels" not in delivery.item or same_json(shown, labels),
            "a replay changed the labels of the message that it names",
            expected=spell(labels),
            seen=spell(shown),
            evidence=(delivery.message.publish, case.exchanges[-1], delivery.claim),
        )
    in_order(case, queue, found, messages, "of higher score when first published", ages=True)


def placed(case: Case, queue: Queue, first: Delivery, others: Sequence[Message], doing: str) -> None:
    """Nothing that was published later has been handed out before it."""
    if queue.unsettled or queue.ordering != "fifo":
        return
    early = [queue.latest[m] for m in others if m in queue.latest and queue.latest[m].claim.ret_ns < first.claim.inv_ns]
    case.require(
        not early,
        f"{doing} moved a message behind later ones",
        expected=f"{first.message.id} first",
        seen=", ".join(delivery.id for delivery in early),
        evidence=(first.message.publish, first.claim, *(delivery.claim for delivery in early)),
    )


async def paused_and_resumed(case: Case, queue: Queue, *, for_s: float) -> None:
    """A pause of the queue, and its end."""
    queue.unmodelled = True
    await change(case, wire.change_queue(queue.scope, queue.id, "pause"))
    await asyncio.sleep(for_s)
    await change(case, wire.change_queue(queue.scope, queue.id, "resume"))


@proves("SAME-3")
async def test_a_pause_and_a_resume_change_nothing(case: Case) -> None:
    """SAME-3: Pausing and resuming a queue MUST change nothing: neither messages, nor their order, nor their holders.

    Messages that wait, that were handed out before, and one that is held: all as before after three pauses.
    """
    queue = await case.lasting_queue()
    held, back = [await queue.publish(labels={"n": str(number)}) for number in range(2)]
    hold = await queue.take_one(held, timeout_s=HOLD_S)
    for _ in range(2):
        once = await queue.given_back(back, timeout_s=HOLD_S)
        if not await released(queue, once):
            raise NotSupported("release is not there, so that no message can have been handed out before")
    fresh = [await queue.publish(labels={"n": str(number)}) for number in range(2, 6)]
    messages = [held, back, *fresh]
    await asyncio.sleep(SETTLE_S)
    before = {"rows": await rows(queue, messages), "counters": await counters(queue)}
    for _ in range(3):
        await paused_and_resumed(case, queue, for_s=0.0)
    late = await changed(case, queue, messages, before, "a pause and a resume")
    found = await queue.take(back, *fresh, timeout_s=HOLD_S, root="LIFE-5", within_s=BACKOFF_S)
    queue.holding(hold)
    again = [delivery for delivery in found if delivery.message is held]
    case.require(
        not again,
        "a pause and a resume freed a message that was held",
        expected=f"no further delivery of {held.id} while it is held",
        seen=f"{len(again)} more",
        evidence=(held.publish, hold.claim, *(delivery.claim for delivery in again)),
    )
    if queue.unsettled:
        raise Disturbed("a call of unknown result may have taken a message")
    firsts = [d for d in found if d.message in fresh and d.attempts == 1]
    for earlier, later in itertools.pairwise(firsts):
        inverted = earlier.claim is not later.claim and fresh.index(later.message) < fresh.index(earlier.message)
        case.require(
            not inverted,
            "a pause and a resume changed the order",
            expected=f"{later.id} before {earlier.id}, as they were published",
            seen="the other way round",
            evidence=(later.message.publish, earlier.message.publish, earlier.claim, later.claim),
        )
    for delivery in found:
        if isinstance(delivery.attempts, int) and isinstance(once.attempts, int):
            allowed = {1} if delivery.message in fresh else {once.attempts, once.attempts + 1}
            expected_times = 1 if delivery.message in fresh else 3
            case.require(
                delivery.attempts in allowed or queue.counts[delivery.message] > expected_times,
                "a pause and a resume changed the attempts",
                expected=f"attempts {' or '.join(str(number) for number in sorted(allowed))}",
                seen=f"attempts {delivery.attempts}",
                evidence=(delivery.message.publish, once.claim, delivery.claim),
            )
    if late is not None:
        raise late


@proves("SAME-3")
async def test_what_ends_during_a_pause_comes_after_it(case: Case) -> None:
    """SAME-3: Pausing and resuming a queue MUST change nothing: neither messages, nor their order, nor their holders.

    A hold lapses, and a delay ends, while the queue is paused: both messages are claimed after the resume.
    """
    queue = await case.lasting_queue()
    held = await queue.publish()
    await queue.take_one(held)
    due = case.world.moment(DELAY_S)  # None: a clock of which nothing is known
    due_s = time.monotonic() + DELAY_S
    delayed = []
    with tolerated():
        if due is not None:
            moment = due.strftime("%Y-%m-%dT%H:%M:%SZ")
            delayed.append(await queue.publish(root=UNDOCUMENTED, delay_until=moment))
    left_s = due_s - time.monotonic()
    await paused_and_resumed(case, queue, for_s=max(left_s, case.world.dialect.timeout_s) + 1.0)
    await queue.take(
        held, *delayed, batch_size=5, root="SAME-3",
        doing="a message whose hold or delay ended during a pause was not handed out after it",
    )  # fmt: skip


@proves("SAME-4")
async def test_a_claim_and_a_release_change_only_the_attempts(case: Case) -> None:
    """SAME-4: A claim and a release MUST change nothing but the attempts.

    Claimed and released three times, extended once in between; its contents stay, the counters return, and a hold
    that is taken afterwards lasts, although the earlier ones would be over by then.
    """
    queue = await case.lasting_queue()
    message = await queue.publish(labels={"a": "b"}, body=lambda token: {"qp": token, "n": [1, None, "é"]})
    await asyncio.sleep(SETTLE_S)
    before = {"counters": await counters(queue)}
    short_s = case.world.dialect.timeout_s
    shown: list[Delivery] = []
    for number in range(3):
        delivery = await queue.given_back(message, timeout_s=short_s)
        if number == 2:
            with contextlib.suppress(NotSupported):
                await queue.act("extend", delivery, root="VIS-5", visibility_timeout_s=HOLD_S)
        if not await released(queue, delivery):
            raise NotSupported("release is not there")
        shown.append(delivery)
    if before["counters"] is not None:

        async def now() -> dict[str, Any]:
            return {"counters": await counters(queue)}

        after = await case.eventually(now, lambda seen: seen == before)
        case.require(
            after == before,
            "claims and releases changed the counters",
            expected=spell(list(before["counters"])),
            seen=spell(list(after["counters"] or ())),
            evidence=[message.publish, *(delivery.claim for delivery in shown)],
            liveness=True,
        )
    last = await queue.given_back(message, timeout_s=HOLD_S)
    shown.append(last)
    for earlier, later in itertools.pairwise(shown):
        contents = same_json(later.body, message.body) and labels_of(later, "a") == {"a": "b"}
        case.require(
            contents,
            "a claim and a release changed the contents",
            expected=f"labels {spell({'a': 'b'})}, body {spell(message.body)}",
            seen=f"labels {spell(later.item.get('labels'))}, body {spell(later.body)}",
            evidence=(message.publish, earlier.claim, later.claim),
        )
        if isinstance(earlier.attempts, int) and isinstance(later.attempts, int) and not queue.unsettled:
            case.require(
                earlier.attempts <= later.attempts <= earlier.attempts + 1 or queue.counts[message] > len(shown),
                "a claim and a release changed the attempts by another number than one",
                expected=f"attempts {earlier.attempts} or {earlier.attempts + 1}",
                seen=f"attempts {later.attempts}",
                evidence=(message.publish, earlier.claim, later.claim),
            )
    await asyncio.sleep(max(0.0, (max(d.over_ns for d in shown[:1]) - time.monotonic_ns()) / S) + 1.0)
    control = await queue.publish()
    found = await queue.take(control, batch_size=5, timeout_s=HOLD_S)
    queue.holding(last)
    again = [delivery for delivery in found if delivery.message is message]
    case.require(
        not again,
        "the end of a hold that was released freed the next holder's",
        expected=f"no further delivery of {message.id} while it is held",
        seen=f"{len(again)} more",
        evidence=(message.publish, last.claim, *(delivery.claim for delivery in again)),
    )
