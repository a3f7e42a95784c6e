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
        parts = path[len(_PREFIX) :].split("/")
        if len(parts) < 4 or not parts[0] or not parts[2]:
            return None
        if parts[1] == "queues" and parts[3] == "messages":
            if len(parts) == 4:
                return self._publish, {"scope_id": parts[0], "queue_id": parts[2]}
            if len(parts) == 5 and parts[4] == "claim":
                return self._claim, {"scope_id": parts[0], "queue_id": parts[2]}
        elif parts[1] == "messages" and parts[3] == "complete" and len(parts) == 4:
            return self._complete, {"scope_id": parts[0], "message_id": parts[2]}
        return None
