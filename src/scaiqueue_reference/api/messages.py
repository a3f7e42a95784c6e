"""Handlers of the calls about messages."""

from collections.abc import Sequence

from scaiqueue_reference.api import requests, views
from scaiqueue_reference.api.call import Call, Result
from scaiqueue_reference.api.paging import after_of, cursor_of, limit_of
from scaiqueue_reference.broker import Broker
from scaiqueue_reference.errors import NotFound
from scaiqueue_reference.lifecycle import State
from scaiqueue_reference.message import Message, Page
from scaiqueue_reference.places import Places


class MessageHandlers:
    """Each method answers one endpoint."""

    def __init__(self, broker: Broker, places: Places) -> None:
        self._broker = broker
        self._places = places

    async def publish(self, call: Call) -> Result:
        """201 with the message, 200 with the original one for a replay."""
        scope, queue = await self._places.queue(call.tenant, call.params.get("scope_id"), call.params["queue_id"])
        draft = requests.draft(requests.decode(requests.PublishRequest, call.body))
        inserted = await self._broker.publish(call.caller.actor, scope, queue, draft)
        return Result(views.message_view(inserted.message), 201 if inserted.created else 200)

    async def claim(self, call: Call) -> Result:
        """The claimed messages in their order, an empty list when there is nothing to claim."""
        scope, queue = await self._places.queue(call.tenant, call.params.get("scope_id"), call.params["queue_id"])
        request = requests.decode(requests.ClaimRequest, call.body)
        visibility_us = round(request.visibility_timeout_s * 1e6)
        taken = await self._broker.claim(call.caller.actor, scope, queue, request.batch_size, visibility_us)
        return Result([views.message_view(message) for message in taken])

    async def complete(self, call: Call) -> Result:
        """The completed message."""
        scope_id = await self._owned(call)
        request = requests.decode(requests.CompleteRequest, call.body)
        response = requests.payload_of(request.response)
        message = await self._broker.complete(call.caller.actor, scope_id, call.params["message_id"], response)
        return Result(views.message_view(message))

    async def fail(self, call: Call) -> Result:
        """The message, pending again or dead-lettered."""
        scope_id = await self._owned(call)
        request = requests.decode(requests.FailRequest, call.body)
        reason = request.reason if request.reason is not None else request.failure_reason
        message = await self._broker.fail(call.caller.actor, scope_id, call.params["message_id"], reason or "")
        return Result(views.message_view(message))

    async def release(self, call: Call) -> Result:
        """The message, pending again."""
        scope_id = await self._owned(call)
        requests.decode(requests.ReleaseRequest, call.body)
        message = await self._broker.release(call.caller.actor, scope_id, call.params["message_id"])
        return Result(views.message_view(message))

    async def extend(self, call: Call) -> Result:
        """The message with its new lock."""
        scope_id = await self._owned(call)
        request = requests.decode(requests.ExtendRequest, call.body)
        visibility_us = round(request.visibility_timeout_s * 1e6)
        message = await self._broker.extend(call.caller.actor, scope_id, call.params["message_id"], visibility_us)
        return Result(views.message_view(message))

    async def read(self, call: Call) -> Result:
        """One message."""
        scope_id = await self._owned(call)
        message = await self._broker.store.message(scope_id, call.params["message_id"])
        if message is None:
            raise NotFound("message", call.params["message_id"])
        return Result(views.message_view(message))

    async def list_queue(self, call: Call) -> Result:
        """A queue's messages."""
        scope, queue = await self._places.queue(call.tenant, call.params.get("scope_id"), call.params["queue_id"])
        return await self._page(call, scope.id, queue.id)

    async def list_scope(self, call: Call) -> Result:
        """A scope's messages."""
        scope_id = await self._owned(call)
        return await self._page(call, scope_id, None)

    async def _owned(self, call: Call) -> str:
        scope_id = call.params["scope_id"]
        await self._places.owned(call.tenant, scope_id)
        return scope_id

    async def _page(self, call: Call, scope_id: str, queue_id: str | None) -> Result:
        query = call.query()
        limit = limit_of(query)
        state = query.get("state")
        page = Page(
            scope_id=scope_id,
            queue_id=queue_id,
            correlation_id=query.get("correlation_id"),
            state=None if state is None else requests.one_of("state", state, tuple(State)),
            after=after_of(query),
            limit=limit + 1,
        )
        return _paged(await self._broker.store.messages(page), limit)


def _paged(messages: Sequence[Message], limit: int) -> Result:
    shown = messages[:limit]
    following = cursor_of(shown[-1].id) if len(messages) > limit else None
    return Result([views.message_view(message) for message in shown], paged=True, next_cursor=following)
