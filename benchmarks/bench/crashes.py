"""The exam of durability: processes are killed under load, and what the clients were told is held against the rows.

Clients publish, claim and complete; some claims are short and abandoned, so that the agents have work. Whatever is
killed: no acknowledged message is lost, none has two holders at once, none comes back after its complete.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from benchmarks.bench.running import Served
from benchmarks.bench.wire import Broken, Wire

BASE = "/v1/modules/scaiqueue"
CLIENTS = 8
_PATIENCE_S = 300.0
_LONG_S = 3600
_SHORT_S = 1
_CLOCKS_S = 0.005  # the processes' clocks may differ by so much
_ABANDONED = 0.1  # share of the claims
_REST_S = 0.05  # after a call that broke or was refused with 503

Fault = Callable[[], None]  # blocking; it runs in a thread


class Lost(AssertionError):  # noqa: N818 -- what was found, no failure of ours
    """A promise was broken; the message says which, and by which message."""


class Delivery(NamedTuple):
    """One answer of a claim about one message; s of the monotonic clock."""

    received: float
    free_at: float  # the lock began after the claim was sent, so it lasts at least until then


@dataclass
class Ledger:
    """What the server told the clients."""

    published: dict[str, int] = field(default_factory=dict)  # id → number
    deliveries: dict[str, dict[int, Delivery]] = field(default_factory=dict)  # id → by attempts
    asked: set[str] = field(default_factory=set)  # ids whose completion may have happened
    completed: dict[str, float] = field(default_factory=dict)  # id → when that was acknowledged
    numbers: int = 0
    broken: int = 0  # calls without an answer, or answered with 503

    def took(self, message: dict[str, Any], sent: float, timeout_s: float) -> None:
        """A claim that was sent at `sent` has brought `message` now; raises Lost.

        Answers may overtake each other: which delivery came first is told by its attempts.
        """
        key, attempts, now = message["id"], message["attempts"], time.monotonic()
        if sent >= self.completed.get(key, now):
            raise Lost(f"{key} was handed out after its complete had been acknowledged")
        known = self.deliveries.setdefault(key, {})
        if attempts in known:
            raise Lost(f"{key} was handed out twice as attempt {attempts}")
        known[attempts] = Delivery(now, sent + timeout_s)
        for earlier, later in pairwise(sorted(known)):
            early_s = known[earlier].free_at - known[later].received
            if early_s > _CLOCKS_S:
                raise Lost(f"{key} has two holders: attempts {earlier} and {later}, {early_s:.3f} s too early")


class Exam:
    """Load on one queue."""

    def __init__(self, served: Served, chance: random.Random) -> None:
        self._served = served
        self.ledger = Ledger()
        self._chance = chance
        self._stopping = False

    async def run(self, faults: Sequence[Fault]) -> Ledger:
        """Load with every fault at a random point of it, then a drain, then the comparison; raises Lost."""
        wire = Wire(self._served)
        made = await self._ask(wire, f"{BASE}/scopes", b'{"slug":"s%d"}' % time.time_ns())
        self._scope = f"{BASE}/scopes/{made['id']}"
        made = await self._ask(wire, f"{self._scope}/queues", b'{"slug":"q","max_retries":100}')
        self._queue = f"{self._scope}/queues/{made['id']}"
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(self._client())
            for fault in faults:
                await self._progress(self._chance.randrange(20, 120))
                await asyncio.to_thread(fault)
            await self._progress(50)
            self._stopping = True
        await self._drain(wire)
        self._compare({message["id"]: message for message in await self._rows(wire)})
        wire.close()
        return self.ledger

    async def _client(self) -> None:
        wire = Wire(self._served)
        try:
            while not self._stopping:
                try:
                    await self._publish(wire)
                    await self._consume(wire)
                except Broken:
                    self.ledger.broken += 1
                    await asyncio.sleep(_REST_S)
        finally:
            wire.close()

    async def _publish(self, wire: Wire) -> None:
        self.ledger.numbers += 1
        number = self.ledger.numbers
        draft = b'{"type":"t","body":{"n":%d},"idempotency_key":"k%d"}' % (number, number)
        data = await self._ask(wire, f"{self._queue}/messages", draft)
        self.ledger.published[data["id"]] = number

    async def _consume(self, wire: Wire) -> None:
        timeout_s = _SHORT_S if self._chance.random() < _ABANDONED and not self._stopping else _LONG_S
        sent = time.monotonic()
        asked = b'{"batch_size":2,"visibility_timeout_s":%d}' % timeout_s
        taken = await self._ask(wire, f"{self._queue}/messages/claim", asked)
        for message in taken:
            self.ledger.took(message, sent, timeout_s)
        if timeout_s == _LONG_S:
            for message in taken:
                self.ledger.asked.add(message["id"])
                await self._ask(wire, f"{self._scope}/messages/{message['id']}/complete", b"{}")
                self.ledger.completed[message["id"]] = time.monotonic()

    async def _ask(self, wire: Wire, path: str, body: bytes) -> Any:
        answer = await wire.call("POST", path, body)
        if answer.status == 503:
            raise Broken("503")
        if answer.status not in (200, 201):
            raise Lost(f"POST {path}: {answer.status} {answer.document}")
        return answer.data

    async def _progress(self, count: int) -> None:
        """Returns after so many completes more."""
        target = len(self.ledger.completed) + count
        await _until(lambda: len(self.ledger.completed) >= target, "no progress under load")

    async def _drain(self, wire: Wire) -> None:
        """Until nothing waits and nothing is held for a short time."""
        ends = time.monotonic() + _PATIENCE_S
        while time.monotonic() < ends:
            try:
                await self._consume(wire)
                held = await self._rows(wire, "state=claimed")  # first: what comes back meanwhile waits then
                if not any(map(_short, held)) and not await self._rows(wire, "state=pending"):
                    return
            except Broken:
                await asyncio.sleep(_REST_S)
        raise Lost("messages wait and are not handed out")

    async def _rows(self, wire: Wire, query: str = "") -> list[dict[str, Any]]:
        """All messages, or those of a state; raises Broken."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            answer = await wire.call("GET", f"{self._scope}/messages?limit=500&cursor={cursor}&{query}")
            if answer.status != 200:
                raise Broken(str(answer.status))
            found += answer.data
            cursor = answer.document["meta"]["next_cursor"]
            if cursor is None:
                return found

    def _compare(self, found: dict[str, Any]) -> None:
        ledger = self.ledger
        for key, number in ledger.published.items():
            if key not in found:
                raise Lost(f"acknowledged message {number} is lost")
            if found[key]["body"] != {"n": number}:
                raise Lost(f"message {number} has become {found[key]['body']}")
        for key in ledger.completed:
            if found[key]["state"] != "completed":
                raise Lost(f"{key} was completed and is {found[key]['state']}")
        for key, message in found.items():
            if message["state"] == "completed" and key not in ledger.asked:
                raise Lost(f"{key} was completed by nobody")
            if message["state"] not in ("completed", "claimed"):
                raise Lost(f"{key} is {message['state']} after the drain")
        numbers = [message["body"]["n"] for message in found.values()]
        if len(numbers) != len(set(numbers)):
            raise Lost("one publish made two messages")


def _short(message: dict[str, Any]) -> bool:
    """Whether its claim comes back by itself soon."""
    claimed, ends = (datetime.fromisoformat(message[name]) for name in ("claimed_at", "claim_expires_at"))
    return (ends - claimed).total_seconds() < _LONG_S / 2


async def _until(condition: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > ends:
            raise Lost(what)
        await asyncio.sleep(0.01)
