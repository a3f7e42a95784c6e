"""A small in-memory queue server, to be loaded, stopped and spoiled: `python toy_queue.py [FAULT] [RATE]`.

Prints its address. FAULT happens to every RATE-th message (default 7): lost (a publish is answered and forgotten),
double (a claimed message is handed out a second time at once), ghost (a message is stored twice), revived (a completed
message comes back), swapped (two bodies change places), damaged (a body is cut), slow (each answer takes 50 ms),
freezing (after RATE publishes the server stops for a second), dying (the process ends after 60 publishes),
hanging (no answer after 60 publishes), broken (every publish is answered with 500), hesitant (each of its first RATE
creations is answered with 503), forgetful (SIGUSR1 makes it forget
what is pending, as a server does that answers before it writes and is killed), amnesiac (its queues as well),
sealed (a publish is answered and forgotten, and the dead-letter queue cannot be claimed), slowly (an answer takes
2 s), picky (wants max_depth, idempotency keys, holds of a second or more and batches of five or fewer), deaf (refuses
every claim), barred (the key may not claim).
"""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections import Counter
from typing import Any

import httptools


class Store:
    """Messages in order, and what the fault does to them."""

    def __init__(self, fault: str, rate: int) -> None:
        self.fault, self.rate = fault, rate
        self.messages: dict[str, dict[str, Any]] = {}
        self.pending: dict[str, list[str]] = {"_dead_letter": []}
        self.numbers = itertools.count(1)
        self.published = 0
        self.served: Counter[str] = Counter()  # calls by verb
        self.spoiled = 0
        self.last_body: Any = None

    def hit(self, number: int) -> bool:
        return number % self.rate == 0

    def publish(self, queue: str, document: dict[str, Any]) -> dict[str, Any]:
        self.published += 1
        if self.fault == "dying" and self.published > 60:
            os._exit(1)
        body, identity = document["body"], f"m{next(self.numbers)}"
        hit = self.hit(self.published)
        if hit and self.fault == "swapped" and self.last_body is not None:
            body, self.last_body = self.last_body, body
        elif hit and self.fault == "damaged":
            body = {**body, "pad": body["pad"][:-1]}
        else:
            self.last_body = body
        if not (hit and self.fault in {"lost", "sealed"}):
            self.add(queue, identity, body)
        if hit and self.fault == "ghost":
            self.add(queue, f"{identity}-again", body)
        return {"id": identity, "state": "pending"}

    def add(self, queue: str, identity: str, body: Any) -> None:
        self.messages[identity] = {"id": identity, "state": "pending", "attempts": 0, "body": body, "queue_id": queue}
        self.pending[queue].append(identity)

    def claim(self, queue: str, document: dict[str, Any]) -> list[dict[str, Any]]:
        self.reclaim()
        found = []
        while self.pending[queue] and len(found) < document["batch_size"]:
            message = self.messages[self.pending[queue].pop(0)]
            message["state"], message["until"] = "claimed", time.monotonic() + document["visibility_timeout_s"]
            message["attempts"] += 1
            found.append({name: value for name, value in message.items() if name not in {"until", "spoiled"}})
            if self.fault == "double" and message["attempts"] == 1 and self.hit(int(message["id"][1:])):
                self.pending[queue].append(message["id"])
        return found

    def forget(self) -> None:
        for waiting in self.pending.values():
            for identity in waiting:
                del self.messages[identity]
            waiting.clear()
        if self.fault == "amnesiac":
            self.messages.clear()
            self.pending.clear()

    def reclaim(self) -> None:
        now = time.monotonic()
        for message in self.messages.values():
            if message["state"] == "claimed" and message["until"] < now:
                message["state"] = "pending"
                self.pending[message["queue_id"]].append(message["id"])

    def act(self, verb: str, identity: str, document: dict[str, Any]) -> tuple[int, Any]:
        message = self.messages.get(identity)
        if message is None:
            return 404, {"error": {"code": "NOT_FOUND"}}
        if message["state"] != "claimed":
            return 409, {"error": {"code": "NOT_CLAIMED"}}
        if verb == "extend":
            message["until"] = time.monotonic() + document["visibility_timeout_s"]
        elif verb == "complete":
            message["state"] = "completed"
            if self.fault == "revived" and "spoiled" not in message and self.hit(int(identity[1:])):
                message.update(state="pending", spoiled=True)
                self.pending[message["queue_id"]].append(identity)
        else:
            message["state"] = "pending"
            self.pending[message["queue_id"]].append(identity)
        return 200, {"data": {"id": identity, "state": message["state"]}}

    def answer(self, method: str, path: str, document: Any) -> tuple[int, Any]:
        if path == "/count":
            return 200, {"data": self.served}
        self.served[path.rpartition("/")[2].replace("messages", "publish")] += 1
        parts = path.removeprefix("/v1/modules/scaiqueue/").partition("?")[0].split("/")
        creating = method == "POST" and (parts == ["scopes"] or parts[-1] == "queues")
        if creating and self.fault == "hesitant" and self.spoiled < self.rate:
            self.spoiled += 1
            return 503, {"error": {"code": "UNAVAILABLE"}}
        if parts == ["scopes"]:
            return 201, {"data": {"id": "s1", "slug": document["slug"]}}
        if len(parts) == 2:
            return (200, {"data": {"id": parts[1]}}) if method == "DELETE" else (200, {"data": {"id": "s1"}})
        if parts[2] == "queues":
            return self._queues(method, parts[3:], document)
        if method == "GET":
            message = self.messages.get(parts[3])
            return (200, {"data": message}) if message else (404, {"error": {"code": "NOT_FOUND"}})
        return self.act(parts[4], parts[3], document)

    def _refused(self, what: str, document: Any) -> bool:
        """What a server with demands of its own does not take."""
        if self.fault != "picky":
            return self.fault == "deaf" and what == "claim"
        if what == "queue":
            return "max_depth" not in document or "max_retries" in document
        if what == "claim":
            return document["visibility_timeout_s"] < 1 or document["batch_size"] > 5
        return "idempotency_key" not in document

    def _queues(self, method: str, rest: list[str], document: Any) -> tuple[int, Any]:
        if not rest and method == "GET":
            return 200, {"data": [{"id": name, "slug": name} for name in self.pending]}
        if self._refused("queue" if not rest else rest[-1], document):
            return 422, {"error": {"code": "VALIDATION_ERROR"}}
        if not rest:
            self.pending.setdefault(document["slug"], [])
            return 201, {"data": {"id": document["slug"], "slug": document["slug"]}}
        if rest[0] not in self.pending:
            return 404, {"error": {"code": "QUEUE_NOT_FOUND"}}
        if rest[-1] == "claim" and (self.fault == "barred" or (rest[0], self.fault) == ("_dead_letter", "sealed")):
            return 403, {"error": {"code": "FORBIDDEN"}}
        if rest[-1] == "claim":
            return 200, {"data": self.claim(rest[0], document)}
        if self.fault == "broken":
            return 500, {"error": {"code": "INTERNAL"}}
        return 201, {"data": self.publish(rest[0], document)}


class Peer(asyncio.Protocol):
    """One connection."""

    store: Store
    began = time.monotonic()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = httptools.HttpRequestParser(self)
        self.path, self.parts = "", []

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.path = url.decode()
        self.parts: list[bytes] = []

    def on_body(self, data: bytes) -> None:
        self.parts.append(data)

    def on_message_complete(self) -> None:
        store = self.store
        content = b"".join(self.parts)
        if store.fault == "freezing" and store.published >= store.rate:
            store.fault = ""
            time.sleep(1.0)  # the whole process stands still
        status, told = store.answer(
            self.parser.get_method().decode(), self.path, json.loads(content) if content else {}
        )
        if store.fault == "hanging" and store.published > 60:
            return
        data = json.dumps(told).encode()
        reply = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            status,
            len(data),
            data,
        )
        asyncio.get_running_loop().call_later(
            {"slow": 0.05, "slowly": 2.0}.get(store.fault, 0), self.transport.write, reply
        )


async def main(fault: str, rate: int) -> None:
    Peer.store = store = Store(fault, rate)
    if fault in {"forgetful", "amnesiac"}:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, store.forget)
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "", int(sys.argv[2]) if len(sys.argv) > 2 else 7))
