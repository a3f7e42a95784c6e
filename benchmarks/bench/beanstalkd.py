"""A peer: beanstalkd, every change flushed to its log before the answer (-b, -f 0). A cycle is put, reserve, delete."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench.cycles import Measured, rounds

_START_S = 10


class _Worker:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def cycle(self) -> None:
        body = b'{"n":1}'
        await self._ask(b"put 500 0 60 %d\r\n%b\r\n" % (len(body), body), b"INSERTED")
        _, job, size = (await self._ask(b"reserve\r\n", b"RESERVED")).split()
        await self._reader.readexactly(int(size) + 2)
        await self._ask(b"delete %b\r\n" % job, b"DELETED")

    async def _ask(self, request: bytes, expected: bytes) -> bytes:
        self._writer.write(request)
        answer = await self._reader.readuntil(b"\r\n")
        if not answer.startswith(expected):
            raise RuntimeError(f"beanstalkd answered {answer!r}")
        return answer

    def close(self) -> None:
        self._writer.close()


async def measure(clients: int, seconds: float) -> Measured | None:
    """None where it is not installed."""
    program = shutil.which("beanstalkd")
    if program is None:
        return None
    with _running(program) as (pid, port):
        workers = [_Worker(*await _connect(port)) for _ in range(clients)]
        measured = await rounds([worker.cycle for worker in workers], seconds, (pid,))
        for worker in workers:
            worker.close()
        return measured


@contextmanager
def _running(program: str) -> Iterator[tuple[int, int]]:
    """Its process id and port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="bench-beanstalkd-") as folder:
        command = [program, "-l", "127.0.0.1", "-p", str(port), "-b", folder, "-f", "0"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            yield process.pid, port
        finally:
            process.terminate()
            process.wait()


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    end = time.monotonic() + _START_S
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)
