"""What a case may use although no page says how it is called: absent, or refused, it is no fault of the server's."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import FIRST_PAUSE_S, Case, spell
from queueproof.drive.client import Exchange
from queueproof.drive.lists import objects, pages
from queueproof.drive.outcomes import UNDOCUMENTED, Blocked, Disturbed, Inconclusive, NotSupported
from queueproof.drive.queue import UNAVAILABLE, Delivery, Message, Queue, S
from queueproof.evidence.operation import Result

DEAD_LETTER = "_dead_letter"
# Answers to one call that may be passing before it is given up.
TRIES = 5


@contextlib.contextmanager
def tolerated() -> Iterator[None]:
    """Goes on after the block when what it asked for, under the root UNDOCUMENTED, was refused."""
    try:
        yield
    except Blocked as end:
        if end.root != UNDOCUMENTED:
            raise


async def queue_with(case: Case, *, scope: str = "", shown: str = "", **fields: Any) -> Queue:
    """A queue created with fields of which no page says that they are taken there; not supported where they are not.

    `shown`: a field that the queue's row has to show as asked for: what is passed over in silence was never promised.
    """
    try:
        queue = await case.queue(scope=scope, root=UNDOCUMENTED, **fields)
    except Blocked as end:
        if end.root != UNDOCUMENTED:
            raise
        raise NotSupported(f"a queue takes no {', '.join(fields)}: {end.summary}", evidence=end.evidence) from end
    if shown:
        row = queue.created.data
        if not isinstance(row, dict) or shown not in row:
            row = (await answered(case, wire.read_queue(queue.scope, queue.id))).data
        if not isinstance(row, dict) or row.get(shown) != fields[shown]:
            raise NotSupported(
                f"the queue's row does not show the {shown} that was asked for: creation may not take it",
                evidence=(queue.created.op,),
            )
    return queue


async def publish_with(queue: Queue, **fields: Any) -> Message:
    """A message published with a field whose spelling no page gives; not supported where it is refused."""
    try:
        return await queue.publish(root=UNDOCUMENTED, **fields)
    except Blocked as end:
        if end.root != UNDOCUMENTED:
            raise
        raise NotSupported(f"publish takes no {', '.join(fields)}: {end.summary}", evidence=end.evidence) from end


async def publish_delayed(queue: Queue, delay_s: float) -> tuple[Message, int]:
    """A message that is delayed by about so long, and until when (ns) it has come by any reading of the server's clock.

    Not supported where publish takes no delay, or nothing is known of that clock.
    """
    world = queue.case.world
    due = world.moment(delay_s)
    if due is None:
        raise NotSupported("the server's clock may be another one")
    until_ns = time.monotonic_ns() + round((world.come_s(delay_s) + world.bound_s) * S)
    return await publish_with(queue, delay_until=due.strftime("%Y-%m-%dT%H:%M:%SZ")), until_ns


async def all_come(queue: Queue, *messages: Message, until_ns: int, timeout_s: float) -> None:
    """Claims until all of these messages have come; not supported when some do not: other cases judge that."""
    async for _ in queue.watch(until_ns, timeout_s=timeout_s):
        if queue.latest.keys() >= set(messages):
            return
    raise NotSupported("a message that was delayed, or one beside it, did not come in its time")


async def released(queue: Queue, delivery: Delivery) -> bool:
    """Whether a release of the delivery was acknowledged; False where there is no such verb."""
    try:
        await queue.act("release", delivery, root="VIS-6")
    except NotSupported:
        return False
    return True


async def change(case: Case, request: wire.Request) -> Exchange:
    """Moves a scope or queue through its life cycle; not supported where the verb is absent or refused."""
    try:
        return await case.persist(lambda: request, UNDOCUMENTED, f"{request.verb}", optional=True)
    except Blocked as end:
        if end.root != UNDOCUMENTED:
            raise
        raise NotSupported(f"{request.verb} is refused: {end.summary}", evidence=end.evidence) from end


async def answered(case: Case, request: wire.Request, *, echoes: bool = False, **options: Any) -> Exchange:
    """A call's answer of whatever kind, once one came that is not passing; the case starts anew when none does.

    `echoes`: a refusal after a try whose answer was lost may come from that try's own effect, and proves nothing.
    """
    perhaps = False
    for attempt in range(TRIES):
        exchange = await case.send(request, **options)
        if exchange.refused and perhaps and echoes:
            raise Disturbed(f"{request.verb}: refused after a try whose answer was lost", evidence=(exchange.op,))
        if exchange.ok or exchange.refused:
            return exchange
        perhaps = perhaps or exchange.result is Result.UNKNOWN
        await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
    if exchange.answer is not None and exchange.status not in UNAVAILABLE:
        return exchange  # a fault of the server's own, again and again
    raise Disturbed(f"{exchange.request.verb} was not answered: {exchange.told()}", evidence=(exchange.op,))


async def try_publish(
    queue: Queue, *, forbidden: str, burst: bool = False, more: Mapping[str, Any] | None = None, keyed: bool = True
) -> Exchange:
    """One publish that the server may have to refuse; a delivery of what it refused breaks the promise `forbidden`.

    It has an idempotency key, so that a try whose answer was lost is repeated without making another message; without
    one (`keyed`) it is for publishes of which none may be taken.
    """
    world = queue.case.world
    token = world.token()
    key = {"idempotency_key": token} if keyed or world.dialect.publish_key_needed else {}
    fields = {"type": "qp.case", "body": {"qp": token}, **key, **(more or {})}
    request = wire.publish(queue.scope, queue.id, fields)
    exchange = await answered(queue.case, request, echoes=True, fields=queue.described(token, fields), burst=burst)
    if exchange.ok:
        queue.adopt(
            wire.identity(exchange.data),
            Message(id="", token=token, body=fields["body"], fields=fields, publish=exchange),
        )
    else:
        queue.refused[token] = forbidden
    return exchange


# ── the scope's dead letters ──────────────────────────────────────────────────────────────────────────────────────


async def listed(case: Case, scope: str) -> list[dict[str, Any]]:
    """Every queue of a scope, over all pages."""
    found: list[dict[str, Any]] = []
    async for exchange in pages(
        lambda **page: wire.list_queues(scope, **page), lambda request: answered(case, request)
    ):
        if exchange.unsupported:
            raise NotSupported(f"the list of a scope's queues answers {exchange.told()}", evidence=(exchange.op,))
        if not exchange.ok or wire.rows(exchange.data) is None:
            seen = exchange.told() if not exchange.ok else spell(exchange.data, 120)
            raise Inconclusive(f"the list of queues is no list: {seen}", evidence=(exchange.op,))
        found += objects(exchange)
    return found


async def dead_letter_queue(case: Case, scope: str) -> str:
    """The id of the scope's `_dead_letter`; "" when the list of its queues shows none."""
    for row in await listed(case, scope):
        if DEAD_LETTER in {row.get(name) for name in ("slug", "name", "id")}:
            return wire.identity(row)
    return ""


