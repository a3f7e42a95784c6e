"""DONE: completing what is not claimed."""

from queueproof.contract import wire
from queueproof.drive.case import Case, proves
from queueproof.drive.client import Exchange
from queueproof.drive.counters import counters_are
from queueproof.drive.optional import answered

HOLD_S = 60
WHAT = "completing what is not claimed moved the counters"


@proves("DONE-5")
async def test_only_the_claimed_count(case: Case) -> None:
    """DONE-5: Completing a pending or already completed message SHOULD fail with 4xx and MUST NOT change counters.

    Twice for a completed message, and for a pending one, beside a claimed message that is completed afterwards (the
    control). Whether it is refused is the server's own choice; no failure of the server's (5xx) is it. The counters are
    read at rest.
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
    waiting = [message for message in messages if message not in held]
    if waiting:
        no_failure(case, await answered(case, wire.complete(queue.scope, waiting[-1].id, response={})))
        await counters_are(case, queue, pending, len(held) - 1, root="DONE-5", summary=WHAT)
    await queue.complete(held[second])
    await counters_are(case, queue, pending, len(held) - 2, root="DONE-3")


def no_failure(case: Case, exchange: Exchange) -> None:
    """The answer to a complete that came at the wrong time is the caller's affair."""
    case.require(
        exchange.status < 500,
        "completing what is not claimed is answered as a failure of the server",
        expected="4xx, or 2xx where nothing is left to do",
        seen=exchange.told(),
        evidence=(exchange,),
    )
