"""What is tried with values that nobody chose: bodies and keys drawn by Hypothesis, long delays, deep queues."""

import asyncio
import time
import unicodedata
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from queueproof.contract import wire
from queueproof.drive.asking import listed
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.delivery import double_hold
from queueproof.drive.difference import contrast
from queueproof.drive.lifecycle import moved, resume
from queueproof.drive.optional import DeadLetters, dead_letter_queue, publish_with, queue_with, row_of, tolerated
from queueproof.drive.ordering import fitting
from queueproof.drive.outcomes import UNDOCUMENTED, Blocked, Disturbed, Inconclusive, NotSupported, Violation
from queueproof.drive.plans import drawn
from queueproof.drive.queue import BACKOFF_S, Delivery, Message, Queue
from queueproof.evidence.digest import same_json

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

S = 1_000_000_000  # ns
HOLD_S = 60
DELAYS_S = (120, 3600, 30 * 86_400)
CLOCKS_S = 30.0  # the difference of two clocks is not known better for certain
BODIES, DEEP, CHAIN = 30, 150, 45
HIDDEN = 120  # more than the fifty or hundred rows that a server may look at
SHORT_LIFE_S = 35  # of which a tenth is over when it is looked for; what is claimed until then takes less
PUBLISHERS = 6
# What parsers, templates, databases and old encodings have read into plain text.
HAZARDS = (
    "\\u0041", "\\n", "\\\\", "%41", "%2F", "+", "&amp;", "&#65;", "{{name}}", "${name}", "{0}", "%s", "<b>", "<!--",
    "'", '"', "`", ";", "--", "/*", "NaN", "Infinity", "null", "None", "true", "False", "0x1F", "1e5", "007", "1,5",
    "2026-02-30", "12:00", "$ref", "__proto__", "constructor", "@type", "a.b", "a[0]", "", " ", "\t", "\x01", "\x1b",
    "\x7f", "\u00a0", "\u00ad", "\u200b", "\u2028", "\ufeff", "\ufffd", "e\u0301", "ﬁ", "ß", "İ", "😀",
    "👩‍👩‍👧", "\U0010ffff",
)  # fmt: skip
SEPARATORS = ("-", ":", "/", "|", ".", "_", "#", " ")


def json_values() -> "SearchStrategy[Any]":
    """JSON as programs write it: no whole number beyond 2^53, no number beyond a double's range."""
    from hypothesis import strategies as st

    hazards = st.lists(st.sampled_from(HAZARDS), min_size=1, max_size=3).map("".join)
    letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
    texts = hazards | letters
    whole = st.integers(-(2**53), 2**53) | st.sampled_from((2**31 - 1, 2**31, 2**32, -(2**31) - 1, 2**53))
    broken = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
    broken |= st.sampled_from((0.1, 1e-7, 1e21, 1.5e300, -2.5e-300, 1e16, 123456789.123456789))
    leaves = st.none() | st.booleans() | whole | broken | texts
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
    )


@proves("PUB-5")
async def test_drawn_bodies_come_back(case: Case) -> None:
    """PUB-5: `body` MUST be returned on claim equal as JSON to what was published.

    JSON drawn from a seed: nested, empty, with numbers of every size, and with texts and names that some layer may
    take for escapes, templates, markup, dates or other values. A body that is refused is passed over.
    """
    queue = await case.queue()
    few = 8 if case.world.client.budget.rate_limited else BODIES
    sent: list[Message] = []
    chosen: list[Any] = [list(HAZARDS), dict.fromkeys(HAZARDS, 1), ["".join(HAZARDS[:20])]]
    for value in [*chosen, *drawn(json_values(), BODIES, case.world.seed)][:few]:
        try:
            sent.append(await queue.publish(lambda token, value=value: {"qp": token, "v": value}, root=UNDOCUMENTED))
        except Blocked as end:
            if end.root != UNDOCUMENTED:
                raise
    if not sent:
        raise NotSupported("publish takes none of the drawn bodies")
    found = await queue.take(*sent, batch_size=10, timeout_s=HOLD_S)
    for delivery in found:
        case.require(
            same_json(delivery.body, delivery.message.body),
            "a body came back as another one",
            **contrast(delivery.message.body, delivery.body),
            evidence=(delivery.message.publish, delivery.claim),
        )