async def row_of(queue: Queue, message: Message) -> Mapping[str, Any] | None:
    """The message's row; None where it cannot be read."""
    try:
        return await queue.read(message)
    except NotSupported:
        return None


class DeadLetters:
    """One scope's `_dead_letter`, looked into by claims and by its list of messages.

    Whether it can be claimed from is not documented, nor whether a message keeps its id there: a message counts as
    found under its own id, under another one with its token in the body, or as a row that names it as its origin.
    """

    def __init__(self, case: Case, scope: str, queue: str, *, hold_s: int) -> None:
        self.id = queue
        self.claimable = True
        self.readable = True
        self._case = case
        self._scope = scope
        self._hold_s = hold_s

    async def find(self, message: Message) -> tuple[dict[str, Any], Exchange] | None:
        """The message as the queue shows it, claimed or listed; None when it is not (yet) there."""
        async for exchange in self._looks():
            for item in objects(exchange):
                if _is(item, message):
                    return item, exchange
        return None

    async def find_all(self, message: Message) -> list[tuple[dict[str, Any], Exchange]]:
        """Everything that the queue shows of the message by one claim and its whole list."""
        return [
            (item, exchange) async for exchange in self._looks() for item in objects(exchange) if _is(item, message)
        ]

    async def look(self) -> list[tuple[dict[str, Any], Exchange]]:
        """Everything that the queue shows by one claim and its whole list."""
        return [(item, exchange) async for exchange in self._looks() for item in objects(exchange)]

    @staticmethod
    def shows(item: dict[str, Any], message: Message) -> bool:
        """Whether this is the message, under its own id or another one."""
        return _is(item, message)

    async def _looks(self) -> AsyncIterator[Exchange]:
        """One claim and all pages of the list, as far as the server has them."""
        claim = await self._claim()
        if claim is not None:
            yield claim
        if self.readable:
            async for exchange in pages(
                lambda **page: wire.list_queue_messages(self._scope, self.id, **page), self._case.send
            ):
                self.readable = exchange.result is not Result.REJECTED
                yield exchange

    async def _claim(self) -> Exchange | None:
        if not self.claimable:
            return None
        size = min(10, self._case.world.dialect.batch_max)
        request = wire.claim(self._scope, self.id, batch_size=size, visibility_timeout_s=self._hold_s)
        exchange = await self._case.send(request, fields={"timeout_s": self._hold_s, "limit": size})
        self.claimable = exchange.result is not Result.REJECTED
        return exchange


def _is(item: dict[str, Any], message: Message) -> bool:
    origins = {item.get(name) for name in ("parent_id", "causation_id") if isinstance(item.get(name), str)}
    return wire.identity(item) == message.id or wire.token(item.get("body")) == message.token or message.id in origins
