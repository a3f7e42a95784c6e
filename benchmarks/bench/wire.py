"""A keep-alive connection for the exams: one call at a time, opened again after it broke."""

import asyncio
from typing import Any, NamedTuple

import msgspec
from benchmarks.bench.running import Served

_decode = msgspec.json.Decoder().decode
# A server that is killed closes its connections at once; this is for one that hangs, on a machine that is overloaded.
_ANSWER_S = 300.0


class Broken(Exception):  # noqa: N818 -- an answer to the caller: what was asked may have happened
    """The connection ended before the answer was whole."""


class Answer(NamedTuple):
    status: int
    document: Any

    @property
    def data(self) -> Any:
        return self.document["data"]


class Wire:
    """Calls of one client."""

    def __init__(self, served: Served) -> None:
        self._host, _, port = served.url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._head = (
            f" HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {served.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Raises Broken."""
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self._call(method, path, body)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise Broken(f"{type(error).__name__}: {error}") from error

    async def _call(self, method: str, path: str, body: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, limit=2**24)
        reader, writer = self._streams
        writer.write(b"%b %b%b%d\r\n\r\n%b" % (method.encode(), path.encode(), self._head, len(body), body))
        head = await reader.readuntil(b"\r\n\r\n")
        place = head.index(b"content-length: ") + 16
        content = await reader.readexactly(int(head[place : head.index(b"\r", place)]))
        if b"\r\nconnection: close" in head:
            self.close()
        return Answer(int(head[9:12]), _decode(content))

    def close(self) -> None:
        """The next call opens a connection again."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