def keys_apart(token: str, seed: int) -> list[tuple[str, str]]:
    """Pairs of type and key, all different, that a lax comparison takes for each other."""
    from hypothesis import strategies as st

    pairs = [
        pair
        for mark in SEPARATORS
        for pair in ((f"qp{mark}x", f"y{mark}{token}{ord(mark)}"), ("qp", f"x{mark}y{mark}{token}{ord(mark)}"))
    ]
    stems = drawn(
        st.lists(st.sampled_from(("a", "b", "1", "2", "é", "ﬁ", "/", "-", ":")), min_size=3, max_size=5), 4, seed
    )
    for number, letters in enumerate(stems):
        stem = f"{token}.{number}.{''.join(letters)}"
        forms = [stem, quote(stem, safe=""), unicodedata.normalize("NFKC", stem), stem[:-2] + stem[:-3:-1]]
        forms += ["".join(letter for letter in stem if letter.isalnum()), stem.replace("-", ":"), stem + "%00"]
        pairs += [("qp", key) for key in forms]
    return list(dict.fromkeys(pairs))


@proves("IDEM-5")
async def test_drawn_keys_are_apart(case: Case) -> None:
    """IDEM-5: Same body with different keys MUST create different messages.

    Keys that are each other's percent-encoding, compatibility form, rearrangement, or the same letters with another
    mark between them; and types and keys that are the same once they are joined. What is refused is passed over.
    """
    queue = await case.queue()
    token = case.world.token()
    body = {"same": token}
    pairs = keys_apart(token, case.world.seed)
    if case.world.client.budget.rate_limited:
        pairs = pairs[:8]
    made: dict[str, tuple[tuple[str, str], Message]] = {}
    for kind, key in pairs:
        try:
            message = await queue.publish(body, root=UNDOCUMENTED, type=kind, idempotency_key=key)
        except Blocked as end:
            if end.root != UNDOCUMENTED:
                raise
            continue
        other = made.setdefault(message.id, ((kind, key), message))
        case.require(
            other[1] is message,
            "two different keys made one message",
            expected="an id of its own for each key",
            seen=f"id {message.id} for type and key {spell(other[0])} and again for {spell((kind, key))}",
            evidence=(other[1].publish, message.publish),
        )
    if len(made) < 2:
        raise NotSupported("publish takes none of the keys that were tried")


@proves("CLAIM-8")
async def test_a_long_delay_is_kept(case: Case) -> None:
    """CLAIM-8: A message with a future `delay_until` MUST NOT be claimed before it.

    Delays of two minutes, an hour, a month; with and without a key, by which they are published again. They are claimed
    beside an older message without a delay, which a batch begins with, then where nothing else waits, and beside a
    newer one (the control). In a queue ordered by priority they have the highest, in one ordered by deadline they alone
    have one. Where requests are not counted, a queue is paused and resumed before the last claims.
    """
    for ordering in ("fifo",) if case.world.thrift else ("fifo", "priority", "deadline"):
        await long_delayed(case, await case.queue(ordering=ordering))


