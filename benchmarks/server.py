"""How near the reference server comes to its floor, and to its peers, in one run: `python benchmarks/server.py`.

A cycle is publish + claim + complete, each acknowledged and on disk before its answer. S: cycles/s of the broker alone,
without HTTP. H: requests/s of a bare ASGI application on the same web server. F = 1 / (1/S + 3/H). Rows: the embedded
server, the stack (private MariaDB and Redis) with one and with two API processes against an F of its own S, then peers
with a full durable cycle each. CPU is what all of a server's processes use a cycle; the client runs beside the server
on the same cores and its share is told. Machines are noisy: everything is measured in turns, `--rounds` times; ratios
are taken within a round, and every figure is a median. Compare ratios, not numbers.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bench import beanstalkd, postgres
from benchmarks.bench.cycles import Http, Measured, rounds
from benchmarks.bench.running import Served, child, reference, stack_services

from scaiqueue_reference.broker import Broker
from scaiqueue_reference.clock import Clock
from scaiqueue_reference.message import Actor, Draft
from scaiqueue_reference.pending.memory import MemoryPending
from scaiqueue_reference.places import Places
from scaiqueue_reference.store.sqlite import SQLiteStore

Measure = Callable[[], Awaitable[Measured | None]]

PEERS = {"beanstalkd -f 0": beanstalkd.measure, "PostgreSQL SKIP LOCKED, asyncpg": postgres.measure}


def stack_broker(services: Any) -> Broker:
    """The stack's broker, as the server builds it."""
    from scaiqueue_reference.pending.redis import RedisPending
    from scaiqueue_reference.store.mariadb import MariaDBStore

    clock = Clock()
    pending = RedisPending(services.redis_url, clock.now_us)
    return Broker(MariaDBStore(services.database_url, clock), pending, clock, shared=True)


async def core(clients: int, seconds: float, services: Any = None) -> Measured:
    """S: cycles of the broker without HTTP, over SQLite or the stack's services."""
    with tempfile.TemporaryDirectory() as folder:
        if services is None:
            clock = Clock()
            broker = Broker(SQLiteStore(f"{folder}/rows.sqlite3", clock), MemoryPending(), clock)
        else:
            broker = stack_broker(services)
        await broker.open()
        places = Places(broker)
        scope = await places.create_scope("t", f"s{time.time_ns()}", "s", "")
        queue = await places.create_queue(scope, {"slug": "q", "display_name": "q"})
        actor, draft = Actor("user", "u"), Draft(message_type="t", body=b'{"n":1}')

        async def cycle() -> None:
            await broker.publish(actor, scope, queue, draft)
            for message in await broker.claim(actor, scope, queue, 1, 60_000_000):
                await broker.complete(actor, scope.id, message.id, b"1")

        measured = await rounds([cycle] * clients, seconds, (os.getpid(),))
        await broker.close()
        return measured


async def bare(clients: int, seconds: float) -> Measured:
    """H: requests of an ASGI application that answers 441 bytes."""
    with child(str(Path(__file__).parent / "bench" / "bare.py")) as (process, ready):
        return await Http(Served(ready["url"], "x" * 68, (process.pid,))).bare(clients, seconds)


class Table:
    """Measures by name, each taken once a round."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Measured]] = {}
        self.absent: list[str] = []

    async def take(self, name: str, measure: Measure) -> None:
        if name in self.absent:
            return
        measured = await measure()
        if measured is None:
            self.absent.append(name)
        else:
            self._rows.setdefault(name, []).append(measured)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def median(self, name: str) -> Measured:
        """Field by field."""
        taken = self._rows[name]
        fields = ("rate", "p50_ms", "p99_ms", "server_us", "client_us")
        return Measured(*(statistics.median(getattr(one, field) for one in taken) for field in fields))

    def floors(self, core_name: str) -> list[float]:
        """F of each round, in cycles/s."""
        pairs = zip(self._rows[core_name], self._rows["bare"], strict=True)
        return [1 / (1 / s.rate + 3 / h.rate) for s, h in pairs]

    def share(self, name: str, of: Sequence[float]) -> float:
        """The rate as a share of another one, round by round."""
        return statistics.median(one.rate / other for one, other in zip(self._rows[name], of, strict=True))

    def rates(self, name: str) -> list[float]:
        """Of each round."""
        return [one.rate for one in self._rows[name]]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=("embedded", "stack", "peers"), help="leave the rest out")
    arguments = parser.parse_args()
    wanted = arguments.only or ["embedded", "stack", "peers"]
    clients, seconds = arguments.clients, arguments.seconds
    table = Table()
    with ExitStack() as running:
        measures: list[tuple[str, Measure]] = [("bare", lambda: bare(clients, seconds))]
        if "embedded" in wanted:
            measures.append(("core", lambda: core(clients, seconds)))
            served = running.enter_context(reference())
            measures.append(("embedded", lambda served=served: Http(served).cycles(clients, seconds)))
        if "stack" in wanted:
            measures += _stack(running, clients, seconds, table)
        if "peers" in wanted:
            measures += [(name, lambda peer=peer: peer(clients, seconds)) for name, peer in PEERS.items()]
        for _ in range(arguments.rounds):
            for name, measure in measures:
                await table.take(name, measure)
    _report(table, clients)


def _stack(running: ExitStack, clients: int, seconds: float, table: Table) -> list[tuple[str, Measure]]:
    try:
        services = running.enter_context(stack_services())
    except RuntimeError as error:
        table.absent.append(f"stack ({error})")
        return []
    beside = [service.process.pid for service in (services.mariadb, services.redis)]
    options = ["--database", services.database_url, "--redis", services.redis_url]
    measures: list[tuple[str, Measure]] = [("stack core", lambda: core(clients, seconds, services))]
    for processes in (1, 2):

        async def measure(processes: int = processes) -> Measured:
            with reference(*options, "--processes", str(processes), beside=beside) as served:
                return await Http(served).cycles(clients, seconds)

        measures.append((f"stack, {processes} process{'es' * (processes > 1)}", measure))
    return measures


def _report(table: Table, clients: int) -> None:
    say = sys.stdout.write
    say(f"{clients} clients\n{table.median('bare').line('H bare ASGI, a request')}\n")
    for core_name, names in (("core", ["embedded"]), ("stack core", ["stack, 1 process", "stack, 2 processes"])):
        if core_name not in table:
            continue
        floors = table.floors(core_name)
        say(f"{table.median(core_name).line(f'S {core_name}, a cycle without HTTP')}\n")
        say(f"{'F':34} {statistics.median(floors):7.0f}/s\n")
        for name in names:
            say(f"{table.median(name).line(name, table.share(name, floors))}\n")
    for name in PEERS:
        if name in table:
            ratio = f"; embedded ÷ it {table.share('embedded', table.rates(name)):.2f}" if "embedded" in table else ""
            say(f"{table.median(name).line(name)}{ratio}\n")
    for name in table.absent:
        say(f"{name}: not installed, not measured\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
