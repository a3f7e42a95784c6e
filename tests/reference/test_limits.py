"""Rate limits."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis
import redis.asyncio

from scaiqueue_reference.api.limits import RateLimits
from scaiqueue_reference.auth import Caller
from scaiqueue_reference.errors import RateLimited
from scaiqueue_reference.message import Actor
from scaiqueue_reference.pending import PendingAway
from scaiqueue_reference.pending.redis_windows import RedisWindows

ANN = Caller(Actor("user", "ann"), "t", frozenset())
BOB = Caller(Actor("user", "bob"), "t", frozenset())


class _Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def _remaining(limits: RateLimits, caller: Caller) -> int:
    return int(dict(await limits.count(caller))[b"x-scaigrid-ratelimit-remaining"])


async def test_a_window_slides() -> None:
    """The first call leaves it after its length, and makes room for exactly one."""
    clock = _Time()
    limits = RateLimits(2, 0, 60, clock)
    assert await _remaining(limits, ANN) == 1
    clock.now = 30
    assert await _remaining(limits, ANN) == 0
    clock.now = 45
    with pytest.raises(RateLimited) as caught:
        await limits.count(ANN)
    assert caught.value.retry_after == 15
    clock.now = 60
    assert await _remaining(limits, ANN) == 0
    assert await _remaining(limits, BOB) == 1


async def test_a_tenant_has_a_window_of_its_own() -> None:
    """All its keys share it; the nearer limit is the one that is told."""
    limits = RateLimits(10, 2, 60, _Time())
    assert (await _remaining(limits, ANN), await _remaining(limits, BOB)) == (1, 0)
    with pytest.raises(RateLimited):
        await limits.count(ANN)


async def test_no_limit_says_nothing() -> None:
    """No headers, no count."""
    limits = RateLimits(0, 0, 60)
    assert [await limits.count(ANN) for _ in range(1000)] == [()] * 1000
    assert not limits.wanted


async def test_processes_count_together(services: Any) -> None:
    """Two that share Redis have one window for a key, and one for its tenant."""
    first, second = RedisWindows(services.redis_url), RedisWindows(services.redis_url)
    one, other = (RateLimits(3, 4, 3600, shared=windows) for windows in (first, second))
    try:
        ann, bob = (Caller(Actor("user", name), services.redis_url, frozenset()) for name in ("ann", "bob"))
        assert [await _remaining(limits, ann) for limits in (one, other, one)] == [2, 1, 0]
        with pytest.raises(RateLimited) as caught:
            await other.count(ann)
        assert 3590 <= (caught.value.retry_after or 0) <= 3600
        assert await _remaining(other, bob) == 0  # the tenant's fourth; what was refused was not counted
        with pytest.raises(RateLimited):
            await one.count(bob)
    finally:
        await first.close()
        await second.close()


async def test_a_shared_window_slides_by_the_clock_of_redis(services: Any) -> None:
    """What left the window makes room; a window that nobody uses is forgotten by Redis itself."""
    windows = RedisWindows(services.redis_url)
    client = redis.asyncio.Redis.from_url(services.redis_url)
    try:
        key = "scaiqueue:calls:key:slides"
        seconds, micros = await client.time()
        await client.lpush(key, (seconds - 61) * 10**6, (seconds - 59) * 10**6 + micros)
        nearest, room, wait_s = await windows.count([("key:slides", 2)], 60)
        assert (nearest, room) == (0, 1)
        assert 0 < wait_s <= 1
        assert await client.llen(key) == 2
        assert 0 < await client.pttl(key) <= 60_000
    finally:
        await client.aclose()
        await windows.close()


async def test_without_redis_each_process_counts_by_itself() -> None:
    """A limit a process is better than no service, and than no limit."""

    class Away:
        async def count(self, windows: Sequence[tuple[str, int]], window_s: float) -> tuple[int, int, float]:
            raise PendingAway

    limits = RateLimits(2, 0, 60, _Time(), shared=Away())
    assert [await _remaining(limits, ANN) for _ in range(2)] == [1, 0]
    with pytest.raises(RateLimited):
        await limits.count(ANN)


def test_a_limit_holds_over_all_processes(running: Callable[..., Any], client: Any, services: Any) -> None:
    """Two processes behind the port, calls at once on connections of their own: as many as the limit are served."""
    options = ["--database", services.database_url, "--redis", services.redis_url, "--processes", "2"]
    with redis.Redis.from_url(services.redis_url) as store:
        store.flushall()
    with running(*options, "--rate-limit", "12", "--rate-window", "3600") as server:
        headers = {"Authorization": f"Bearer {server.keys['all']}"}
        url = f"{server.url}/v1/modules/scaiqueue/scopes"
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: httpx.get(url, headers=headers, timeout=20), range(60)))
    assert sorted(answer.status_code for answer in answers) == [200] * 12 + [429] * 48
    assert len({answer.headers["x-request-id"][:16] for answer in answers}) == 2


def test_429_carries_everything_a_client_needs(running: Callable[..., Any], client: Any) -> None:
    """Code, retry_after, Retry-After and the three headers; the headers stand on successes as well."""
    with running("--rate-limit", "3", "--rate-window", "3600") as server:
        api = client(server)
        with api.http:
            answers = [api.call("GET", "/scopes") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert [answer.headers["X-Scaigrid-Ratelimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
            refused = answers[-1]
            error = refused.json()["error"]
            assert (error["code"], str(error["retry_after"])) == ("RATE_LIMITED", refused.headers["Retry-After"])
            assert refused.headers["X-Scaigrid-Ratelimit-Limit"] == "3"
            assert api.call("GET", "/scopes", key="view").status_code == 200
            assert api.http.get("/health/ready").json() == {"status": "ok"}