async def long_delayed(case: Case, queue: Queue) -> None:
    older = await fitting(queue)
    waiting: dict[Message, float] = {}  # until when each is delayed at least, in monotonic seconds
    for number, delay_s in enumerate(DELAYS_S):
        moment, due_s = case.world.moment(delay_s), time.monotonic() + delay_s
        if moment is None:
            raise NotSupported("the server's clock may be another one")
        fields: dict[str, Any] = {"idempotency_key": case.world.token()} if number != 1 else {}
        if queue.fields.get("ordering") == "priority":
            fields["priority"] = {"tier": "critical", "score": 1000}
        if queue.fields.get("ordering") == "deadline":
            fields["deadline"] = (moment + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields["delay_until"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        with tolerated():
            waiting[await queue.publish(root=UNDOCUMENTED, **fields)] = due_s
    if not waiting:
        raise NotSupported("publish takes no delay_until")
    for message in waiting:
        if "idempotency_key" in message.fields:
            described = queue.described(message.token, message.fields)
            await case.send(wire.publish(queue.scope, queue.id, message.fields), fields=described)
    met: set[Message] = set()
    for number in range(4):
        if number == 2 and queue.fields.get("ordering") == "priority":
            queue.unmodelled = True  # paused: this case alone judges it
            if await moved(case, queue, "queue", "pause"):
                await resume(case, queue, "queue")
        taken = (await queue.claim(5, HOLD_S)).deliveries
        met |= {delivery.message for delivery in taken}
        early = [d for d in taken if d.claim.ret_ns / S + CLOCKS_S < waiting.get(d.message, 0.0)]
        case.require(
            not early,
            "a delayed message was claimed minutes before its time",
            expected="no delivery of a message that is delayed by two minutes or more",
            seen=f"delivered, with delay_until {early[0].message.fields['delay_until']}" if early else "",
            evidence=(early[0].message.publish, early[0].claim) if early else (),
        )
        await asyncio.sleep(queue.pause_s(0.3))
    await queue.take(*({older, await fitting(queue)} - met), batch_size=5, timeout_s=HOLD_S)


@proves("PUB-6")
async def test_a_long_chain_is_listed_whole(case: Case) -> None:
    """PUB-6: `correlation_id` MUST be stored and `GET /scopes/{scope_id}/messages?correlation_id=` MUST return every
    message carrying it.

    More messages than a page may hold, read over all pages.
    """
    queue = await case.queue()
    chain = f"{case.world.token()}.chain"
    few = 5 if case.world.client.budget.rate_limited else CHAIN
    try:
        messages = await queue.publish_many(few, root=UNDOCUMENTED, correlation_id=chain)
    except Blocked as end:
        raise NotSupported(f"publish takes no correlation_id: {end.summary}", evidence=end.evidence) from end

    async def missing() -> list[str]:
        found = await listed(case, lambda **page: wire.trace_messages(queue.scope, chain, **page))
        if found is None:
            raise NotSupported("there is no list of a scope's messages")
        seen = {wire.identity(row) for row in found}
        return [message.id for message in messages if message.id not in seen]

    left = await case.eventually(missing, lambda ids: not ids)
    case.require(
        not left,
        "the list by correlation_id leaves messages out",
        expected=f"all {len(messages)} messages that carry it",
        seen=f"{len(messages) - len(left)} of them over all pages, without {spell(left[:3])}",
        evidence=[m.publish for m in messages if m.id in left[:3]],
        liveness=True,
    )


@proves("LOSS-1")
async def test_a_deep_queue_keeps_everything(case: Case) -> None:
    """LOSS-1: A message whose publish was acknowledged MUST NOT be lost before it is completed or expires.

    A hundred and fifty messages wait in one queue before the first claim; then all are held at once, in large batches,
    and none comes twice.
    """
    if case.world.client.budget.rate_limited:
        raise NotSupported("the server counts requests: a queue is not filled deep there")
    queue = await case.queue()
    shares = [DEEP // PUBLISHERS] * PUBLISHERS
    messages = [m for part in await asyncio.gather(*(queue.publish_many(share) for share in shares)) for m in part]
    size = min(100, case.world.dialect.batch_max)
    found = await queue.take(*messages, batch_size=size, timeout_s=HOLD_S, root="LOSS-1")
    found += (await queue.claim(25, HOLD_S)).deliveries
    once: dict[Message, Delivery] = {}
    for delivery in found:
        first = once.setdefault(delivery.message, delivery)
        if first is not delivery and double_hold(first, delivery):
            case.refuse(
                "VIS-1", "a held message was handed out again", expected=f"one holder of {delivery.id}",
                seen="two claims returned it", proof=double_hold(first, delivery),
                evidence=(delivery.message.publish, first.claim, delivery.claim),
            )  # fmt: skip


@proves("LOSS-1")
async def test_what_is_delayed_hides_nothing(case: Case) -> None:
    """LOSS-1: A message whose publish was acknowledged MUST NOT be lost before it is completed or expires.

    A message that is not delayed is claimed though a hundred and twenty stand before it that are delayed by an hour, as
    is one that stood there first (the control).
    """
    if case.world.client.budget.rationed:
        raise NotSupported("the server counts requests: a queue is not filled deep there")
    moment = case.world.moment(3600)
    if moment is None:
        raise NotSupported("the server's clock may be another one")
    queue = await case.queue()
    await queue.complete(await queue.take_one(await queue.publish(), timeout_s=HOLD_S))
    due = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    await publish_with(queue, delay_until=due)
    await asyncio.gather(*(publish_with(queue, delay_until=due) for _ in range(HIDDEN)))
    doing = "a message was not delivered that was published after others which are delayed"
    await queue.take(await queue.publish(), timeout_s=HOLD_S, root="LOSS-1", doing=doing)


@proves("LOSS-1")
async def test_a_lifetime_is_its_own(case: Case) -> None:
    """LOSS-1: A message whose publish was acknowledged MUST NOT be lost before it is completed or expires.

    A message that lives for a second is left alone; those that live for ten minutes, for an hour, or for ever are
    claimed four seconds later all the same, and so is one that lives for half a minute unless requests are counted.
    """
    queue = await case.queue()
    begun = time.monotonic()
    lasting = [await queue.publish()]
    for seconds in (1, 600, 3600, *(() if case.world.client.budget.rationed else (SHORT_LIFE_S,))):
        try:
            message = await queue.publish(root=UNDOCUMENTED, ttl_seconds=seconds)
        except Blocked as end:
            raise NotSupported(f"publish takes no ttl_seconds: {end.summary}", evidence=end.evidence) from end
        lasting += [message] if seconds > 1 else []
    lasting.append(await queue.publish())
    await asyncio.sleep(4.0)
    found = await queue.claim(10, HOLD_S)
    missing = [message for message in lasting if not found.of(message)]
    try:
        await queue.take(*missing, batch_size=10, timeout_s=HOLD_S, root="LOSS-1")
    except (Violation, Blocked):
        if time.monotonic() > begun + SHORT_LIFE_S - 2.0:
            raise Disturbed("it took so long that a lifetime may be over") from None
        raise


@proves("DLQ-1")
async def test_dead_letters_stay_where_they_are(case: Case) -> None:
    """DLQ-1: Fail with `attempts >= max_retries` MUST leave nothing claimable in the source queue for that message.

    Three messages fail in a queue that allows one attempt, are claimed among the dead letters, and let lapse: none is
    ever claimed from its own queue again, from which a fresh message is (the control).
    """
    scope = await case.own_scope()
    queue = await queue_with(case, scope=scope, shown="max_retries", max_retries=1)
    messages = await queue.publish_many(3)
    failed: list[Delivery] = []
    gone: set[Message] = set()  # by their rows
    for message in messages:
        readable = await row_of(queue, message) is not None
        for _ in range(2):  # one page counts attempts, another retries after the first
            if await spent(queue, message, failed, gone, readable=readable):
                break
    letters = DeadLetters(case, scope, await dead_letter_queue(case, scope), hold_s=case.world.dialect.timeout_s)
    if not letters.id:
        raise NotSupported("no list shows _dead_letter")
    for message in messages:
        found = await case.eventually(partial(letters.find, message), lambda hit: hit is not None)
        if found is None and (letters.claimable or letters.readable):
            if message not in gone and sum(delivery.message is message for delivery in failed) < 2:  # no row told
                raise Inconclusive("a message that was failed once is not among the dead letters")
            case.refuse(
                "DLQ-2", "a message that used up its retries is not among the dead letters",
                expected=f"{message.id} in _dead_letter", seen="not there", evidence=(message.publish,), liveness=True,
            )  # fmt: skip
    await asyncio.sleep(case.world.dialect.timeout_s + 1.0)
    control = await queue.publish()
    found_here = await queue.take(control, batch_size=10, timeout_s=HOLD_S)
    again = [delivery for delivery in found_here if delivery.message in messages]
    case.require(
        not again,
        "a dead letter was handed out by the queue that it came from",
        expected=f"only {control.id}",
        seen=", ".join(delivery.id for delivery in again),
        evidence=[part for delivery in again for part in (delivery.message.publish, delivery.claim)],
    )


async def spent(queue: Queue, message: Message, failed: list[Delivery], gone: set[Message], *, readable: bool) -> bool:
    """Fails the message, claimed before or now; or finds that it has left the queue already.

    `readable`: its row could be read, so that a row which is not there any more tells as much as one that says so.
    """
    delivery = queue.latest.get(message)
    if delivery is None or delivery in failed:  # else it came, and is held, while another message was waited for
        if delivery is not None:
            row = await row_of(queue, message)
            if row is None and not readable:
                return False
            here = row is not None and row.get("queue_id", queue.id) == queue.id
            if row is None or not here or wire.state(row) not in {"pending", "claimed"}:
                gone.add(message)
                return True
        try:
            wait_s = BACKOFF_S if delivery is not None else None
            delivery = await queue.take_one(message, timeout_s=HOLD_S, root=UNDOCUMENTED, within_s=wait_s)
        except Blocked as end:
            if end.root != UNDOCUMENTED:
                raise
            return True
    await queue.act("fail", delivery, root="FAIL-1", reason="planned")
    failed.append(delivery)
    return False
