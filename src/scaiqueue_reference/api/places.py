"""Handlers of the calls about scopes and queues."""

from collections.abc import Sequence
from typing import TypeVar

from scaiqueue_reference.api import requests, views
from scaiqueue_reference.api.call import Call, Result
from scaiqueue_reference.api.paging import LARGEST_PAGE, after_of, cursor_of, limit_of
from scaiqueue_reference.lifecycle import PlaceStep
from scaiqueue_reference.message import Depth, Queue, Scope
from scaiqueue_reference.places import Places

_Place = TypeVar("_Place", Scope, Queue)


class PlaceHandlers:
    """Each method answers one endpoint; the steps of a life cycle share one."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def create_scope(self, call: Call) -> Result:
        """201 with the scope."""
        request = requests.decode(requests.ScopeRequest, call.body)
        name = request.display_name or request.slug
        scope = await self._places.create_scope(call.tenant, request.slug, name, request.description or "")
        return Result(views.scope_view(scope), 201)

    async def list_scopes(self, call: Call) -> Result:
        """The tenant's scopes."""
        shown, following = _page(call, await self._places.scopes(call.tenant))
        return Result([views.scope_view(scope) for scope in shown], paged=True, next_cursor=following)

    async def read_scope(self, call: Call) -> Result:
        """One scope."""
        return Result(views.scope_view(await self._scope(call)))

    async def update_scope(self, call: Call) -> Result:
        """The changed scope."""
        scope = await self._scope(call)
        fields = requests.given(requests.decode(requests.ScopeUpdate, call.body))
        return Result(views.scope_view(await self._places.update_scope(scope, fields)))

    async def delete_scope(self, call: Call) -> Result:
        """The id of what was deleted."""
        scope = await self._scope(call)
        await self._places.delete_scope(scope)
        return Result({"id": scope.id, "deleted": True})

    async def step_scope(self, call: Call) -> Result:
        """The scope in its new state; the step is the path's last part."""
        scope = await self._scope(call)
        return Result(views.scope_view(await self._places.step_scope(scope, PlaceStep(call.params["step"]))))

    async def create_queue(self, call: Call) -> Result:
        """201 with the queue."""
        scope = await self._scope(call)
        fields = requests.check_queue(requests.given(requests.decode(requests.QueueRequest, call.body)))
        fields.setdefault("display_name", fields["slug"])
        return Result(views.queue_view(await self._places.create_queue(scope, fields), Depth()), 201)

    async def list_queues(self, call: Call) -> Result:
        """The scope's queues, the system queues among them."""
        queues, depths = await self._places.queues(await self._scope(call))
        shown, following = _page(call, queues)
        data = [views.queue_view(queue, depths.get(queue.id, Depth())) for queue in shown]
        return Result(data, paged=True, next_cursor=following)

    async def read_queue(self, call: Call) -> Result:
        """One queue with its counters."""
        return await self._shown(await self._queue(call))

    async def update_queue(self, call: Call) -> Result:
        """The changed queue."""
        queue = await self._queue(call)
        fields = requests.check_queue(requests.given(requests.decode(requests.QueueUpdate, call.body)))
        return await self._shown(await self._places.update_queue(queue, fields))

    async def delete_queue(self, call: Call) -> Result:
        """The id of what was deleted."""
        queue = await self._queue(call)
        await self._places.delete_queue(queue)
        return Result({"id": queue.id, "deleted": True})

    async def step_queue(self, call: Call) -> Result:
        """The queue in its new state; the step is the path's last part."""
        queue = await self._queue(call)
        return await self._shown(await self._places.step_queue(queue, PlaceStep(call.params["step"])))

    async def _scope(self, call: Call) -> Scope:
        return await self._places.scope(call.tenant, call.params["scope_id"])

    async def _queue(self, call: Call) -> Queue:
        return (await self._places.queue(call.tenant, call.params.get("scope_id"), call.params["queue_id"]))[1]

    async def _shown(self, queue: Queue) -> Result:
        return Result(views.queue_view(queue, await self._places.depth(queue)))


def _page(call: Call, places: Sequence[_Place]) -> tuple[Sequence[_Place], str | None]:
    query = call.query()
    limit, after = limit_of(query, LARGEST_PAGE), after_of(query)
    rest = [place for place in places if place.id > after]
    return rest[:limit], cursor_of(rest[limit - 1].id) if len(rest) > limit else None
