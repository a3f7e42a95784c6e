"""DONE: completing what is not claimed, and responses of every kind."""

import asyncio
import time
from functools import partial
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.counters import counters_are
from queueproof.drive.difference import contrast
from queueproof.drive.optional import answered, released, tolerated
from queueproof.drive.outcomes import UNDOCUMENTED, Disturbed, NotSupported
from queueproof.drive.queue import BACKOFF_S, Message, Queue
from queueproof.evidence.digest import same_json

S = 1_000_000_000  # ns
HOLD_S = 60
RACERS = 5
WHAT = "completing what is not claimed moved the counters"


@proves("DONE-3")
async def test_a_completion_counts_once_whatever_came_before(case: Case) -> None:
    """DONE-3: Complete MUST lower `depth_claimed` by one.

    Sixteen messages, of which one had lapsed before, one was released and one extended, where that is there; all but
    the last two are completed one after the other.
    """
    if case.world.client.budget.rationed:
        raise NotSupported("the server counts requests: this is left out there")
    queue = await case.lasting_queue()
    messages = [await queue.publish(idempotency_key=case.world.token()) for _ in range(16)]  # so that lost ones settle
    await queue.take_one(messages[0])
    given = await released(queue, await queue.take_one(messages[1], timeout_s=HOLD_S))
    within_s = case.world.dialect.timeout_s + case.world.bound_s + BACKOFF_S
    await case.world.late_in()
    await queue.take_one(messages[0], timeout_s=HOLD_S, root="VIS-2", within_s=within_s)
    soon_ns = time.monotonic_ns() + HOLD_S * S // 3
    missing = [
        message
        for message in messages
        if message not in queue.latest
        or queue.latest[message].held_until_ns < soon_ns
        or (message is messages[1] and given and queue.counts[message] == 1)
    ]
    await queue.take(*missing, batch_size=10, timeout_s=HOLD_S, root="CLAIM-1", within_s=within_s)
    extend = wire.extend(queue.scope, queue.latest[messages[2]].id, visibility_timeout_s=HOLD_S)
    await answered(case, extend, fields={"timeout_s": HOLD_S})
    held = [queue.latest[message] for message in messages]
    queue.holding(*held)
    await counters_are(case, queue, 0, len(held), root="CLAIM-7")
    for delivery in held[:-2]:
        await queue.complete(delivery)
    queue.holding(*held[-2:])
    if queue.unsettled:
        raise Disturbed("a call of unknown result may count too")
    await counters_are(case, queue, 0, 2, root="DONE-3", summary="completions did not lower depth_claimed by one each")


@proves("DONE-5")
async def test_only_the_claimed_count(case: Case) -> None:
    """DONE-5: Completing a pending or already completed message SHOULD fail with 4xx and MUST NOT change counters.

    Twice for a completed message, and for a pending one, beside a claimed message that is completed afterwards (the
    control) by several at once, of whom one is in time. Whether it is refused is the server's own choice; no failure of
    the server's (5xx) is it. The counters are read at rest. The row of the completed message keeps its response, where
    it can be read.
    """
    queue = await case.queue()
    messages = await queue.publish_many(4)
    await counters_are(case, queue, 4, 0, root="PUB-4")
    held = {d.message: d for d in await queue.take(*messages[:2], timeout_s=HOLD_S)}
    pending = len(messages) - len(held)
    await counters_are(case, queue, pending, len(held), root="CLAIM-7")
    first, second = messages[:2]
    await queue.complete(held[first], response={"n": 1})
    await counters_are(case, queue, pending, len(held) - 1, root="DONE-3")
    for response in ({"n": 1}, {"n": 2}):
        request = wire.complete(queue.scope, first.id, response=response)
        no_failure(case, await answered(case, request))
        await counters_are(case, queue, pending, len(held) - 1, root="DONE-5", summary=WHAT)
    await response_stays(case, queue, first, {"n": 1}, {"n": 2})
    waiting = [message for message in messages if message not in held]
    if waiting:
        no_failure(case, await answered(case, wire.complete(queue.scope, waiting[-1].id, response={})))
        await counters_are(case, queue, pending, len(held) - 1, root="DONE-5", summary=WHAT)
    await case.world.client.budget.save_up(RACERS)
    request = wire.complete(queue.scope, second.id)
    racing = await asyncio.gather(*(case.send(request, urgent=True, burst=True) for _ in range(RACERS)))
    if not any(exchange.ok for exchange in racing):
        raise Disturbed("no completion was acknowledged, and one whose answer was lost may have been done")
    doing = "completing a message several times at once did not lower depth_claimed by one"
    await counters_are(case, queue, pending, len(held) - 2, root="DONE-5", summary=doing)


