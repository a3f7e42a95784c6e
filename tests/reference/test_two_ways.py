"""The hot shell and FastAPI give identical answers, over thousands of generated requests."""

import json
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from scaiqueue_reference.app import Server
from scaiqueue_reference.settings import Settings

REQUESTS = 4000
BASE = "/v1/modules/scaiqueue"
# What differs between two servers that do the same: ids, times, request ids.
_OWN = re.compile(
    rb"req_\w+|(?:sc|q)_[0-9a-f]{24}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z"
)


class _Side:
    def __init__(self, server: Server, app: Any) -> None:
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")
        self.token = server.keys["all"]
        self.keys = server.keys
        self.ids: dict[str, str] = {}

    async def send(self, path: str, content: bytes, headers: dict[str, str]) -> tuple[int, Any, bytes]:
        if "key" in headers:
            headers = {**headers, "Authorization": f"Bearer {self.keys.get(headers['key'], 'sgk_no')}"}
            del headers["key"]
        filled = re.sub(r"<(\w+)>", lambda match: self.ids.get(match[1], "none"), path)
        response = await self.http.post(BASE + filled, content=content, headers=headers)
        self._learn(response)
        shown = {name: value for name, value in response.headers.items() if name != "x-request-id"}
        return response.status_code, shown, _OWN.sub(b"<own>", response.content)

    def _learn(self, response: httpx.Response) -> None:
        data = response.json().get("data")
        for item in data if isinstance(data, list) else [data] if data else []:
            if "message_type" in item:
                self.ids[f"m{len(self.ids)}"] = item["id"]


@pytest.fixture
async def sides() -> AsyncIterator[tuple[_Side, _Side]]:
    """Two fresh servers: one answers through its shell, one by FastAPI alone."""
    servers = [Server(Settings(role="api")) for _ in range(2)]  # without agents: no lock runs out on one side first
    for server in servers:
        await server.open()
    pair = _Side(servers[0], servers[0].app), _Side(servers[1], servers[1].plain)
    for side in pair:
        authorization = {"Authorization": f"Bearer {side.token}"}
        scope = await side.http.post(f"{BASE}/scopes", json={"slug": "s"}, headers=authorization)
        side.ids["scope"] = scope.json()["data"]["id"]
        for slug in ("one", "two"):
            body = {"slug": slug, "max_depth": 400, "ordering": "priority"}
            queue = await side.http.post(f"{BASE}/scopes/{side.ids['scope']}/queues", json=body, headers=authorization)
            side.ids[slug] = queue.json()["data"]["id"]
    yield pair
    for side, server in zip(pair, servers, strict=True):
        await side.http.aclose()
        await server.close()


def _request(chance: random.Random, known: int) -> tuple[str, bytes, dict[str, str]]:
    scope, queue = chance.choice(["<scope>"] * 9 + ["nope", ""]), chance.choice(["<one>", "<two>", "nope"])
    message = f"m{chance.randrange(max(known, 1))}"
    path = chance.choice(
        [f"/scopes/{scope}/queues/{queue}/messages"] * 3
        + [f"/scopes/{scope}/queues/{queue}/messages/claim", f"/scopes/{scope}/messages/<{message}>/complete"]
    )
    if chance.random() < 0.03:
        path += chance.choice(["/", "/x", "?limit=1", "%2Fx"])
    body: dict[str, Any] = {"type": "t", "body": chance.choice([1, "é", {"a": [True, None]}, 10**30])}
    extras: list[tuple[str, Any]] = [
        ("idempotency_key", chance.choice(["k1", "k2", "K1", 3])),
        ("priority", {"score": chance.choice([1, 2, 1001])}),
        ("batch_size", chance.choice([1, 3, 0])),
        ("visibility_timeout_s", chance.choice([60, 0, "x"])),
        ("response", {"r": 1}),
        ("labels", chance.choice([{"a": 1}, {"a": {}}, None])),
        ("body", chance.choice([None, 2])),
        ("type", chance.choice(["", None, "é", 7])),
        ("message_type", chance.choice(["t", "u"])),
        ("priority_tier", chance.choice(["high", "highest"])),
        ("ttl_seconds", chance.choice([3600, 3600.5, 0])),
        ("deadline", chance.choice(["2031-01-01T00:00:00+02:00", 4e9, "soon"])),
        ("delay_until", chance.choice(["2031-01-01T00:00:00Z", 1, -1e300])),
        ("correlation_id", chance.choice(["c", "c" * 256])),
        ("hitl_spec", chance.choice([{"title": "?"}, [], "x"])),
    ]
    body.update(chance.sample(extras, chance.randrange(4)))
    content = json.dumps(body).encode()
    if chance.random() < 0.05:
        content = chance.choice([b"", b"{", content[:-1], b'{"body":"\\ud800"}', b"\xff"])
    headers = {"key": chance.choice(["all"] * 12 + ["view", "publish", "consume", "foreign", "unknown"])}
    headers["Content-Type"] = chance.choice(["application/json"] * 12 + ["text/plain", "application/x+json"])
    if chance.random() < 0.02:
        del headers["key"]
    return path, content, headers


async def test_both_ways_answer_the_same(sides: tuple[_Side, _Side]) -> None:
    """Status, headers and every byte but ids and times."""
    chance = random.Random(20)
    statuses: set[int] = set()
    for number in range(REQUESTS):
        path, content, headers = _request(chance, len(sides[0].ids))
        left, right = [await side.send(path, content, dict(headers)) for side in sides]
        assert left == right, (number, path, content, headers)
        statuses.add(left[0])
    assert statuses >= {200, 201, 401, 403, 404, 409, 415, 422}
