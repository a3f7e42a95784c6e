"""Closed loads of cycles (publish, claim, complete, each acknowledged) and what came of them.

The HTTP client is callbacks over a socket in this process: it sends prepared requests and looks into an answer only for
its length and an id, so that it takes a small part of the cores from the server; every result says how much it took.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.bench.running import Served, cpu_s

BASE = "/v1/modules/scaiqueue"
WARM_UP_S = 0.7

DRAFT = b'{"type":"t","body":{"n":1}}'
CLAIM = b'{"batch_size":1,"visibility_timeout_s":60}'
COMPLETE = b'{"response":1}'


@dataclass(frozen=True)
class Measured:
    """Rounds a second, percentiles of a round in ms, CPU µs a round: server's, this client's (0: it is one)."""

    rate: float
    p50_ms: float
    p99_ms: float
    server_us: float
    client_us: float

    def line(self, name: str, share: float = 0) -> str:
        """One row of the table; `share` is of the floor."""
        against = f"= {share:4.2f} F" if share else " " * 8
        client = f", client {self.client_us:4.0f} µs" if self.client_us else ""
        times = f"p50 {self.p50_ms:5.1f} ms  p99 {self.p99_ms:5.1f} ms"
        return f"{name:34} {self.rate:7.0f}/s {against}  {times}  CPU {self.server_us:5.0f} µs{client}"


class _Meter:
    """Counts rounds between `start` and `stop`."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self.rounds: list[float] = []  # durations in s

    def start(self) -> None:
        self.rounds.clear()
        self._cpu, self._own, self._began = cpu_s(self._pids), time.process_time(), time.perf_counter()

    def stop(self) -> Measured:
        elapsed, rounds = time.perf_counter() - self._began, sorted(self.rounds)
        if not rounds:
            raise RuntimeError("not one round ended in the time that was measured")
        server, own, count = cpu_s(self._pids) - self._cpu, time.process_time() - self._own, len(rounds)
        at = [rounds[min(count - 1, int(count * share))] * 1e3 for share in (0.5, 0.99)]
        apart = 0.0 if os.getpid() in self._pids else own / count * 1e6
        return Measured(count / elapsed, at[0], at[1], server / count * 1e6, apart)


async def rounds(work: Sequence[Callable[[], Awaitable[object]]], seconds: float, pids: Sequence[int] = ()) -> Measured:
    """Runs each callable of `work` again and again, all at once."""
    meter, ends = _Meter(pids), time.perf_counter() + WARM_UP_S + seconds

    async def repeat(one: Callable[[], Awaitable[object]]) -> None:
        while (began := time.perf_counter()) < ends:
            await one()
            meter.rounds.append(time.perf_counter() - began)

    tasks = [asyncio.create_task(repeat(one)) for one in work]
    await asyncio.sleep(WARM_UP_S)
    meter.start()
    await asyncio.sleep(seconds)
    measured = meter.stop()
    await asyncio.gather(*tasks)
    return measured


class Caller(asyncio.Protocol):
    """A keep-alive connection with one request under way; `answered(bytes, start of the body)` gets the answer."""

    def __init__(self, answered: Callable[["Caller", bytes, int], None]) -> None:
        self._answered = answered
        self._pending = b""
        self.step = 0
        self.began = 0.0
        self.failure = ""

    def connection_made(self, transport: Any) -> None:
        self.send = transport.write
        self.close = transport.close

    def data_received(self, data: bytes) -> None:
        if self._pending:
            data = self._pending + data
        head = data.find(b"\r\n\r\n")
        place = data.find(b"content-length: ", 0, head)
        if head < 0 or len(data) < head + 4 + int(data[place + 16 : data.index(b"\r", place)]):
            self._pending = data
            return
        self._pending = b""
        if data.startswith(b"HTTP/1.1 20"):
            self._answered(self, data, head + 4)
        else:
            self.failure = data.decode(errors="replace")
            self.close()


class Http:
    """Connections to one server."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._host, _, port = served.url.removeprefix("http://").partition(":")
        self._port = int(port)
        self.head = (
            f"Host: {self._host}\r\nAuthorization: Bearer {served.token}\r\nContent-Type: application/json\r\n"
        ).encode()

    def request(self, path: str, body: bytes) -> bytes:
        """A POST as bytes."""
        return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (path.encode(), self.head, len(body), body)

    async def caller(self, answered: Callable[[Caller, bytes, int], None]) -> Caller:
        """A new connection."""
        made = await asyncio.get_running_loop().create_connection(lambda: Caller(answered), self._host, self._port)
        return made[1]

    async def ask(self, path: str, body: bytes) -> Any:
        """The `data` of one call's answer, over a connection of its own."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        caller = await self.caller(lambda _, data, body_at: answer.set_result(data[body_at:]))
        caller.send(self.request(path, body))
        try:
            return json.loads(await asyncio.wait_for(answer, 20))["data"]
        finally:
            caller.close()

    async def queue(self, **fields: Any) -> tuple[str, str]:
        """The paths of a new scope and of its new queue's messages."""
        scope_id = (await self.ask(f"{BASE}/scopes", json.dumps({"slug": f"s{time.time_ns()}"}).encode()))["id"]
        scope = f"{BASE}/scopes/{scope_id}"
        made = await self.ask(f"{scope}/queues", json.dumps({"slug": "q", **fields}).encode())
        return scope, f"{scope}/queues/{made['id']}/messages"

    async def bare(self, clients: int, seconds: float) -> Measured:
        """Requests of an application that answers all alike."""
        meter, request = _Meter(self._served.pids), self.request("/", DRAFT)

        def answered(caller: Caller, _data: bytes, _body_at: int) -> None:
            now = time.perf_counter()
            meter.rounds.append(now - caller.began)
            caller.began = now
            caller.send(request)

        return await self._measure(meter, answered, request, clients, seconds)

    async def cycles(self, clients: int, seconds: float) -> Measured:
        """Cycles through one queue; a claim that finds nothing ends its cycle and is not counted."""
        scope, messages = await self.queue()
        meter, publish = _Meter(self._served.pids), self.request(messages, DRAFT)
        claim = self.request(f"{messages}/claim", CLAIM)
        before, _, after = self.request(f"{scope}/messages/\0/complete", COMPLETE).partition(b"\0")

        def answered(caller: Caller, data: bytes, body_at: int) -> None:
            caller.step += 1
            if caller.step == 1:
                caller.send(claim)
                return
            if caller.step == 2:
                place = data.find(b'"id":"', body_at)
                if place > 0:
                    caller.send(before + data[place + 6 : place + 42] + after)
                    return
            now = time.perf_counter()
            if caller.step == 3:
                meter.rounds.append(now - caller.began)
            caller.step, caller.began = 0, now
            caller.send(publish)

        return await self._measure(meter, answered, publish, clients, seconds)

    async def _measure(
        self,
        meter: _Meter,
        answered: Callable[[Caller, bytes, int], None],
        first: bytes,
        clients: int,
        seconds: float,
    ) -> Measured:
        callers = [await self.caller(answered) for _ in range(clients)]
        for caller in callers:
            caller.began = time.perf_counter()
            caller.send(first)
        await asyncio.sleep(WARM_UP_S)
        meter.start()
        await asyncio.sleep(seconds)
        measured = meter.stop()
        for caller in callers:
            caller.close()
            if caller.failure:
                raise RuntimeError(f"the server answered: {caller.failure}")
        return measured
