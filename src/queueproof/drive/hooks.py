"""A webhook receiver of the run's own: listens where the target can reach it, and keeps the events that come."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import httptools

from queueproof.contract import wire
from queueproof.drive.case import Case
from queueproof.drive.outcomes import Inconclusive, NotRun, NotSupported
from queueproof.evidence.operation import Result

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# More than any event of this API; what is longer is none.
LARGEST_EVENT = 4 * 1024 * 1024


class Receiver:
    """What came to one webhook, decoded. Whether it was signed is no matter of the queue's."""

    def __init__(self, heard: Callable[[], None]) -> None:
        self._heard = heard
        self.secret = secrets.token_hex(16)
        self.events: list[dict[str, Any]] = []
        self.path = f"/{secrets.token_hex(8)}"  # nobody else's post is taken for an event

    def take(self, path: str, body: bytes) -> int:
        """The status with which a post is answered."""
        if path != self.path:
            return 404
        self._heard()
        try:
            event = json.loads(body)
        except ValueError:
            return 400
        if not isinstance(event, dict):
            return 400
        self.events.append(event)
        return 200


class _Connection(asyncio.Protocol):
    """One sender's connection."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url, self._body = b"", b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > LARGEST_EVENT:
            self._transport.abort()

    def on_message_complete(self) -> None:
        status = self._receiver.take(self._url.decode("latin-1"), self._body)
        self._transport.write(f"HTTP/1.1 {status} Taken\r\ncontent-length: 0\r\n\r\n".encode())
        if not self._parser.should_keep_alive():
            self._transport.close()


@contextlib.asynccontextmanager
async def webhook(case: Case, *events: str) -> AsyncIterator[Receiver]:
    """A receiver that the target was told of; not run where the target could not reach it.

    Without --webhook-host it listens on 127.0.0.1, and only for a target on this machine. A publish is told too: that
    it came shows that this machine can be reached (`reachable`).
    """
    local = urlsplit(case.world.client.url).hostname in LOOPBACK
    host = case.world.webhook_host or ("127.0.0.1" if local else "")
    if not host:
        raise NotRun("events go to a webhook: give --webhook-host, a name of this machine that the target can reach")
    receiver = Receiver(lambda: setattr(case.world, "heard", True))
    listener = await asyncio.get_running_loop().create_server(
        lambda: _Connection(receiver), "127.0.0.1" if host in LOOPBACK else None, 0
    )
    port = listener.sockets[0].getsockname()[1]
    hook = ""
    try:
        hook = await _subscribed(
            case, f"http://{host}:{port}{receiver.path}", receiver, (*events, wire.PUBLISHED_EVENT)
        )
        yield receiver
    finally:
        if hook:
            await case.send(wire.delete_webhook(hook))
        listener.close()


def reachable(case: Case) -> None:
    """Ends the case as not run where nothing shows that the target can reach this machine at all.

    An address on 127.0.0.1 may belong to a port of a container, for which 127.0.0.1 is another machine. An event that
    came proves it, and what --webhook-host names is said to be reachable.
    """
    if not (case.world.heard or case.world.webhook_host):
        raise NotRun(
            "no event reached this machine, and it may be that none can: "
            "give --webhook-host, a name of this machine that the target can reach"
        )


async def _subscribed(case: Case, url: str, receiver: Receiver, events: tuple[str, ...]) -> str:
    fields = {"url": url, "events": list(events), "secret": receiver.secret, "status": "active"}
    exchange = await case.send(wire.create_webhook(fields))
    if exchange.ok:
        return wire.identity(exchange.data)
    if exchange.result is Result.REJECTED:
        raise NotSupported(f"a webhook of {url} is not taken: {exchange.told()}", evidence=(exchange.op,))
    raise Inconclusive(f"whether a webhook was taken is unknown: {exchange.told()}", evidence=(exchange.op,))
