"""The exam of exclusivity: every message is delivered exactly once, by two API processes with two workers beside them.

Each message carries a number of its own and every claim lasts an hour, so a second delivery of any number is a double
one, whatever the clocks say; a number that never comes is a lost one. Some are completed, most stay claimed.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bench.running import Served, child, reference
from benchmarks.bench.wire import Answer, Wire

BASE = "/v1/modules/scaiqueue"
PRODUCERS = 24
CONSUMERS = 16
_BATCHES = (1, 2, 3, 7, 10, 25)  # sizes of claims, in turn
_PATIENCE_S = 300.0  # without any progress: what is missing then is lost
_MOST_CONNECTIONS = 400  # the kernel spreads them over the processes by chance


@dataclass
class Ledger:
    """What came of `count` messages."""

    count: int
    times: bytearray = field(init=False)  # deliveries by number
    published: int = 0
    delivered: int = 0
    completed: int = 0
    later_attempts: int = 0  # deliveries that did not say attempts 1
    processes: set[str] = field(default_factory=set)  # by the prefix of their request ids
    progress: float = 0.0

    def __post_init__(self) -> None:
        self.times = bytearray(self.count)

    @property
    def doubled(self) -> int:
        return sum(times > 1 for times in self.times)

    @property
    def missing(self) -> int:
        return self.times.count(0)


@contextmanager
def two_of_each(services: Any) -> Iterator[Served]:
    """Two API processes behind one port, and two workers."""
    options = ["--database", services.database_url, "--redis", services.redis_url]
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(child("-m", "scaiqueue_reference", "--role", "worker", *options))
        yield stack.enter_context(reference(*options, "--role", "api", "--processes", "2"))


async def exam(served: Served, count: int) -> tuple[Ledger, tuple[int, int]]:
    """The ledger, and depth_pending and depth_claimed at the end; raises RuntimeError for any answer but a success."""
    ledger, numbers = Ledger(count), iter(range(count))
    wires = await _connected(served, ledger)
    scope_id = (await _ok(wires[0], "POST", f"{BASE}/scopes", b'{"slug":"s%d"}' % time.time_ns())).data["id"]
    scope = f"{BASE}/scopes/{scope_id}"
    queue_id = (await _ok(wires[0], "POST", f"{scope}/queues", b'{"slug":"q"}')).data["id"]
    queue = f"{scope}/queues/{queue_id}"
    ledger.progress = time.monotonic()
    producers = [_produce(wire, queue, numbers, ledger) for wire in wires[:PRODUCERS]]
    consumers = [_consume(wire, scope, queue, turn, ledger) for turn, wire in enumerate(wires[PRODUCERS:])]
    await asyncio.gather(*producers, *consumers)
    shown = (await _ok(wires[0], "GET", queue)).data
    for wire in wires:
        wire.close()
    return ledger, (shown["depth_pending"], shown["depth_claimed"])


async def _connected(served: Served, ledger: Ledger) -> list[Wire]:
    """Enough connections, and more until each process has one."""
    wires: list[Wire] = []
    wanted = PRODUCERS + CONSUMERS
    while len(wires) < wanted or (len(ledger.processes) < len(served.pids) and len(wires) < _MOST_CONNECTIONS):
        wires.append(Wire(served))
        answer = await _ok(wires[-1], "GET", f"{BASE}/scopes")
        ledger.processes.add(answer.document["meta"]["request_id"][:16])
    for spare in wires[: len(wires) - wanted]:
        spare.close()
    return wires[-wanted:]


async def _produce(wire: Wire, queue: str, numbers: Iterator[int], ledger: Ledger) -> None:
    for number in numbers:
        await _ok(wire, "POST", f"{queue}/messages", b'{"type":"t","body":%d}' % number)
        ledger.published += 1


async def _consume(wire: Wire, scope: str, queue: str, turn: int, ledger: Ledger) -> None:
    last_looks = 3  # after everything was delivered: what comes now is a second delivery
    while last_looks:
        turn += 1
        asked = b'{"batch_size":%d,"visibility_timeout_s":3600}' % _BATCHES[turn % len(_BATCHES)]
        taken = (await _ok(wire, "POST", f"{queue}/messages/claim", asked)).data
        for message in taken:
            number = message["body"]
            ledger.times[number] = min(ledger.times[number] + 1, 255)
            ledger.later_attempts += message["attempts"] != 1
        if taken:
            ledger.delivered += len(taken)
            ledger.progress = time.monotonic()
            await _ok(wire, "POST", f"{scope}/messages/{taken[0]['id']}/complete", b"{}")
            ledger.completed += 1
            continue
        if ledger.delivered >= ledger.count or time.monotonic() > ledger.progress + _PATIENCE_S:
            last_looks -= 1
        await asyncio.sleep(0.01)


async def _ok(wire: Wire, method: str, path: str, body: bytes = b"") -> Answer:
    answer = await wire.call(method, path, body)
    if answer.status not in (200, 201):
        raise RuntimeError(f"{method} {path}: {answer.status} {answer.document}")
    return answer
