"""Broadcast queues: every consumer gets every message, and is tracked by itself.

A consumer is an identity that claims. Its first claim makes a queue of its own (`_consumer.…`), where copies of the
broadcast messages are claimed, retried and completed like any others; a copy's parent_id is the message it came from.
No page that was read says how broadcast works: all of this is INFERRED.
"""

from contextlib import suppress

import msgspec

from scaiqueue_reference import events
from scaiqueue_reference.clock import Clock, message_id, resource_id
from scaiqueue_reference.errors import SlugTaken
from scaiqueue_reference.lifecycle import State
from scaiqueue_reference.message import Actor, Message, Page, Queue, Scope
from scaiqueue_reference.store import Store

# Messages are copied in the order of their ids, but several processes commit them in another: what is this much older
# than the newest copy is looked at again. A copy's key is its message's id, so that none is made twice.
_OVERLAP_MS = 5_000
_AT_ONCE = 500


class Broadcast:
    """Consumers' queues, and what is still to be copied into them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._consumers: dict[tuple[str, str], str] = {}

    async def consumer(self, scope: Scope, queue: Queue, actor: Actor) -> Queue:
        """The actor's own queue, made if need be."""
        known = self._consumers.get((queue.id, actor.id))
        found = await self._store.queue(known) if known is not None else None
        if found is None:
            found = await self._find(scope, queue, actor)
        self._consumers[queue.id, actor.id] = found.id
        return found

    async def _find(self, scope: Scope, queue: Queue, actor: Actor) -> Queue:
        slug = f"_consumer.{queue.id}.{actor.id}"
        created_us = self._clock.tick_us()
        fresh = msgspec.structs.replace(
            queue,
            id=resource_id("q", created_us),
            slug=slug,
            display_name=f"{queue.display_name} for {actor.id}"[:255],
            consumer_mode="competing",
            max_depth=0,
            created_us=created_us,
        )
        with suppress(SlugTaken):
            await self._store.add_queue(fresh)
            return fresh
        return next(one for one in await self._store.queues(scope.id) if one.slug == slug)

    async def missing(self, queue: Queue, consumer: Queue) -> list[Message]:
        """Copies the consumer's missing messages, at most some hundreds at once; those that were made."""
        newest = await self._store.newest_key(consumer.id)
        after = "" if newest is None else message_id(max(0, int(newest[:8] + newest[9:13], 16) - _OVERLAP_MS) * 1000)
        made: list[Message] = []
        while len(made) < _AT_ONCE:
            page = Page(scope_id=queue.scope_id, queue_id=queue.id, state=State.PENDING, after=after, limit=_AT_ONCE)
            originals = await self._store.messages(page)
            for original in originals:
                copy = _copy(original, consumer)
                inserted = await self._store.insert(copy, events.PUBLISHED, capacity=0)
                if inserted.created:
                    made.append(copy)
            if len(originals) < _AT_ONCE:
                break
            after = originals[-1].id
        return made


def _copy(original: Message, consumer: Queue) -> Message:
    return msgspec.structs.replace(
        original,
        id=message_id(original.created_us),
        queue_id=consumer.id,
        origin_queue_id=consumer.id,
        idempotency_key=original.id.encode(),
        parent_id=original.id,
        causation_id=original.id,
    )
