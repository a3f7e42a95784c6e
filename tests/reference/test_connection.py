"""The web server's connection: head and body in one write, and HTTP as before."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from scaiqueue_reference.api.connection import _OneWrite


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closing = False

    def write(self, data: Any) -> None:
        assert not self.closing
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        return None

    def resume_reading(self) -> None:
        return None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        return None


async def test_what_is_written_in_one_turn_leaves_together() -> None:
    """And what comes a turn later leaves by itself."""
    transport = _Transport()
    gathered = _OneWrite(transport, asyncio.get_running_loop())
    gathered.write(b"head")
    gathered.write(b"body")
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [b"headbody"]
    gathered.write(b"more")
    await asyncio.sleep(0)
    assert transport.writes == [b"headbody", b"more"]


async def test_a_close_sends_what_was_written() -> None:
    """At once, and nothing twice."""
    transport = _Transport()
    gathered = _OneWrite(transport, asyncio.get_running_loop())
    gathered.write(b"last")
    gathered.close()
    await asyncio.sleep(0)
    assert (transport.writes, transport.closing) == ([b"last"], True)


async def test_a_client_that_went_away_is_written_nothing() -> None:
    """The transport was closed between the write and the turn."""
    transport = _Transport()
    gathered = _OneWrite(transport, asyncio.get_running_loop())
    gathered.write(b"late")
    transport.closing = True
    await asyncio.sleep(0)
    assert transport.writes == []


def _spoken(server: Any, sent: bytes) -> bytes:
    """Everything that the server says to `sent` until it closes."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(sent)
        said = b""
        while chunk := connection.recv(65_536):
            said += chunk
    return said


def test_http_is_as_before(running: Callable[..., Any]) -> None:
    """Pipelined calls are answered in order, `100 Continue` comes first, the connection ends when asked to."""
    place = b"/v1/modules/scaiqueue/scopes"
    with running() as server:
        head = b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + server.keys["all"].encode() + b"\r\n"
        three = (
            b"GET /health" + head + b"\r\nGET " + place + head + b"\r\nGET /none" + head + b"Connection: close\r\n\r\n"
        )
        said = _spoken(server, three)
        statuses = [said.index(line) for line in (b"HTTP/1.1 200 OK", b'"data":[]', b"HTTP/1.1 404 Not Found")]
        assert statuses == sorted(statuses)
        draft = b'{"slug":"s"}'
        asks = head + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(draft)
        said = _spoken(server, b"POST " + place + asks + draft)
        assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n")
        assert said.endswith(b"}")
