"""A small TCP proxy before a target: it cuts connections before or after the server's work, and makes ways longer.

It runs in a thread with an event loop of its own and knows nothing of HTTP: what a client sends at one time is taken
for a request, and what comes back for its answer.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from types import TracebackType
from typing import Any, Final, Self

CONNECT_S: Final = 5.0
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: the connection ends by a reset, and not by a polite close


class Proxy:
    """Listens on a free port of this machine for as long as its block lasts; `url` is where."""

    def __init__(self, host: str, port: int, *, seed: int = 1) -> None:
        self.share = 0.0  # of the requests whose connection is cut
        self.delay_s = 0.0  # added to each way
        self.counts = {"before": 0, "after": 0}
        self.draw = random.Random(seed)
        self.upstream = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._ready = threading.Event()
        self._server: asyncio.Server | None = None
        self.links: set[_Link] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self, share: float) -> None:
        """From now on this share of the requests is cut off, half before the server has seen them, half after."""
        self.share = share

    def delay(self, seconds: float) -> None:
        self.delay_s = seconds

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        self._server = loop.run_until_complete(loop.create_server(lambda: _Link(self, loop), "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()
        try:
            loop.run_forever()
        finally:
            self._server.close()
            for link in tuple(self.links):
                link.end()
            loop.run_until_complete(asyncio.sleep(0))
            for task in asyncio.all_tasks(loop):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    loop.run_until_complete(task)
            loop.close()


class _Link(asyncio.Protocol):
    """A client's connection and, once it has sent something, the one to the server."""

    def __init__(self, proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
        self._proxy, self._loop = proxy, loop
        self._client: Any = None
        self._server: Any = None
        self._early: list[bytes] = []
        self.cut_answer = False
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = transport
        self._proxy.links.add(self)
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                self._server, _ = await self._loop.create_connection(lambda: _Answers(self), *self._proxy.upstream)
        except (OSError, TimeoutError):
            self.reset()
            return
        for data in self._early:
            self._server.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        proxy = self._proxy
        if proxy.share and proxy.draw.random() < proxy.share:
            if proxy.draw.random() < 0.5:
                proxy.counts["before"] += 1
                self.reset()
                return
            self.cut_answer = True
        self._later(self._forward, data)

    def _forward(self, data: bytes) -> None:
        if self._server is None:
            self._early.append(data)
        else:
            self._server.write(data)

    def answer(self, data: bytes) -> None:
        """Bytes from the server."""
        if self.cut_answer:
            self._proxy.counts["after"] += 1
            self.reset()
        else:
            self._later(self._back, data)

    def _back(self, data: bytes) -> None:
        if self._client is not None:
            self._client.write(data)

    def _later(self, step: Any, data: bytes) -> None:
        if self._proxy.delay_s:
            self._loop.call_later(self._proxy.delay_s, step, data)
        else:
            step(data)

    def reset(self) -> None:
        """Both sides end at once, the client's by a reset."""
        if self._client is not None:
            found = self._client.get_extra_info("socket")
            if found is not None:
                with contextlib.suppress(OSError):
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.end()

    def end(self) -> None:
        for transport in (self._client, self._server):
            if transport is not None:
                transport.abort()
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()

    def connection_lost(self, error: Exception | None) -> None:
        self._client = None
        self._proxy.links.discard(self)
        if self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()
        if self._server is not None:
            self._server.close()

    def server_lost(self) -> None:
        """The server has closed, or died."""
        self._server = None
        if self._client is not None:
            self._client.close()


class _Answers(asyncio.Protocol):
    """The server's side of a link."""

    def __init__(self, link: _Link) -> None:
        self._link = link

    def data_received(self, data: bytes) -> None:
        self._link.answer(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._link.server_lost()
