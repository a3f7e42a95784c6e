"""What a manager does to scopes and queues: create, read, update, delete, and their life-cycle steps."""

from collections.abc import Mapping, Sequence

import msgspec

from scaiqueue_reference.broker import Broker
from scaiqueue_reference.clock import resource_id
from scaiqueue_reference.errors import Invalid, NotFound, SystemQueue, WrongState
from scaiqueue_reference.lifecycle import PLACE_TRANSITIONS, PlaceState, PlaceStep
from scaiqueue_reference.message import DEAD_LETTER, SYSTEM_QUEUES, Depth, Queue, Scope

# The default of the one client whose range is published (0 to 100, default 5).
DEFAULT_MAX_RETRIES = 5


class Places:
    """Scopes and queues of all tenants; every look-up is by tenant, and another tenant's place is not found."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._store = broker.store
        self._clock = broker.clock

    async def scope(self, tenant_id: str, scope_id: str) -> Scope:
        """Raises NotFound, also for another tenant's scope."""
        scope = await self._store.scope(scope_id)
        if scope is None or scope.tenant_id != tenant_id:
            raise NotFound("scope", scope_id)
        return scope

    async def queue(self, tenant_id: str, scope_id: str | None, queue_id: str) -> tuple[Scope, Queue]:
        """The queue and its scope; `scope_id` None is the short form of the path."""
        place = await self._store.place(queue_id)
        if place is None or place[1].tenant_id != tenant_id or scope_id not in (None, place[0].id):
            if scope_id is not None:
                await self.owned(tenant_id, scope_id)
            raise NotFound("queue", queue_id)
        return place

    async def owned(self, tenant_id: str, scope_id: str) -> None:
        """Raises NotFound unless the scope is there and the tenant's; its state does not matter."""
        if await self._store.tenant(scope_id) != tenant_id:
            raise NotFound("scope", scope_id)

    async def scopes(self, tenant_id: str) -> list[Scope]:
        """Oldest first."""
        return await self._store.scopes(tenant_id)

    async def queues(self, scope: Scope) -> tuple[Sequence[Queue], Mapping[str, Depth]]:
        """The scope's queues, oldest first, and their counters."""
        return await self._store.queues(scope.id), await self._store.depths(scope.id)

    async def depth(self, queue: Queue) -> Depth:
        """The queue's counters, exact at the moment of reading."""
        return (await self._store.depths(queue.scope_id)).get(queue.id, Depth())

    async def create_scope(self, tenant_id: str, slug: str, display_name: str, description: str) -> Scope:
        """A scope with its five system queues; raises SlugTaken."""
        created_us = self._clock.tick_us()
        scope = Scope(
            id=resource_id("sc", created_us),
            tenant_id=tenant_id,
            slug=slug,
            display_name=display_name,
            description=description,
            state=PlaceState.ACTIVE,
            created_us=created_us,
        )
        times = {name: self._clock.tick_us() for name in SYSTEM_QUEUES}
        dead_letter_id = resource_id("q", times[DEAD_LETTER])
        queues = []
        for name, at_us in times.items():
            queue_id = dead_letter_id if name == DEAD_LETTER else resource_id("q", at_us)
            queues.append(self._queue(scope, queue_id, dead_letter_id, at_us, {"slug": name, "display_name": name}))
        await self._store.add_scope(scope, queues)
        return scope

    async def create_queue(self, scope: Scope, fields: Mapping[str, object]) -> Queue:
        """A queue with `fields` over the defaults; raises SlugTaken, WrongState in an archived scope."""
        if scope.state == PlaceState.ARCHIVED:
            raise WrongState("The scope is archived.")
        siblings = await self._store.queues(scope.id)
        dead_letter_id = next(queue.id for queue in siblings if queue.slug == DEAD_LETTER)
        created_us = self._clock.tick_us()
        queue = self._queue(scope, resource_id("q", created_us), dead_letter_id, created_us, fields)
        await self._store.add_queue(queue)
        return queue

    def _queue(
        self, scope: Scope, queue_id: str, dead_letter_id: str, created_us: int, fields: Mapping[str, object]
    ) -> Queue:
        values: dict[str, object] = {
            "id": queue_id,
            "dead_letter_id": dead_letter_id,
            "created_us": created_us,
            "scope_id": scope.id,
            "tenant_id": scope.tenant_id,
            "description": "",
            "ordering": "fifo",
            "consumer_mode": "competing",
            "max_depth": 0,
            "overflow_policy": "reject",
            "max_retries": DEFAULT_MAX_RETRIES,
            "state": PlaceState.ACTIVE,
        }
        return msgspec.convert({**values, **fields}, Queue)

    async def update_scope(self, scope: Scope, fields: Mapping[str, object]) -> Scope:
        """Changes a scope's names."""
        changed = msgspec.structs.replace(scope, **fields)
        await self._store.save_scope(changed)
        return changed

    async def update_queue(self, queue: Queue, fields: Mapping[str, object]) -> Queue:
        """Changes what may change; what decides the order of waiting messages may not (Invalid)."""
        _refuse_system(queue)
        fixed = [
            (name, "cannot be changed after the queue was created")
            for name in ("slug", "ordering", "consumer_mode")
            if name in fields and fields[name] != getattr(queue, name)
        ]
        if fixed:
            raise Invalid(*fixed)
        changed = msgspec.structs.replace(queue, **fields)
        await self._store.save_queue(changed)
        return changed

    async def delete_scope(self, scope: Scope) -> None:
        """Deletes the scope with its queues and messages."""
        queues = await self._store.queues(scope.id)
        await self._store.delete_scope(scope.id)
        for queue in queues:
            await self._broker.forget(queue.id)

    async def delete_queue(self, queue: Queue) -> None:
        """Deletes the queue with its messages; a system queue goes with its scope only."""
        _refuse_system(queue)
        await self._store.delete_queue(queue.id)
        await self._broker.forget(queue.id)

    async def step_scope(self, scope: Scope, step: PlaceStep) -> Scope:
        """Moves the scope along its life cycle; raises WrongState."""
        changed = msgspec.structs.replace(scope, state=_next(scope.state, step, "scope"))
        await self._store.save_scope(changed)
        return changed

    async def step_queue(self, queue: Queue, step: PlaceStep) -> Queue:
        """Moves the queue along its life cycle; raises WrongState, SystemQueue."""
        _refuse_system(queue)
        changed = msgspec.structs.replace(queue, state=_next(queue.state, step, "queue"))
        await self._store.save_queue(changed)
        return changed


def _next(state: str, step: PlaceStep, kind: str) -> PlaceState:
    target = PLACE_TRANSITIONS.get((PlaceState(state), step))
    if target is None:
        hint = "; unarchive it first" if state == PlaceState.ARCHIVED else ""
        raise WrongState(f"The {kind} is {state}: {step} is not possible{hint}.")
    return target


def _refuse_system(queue: Queue) -> None:
    if queue.system:
        raise SystemQueue
