"""The short way for publish, claim and complete: past FastAPI's routing, to the same handlers.

Routing and dependency handling cost FastAPI more than the three verbs themselves cost this server.
"""

from collections.abc import Mapping

from starlette.types import ASGIApp

from scaiqueue_reference.api.call import AsgiScope, Receive, Send, send_reply
from scaiqueue_reference.api.endpoints import BASE, Endpoint
from scaiqueue_reference.api.service import Service

_PREFIX = f"{BASE}/scopes/"
_Match = tuple[Endpoint, Mapping[str, str]]


class HotShell:
    """An ASGI application: the three hot verbs here, everything else by `inner`."""

    def __init__(self, inner: ASGIApp, service: Service, endpoints: Mapping[str, Endpoint]) -> None:
        self._inner = inner
        self._service = service
        self._publish, self._claim, self._complete = (endpoints[name] for name in ("publish", "claim", "complete"))

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        match = self._match(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if match is None:
            await self._inner(scope, receive, send)  # type: ignore[arg-type]
        else:
            await send_reply(await self._service.answer(match[0], match[1], scope, receive), send)

    def _match(self, path: str) -> _Match | None:
        if not path.startswith(_PREFIX):
            return None
        match path[len(_PREFIX) :].split("/"):
            case [scope_id, "queues", queue_id, "messages"] if scope_id and queue_id:
                return self._publish, {"scope_id": scope_id, "queue_id": queue_id}
            case [scope_id, "queues", queue_id, "messages", "claim"] if scope_id and queue_id:
                return self._claim, {"scope_id": scope_id, "queue_id": queue_id}
            case [scope_id, "messages", message_id, "complete"] if scope_id and message_id:
                return self._complete, {"scope_id": scope_id, "message_id": message_id}
        return None
