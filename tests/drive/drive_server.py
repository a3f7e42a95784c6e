"""A server that says exactly the bytes that a test gave it, and remembers what it was asked."""

import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fixtures.pocket import Pocket, running

from queueproof.drive.case import Case
from queueproof.drive.client import Client
from queueproof.drive.limits import RequestBudget
from queueproof.drive.recorder import Recorder
from queueproof.drive.world import World
from queueproof.evidence.created import Ledger
from queueproof.evidence.operation import Invoke, Record, Return

Say = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]
KEY = "sgk_test_0123456789"


@dataclass
class Scripted:
    """Where the server is, and the requests that came: (request line, headers, body)."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


class Notes(list[Record]):
    """A sink that keeps records in memory."""

    def write(self, record: Record) -> None:
        self.append(record)

    @property
    def invokes(self) -> list[Invoke]:
        return [record for record in self if isinstance(record, Invoke)]

    @property
    def returns(self) -> list[Return]:
        return [record for record in self if isinstance(record, Return)]


def http(
    document: Any = None,
    *,
    status: int = 200,
    content: bytes | None = None,
    kind: str = "application/json",
    **headers: str,
) -> bytes:
    """A whole HTTP answer; header names are written with `_` for `-`."""
    body = json.dumps(document).encode() if content is None else content
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def silence(_writer: asyncio.StreamWriter) -> None:
    """Says nothing, for as long as the test lasts."""
    await asyncio.Event().wait()


async def reset(writer: asyncio.StreamWriter) -> None:
    """Cuts the connection."""
    writer.transport.abort()


def then_reset(begun: bytes) -> Say:
    """Begins an answer, then cuts the connection."""

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await writer.drain()
        writer.close()

    return say


@asynccontextmanager
async def scripted(*says: Say, **options: Any) -> AsyncIterator[Scripted]:
    """Answers one request after the other with `says`, the last for ever; `options` of asyncio.start_server."""
    server_side = Scripted()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                server_side.requests.append(await _request(reader))
                say = says[min(len(server_side.requests), len(says)) - 1]
                if isinstance(say, bytes):
                    writer.write(say)
                    await writer.drain()
                else:
                    await say(writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    scheme = "https" if options.get("ssl") else "http"
    server_side.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield server_side
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    return head[0], headers, await reader.readexactly(int(headers.get("content-length", 0)))


@asynccontextmanager
async def client_of(url: str, *, key: str = KEY, **options: Any) -> AsyncIterator[tuple[Client, Notes]]:
    """A client of that address, and everything that it records."""
    notes = Notes()
    recorder = Recorder(notes, secrets=(key,))
    client = Client(url, key, recorder=recorder, budget=RequestBudget(), run="testrun0", **options)
    try:
        yield client, notes
    finally:
        await client.close()


def self_signed(folder: Path) -> ssl.SSLContext:
    """A certificate made on the spot, which nobody vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("the certificate needs openssl: install it (Debian: apt-get install openssl)")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run([*words.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@asynccontextmanager
async def case_on(server: Pocket, notes: Notes) -> AsyncIterator[Case]:
    """A case against that server."""
    async with running(server) as url:
        client = Client(url, server.keys["all"], recorder=Recorder(notes), budget=RequestBudget(), run="testrun0")
        try:
            yield Case(World(run="testrun0", client=client, ledger=Ledger()), "VIS-1", "test_x.py::test_x")
        finally:
            await client.close()
