"""Dead letters made on purpose: queues whose messages may fail once, and what `_dead_letter` shows of them."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case
from queueproof.drive.client import Exchange
from queueproof.drive.delivery import Delivery, Message
from queueproof.drive.optional import DeadLetters, dead_letter_queue, queue_with
from queueproof.drive.outcomes import Disturbed, NotSupported
from queueproof.drive.queue import BACKOFF_S, Queue
from queueproof.evidence.operation import Result

HOLD_S = 60
# As long as what an exception says; its end tells whether all of it was kept.
REASON = "queueproof: the last failure, told in a sentence of the length that an exception's message has, é😀"
# One page allows one delivery more than `max_retries` says.
MOST_DELIVERIES = 2
# A dead letter that claims bring at all comes by one of those of so many seconds.
CLAIMED_WITHIN_S = 3.0
# A claim may bring one at a time, and a slow server few in that time: so many looks in a row have to show nothing new.
LOOKS_IN_VAIN = 5


async def mortal_queue(case: Case, scope: str) -> Queue:
    """A queue whose messages may be tried once."""
    return await queue_with(case, scope=scope, shown="max_retries", max_retries=1)


async def graveyard(case: Case, scope: str, *, hold_s: int = HOLD_S) -> DeadLetters:
    """The scope's dead letters, claimed for so long; ends as not supported where no list shows their queue."""
    found = await dead_letter_queue(case, scope)
    if not found:
        raise NotSupported("the list of queues shows no _dead_letter", lacks=("dead-letter",))
    return DeadLetters(case, scope, found, hold_s=hold_s)


# ── one message ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(kw_only=True)
class Buried:
    """A message whose queue allows one attempt, which failed; `seen`: all that `_dead_letter` has shown of it."""

    queue: Queue
    message: Message
    held: Delivery  # the first of its deliveries
    fails: list[Exchange]
    letters: DeadLetters
    seen: list[tuple[dict[str, Any], Exchange]]

    @property
    def claimed(self) -> list[tuple[dict[str, Any], Exchange]]:
        """What claims brought of it from `_dead_letter`."""
        return [(item, exchange) for item, exchange in self.seen if exchange.request.verb == "claim"]


async def bury(case: Case, *, letters_hold_s: int = HOLD_S, **fields: Any) -> Buried:
    """Fails a message until `_dead_letter` shows it; ends as not supported where it never does.

    `letters_hold_s`: for how long the claims that look for it there hold it.
    """
    scope = await case.own_scope()
    queue = await mortal_queue(case, scope)
    return await bury_in(case, queue, await graveyard(case, scope, hold_s=letters_hold_s), **fields)


async def bury_in(case: Case, queue: Queue, letters: DeadLetters, **fields: Any) -> Buried:
    """The same for a queue and dead letters that there are."""
    message = await queue.publish(**fields)
    held = await queue.take_one(message, timeout_s=HOLD_S)
    fails = [await queue.act("fail", held, root="FAIL-1", reason=REASON)]
    seen = await letters.find_all(message)
    end = time.monotonic() + BACKOFF_S
    while not seen and time.monotonic() < end:
        for again in (await queue.claim(1, HOLD_S)).of(message)[:1]:
            fails += [await queue.act("fail", again, root="FAIL-1", reason=REASON)]
        seen = await letters.find_all(message)
        await asyncio.sleep(queue.pause_s(0.2))
    if not seen:
        raise NotSupported("_dead_letter does not show a message that has spent its attempts")
    if queue.unsettled:
        raise Disturbed("a call of unknown result may have left another message")
    return Buried(queue=queue, message=message, held=held, fails=fails, letters=letters, seen=seen)


async def claimed(case: Case, buried: Buried) -> str:
    """The id under which a claim brought the dead letter; ends as not supported where none does."""
    end = time.monotonic() + CLAIMED_WITHIN_S
    while not buried.claimed and time.monotonic() < end:
        await asyncio.sleep(buried.queue.pause_s(0.3))
        buried.seen += await buried.letters.find_all(buried.message)
    if not buried.claimed:
        undisturbed(case, buried)
        raise NotSupported("_dead_letter cannot be claimed from")
    return wire.identity(buried.claimed[-1][0])


def undisturbed(case: Case, buried: Buried) -> None:
    """Starts the case anew where a claim of unknown result may hold the dead letter."""
    if any(call.request.queue == buried.letters.id and call.result is Result.UNKNOWN for call in case.exchanges):
        raise Disturbed("a claim whose answer was lost may hold the dead letter")


# ── several messages ──────────────────────────────────────────────────────────────────────────────────────────────


async def all_buried(case: Case, letters: DeadLetters, spent: Mapping[Message, Queue]) -> None:
    """Ends the case unless `_dead_letter` shows each of these messages, which have failed in their queues.

    Where claims bring some of them from there, they have to bring each: what they bring is completed, so that nothing
    that is held keeps others back. A message that comes once more, as one page allows, is failed once more.
    """
    shown: set[Message] = set()
    brought: set[Message] = set()
    vain = 0  # looks in a row that showed nothing new
    begun = time.monotonic()
    end = begun + BACKOFF_S
    while (time.monotonic() < end or vain < LOOKS_IN_VAIN) and not (
        len(shown) == len(spent) and len(brought) in {0, len(spent)}
    ):
        before = len(shown) + len(brought)
        for queue in dict.fromkeys(spent.values()):
            await _fail_again(queue, spent)
        for item, exchange in await letters.look():
            found = {message for message in spent if letters.shows(item, message)}
            shown |= found
            if found and exchange.request.verb == "claim":
                brought |= found
                await case.send(wire.complete(next(iter(spent.values())).scope, wire.identity(item)))
        vain = 0 if len(shown) + len(brought) > before else vain + 1
        await asyncio.sleep(case.world.pause_s(0.2))
    _undisturbed(case, letters, spent)
    if not shown:
        raise NotSupported("_dead_letter does not show messages that have spent their attempts")
    for seen, way in ((shown, "in its scope's _dead_letter"), (brought or shown, "claimed from _dead_letter")):
        missing = [message for message in spent if message not in seen]
        case.require(
            not missing,
            f"of {len(spent)} messages that have spent their attempts, {len(missing)} cannot be found {way}",
            expected=f"each of {', '.join(message.id for message in spent)}",
            seen=f"for {time.monotonic() - begun:.0f} s all but {', '.join(message.id for message in missing)}",
            evidence=(*(message.publish for message in missing), case.exchanges[-1]),
            liveness=True,
        )


async def _fail_again(queue: Queue, spent: Mapping[Message, Queue]) -> None:
    """Fails what comes again; ends as not supported where that is more often than any page allows."""
    for again in (await queue.claim(len(spent), HOLD_S)).deliveries:
        if queue.counts[again.message] > MOST_DELIVERIES:
            raise NotSupported("a message comes more often than its queue's max_retries allows")
        await queue.act("fail", again, root="FAIL-1", reason=REASON)


def _undisturbed(case: Case, letters: DeadLetters, spent: Mapping[Message, Queue]) -> None:
    """Starts the case anew where a call of unknown result may hold or have ended one of the messages."""
    unknown = any(call.request.queue == letters.id and call.result is Result.UNKNOWN for call in case.exchanges)
    if unknown or any(queue.unsettled for queue in spent.values()):
        raise Disturbed("a call of unknown result may hold one of the messages")
