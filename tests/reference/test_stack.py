"""The stack without Redis, without agents of its own, with two workers (what is killed: test_crash.py)."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from scaiqueue_reference.clock import Clock
from scaiqueue_reference.store.mariadb import MariaDBStore


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


async def test_those_that_start_at_once_say_nothing(services: Any, caplog: pytest.LogCaptureFixture) -> None:
    """One brings the database up to date, the others wait for it; none has anything to complain about."""
    for _ in range(2):  # the second time everything is there already
        stores = [MariaDBStore(services.database_url, Clock()) for _ in range(3)]
        await asyncio.gather(*(store.open() for store in stores))
        for store in stores:
            await store.close()
    assert caplog.records == []


def test_the_order_holds_while_it_is_rebuilt(
    running: Callable[..., Any], client: Any, services: Any, worker: Callable[..., Any]
) -> None:
    """A new, empty Redis knows the newest message first: until the worker has put the older ones, the rows decide."""
    own = services.redis_url.removesuffix("/0") + "/1"  # no other server's worker mends this order
    options = ["--database", services.database_url, "--redis", own]
    with running(*options, "--role", "api") as server, Redis.from_url(own) as redis:
        api = client(server)
        with api.http:
            api.new_scope()
            api.new_queue()
            made = [api.publish(n)["id"] for n in range(20)]
            services.redis.kill()
            services.redis.start()
            while not _size(redis, api.queue):  # until the server has found it again
                made.append(api.publish(0)["id"])
            assert _size(redis, api.queue) < len(made)
            taken = [api.claim(1)[0]["id"] for _ in range(3)]
            with worker(*options):
                while _size(redis, api.queue) < len(made) - len(taken):
                    taken += [message["id"] for message in api.claim(1)]
                while more := api.claim(7):
                    taken += [message["id"] for message in more]
            assert taken == made


def _size(redis: "Redis", queue: str) -> int:
    return int(redis.zcard(f"scaiqueue:pending:{queue}"))


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


def test_what_one_process_changes_the_other_knows_at_once(
    running: Callable[..., Any], client: Any, services: Any
) -> None:
    """Each process keeps what it knows of a queue; not one call may be answered by what is no longer so."""
    options = ["--database", services.database_url, "--redis", services.redis_url]
    with running(*options, "--role", "api") as server, running(*options, "--role", "api") as second:
        here, there = client(server), client(second)
        with here.http, there.http:
            here.new_scope()
            here.new_queue()
            there.scope, there.queue = here.scope, here.queue
            for _ in range(10):
                there.publish(1)
                here.ok("POST", f"{here.at()}/pause")
                assert there.try_publish().status_code == 409
                assert there.claim(1) == []
                here.ok("POST", f"{here.at()}/resume")
                assert len(there.claim(1)) == 1
            here.ok("DELETE", here.at())
            assert there.try_publish().status_code == 404
