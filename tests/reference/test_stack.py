"""The stack under faults: processes, Redis and MariaDB killed under load; nothing acknowledged is lost or doubled."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import redis

FAULTS = int(os.environ.get("STACK_FAULTS", "2"))  # of each kind
CLIENTS = 8
BASE = "/v1/modules/scaiqueue"
PATIENCE_S = 60.0


@dataclass
class Ledger:
    """What the server told the clients."""

    published: dict[str, int] = field(default_factory=dict)  # id → number
    uncertain: set[int] = field(default_factory=set)  # numbers whose publish had no clear answer
    holders: dict[str, int] = field(default_factory=dict)  # id → how often it was handed out
    completed: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)  # ids whose completion may have happened
    next_number: int = 0


class Client:
    """Publishes, claims and completes until told to stop; faults show as errors and are lived with."""

    def __init__(self, http: httpx.AsyncClient, place: str, queue: str, ledger: Ledger, stop: asyncio.Event) -> None:
        self._http, self._place, self._queue, self._ledger, self._stop = http, place, queue, ledger, stop

    async def run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(httpx.TransportError):
                await self._publish()
                await self.consume()

    async def _publish(self) -> None:
        self._ledger.next_number += 1
        number = self._ledger.next_number
        self._ledger.uncertain.add(number)
        draft = {"type": "t", "body": {"n": number}, "idempotency_key": f"k{number}"}
        answer = await self._http.post(f"{self._place}/queues/{self._queue}/messages", json=draft)
        assert answer.status_code in (201, 503), answer.text
        if answer.status_code == 201:
            self._ledger.published[answer.json()["data"]["id"]] = number
            self._ledger.uncertain.discard(number)

    async def consume(self) -> int:
        request = {"batch_size": 2, "visibility_timeout_s": 3600}
        claimed = await self._http.post(f"{self._place}/queues/{self._queue}/messages/claim", json=request)
        if claimed.status_code == 503:
            return 0
        assert claimed.status_code == 200, claimed.text
        for message in claimed.json()["data"]:
            key = message["id"]
            assert key not in self._ledger.holders, "two holders: the lock lasts an hour"
            self._ledger.holders[key] = message["attempts"]
            await self._complete(key)
        return len(claimed.json()["data"])

    async def _complete(self, key: str) -> None:
        self._ledger.asked.add(key)
        done = await self._http.post(f"{self._place}/messages/{key}/complete", json={})
        assert done.status_code in (200, 503), done.text
        if done.status_code == 200:
            self._ledger.completed.add(key)


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110 -- what is awaited happens in another process
            await asyncio.sleep(0.05)


async def _all_messages(http: httpx.AsyncClient, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cursor = ""
    while True:
        page = (await http.get(f"{place}/messages", params={"limit": 500, "cursor": cursor})).json()
        found |= {message["id"]: message for message in page["data"]}
        cursor = page["meta"]["next_cursor"]
        if cursor is None:
            return found


def _check(found: dict[str, Any], ledger: Ledger) -> None:
    for key, number in ledger.published.items():
        assert key in found, f"acknowledged publish {number} is lost"
        assert found[key]["state"] != "pending", f"message {number} is stranded"
    for key in ledger.completed:
        assert found[key]["state"] == "completed", "a complete is lost"
    for key, message in found.items():
        assert message["attempts"] == 1, "handed out twice"
        assert message["state"] != "completed" or key in ledger.asked, "completed by nobody"
    numbers = [message["body"]["n"] for message in found.values()]
    assert len(numbers) == len(set(numbers))


def _faults(server: Any, services: Any, chance: random.Random) -> list[Callable[[], None]]:
    def restart(service: Any) -> Callable[[], None]:
        def fault() -> None:
            service.kill()
            service.start()

        return fault

    def kill_a_process() -> None:
        children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
        with open(children, encoding="ascii") as listed:  # noqa: PTH123
            pids = [int(text) for text in listed.read().split()]
        if pids:
            os.kill(chance.choice(pids), signal.SIGKILL)

    def flush() -> None:
        with redis.Redis.from_url(services.redis_url) as client:
            client.flushall()

    return [kill_a_process, restart(services.redis), flush, restart(services.mariadb)] * FAULTS


async def test_nothing_is_lost_or_doubled_whatever_is_killed(
    running: Callable[..., Any], client: Any, services: Any
) -> None:
    """API processes, Redis, its contents, MariaDB; at random points, under load; then everything is drained."""
    chance, ledger, stop = random.Random(4), Ledger(), asyncio.Event()
    options = ["--database", services.database_url, "--redis", services.redis_url, "--processes", "2"]
    with running(*options, "--log-level", "error") as server:
        api = client(server)
        scope, queue = api.new_scope(), api.new_queue()
        api.http.close()
        place = f"{BASE}/scopes/{scope}"
        faults = _faults(server, services, chance)
        chance.shuffle(faults)
        headers = {"Authorization": f"Bearer {server.keys['all']}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as http:
            clients = [Client(http, place, queue, ledger, stop) for _ in range(CLIENTS)]
            tasks = [asyncio.create_task(one.run()) for one in clients]
            for fault in faults:
                target = len(ledger.completed) + chance.randrange(20, 120)

                async def progressed(target: int = target) -> bool:
                    assert not any(task.done() for task in tasks), [task for task in tasks if task.done()]
                    return len(ledger.completed) >= target

                await _until(progressed)
                await asyncio.to_thread(fault)
            stop.set()
            await asyncio.gather(*tasks)

            async def drained() -> bool:
                with contextlib.suppress(httpx.TransportError):
                    await clients[0].consume()
                    waiting = await http.get(f"{place}/messages", params={"state": "pending", "limit": 1})
                    return waiting.status_code == 200 and waiting.json()["data"] == []
                return False

            await _until(drained)
            _check(await _all_messages(http, place), ledger)
    assert len(ledger.completed) > 100


def test_without_redis_the_rows_decide(running: Callable[..., Any], client: Any, services: Any) -> None:
    """Claims go on in order while it is away, and what was claimed meanwhile is not handed out when it is back."""
    with running("--database", services.database_url, "--redis", services.redis_url) as server:
        api = client(server)
        with api.http:
            api.new_scope()
            api.new_queue()
            made = [api.publish(n)["id"] for n in range(4)]
            services.redis.kill()
            assert [message["id"] for message in api.claim(2)] == made[:2]
            made.append(api.publish(4)["id"])
            services.redis.start()
            taken: list[str] = []
            while len(taken) < 3:
                taken += [message["id"] for message in api.claim(1)]
            assert sorted(taken) == sorted(made[2:])
            assert api.claim(10) == []


def test_a_database_without_redis_is_enough(running: Callable[..., Any], client: Any, services: Any) -> None:
    """The rows keep the order; the worker role runs the agents for an API process that has none."""
    with running("--database", services.database_url, "--role", "api") as server:
        api = client(server)
        with api.http:
            api.new_scope()
            api.new_queue(ordering="priority")
            low = api.publish(1, priority={"tier": "low"})["id"]
            high = api.publish(2, priority={"tier": "high"})["id"]
            assert [message["id"] for message in api.claim(2, 1)] == [high, low]
            assert api.claim(2) == []


@pytest.mark.parametrize("workers", [2])
def test_two_workers_reclaim_once(
    running: Callable[..., Any], client: Any, services: Any, worker: Callable[..., Any], workers: int
) -> None:
    """Every expired claim comes back exactly once, with exactly one attempt more."""
    options = ["--database", services.database_url, "--redis", services.redis_url]
    with running(*options, "--role", "api") as server, contextlib.ExitStack() as stack:
        for _ in range(workers):
            stack.enter_context(worker(*options))
        api = client(server)
        with api.http:
            api.new_scope()
            api.new_queue()
            made = {api.publish(n)["id"] for n in range(20)}
            assert len(api.claim(20, 1)) == 20
            back: list[Any] = []
            while len(back) < 20:
                back += api.claim(20)
            assert {message["id"] for message in back} == made
            assert {message["attempts"] for message in back} == {2}
            assert api.claim(20) == []
