"""`kill -9` at random points under load: what was acknowledged is there after the restart."""

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "50"))
CLIENTS = 8
BASE = "/v1/modules/scaiqueue"


@dataclass
class Ledger:
    """What the server acknowledged, and what was asked of it without an answer."""

    published: dict[str, int] = field(default_factory=dict)  # id → the number in its body
    completed: dict[str, int] = field(default_factory=dict)  # id → the number in its response
    asked: set[str] = field(default_factory=set)  # ids whose completion may have happened
    next_number: int = 0


class Client:
    """One client of one life of the server; a broken connection ends it."""

    def __init__(self, http: httpx.AsyncClient, place: str, queue: str, ledger: Ledger) -> None:
        self._http, self._place, self._queue, self._ledger = http, place, queue, ledger

    async def run(self) -> None:
        try:
            while True:
                await self._publish()
                await self._consume()
        except httpx.TransportError:
            return

    async def _publish(self) -> None:
        self._ledger.next_number += 1
        number = self._ledger.next_number
        draft = {"type": "t", "body": {"n": number}, "idempotency_key": f"k{number}"}
        answer = await self._http.post(f"{self._place}/queues/{self._queue}/messages", json=draft)
        assert answer.status_code == 201, answer.text
        self._ledger.published[answer.json()["data"]["id"]] = number

    async def _consume(self) -> None:
        request = {"batch_size": 2, "visibility_timeout_s": 3600}
        claimed = await self._http.post(f"{self._place}/queues/{self._queue}/messages/claim", json=request)
        for message in claimed.json()["data"]:
            key, number = message["id"], message["body"]["n"]
            assert key not in self._ledger.completed, "a completed message was handed out again"
            self._ledger.asked.add(key)
            done = await self._http.post(f"{self._place}/messages/{key}/complete", json={"response": number})
            assert done.status_code == 200, done.text
            self._ledger.completed[key] = number


async def _life(server: Any, place: str, queue: str, ledger: Ledger, after_s: float) -> None:
    """Load for a while, then SIGKILL in the middle of it."""
    headers = {"Authorization": f"Bearer {server.keys['all']}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as http:
        clients = [asyncio.create_task(Client(http, place, queue, ledger).run()) for _ in range(CLIENTS)]
        await asyncio.sleep(after_s)
        server.kill()
        await asyncio.gather(*clients)


def _all_messages(http: httpx.Client, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cursor = ""
    while True:
        page = http.get(f"{place}/messages", params={"limit": 500, "cursor": cursor}).json()
        found |= {message["id"]: message for message in page["data"]}
        cursor = page["meta"]["next_cursor"]
        if cursor is None:
            return found


def _check(found: dict[str, Any], ledger: Ledger) -> None:
    for key, number in ledger.published.items():
        assert key in found, f"acknowledged publish {number} is lost"
        assert found[key]["body"] == {"n": number}
    for key, number in ledger.completed.items():
        assert (found[key]["state"], found[key]["response"]) == ("completed", number), "a complete is lost"
    for key, message in found.items():
        assert message["state"] != "completed" or key in ledger.asked, "completed by nobody"
    numbers = [message["body"]["n"] for message in found.values()]
    assert len(numbers) == len(set(numbers))


async def test_kill_9_at_random_points(running: Callable[..., Any], client: Any, tmp_path: Path) -> None:
    """Seeded; after every life the rows hold exactly what the clients were told, or more that was under way."""
    chance, ledger = random.Random(9), Ledger()
    database = f"sqlite:///{tmp_path / 'rows.sqlite3'}"
    with running("--database", database) as server:
        api = client(server)
        scope, queue = api.new_scope(), api.new_queue()
        api.http.close()
        place = f"{BASE}/scopes/{scope}"
    for _ in range(ROUNDS):
        with running("--database", database) as server:
            await _life(server, place, queue, ledger, chance.uniform(0.01, 0.2))
    with running("--database", database) as server:
        headers = {"Authorization": f"Bearer {server.keys['all']}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as http:
            _check(_all_messages(http, place), ledger)
    assert len(ledger.completed) > ROUNDS
