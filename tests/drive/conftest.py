"""A server that answers by script, and a client that talks to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from queueproof.drive.client import Client
from queueproof.drive.limits import RequestBudget
from queueproof.drive.recorder import Recorder
from queueproof.evidence.operation import Record

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


class Sink:
    """Keeps records in a list."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, record: Record) -> None:
        self.records.append(record)


class Scripted:
    """Answers each request with the next of its answers, the last one for ever; keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length")
                    ),
                    0,
                )
                self.asked.append(head + await reader.readexactly(length))
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """One HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def reset(writer: asyncio.StreamWriter) -> None:
    """Breaks the connection instead of an answer."""
    writer.transport.abort()
    raise ConnectionResetError


@asynccontextmanager
async def talking(*answers: Answer) -> AsyncIterator[tuple[Client, Scripted, Sink]]:
    """A client of a scripted server."""
    script = Scripted(*answers)
    server = await asyncio.start_server(script.handle, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    sink = Sink()
    recorder = Recorder(sink, secrets=("sgk_secret",))
    client = Client(
        f"http://{host}:{port}", "sgk_secret", recorder=recorder, budget=RequestBudget(), run="r", read_timeout_s=0.5
    )
    try:
        yield client, script, sink
    finally:
        await client.close()
        server.close()


Talking = Callable[..., AbstractAsyncContextManager[tuple[Client, Scripted, Sink]]]


@pytest.fixture(name="talking")
def talking_fixture() -> Talking:
    return talking


@pytest.fixture(name="http")
def http_fixture() -> Callable[..., bytes]:
    return http


@pytest.fixture(name="reset")
def reset_fixture() -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    return reset
