"""What happens to messages: publish, claim, complete, fail, release, extend, reclaim, expire.

The only writer of both the rows and the pending order, and always in this sequence: rows first. What a crash leaves
between the two is a message that waits by its row but is missing in the order; the order is rebuilt from the rows.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import msgspec

from scaiqueue_reference import events, lifecycle, ordering
from scaiqueue_reference.broadcast import Broadcast
from scaiqueue_reference.clock import Clock, message_id
from scaiqueue_reference.documents import Documents
from scaiqueue_reference.errors import (
    IdempotencyConflict,
    NotFound,
    NotOwner,
    QueueFull,
    QueuePaused,
    ScopePaused,
    SystemQueue,
    WrongState,
)
from scaiqueue_reference.lifecycle import State, Step
from scaiqueue_reference.message import Actor, Change, Claim, Draft, Inserted, Message, Queue, Scope, Waiting
from scaiqueue_reference.payload import same_json
from scaiqueue_reference.pending import Pending, PendingAway
from scaiqueue_reference.store import Store

AGENT = Actor("system_agent", "visibility_timeout_enforcer")
EXPIRER = Actor("system_agent", "expiry_enforcer")
ARCHIVER = Actor("system_agent", "message_archiver")
AGER = Actor("system_agent", "priority_aging")
MONITOR = Actor("system_agent", "dead_letter_monitor")

# No time at all rather than "now": another process's clock may be a little behind.
AT_ONCE = 0


class Broker:
    """One tenant's identity never reaches another's message: callers look up the scope by tenant first."""

    def __init__(self, store: Store, pending: Pending, clock: Clock, *, shared: bool = False) -> None:
        self.store = store
        self.pending = pending
        self.clock = clock
        self.documents = Documents(store, clock)
        self.broadcast = Broadcast(store, clock)
        self.shared = shared  # the order outlives this process, and other processes change it

    async def open(self) -> None:
        """Opens the rows and rebuilds the pending order from them."""
        self.clock.advance_past(await self.store.open())
        if not self.shared:
            async for waiting in self.store.waiting():
                await self.pending.put(waiting)

    async def close(self) -> None:
        """Writes what is under way."""
        await self.store.close()
        await self.pending.close()

    async def _put(self, waiting: Sequence[Waiting]) -> None:
        """What cannot be put now is put by the repair: its row says that it waits."""
        with suppress(PendingAway):
            await self.pending.put(waiting)

    async def forget(self, queue_id: str) -> None:
        """Drops the order of a queue that was deleted; what stays of it finds no rows."""
        with suppress(PendingAway):
            await self.pending.forget(queue_id)

    # -- publish

    async def publish(self, actor: Actor, scope: Scope, queue: Queue, draft: Draft) -> Inserted:
        """The message that stands for this publish; `created` is false when an earlier one had the key and body."""
        _accept(scope, queue)
        if scope.revision:
            draft = await self.documents.shape(scope, draft)
        message = self._message(actor, queue, draft)
        if scope.revision:
            queue, message = await self.documents.route(scope, queue, message)
        inserted = await self._insert(message, queue)
        if inserted.created:
            if inserted.message.state in lifecycle.RESTING:
                await self._put([_waiting(inserted.message)])
        elif not same_json(inserted.message.body, draft.body):
            raise IdempotencyConflict
        return inserted

    async def _insert(self, message: Message, queue: Queue) -> Inserted:
        try:
            event_type = events.DEAD_LETTERED if message.state == State.DEAD_LETTERED else events.PUBLISHED
            return await self.store.insert(message, event_type, capacity=queue.max_depth)
        except QueueFull:
            if queue.overflow_policy != "dead_letter":
                raise
            overflow = msgspec.structs.replace(
                message,
                queue_id=queue.dead_letter_id,
                state=State.DEAD_LETTERED,
                score=message.created_us,
                failure_reason="the queue was full",
                dead_lettered_us=message.created_us,
            )
            return await self.store.insert(overflow, events.DEAD_LETTERED, capacity=0)

    def _message(self, actor: Actor, queue: Queue, draft: Draft) -> Message:
        created_us = self.clock.tick_us()
        ends = [draft.deadline_us] if draft.deadline_us is not None else []
        if draft.ttl_seconds is not None:
            ends.append(created_us + round(draft.ttl_seconds * 1e6))
        return Message(
            message_id(created_us),
            queue.tenant_id,
            queue.scope_id,
            queue.id,
            queue.id,
            State.PENDING,
            ordering.score(
                queue.ordering,
                created_us=created_us,
                deadline_us=draft.deadline_us,
                tier=draft.priority_tier,
                priority=draft.priority_score,
            ),
            draft.delay_until_us or AT_ONCE,
            min(ends) if ends else None,
            0,
            draft.message_type,
            draft.content_type,
            draft.body,
            draft.labels,
            draft.hitl_spec,
            draft.priority_tier,
            draft.priority_score,
            draft.correlation_id,
            draft.causation_id,
            draft.parent_id,
            actor.type,
            actor.id,
            draft.idempotency_key,
            draft.ttl_seconds,
            draft.deadline_us,
            draft.delay_until_us,
            created_us,
            *(None,) * 8,
        )

    # -- claim

    async def claim(self, actor: Actor, scope: Scope, queue: Queue, limit: int, visibility_us: int) -> list[Message]:
        """Up to `limit` messages, locked for `actor` for `visibility_us`; none where the scope or queue is stopped."""
        if scope.state not in lifecycle.SERVING or queue.state not in lifecycle.SERVING:
            return []
        if queue.consumer_mode == "broadcast":
            consumer = await self.broadcast.consumer(scope, queue, actor)
            copies = await self.broadcast.missing(queue, consumer)
            if copies:
                await self._put([_waiting(copy) for copy in copies])
            queue = consumer
        claim = Claim(queue.id, actor, visibility_us, events.CLAIMED)
        taken: list[Message] = []
        while len(taken) < limit:
            wanted, now_us = limit - len(taken), self.clock.now_us()
            try:
                next_up = await self.pending.take(queue.id, wanted, now_us, visibility_us)
            except PendingAway:
                return taken + await self._claim_by_rows(claim, wanted)
            if not next_up:
                break
            try:
                taken += await self.store.claim([waiting.id for waiting in next_up], claim)
            except BaseException:
                await self._put(next_up)
                raise
        return taken

    async def _claim_by_rows(self, claim: Claim, limit: int) -> list[Message]:
        """Without the order: slower, and as exclusive, because the row decides in both cases."""
        taken: list[Message] = []
        while len(taken) < limit:
            ids = await self.store.candidates(claim.queue_id, limit - len(taken), self.clock.now_us())
            if not ids:
                break
            taken += await self.store.claim(ids, claim)
        return taken

    # -- what the holder does

    async def complete(self, actor: Actor, scope_id: str, key: str, response: bytes | None) -> Message:
        """Ends the message; raises NotFound, WrongState or NotOwner."""
        values: dict[str, object] = {"state": State.COMPLETED, "response": response, "lock_until_us": None}
        values["finished_us"] = self.clock.now_us()
        message = await self._held(actor, scope_id, key, events.COMPLETED, values)
        with suppress(PendingAway):
            await self.pending.free([key])
        return message

    async def extend(self, actor: Actor, scope_id: str, key: str, visibility_us: int) -> Message:
        """Renews the lock: it lasts `visibility_us` from now on."""
        values: dict[str, object] = {"lock_until_us": self.clock.now_us() + visibility_us}
        return await self._held(actor, scope_id, key, events.EXTENDED, values)

    async def _held(self, actor: Actor, scope_id: str, key: str, event_type: str, values: dict[str, object]) -> Message:
        changed = await self.store.change(
            Change(
                message=key,
                scope_id=scope_id,
                states=(State.CLAIMED,),
                owner=actor.id,
                values=values,
                event_type=event_type,
                actor=actor,
            )
        )
        return changed if changed is not None else await self._refuse(actor, scope_id, key)

    async def _refuse(self, actor: Actor, scope_id: str, key: str) -> NoReturn:
        message = await self.store.message(scope_id, key)
        if message is None:
            raise NotFound("message", key)
        if message.state != State.CLAIMED:
            raise WrongState(f"The message is {message.state}, not claimed.")
        raise NotOwner

    async def release(self, actor: Actor, scope_id: str, key: str) -> Message:
        """Gives the message back at its old place, at once; its attempt stays counted."""
        while True:
            message = await self._claimed_by(actor, scope_id, key)
            values: dict[str, object] = {"visible_us": AT_ONCE}
            if changed := await self._give_back(message, Step.RELEASE, events.RELEASED, actor, values):
                return changed

    async def fail(self, actor: Actor, scope_id: str, key: str, reason: str) -> Message:
        """Records the failure: back to its place after a backoff, or to `_dead_letter` when the attempts are used."""
        while True:
            message = await self._claimed_by(actor, scope_id, key)
            queue = await self.store.queue(message.queue_id)
            buried = message.dead_lettered_us is not None
            if queue is not None and not buried and message.attempts >= queue.max_retries:
                changed = await self._bury(message, queue, actor, reason)
            else:
                visible_us = self.clock.now_us() + ordering.backoff_us(message.attempts)
                values: dict[str, object] = {"visible_us": visible_us, "failure_reason": reason}
                changed = await self._give_back(message, Step.RETRY, events.FAILED, actor, values)
            if changed:
                return changed

    async def _claimed_by(self, actor: Actor, scope_id: str, key: str) -> Message:
        message = await self.store.message(scope_id, key)
        if message is None or message.state != State.CLAIMED or message.claimed_by_id != actor.id:
            await self._refuse(actor, scope_id, key)
        return message

    async def _bury(
        self, message: Message, queue: Queue, actor: Actor, reason: str, *, overdue_us: int | None = None
    ) -> Message | None:
        now_us = self.clock.now_us()
        values: dict[str, object] = {
            "queue_id": queue.dead_letter_id,
            "score": message.created_us,
            "visible_us": AT_ONCE,
            "failure_reason": reason,
            "dead_lettered_us": now_us,
        }
        return await self._give_back(message, Step.BURY, events.DEAD_LETTERED, actor, values, overdue_us=overdue_us)

    async def _give_back(
        self,
        message: Message,
        step: Step,
        event_type: str,
        actor: Actor,
        values: dict[str, object],
        *,
        overdue_us: int | None = None,
    ) -> Message | None:
        """Ends a claim; None when the claim is not the one that `message` shows any more."""
        state = lifecycle.after(State.CLAIMED, step, buried=message.dead_lettered_us is not None)
        changed = await self.store.change(
            Change(
                message=message.id,
                scope_id=message.scope_id,
                states=(State.CLAIMED,),
                attempts=message.attempts,
                owner=message.claimed_by_id,
                overdue_us=overdue_us,
                values={"state": state, "lock_until_us": None, **values},
                event_type=event_type,
                actor=actor,
            )
        )
        if changed is not None:
            await self._put([_waiting(changed)])
        return changed

    # -- what the agents do

    async def reclaim(self, message: Message) -> bool:
        """Gives back a message whose lock has run out, at its old place and at once.

        A lock that ran out is no failure: only beyond `max_retries` attempts is the message taken for poison, and goes
        to the dead letters.
        """
        now_us = self.clock.now_us()
        queue = await self.store.queue(message.queue_id)
        buried = message.dead_lettered_us is not None
        if queue is not None and not buried and message.attempts > max(1, queue.max_retries):
            reason = "its visibility timeout ran out at every attempt"
            return await self._bury(message, queue, MONITOR, reason, overdue_us=now_us) is not None
        values: dict[str, object] = {"visible_us": AT_ONCE}
        changed = await self._give_back(message, Step.RECLAIM, events.RECLAIMED, AGENT, values, overdue_us=now_us)
        return changed is not None

    async def expire(self, message: Message) -> bool:
        """Ends a waiting message whose lifetime is over."""
        values: dict[str, object] = {"state": State.EXPIRED, "finished_us": self.clock.now_us()}
        changed = await self.store.change(
            Change(
                message=message.id,
                scope_id=message.scope_id,
                states=lifecycle.RESTING,
                values=values,
                event_type=events.EXPIRED,
                actor=EXPIRER,
            )
        )
        return changed is not None

    async def age(self, message: Message, period_us: int) -> bool:
        """Moves a message that has waited long into the tier that its age has earned; what it shows stays."""
        waited_us = self.clock.now_us() - message.created_us
        score = ordering.aged(message.score, message.priority_tier, waited_us=waited_us, period_us=period_us)
        changed = await self.store.change(
            Change(
                message=message.id,
                scope_id=message.scope_id,
                states=(State.PENDING,),
                attempts=message.attempts,
                values={"score": score},
                event_type=events.AGED,
                actor=AGER,
            )
        )
        if changed is None:
            return False
        with suppress(PendingAway):
            await self.pending.move(_waiting(changed), message.score)
        return True

    async def archive(self, message: Message) -> bool:
        """Marks a message that ended long ago; it is read as before."""
        changed = await self.store.change(
            Change(
                message=message.id,
                scope_id=message.scope_id,
                states=lifecycle.sources(Step.ARCHIVE),
                values={"state": State.ARCHIVED},
                event_type=events.ARCHIVED,
                actor=ARCHIVER,
            )
        )
        return changed is not None

    async def repair(self) -> int:
        """Puts what waits by its row and is missing in the order, as after a crash between the two; how many.

        An order that was lost is made anew; until it is whole again, claims go by the rows.
        """
        name = await self.pending.rebuilding()
        if name is not None:
            rebuilt = 0
            async for waiting in self.store.waiting():
                await self.pending.put(waiting)
                rebuilt += len(waiting)
            await self.pending.rebuilt(name)
            return rebuilt
        repaired = 0
        for queue_id, count in (await self.store.waiting_counts()).items():
            if await self.pending.size(queue_id) >= count:
                continue
            async for waiting in self.store.waiting(queue_id):
                missing = await self.pending.missing(waiting)
                if missing:
                    await self.pending.put(missing)
                    repaired += len(missing)
        return repaired


def _waiting(message: Message) -> Waiting:
    return Waiting(message.id, message.queue_id, message.score, message.visible_us)


def _accept(scope: Scope, queue: Queue) -> None:
    if scope.state not in lifecycle.ACCEPTING:
        raise ScopePaused(f"The scope is {scope.state}; it accepts no messages.")
    if queue.state not in lifecycle.ACCEPTING:
        raise QueuePaused(f"The queue is {queue.state}; it accepts no messages.")
    if queue.system:
        raise SystemQueue