async def response_stays(case: Case, queue: Queue, message: Message, first: Any, second: Any) -> None:
    """The row does not go over from the first completion's response to the second one's, where rows can be read."""

    async def read() -> Any:
        return (await queue.read(message)).get("response", wire.ABSENT)

    sent = next(exchange for exchange in reversed(case.exchanges) if exchange.request.verb == "complete")
    try:
        seen = await case.eventually(read, partial(same_json, first))
    except NotSupported:
        return
    if same_json(seen, second):
        case.refuse(
            "DONE-5" if sent.ok else "DONE-2",  # what a refused call changes was promised to stay
            "completing a completed message changed its response",
            expected=f"response: {spell(first)}",
            seen=f"response: {spell(seen)}; the second completion was answered {sent.told()}",
            evidence=(queue.done[message], sent, case.exchanges[-1]),
        )


def no_failure(case: Case, exchange: Exchange) -> None:
    """The answer to a complete that came at the wrong time is the caller's affair."""
    case.require(
        exchange.status < 500,
        "completing what is not claimed is answered as a failure of the server",
        expected="4xx, or 2xx where nothing is left to do",
        seen=exchange.told(),
        evidence=(exchange,),
    )


# Results as programs write them, several kinds in one: no whole number beyond 2^53, which JSON lets a server round.
RESPONSES: tuple[dict[str, Any], ...] = (
    {
        "whole": [0, -1, 255, 256, 65536, 2147483648, -2147483649, 9007199254740991],
        "fractions": [0.1, -2.5, 1e-7, 3.5e10, 0.30000000000000004, 12345.678901, 1.23456789012],
        "truth": [True, 1, "true", "1", False, 0, "false", "0", None, "null"],
        "like numbers": ["007", "1e5", "1.0", "-0", "0x1F", "NaN", "Infinity", " 1"],
        "like dates": ["2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+02:00", "12:30"],
        "lists": [3, 1, 2, 2, [], [[]], [2, 1], [1, 2], ["b", "a", "b", None]],
    },
    {
        "white space": [" a", "a ", "a\nb", "a\r\nb", "\ta", "a\u00a0", ""],
        "markup": ['"', "'", "\\", "\\n", "</script>", "<b>&amp;</b>", "{{x}}", "${x}", "%s", "a+b"],
        "scripts": ["é", "ß", "Ωμέγα", "привет", "漢字", "العربية", "हिन्दी", "İıŞ", "ﬁ", "e\u0301", "\u212b"],
        "beyond the basic plane": ["😀", "👩\u200d👩\u200d👧\u200d👦", "𝒳", "🇪🇺"],
        "größe": 1,
        "😀": {"Key": 1, "key": 2, "KEY": 3},
    },
    {"state": "pending", "response": {"id": "x"}, "body": None, "labels": {}, "attempts": 99, "id": "y"},
)
# What a server may refuse, but must not change.
ODD_RESPONSES: tuple[dict[str, Any], ...] = (
    {"NUL": "a\u0000b"},
    {"control": ["\u0001", "\u001f", "\u007f", "\b\f\v"], "lines": ["a\u2028b", "\ufeffa", "\u200b", "\u202eabc"]},
    {"": 1, "a.b": {"c.d": 2}, "a[0]": 3, "$set": 4, "__proto__": 5, "constructor": 6, "a/b": 7},
    {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": [[[[[{"leaf": None}]]]]]}}}}}}}},
    {"many": {f"member_{number}": number for number in range(200)}, "long": list(range(500))},
    {"text": "é" * 30_000},
    {"text": "".join(f"{number:07d} é" for number in range(8000))},
)


@proves("DONE-2")
async def test_every_kind_of_response_is_kept(case: Case) -> None:
    """DONE-2: `response` MUST be stored on the message and readable afterwards.

    Responses as wide as bodies are: numbers, texts of many scripts, control characters, deep and long ones, each read
    off its own message's row. One may be refused, an odd or long one also by a fault of the server's own, but what a
    server took it shows unchanged.
    """
    queue = await case.queue()
    responses = (*RESPONSES, *ODD_RESPONSES[: 3 if case.world.thrift else None])
    waiting = dict(zip(await queue.publish_many(len(responses)), responses, strict=True))
    completions: list[tuple[Message, dict[str, Any], Exchange]] = []
    while waiting:
        for delivery in await queue.take(next(iter(waiting)), timeout_s=HOLD_S):  # and done at once, however slow it is
            if (response := waiting.pop(delivery.message, None)) is None:
                continue
            faults = "DONE-2" if response in RESPONSES else UNDOCUMENTED
            with tolerated():
                done = await queue.complete(delivery, response=response, root=UNDOCUMENTED, faults=faults)
                completions.append((delivery.message, response, done))
    for message, response, done in completions:

        async def read(message: Message = message) -> Any:
            return (await queue.read(message)).get("response", wire.ABSENT)

        seen = await case.eventually(read, partial(same_json, response), within_s=2.0)
        case.require(
            same_json(seen, response),
            "a message's row shows another response than it was completed with",
            **contrast(response, seen, name="response"),
            evidence=(done, case.exchanges[-1]),
        )
