"""DONE: completing what is not claimed."""

from functools import partial
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.counters import counters_are
from queueproof.drive.optional import answered
from queueproof.drive.outcomes import NotSupported
from queueproof.drive.queue import Message, Queue
from queueproof.evidence.digest import same_json

HOLD_S = 60
WHAT = "completing what is not claimed moved the counters"


@proves("DONE-5")
async def test_only_the_claimed_count(case: Case) -> None:
    """DONE-5: Completing a pending or already completed message SHOULD fail with 4xx and MUST NOT change counters.

    Twice for a completed message, and for a pending one, beside a claimed message that is completed afterwards (the
    control). Whether it is refused is the server's own choice; no failure of the server's (5xx) is it. The counters are
    read at rest. The row of the completed message keeps its response, where it can be read.
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
    await queue.complete(held[second])
    await counters_are(case, queue, pending, len(held) - 2, root="DONE-3")


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
