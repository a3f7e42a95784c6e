"""How near the reference server comes to its floor: S, H, F and the embedded server, measured in one run.

A cycle is publish + claim + complete, each acknowledged. S: cycles/s of the broker alone. H: requests/s of a bare ASGI
application on the same web server. F = 1 / (1/S + 3/H). The clients are keep-alive connections of one raw-socket
process, so that they cost little of the two cores. Machines are noisy: read the ratios, not the numbers.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from scaiqueue_reference.broker import Broker
from scaiqueue_reference.clock import Clock
from scaiqueue_reference.message import Actor, Draft
from scaiqueue_reference.pending.memory import MemoryPending
from scaiqueue_reference.places import Places
from scaiqueue_reference.store.sqlite import SQLiteStore

ROOT = Path(__file__).parents[1]
BASE = "/v1/modules/scaiqueue"
WARM_UP_S = 0.5

Cycle = Callable[[], Awaitable[None]]


async def rate(workers: list[Cycle], seconds: float) -> tuple[float, list[float]]:
    """Rounds a second over all workers, and each round's duration in ms, after a warm-up."""
    end = time.perf_counter() + WARM_UP_S + seconds
    begin = end - seconds
    durations: list[float] = []

    async def work(cycle: Cycle) -> None:
        while (started := time.perf_counter()) < end:
            await cycle()
            if started >= begin:
                durations.append((time.perf_counter() - started) * 1e3)

    await asyncio.gather(*map(work, workers))
    return len(durations) / (time.perf_counter() - begin), sorted(durations)


class Connection:
    """One keep-alive connection that sends prepared requests and reads answers by their content-length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self._reader, self._writer, self._head = reader, writer, head

    async def post(self, path: str, body: bytes) -> bytes:
        """The answer's body; raises RuntimeError for a status that is no success."""
        line = b"POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n" % (path.encode(), self._head, len(body))
        self._writer.write(line + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise RuntimeError(head.decode())
        place = head.lower().index(b"content-length:")
        return await self._reader.readexactly(int(head[place + 15 : head.index(b"\r", place)]))


async def connect(url: str, token: str) -> Connection:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**24)
    headers = f"Host: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    return Connection(reader, writer, headers.encode())


def start(*command: str) -> tuple[subprocess.Popen[bytes], dict[str, object]]:
    """A child process and the JSON object of its first line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def stack_broker(services: Any) -> Broker:
    """The stack's broker, as the server builds it."""
    from scaiqueue_reference.pending.redis import RedisPending
    from scaiqueue_reference.store.mariadb import MariaDBStore

    clock = Clock()
    pending = RedisPending(services.redis_url, clock.now_us)
    return Broker(MariaDBStore(services.database_url, clock), pending, clock, shared=True)


async def core(clients: int, seconds: float, services: Any = None) -> float:
    """S: cycles/s of the broker without HTTP, over SQLite or the stack's services."""
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        embedded = services is None
        store = SQLiteStore(f"{folder}/rows.sqlite3", clock)
        broker = Broker(store, MemoryPending(), clock) if embedded else stack_broker(services)
        await broker.open()
        places = Places(broker)
        scope = await places.create_scope("t", f"s{time.time_ns()}", "s", "")
        queue = await places.create_queue(scope, {"slug": "q", "display_name": "q"})
        actor, draft = Actor("user", "u"), Draft(message_type="t", body=b'{"n":1}')

        async def cycle() -> None:
            await broker.publish(actor, scope, queue, draft)
            for message in await broker.claim(actor, scope, queue, 1, 60_000_000):
                await broker.complete(actor, scope.id, message.id, b"1")

        result, _ = await rate([cycle] * clients, seconds)
        await broker.close()
        return result


async def bare(clients: int, seconds: float) -> float:
    """H: requests/s of an ASGI application that answers 441 bytes."""
    process, ready = start(str(Path(__file__).with_name("server_bare.py")))
    connections = [await connect(str(ready["url"]), "x") for _ in range(clients)]

    def caller(connection: Connection) -> Cycle:
        async def call() -> None:
            await connection.post("/", b'{"type":"t","body":{"n":1}}')

        return call

    try:
        return (await rate([caller(connection) for connection in connections], seconds))[0]
    finally:
        process.terminate()
        process.wait()


async def served(clients: int, seconds: float, *options: str) -> tuple[float, list[float]]:
    """Cycles/s over HTTP, and the durations of whole cycles in ms."""
    process, ready = start("-m", "scaiqueue_reference", "--port", "0", *options)
    try:
        connections = [await connect(str(ready["url"]), ready["keys"]["all"]) for _ in range(clients)]  # type: ignore[index]
        slug = f"s{time.time_ns()}"
        made = await connections[0].post(f"{BASE}/scopes", json.dumps({"slug": slug}).encode())
        scope = f"{BASE}/scopes/{json.loads(made)['data']['id']}"
        made = await connections[0].post(f"{scope}/queues", b'{"slug":"q"}')
        messages = f"{scope}/queues/{json.loads(made)['data']['id']}/messages"

        def worker(connection: Connection) -> Cycle:
            async def cycle() -> None:
                await connection.post(messages, b'{"type":"t","body":{"n":1}}')
                claimed = await connection.post(f"{messages}/claim", b'{"batch_size":1,"visibility_timeout_s":60}')
                place = claimed.find(b'"id":"')
                if place > 0:
                    key = claimed[place + 6 : place + 42].decode()
                    await connection.post(f"{scope}/messages/{key}/complete", b'{"response":1}')

            return cycle

        return await rate([worker(connection) for connection in connections], seconds)
    finally:
        process.terminate()
        process.wait()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--stack", action="store_true", help="also MariaDB and Redis, which must be installed")
    arguments = parser.parse_args()
    clients, seconds = arguments.clients, arguments.seconds
    s, h = await core(clients, seconds), await bare(clients, seconds)
    floor = 1 / (1 / s + 3 / h)
    lines = [f"S core cycles/s {s:9.0f}", f"H bare requests/s {h:7.0f}", f"F floor cycles/s {floor:8.0f}"]
    lines.append(line("embedded", await served(clients, seconds), floor))
    if arguments.stack:
        with stack_services() as services:
            options = ["--database", services.database_url, "--redis", services.redis_url]
            s = await core(clients, seconds, services)
            floor = 1 / (1 / s + 3 / h)
            lines += [f"S stack core cycles/s {s:6.0f}", f"F stack floor cycles/s {floor:5.0f}"]
            for processes in (1, 2):
                result = await served(clients, seconds, *options, "--processes", str(processes))
                lines.append(line(f"stack, {processes} process{'es' * (processes > 1)}", result, floor))
    sys.stdout.write("\n".join(lines) + "\n")


def line(name: str, result: tuple[float, list[float]], floor: float) -> str:
    """One server's result against the floor."""
    return f"{name:18} {result[0]:6.0f} cycles/s = {result[0] / floor:.2f} F, {_percentiles(result[1])}"


def stack_services() -> Any:
    """The private MariaDB and Redis of fixtures/stack."""
    spec = importlib.util.spec_from_file_location("stack_services", ROOT / "fixtures" / "stack" / "services.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Services()


def _percentiles(durations: list[float]) -> str:
    at = [durations[min(len(durations) - 1, int(len(durations) * share))] for share in (0.5, 0.99)]
    return f"cycle p50 {at[0]:.1f} ms, p99 {at[1]:.1f} ms"


if __name__ == "__main__":
    uvloop.run(main())
