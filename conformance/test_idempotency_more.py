"""IDEM: what is not the same publish, publishes at once, and a key after its message's end."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable

from queueproof.contract import wire
from queueproof.drive.asking import ask, handed_out
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.outcomes import Blocked, Disturbed, NotSupported
from queueproof.drive.queue import UNAVAILABLE, Message, Queue

S = 1_000_000_000  # ns
HOLD_S = 60
AT_ONCE = 8
ROUNDS = 5
QUIET_S = 1.5


@proves("IDEM-1")
async def test_a_key_outlasts_what_gives_its_message_back(case: Case) -> None:
    """IDEM-1: Same key + same body twice MUST return the same message id.

    Three messages of which one is released, one failed and one left to lapse: replayed afterwards, each gives its id.
    None is failed where that might be its end.
    """
    queue = await case.lasting_queue()
    messages = [await queue.publish(idempotency_key=case.world.token()) for _ in range(3)]
    held = {d.message: d for d in await queue.take(*messages, batch_size=3)}
    verbs = ("release", "fail" if queue.lasting else "lapse", "lapse")
    for verb, message in zip(verbs, messages, strict=True):
        if verb != "lapse":
            with contextlib.suppress(NotSupported):
                more = {"reason": "planned"} if verb == "fail" else {}
                await queue.act(verb, held[message], root={"release": "VIS-6", "fail": "FAIL-1"}[verb], **more)
    await asyncio.sleep(max(0.0, (max(d.over_ns for d in held.values()) - time.monotonic_ns()) / S + 1.5))
    for verb, message in zip(verbs, messages, strict=True):
        request = wire.publish(queue.scope, queue.id, message.fields)
        replay = await ask(case, request, fields=queue.described(message.token, message.fields))
        case.require(
            replay.ok and wire.identity(replay.data) == message.id,
            f"the same publish again, after a {verb} of its message, did not give the first message's id",
            expected=f"id {message.id}",
            seen=f"id {wire.identity(replay.data)}" if replay.ok else replay.told(),
            evidence=(message.publish, held[message].claim, replay),
        )


@proves("IDEM-5")
async def test_other_keys_are_other_messages(case: Case) -> None:
    """IDEM-5: Same body with different keys MUST create different messages.

    Keys that resemble each other: in all but case, spaces at an end, an accent, an emoji, the last of 33, 65 and 256
    characters, or as numbers. A key that is refused is passed over: what it may be is not documented. Each message is
    delivered (the control).
    """
    queue = await case.queue()
    body = {"same": case.world.token()}
    messages: list[Message] = []
    for first, *others in look_alikes(case.world.token()):
        known: list[tuple[str, Message]] = []
        for key in (first, *others):
            message = await keyed(case, queue, body, key)
            if message is None:
                continue
            for earlier, twin in known:
                case.require(
                    twin.id != message.id,
                    f"two different keys made one message: {spell(earlier)} and {spell(key)}",
                    expected="an id of its own for each key",
                    seen=f"id {message.id} twice",
                    evidence=(twin.publish, message.publish),
                )
            known.append((key, message))
        messages += [message for _, message in known]
    if len(messages) < 2:
        raise NotSupported("publish takes none of the keys that were tried")
    doing = "a message whose key resembles another's is not delivered"
    await queue.take(*messages, batch_size=10, timeout_s=HOLD_S, root="IDEM-5", doing=doing)


def look_alikes(token: str) -> list[tuple[str, ...]]:
    """Groups of keys, unique in the world, that a lax comparison takes for one."""
    number = str(time.time_ns())
    return [
        (f"{token}-order", f"{token}-ORDER", f"{token}-Order"),
        (f"{token}", f"{token} ", f" {token}", f"{token}\u00a0"),
        (f"{token}-cafe", f"{token}-café", f"{token}-cafè"),
        (f"{token}-strasse", f"{token}-straße"),
        (f"{token}-\u00e9t\u00e9", f"{token}-e\u0301te\u0301"),
        (f"{token}-\U0001f600", f"{token}-\U0001f601"),
        *(tuple(f"{token}-".ljust(length, "k") + last for last in "ab") for length in (32, 64, 128, 255)),
        (number, f"0{number}", f"{number}.0", f"+{number}"),
        (f"{token}-a-b", f"{token}-a_b", f"{token}-a%b", f"{token}-a b"),
    ]


async def keyed(case: Case, queue: Queue, body: object, key: str) -> Message | None:
    """A message under the key; None when the key is refused for its form."""
    try:
        return await queue.publish(body, root="odd key", idempotency_key=key)
    except Blocked as end:
        refused = case.exchanges[-1]
        case.require(
            refused.code != wire.IDEMPOTENCY_CONFLICT,
            f"a key that was never used is in conflict: {spell(key)}",
            expected="a new message",
            seen=refused.told(),
            evidence=(refused,),
        )
        if end.root != "odd key":
            raise
        return None


@proves("IDEM-6")
async def test_without_a_key_each_publish_counts(case: Case) -> None:
    """IDEM-6: Two publishes without a key MUST create two messages.

    The very same request twice, and again after the first was delivered: three ids, and three deliveries. So do two
    of one chain, and two whose key is null, where that is taken.
    """
    queue = await case.queue()
    body = {"same": case.world.token()}
    same: dict[str, str | None] = {"idempotency_key": None, "correlation_id": None}
    first, second = [await queue.publish(body, root="PUB-3", **same) for _ in range(2)]
    doing = "one of two messages that were published without a key is not delivered"
    await queue.take(first, second, timeout_s=HOLD_S, root="IDEM-6", doing=doing)
    third = await queue.publish(body, root="PUB-3", **same)
    await queue.take(third, timeout_s=HOLD_S, root="IDEM-6", doing=doing)
    if case.world.client.budget.rationed:
        return
    if case.world.dialect.correlation:
        same["correlation_id"] = f"{case.world.token()}.chain"
        for _ in range(2):
            await queue.publish(body, root="PUB-3", **same)
    await nulls_are_no_key(case, queue)


async def nulls_are_no_key(case: Case, queue: Queue) -> None:
    """Two publishes whose key is null have two ids; a server may refuse them."""
    token = case.world.token()
    sent = {"type": "qp.case", "body": {"qp": token}, "idempotency_key": None}
    made = [
        await ask(case, wire.publish(queue.scope, queue.id, sent), fields=queue.described(token, sent))
        for _ in range(2)
    ]
    if not all(exchange.ok for exchange in made):
        return
    first, second = (wire.identity(exchange.data) for exchange in made)
    case.require(
        first != second,
        "two publishes whose idempotency key is null made one message",
        expected="two ids",
        seen=f"id {first}, twice",
        evidence=made,
    )


@proves("IDEM-7")
async def test_publishes_at_once_make_one_message(case: Case) -> None:
    """IDEM-7: Concurrent identical publishes SHOULD yield one message and one id.

    Eight at once, in several rounds: those that succeed carry one id (one may be refused while another is under way,
    but not by a fault of the server's own again and again), and claims bring one message for each round, before a last
    one (the control).
    """
    queue = await case.queue()
    rounds = 2 if case.world.client.budget.rate_limited else ROUNDS
    raced: dict[str, list[Exchange]] = {}
    faults: list[Exchange] = []  # one a round
    for _ in range(rounds):
        token = case.world.token()
        answers = await race(queue, [token] * AT_ONCE)
        faults += [next(filter(faulty, answers))] if any(map(faulty, answers)) else []
        raced[token] = [exchange for exchange in answers if exchange.ok and wire.identity(exchange.data)]
        if not raced[token]:
            raise Disturbed(f"none of {AT_ONCE} publishes at once succeeded: {answers[0].told()}")
        ids = {wire.identity(exchange.data) for exchange in raced[token]}
        case.require(
            len(ids) == 1,
            f"{AT_ONCE} identical publishes at once were given {len(ids)} ids",
            expected="one id",
            seen=spell(sorted(ids)),
            evidence=raced[token],
        )
    if len(faults) >= ROUNDS - 1:  # where one round is not fast enough to be a race
        await alone_at_fault(case, queue, faults)
    control = await queue.publish()
    delivered: dict[str, set[str]] = {}
    for item, claim in await handed_out(queue, control):
        token = wire.token(item.get("body"))
        if token not in raced:
            continue
        ids = delivered.setdefault(token, set())
        ids.add(wire.identity(item))
        case.require(
            len(ids) == 1,
            f"{AT_ONCE} identical publishes at once made {len(ids)} messages",
            expected="one message",
            seen=spell(sorted(ids)),
            evidence=[*raced[token], claim],
        )


async def race(queue: Queue, tokens: list[str]) -> list[Exchange]:
    """Publishes at once, whose bodies and keys are these tokens; every answer."""

    def publish(token: str) -> Awaitable[Exchange]:
        sent = {"type": "qp.case", "body": {"qp": token}, "idempotency_key": token}
        fields = queue.described(token, sent)
        return queue.case.send(wire.publish(queue.scope, queue.id, sent), burst=True, fields=fields)

    return await asyncio.gather(*map(publish, tokens))


def faulty(exchange: Exchange) -> bool:
    """Whether this is a fault of the server's own: neither a refusal, nor one of the answers that say "come later"."""
    return exchange.status >= 500 and exchange.status not in UNAVAILABLE


async def alone_at_fault(case: Case, queue: Queue, faults: list[Exchange]) -> None:
    """Refuses the faults of as many rounds, unless publishes at once with keys of their own (the control) meet any."""
    for _ in range(ROUNDS):
        if any(map(faulty, await race(queue, [case.world.token() for _ in range(AT_ONCE)]))):
            return
    case.refuse(
        case.requirement,
        f"identical publishes at once were answered {faults[-1].told()} in {len(faults)} of {ROUNDS} rounds",
        expected="the one id, or a refusal",
        seen=faults[-1].told(),
        evidence=faults,
    )


@proves("IDEM-8")
async def test_a_replay_after_completion_revives_nothing(case: Case) -> None:
    """IDEM-8: Replay after completion SHOULD return the same id and MUST NOT make anything claimable.

    Replayed after the message was claimed and completed; claims bring nothing but a fresh message (the control). How
    long a key is kept is not documented: a replay that is refused, or answered with a new id, is a key forgotten.
    """
    queue = await case.queue()
    message = await queue.publish(idempotency_key=case.world.token())
    await queue.complete(await queue.take_one(message, timeout_s=HOLD_S))
    request = wire.publish(queue.scope, queue.id, message.fields)
    replay = await ask(case, request, fields=queue.described(message.token, message.fields))
    if not replay.ok or wire.identity(replay.data) != message.id:
        seen = f"id {wire.identity(replay.data)}" if replay.ok else replay.told()
        raise NotSupported(f"a key is forgotten with its message's end: {seen}", evidence=(replay.op,))
    control = await queue.publish()
    found = await queue.take(control, batch_size=10, timeout_s=HOLD_S)
    async for claim in queue.watch(time.monotonic_ns() + round(QUIET_S * S), timeout_s=HOLD_S):
        found += claim.deliveries
    for delivery in found:
        case.require(
            delivery.message is not message,
            "a completed message is delivered again after a replay of its publish",
            expected="nothing but the fresh message",
            seen=f"id {delivery.id}",
            evidence=(queue.done[message], replay, delivery.claim),
        )
