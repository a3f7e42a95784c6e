"""VIS: the counters of what lapses, and the two verbs that move a lock's end: extend and release."""

import asyncio
import contextlib
import time

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.counters import counters_are, counters_sum_to
from queueproof.drive.delivery import Claim, double_hold
from queueproof.drive.difference import contrast
from queueproof.drive.optional import answered, queue_with, released, tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, Disturbed, NotSupported
from queueproof.drive.queue import POLL_S, Delivery, Message, Queue
from queueproof.evidence.digest import same_json
from queueproof.evidence.margins import certain_hold_ns

S = 1_000_000_000  # ns
HOLD_S = 60
# Longer than any slack: what comes back before was given back, and did not lapse.
LONG_HOLD_S = 60


@proves("VIS-2")
async def test_being_looked_at_holds_nothing(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    Two held messages, of which one is read and both are listed again and again until they are back.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(2)
    await queue.take(*messages, batch_size=2)
    looking = asyncio.create_task(look(case, queue, messages[0]))
    try:
        bound_ns = max(queue.latest[message].over_ns for message in messages) + round(case.world.bound_s * S)
        while time.monotonic_ns() < bound_ns and not all(queue.counts[message] > 1 for message in messages):
            await queue.claim(2)
            await asyncio.sleep(queue.pause_s())
        missing = [message for message in messages if queue.counts[message] < 2]
        await queue.take(*missing, batch_size=2, root="VIS-2", within_s=0.0, doing="a held message that was read")
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def look(case: Case, queue: Queue, message: Message) -> None:
    """Reads for as long as nobody cancels it."""
    while True:
        with contextlib.suppress(NotSupported):
            await queue.read(message)
        await case.send(wire.list_queue_messages(queue.scope, queue.id))
        await asyncio.sleep(case.world.pause_s(0.3))


# Beyond what a byte, 15, 16 bits, a minute, an hour or a day hold, and round numbers in between.
LENGTHS_S = (61, 64, 120, 128, 256, 300, 1000, 1024, 3600, 4096, 32_768, 65_536, 86_400)
# Watched for so long what is cut to ten seconds is seen to end; and where calls are dear, what is hardly held at all.
BEYOND_TEN_S, A_WHILE_S = 11.2, 3.0


@proves("VIS-1")
async def test_a_hold_of_any_length_is_held(case: Case) -> None:
    """VIS-1: Until `visibility_timeout_s` has passed, a claimed message MUST NOT be claimable by anyone.

    Holds of a minute to a day, a message each, where the server takes them; then claims go on for a while, in which a
    fresh message comes (the control) and none of theirs.
    """
    queue = await case.lasting_queue()
    held: dict[Message, Delivery] = {}

    def judge(claim: Claim) -> None:
        for again in claim.deliveries:
            first = held.setdefault(again.message, again)
            proof = "" if first is again else double_hold(first, again)
            case.require(
                not proof,
                "a message that is held for long came again",
                expected=f"no other delivery of {again.id} for {first.timeout_s} s",
                seen=f"another one after {(again.claim.inv_ns - first.claim.inv_ns) / S:.1f} s",
                proof=proof,
                evidence=(again.message.publish, first.claim, again.claim),
            )

    for length_s in LENGTHS_S[:: 4 if case.world.thrift else 1]:
        await queue.publish()
        with tolerated():
            judge(await queue.claim(1, length_s, refused=UNDOCUMENTED))
    control = await queue.publish()
    watched_s = A_WHILE_S if case.world.thrift else BEYOND_TEN_S
    async for claim in queue.watch(time.monotonic_ns() + round(watched_s * S), timeout_s=HOLD_S, every_s=0.5):
        judge(claim)
    if control not in held:
        await queue.take(control, batch_size=10, timeout_s=HOLD_S)


@proves("VIS-2")
async def test_a_first_lapse_is_no_end(case: Case) -> None:
    """VIS-2: If neither complete, fail nor extend arrives, it MUST return to `pending` and be claimable, within the
    timeout plus slack.

    In a queue of two attempts: the first one lapses, which leaves another one.
    """
    queue = await queue_with(case, shown="max_retries", max_retries=2)
    message = await queue.publish()
    await queue.take(message)
    if queue.counts[message] > 1 or queue.unsettled:
        raise Disturbed("more than one attempt may have been made")
    again_s = case.world.dialect.timeout_s + case.world.bound_s
    await queue.take(message, timeout_s=HOLD_S, root="VIS-2", within_s=again_s)


@proves("VIS-4")
async def test_a_lapse_reverses_the_counters(case: Case) -> None:
    """VIS-4: Reclaim MUST reverse the counters (`depth_claimed` -1, `depth_pending` +1).

    Two of four messages lapse while one is held. A server may notice a lapse only when it is claimed from: so what
    lapsed is claimed and completed afterwards, and then the counters have to be right.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(4)
    await counters_are(case, queue, 4, 0, root="PUB-4")
    held = await queue.take_one(messages[0], timeout_s=HOLD_S)
    await counters_are(case, queue, 3, 1, root="CLAIM-7")
    lapsing = [await queue.take_one(message) for message in messages[1:3]]
    await past(lapsing)
    seen = await case.eventually(queue.counters, lambda value: value == (3, 1))
    lapsed = f"the counters are wrong after two of four messages have lapsed (then they showed {seen[0]} and {seen[1]})"
    back = await queue.take(*messages[1:], batch_size=4, timeout_s=HOLD_S, root="VIS-2", within_s=case.world.bound_s)
    await counters_are(case, queue, 0, 4, root="VIS-4", summary=lapsed)
    for delivery in {held.message: held, **{d.message: d for d in back}}.values():
        await queue.complete(delivery)
    await counters_are(case, queue, 0, 0, root="VIS-4", summary=lapsed)


@proves("VIS-7")
async def test_the_sum_stays(case: Case) -> None:
    """VIS-7: With no re-claim in between, `depth_pending + depth_claimed` MUST be unchanged by claim, release and
    reclaim.

    Five messages: some are claimed, one of them is released, two lapse. Each reading is given the time to settle.
    """
    queue = await case.lasting_queue()
    messages = await queue.publish_many(5)
    await counters_sum_to(case, queue, 5, root="PUB-4", summary="the counters have another sum after publishing")
    held = [await queue.take_one(message, timeout_s=HOLD_S) for message in messages[:2]]
    await counters_sum_to(case, queue, 5, root="VIS-7", summary="the counters have another sum after claiming")
    lapsing = await queue.take(messages[2], batch_size=2)
    await past(lapsing)
    await asyncio.sleep(1.5)
    await counters_sum_to(case, queue, 5, root="VIS-7", summary="the counters have another sum after a lapse")
    try:
        await queue.act("release", held[0], root="VIS-6")
    except NotSupported:
        return
    await counters_sum_to(case, queue, 5, root="VIS-7", summary="the counters have another sum after a release")


@proves("VIS-7")
async def test_the_sum_stays_whatever_is_released(case: Case) -> None:
    """VIS-7: With no re-claim in between, `depth_pending + depth_claimed` MUST be unchanged by claim, release and
    reclaim.

    In a fifo and in a priority queue, unless requests are counted: of a batch, one that was extended before, two that
    were not, and one of them once more.
    """
    if rationed(case):
        raise NotSupported("the server counts requests: the sum is read after fewer releases there")

    async def released_in(ordering: str) -> None:
        queue = await case.queue(ordering=ordering, root="QUEUE-3")
        queue.ordering = ""  # what was released comes when it can
        messages = await queue.publish_many(6)
        held = {d.message: d for d in await queue.take(*messages, batch_size=10, timeout_s=LONG_HOLD_S)}
        extend = wire.extend(queue.scope, held[messages[0]].id, visibility_timeout_s=LONG_HOLD_S)
        await answered(case, extend, fields={"timeout_s": LONG_HOLD_S})
        for message in (*messages[:3], messages[1]):
            if queue.latest[message] is not held[message] or not await released(queue, held[message]):
                return
            summary = "the counters have another sum after releases"
            await counters_sum_to(case, queue, len(messages), root="VIS-7", summary=summary)
            if message is messages[2]:
                held[messages[1]] = await queue.given_back(messages[1], timeout_s=LONG_HOLD_S)

    await asyncio.gather(*(released_in(ordering) for ordering in ("fifo", "priority")))


async def past(deliveries: list[Delivery]) -> None:
    """Waits until every one of these locks is over."""
    await asyncio.sleep(max(0.0, (max(delivery.over_ns for delivery in deliveries) - time.monotonic_ns()) / S))


@proves("VIS-5")
async def test_an_extension_holds(case: Case) -> None:
    """VIS-5: Extend MUST keep the message unclaimable past the original timeout.

    Extended once, and twice in a row, each time in the middle of the lock and for as long as the lock itself; a twin of
    the same timeout that is not extended returns meanwhile, and so do the others in the end (the controls).
    """
    queue = await case.lasting_queue()
    hold_s = case.world.dialect.timeout_s + case.world.room_s(2)
    once, twice, twin = await queue.publish_many(3)
    held = {d.message: d for d in await queue.take(once, twice, twin, batch_size=3, timeout_s=hold_s)}
    first = [Extension(queue, held[message], hold_s) for message in (once, twice)]
    await asyncio.gather(*(extension.send(held[extension.message].over_ns) for extension in first))
    second = Extension(queue, held[twice], hold_s)
    looking = kept(case, queue, first, until_ns=first[1].over_ns - hold_s * S // 2)
    met, _ = await asyncio.gather(looking, second.send(first[1].over_ns))  # a claim may wait longer than the lock
    met |= await kept(case, queue, [first[0], second], until_ns=max(first[0].end_ns, second.end_ns))
    # All at once: one claim after the other might meet, and hold, the message that the next one waits for.
    await queue.take(*({once, twice, twin} - met), timeout_s=HOLD_S, root="VIS-2", within_s=hold_s + case.world.bound_s)


# Sent so long before a lock's end an extend is in time, and an enforcer may have its eye on the row already.
LAST_MOMENTS_S = (0.2, 0.3, 0.4)
# On a line that is quicker than this one of them can be in time; on another none may be, again and again.
QUICK_NS = S // 10


@proves("VIS-5")
async def test_an_extension_holds_for_as_long_as_it_says(case: Case) -> None:
    """VIS-5: Extend MUST keep the message unclaimable past the original timeout.

    One lock extended in its middle to three times its length, and three at the last moment, by their own length: what
    was acknowledged in time holds to its end. A twin that is not extended returns meanwhile, and the others in the end
    (the controls). What was answered too late, or refused, is not judged.
    """
    queue = await case.lasting_queue()
    hold_s = case.world.dialect.timeout_s + case.world.room_s(2)
    messages = await queue.publish_many(5)
    long, *late = messages[:-1]
    held = {d.message: d for d in await queue.take(*messages, batch_size=5, timeout_s=hold_s)}
    sure: list[Extension] = []

    async def extend(message: Message, by_s: float, before_s: float) -> None:
        extension = Extension(queue, held[message], by_s)
        with contextlib.suppress(Disturbed):
            await extension.send_at(held[message].held_until_ns - round(before_s * S))
            if extension.sent is not None and extension.sent.ret_ns < held[message].held_until_ns:
                sure.append(extension)

    await asyncio.gather(
        extend(long, 3 * hold_s, hold_s / 2),
        *(extend(message, hold_s, before_s) for message, before_s in zip(late, LAST_MOMENTS_S, strict=True)),
    )
    judged = {extension.message for extension in sure}
    is_quick = min(exchange.ret_ns - exchange.inv_ns for exchange in case.exchanges) < QUICK_NS
    if long not in judged or (is_quick and not judged & set(late)):
        raise Disturbed("an extension came too late for its lock")
    met = await kept(case, queue, sure, until_ns=max(extension.end_ns for extension in sure), every_s=0.3)
    wait_s = 3 * hold_s + case.world.bound_s
    await queue.take(*(set(messages) - met), timeout_s=HOLD_S, root="VIS-2", within_s=wait_s)


class Extension:
    """One extend of a held message, and until when it holds for certain."""

    def __init__(self, queue: Queue, delivery: Delivery, hold_s: float) -> None:
        self.message = delivery.message
        self.sent: Exchange | None = None
        self._queue = queue
        self._delivery = delivery
        self._hold_s = hold_s

    async def send(self, over_ns: int) -> None:
        """Sends it half a hold before `over_ns`, the end of the lock that it prolongs."""
        await self.send_at(over_ns - round(self._hold_s * S / 2))
        assert self.sent is not None
        if self.sent.ret_ns > over_ns - round(self._hold_s * S / 10):
            raise Disturbed("an extension came too late for its lock")

    async def send_at(self, at_ns: int) -> None:
        """Sends it then."""
        await asyncio.sleep(max(0.0, (at_ns - time.monotonic_ns()) / S))
        self.sent = await self._queue.act("extend", self._delivery, root="VIS-5", visibility_timeout_s=self._hold_s)

    @property
    def end_ns(self) -> int:
        assert self.sent is not None
        return self.sent.inv_ns + certain_hold_ns(round(self._hold_s * S))

    @property
    def over_ns(self) -> int:
        assert self.sent is not None
        return self.sent.inv_ns + round(self._hold_s * S)


async def kept(
    case: Case, queue: Queue, extensions: list[Extension], *, until_ns: int, every_s: float = POLL_S
) -> set[Message]:
    """Claims go on until then, and bring no message before its extension is over; what they brought."""
    met: set[Message] = set()
    by = {extension.message: extension for extension in extensions}
    async for claim in queue.watch(until_ns, timeout_s=HOLD_S, every_s=every_s):
        for again in claim.deliveries:
            met.add(again.message)
            extension = by.get(again.message)
            if extension is None or extension.sent is None:
                continue
            left_s = (extension.end_ns - again.claim.ret_ns) / S
            case.require(
                not (extension.sent.ret_ns < again.claim.inv_ns and left_s > 0),
                "an extended message was delivered before its extension was over",
                expected=f"no delivery of {again.id} before its extension is over",
                seen=f"delivered {left_s:.3f} s before its end, attempts {spell(again.attempts)}",
                proof=f"the claim was sent after the extension's answer, and back {left_s:.3f} s before its end",
                evidence=(again.message.publish, extension.sent, again.claim),
            )
    return met


@proves("VIS-5")
async def test_an_extension_of_a_later_claim_holds(case: Case) -> None:
    """VIS-5: Extend MUST keep the message unclaimable past the original timeout.

    Of a message that has lapsed once: it is claimed again, and extended in the middle of that lock by its length; it
    returns in the end (the control). In a priority queue as well, unless requests are counted.
    """
    await asyncio.gather(
        *(extended_later(case, ordering) for ordering in ("fifo", "priority")[: 1 if rationed(case) else None])
    )


def rationed(case: Case) -> bool:
    return case.world.client.budget.rationed


async def extended_later(case: Case, ordering: str) -> None:
    """A message of a queue of that ordering that has lapsed once is claimed again, and extended."""
    queue = await case.lasting_queue(ordering=ordering)
    hold_s = case.world.dialect.timeout_s + case.world.room_s(2)
    message = await queue.publish()
    await past([await queue.take_one(message)])
    held = await queue.take_one(message, timeout_s=hold_s, root="VIS-2", within_s=case.world.bound_s)
    extension = Extension(queue, held, hold_s)
    await extension.send(held.over_ns)
    met = await kept(case, queue, [extension], until_ns=extension.end_ns, every_s=0.3)
    if message not in met:
        await queue.take(message, timeout_s=HOLD_S, root="VIS-2", within_s=hold_s + case.world.bound_s)


@proves("VIS-6")
async def test_a_release_gives_it_back(case: Case) -> None:
    """VIS-6: Release MUST make the message claimable before the timeout.

    Held for long and released at once, three times in a row, the last time after an extension; one message out of a
    batch, whose neighbours stay held. An attempt may be given back by a release, but none that came before it.
    """
    queue = await case.lasting_queue()
    message, neighbour = await queue.publish_many(2)
    held = {d.message: d for d in await queue.take(message, neighbour, batch_size=2, timeout_s=LONG_HOLD_S)}
    again = held[message]
    for number in range(3):
        if number == 2 and not rationed(case):
            extend = wire.extend(queue.scope, again.id, visibility_timeout_s=LONG_HOLD_S)
            await answered(case, extend, fields={"timeout_s": LONG_HOLD_S})
        await queue.act("release", again, root="VIS-6")
        again = await queue.given_back(message, timeout_s=LONG_HOLD_S)
        case.require(
            same_json(again.body, message.body),
            "a released message comes back with another body",
            **contrast(message.body, again.body),
            evidence=(message.publish, again.claim),
        )
    await queue.complete(again)
    await queue.complete(held[neighbour])


@proves("VIS-6")
async def test_a_release_forgets_no_lapse(case: Case) -> None:
    """VIS-6: Release MUST make the message claimable before the timeout.

    A message that lapsed once before: its release is no lapse, and takes no attempt back that was made before it.
    """
    queue = await case.lasting_queue()
    message = await queue.publish()
    lapsed = await queue.take_one(message)
    await past([lapsed])
    wait_s = case.world.bound_s
    held = await queue.take_one(message, timeout_s=LONG_HOLD_S, root="VIS-2", within_s=wait_s)
    await queue.act("release", held, root="VIS-6")
    again = await queue.given_back(message, timeout_s=LONG_HOLD_S)
    if queue.unsure_until_ns:
        raise Disturbed("a claim of unknown result may have counted too")
    if not (same_json(again.attempts, 2) or same_json(again.attempts, 3)):
        case.refuse(
            "CLAIM-4",
            "after a release a message shows fewer attempts than lapsed before it, or more than were made",
            expected="attempts: 2 (the released one given back) or 3",
            seen=f"attempts: {spell(again.attempts)}",
            evidence=(message.publish, held.claim, again.claim),
        )
