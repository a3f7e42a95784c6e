"""What the server does by itself with time: aging, dead letters of lapses, expiry, archive, removal; over the API."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scaiqueue_reference.agents import Agents
from scaiqueue_reference.broker import Broker
from scaiqueue_reference.clock import Clock
from scaiqueue_reference.errors import Unavailable
from scaiqueue_reference.pending.memory import MemoryPending
from scaiqueue_reference.settings import Settings
from scaiqueue_reference.webhooks import Dispatcher

MESSAGE = "scaiqueue.message."
PATIENCE_S = 60.0


@pytest.fixture(params=["embedded", "stack"])
def stores(request: pytest.FixtureRequest) -> list[str]:
    """The options of both kinds of rows."""
    if request.param == "embedded":
        return []
    services = request.getfixturevalue("services")
    return ["--database", services.database_url, "--redis", services.redis_url]


@pytest.fixture
def quick(running: Callable[..., Any], client: Any, stores: list[str]) -> Iterator[Callable[..., Any]]:
    """`quick("--aging", "1")`: a client of a server with those settings, a scope and a queue."""
    opened: list[Any] = []

    def start(*options: str, **fields: Any) -> Any:
        manager = running(*stores, *options)
        api = client(manager.__enter__())
        opened.append((manager, api))
        api.new_scope()
        api.new_queue(**fields)
        return api

    yield start
    for manager, api in opened:
        api.http.close()
        manager.__exit__(None, None, None)


def until(condition: Callable[[], Any]) -> Any:
    """What it says once it says something."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def events(api: Any, name: str) -> list[Any]:
    return list(api.ok("GET", f"/scopes/{api.scope}/audit", params={"event_type": MESSAGE + name}))


def test_what_waits_rises_by_a_tier_each_period(quick: Callable[..., Any]) -> None:
    """A message of the lowest tier overtakes a fresh one of the highest in the end; what it shows stays."""
    api = quick("--aging", "1", ordering="priority")
    old = api.publish(1, priority={"tier": "background", "score": 7})["id"]
    until(lambda: len(events(api, "aged")) >= 4)
    fresh = api.publish(2, priority={"tier": "critical", "score": 6})["id"]
    better = api.publish(3, priority={"tier": "critical", "score": 8})["id"]
    taken = api.claim(5)
    assert [message["id"] for message in taken] == [better, old, fresh]
    assert (taken[1]["priority_tier"], taken[1]["priority_score"], taken[1]["attempts"]) == ("background", 7, 1)
    assert {line["actor_id"] for line in events(api, "aged")} == {"priority_aging"}


def test_only_priority_queues_age(quick: Callable[..., Any]) -> None:
    """And only what may be claimed already."""
    api = quick("--aging", "1", ordering="fifo")
    fifo = api.queue
    api.publish(1, priority={"tier": "background"})
    api.new_queue(ordering="priority")
    hidden = api.publish(1, priority={"tier": "background"}, delay_until="2999-01-01T00:00:00Z")["id"]
    api.publish(2, priority={"tier": "low"})
    until(lambda: len(events(api, "aged")) >= 3)
    assert {line["queue_id"] for line in events(api, "aged")} == {api.queue} != {fifo}
    assert hidden not in {line["message_id"] for line in events(api, "aged")}


def test_a_message_whose_lock_runs_out_again_and_again_is_a_dead_letter(quick: Callable[..., Any]) -> None:
    """One delivery beyond max_retries, because a slow consumer is no failing one."""
    api = quick(max_retries=2)
    poison = api.publish("poison")["id"]
    seen: list[int] = []
    while not events(api, "dead_lettered"):
        seen += [message["attempts"] for message in api.claim(5, 0.1)]
    assert seen == [1, 2, 3]
    letter = api.read(poison)
    assert (letter["state"], letter["queue_id"], letter["attempts"]) == ("dead_lettered", api.dead_letter(), 3)
    assert "visibility timeout" in letter["failure_reason"]
    assert events(api, "dead_lettered")[0]["actor_id"] == "dead_letter_monitor"
    assert api.claim(1, queue=api.dead_letter())[0]["body"] == "poison"


def test_a_message_that_is_released_again_and_again_is_none(quick: Callable[..., Any]) -> None:
    """A release gives back what the consumer did not want: however often, it never counts out."""
    api = quick(max_retries=2)
    released = api.publish("released")["id"]
    for attempt in range(1, 6):
        (message,) = api.claim(5)
        assert message["attempts"] == attempt
        assert api.act("release", released).status_code == 200
    assert api.read(released)["state"] == "pending"
    assert events(api, "dead_lettered") == []


def test_what_ended_is_archived_then_removed_with_its_key(quick: Callable[..., Any]) -> None:
    """What waits stays, however old; after the removal the key makes a new message."""
    api = quick("--archive-after", "1", "--keep-messages", "3")
    done = api.publish(1, idempotency_key="k")["id"]
    api.claim(1)
    api.act("complete", done, {"response": "kept"})
    gone = api.publish(2, ttl_seconds=0.1)["id"]
    waiting = api.publish(3)["id"]
    until(lambda: len(events(api, "archived")) == 2)
    assert [line["message_id"] for line in events(api, "expired")] == [gone]
    until(lambda: api.call("GET", f"/scopes/{api.scope}/messages/{done}").status_code == 404)
    assert api.read(waiting)["state"] == "pending"
    again = api.publish(9, idempotency_key="k")
    assert again["id"] != done
    assert len(events(api, "completed")) == 1, "its lines outlive it"


def test_old_lines_of_the_journal_are_removed(quick: Callable[..., Any]) -> None:
    """Audit and events alike; messages stay."""
    api = quick("--keep-journal", "1")
    made = api.publish(1)["id"]
    assert events(api, "published")
    until(lambda: not events(api, "published"))
    assert api.ok("GET", f"/scopes/{api.scope}/events") == []
    assert api.read(made)["state"] == "pending"


def test_for_ever_is_for_ever(quick: Callable[..., Any]) -> None:
    """0 switches a duty off: its agent does not exist."""
    api = quick("--aging", "0", "--archive-after", "0", "--keep-messages", "0", "--keep-journal", "0")
    names = {agent["name"] for agent in until(lambda: api.ok("GET", "/system-agents"))}
    if len(names) <= 4:  # another test's server over the same rows has told of more
        assert names <= {"visibility_timeout_enforcer", "expiry_enforcer", "webhook_dispatcher", "order_repair"}
    assert "visibility_timeout_enforcer" in names


def test_the_agents_tell_how_they_are(quick: Callable[..., Any]) -> None:
    """By name, with cadence and last pass; to whoever may view, of any tenant."""
    api = quick()

    def all_ran() -> Any:
        agents = {agent["name"]: agent for agent in api.ok("GET", "/system-agents", key="view")}
        wanted = {"visibility_timeout_enforcer", "expiry_enforcer", "priority_aging", "message_archiver"}
        return agents if wanted <= agents.keys() and all(agents[name]["last_pass_at"] for name in wanted) else None

    agents = until(all_ran)
    assert agents["visibility_timeout_enforcer"]["every_s"] <= 1
    assert agents["expiry_enforcer"]["error"] is None
    assert api.call("GET", "/system-agents", key="publish").status_code == 403


def test_the_heartbeat_goes_on(running: Callable[..., Any], tmp_path: Path) -> None:
    """The file is touched again and again."""
    heartbeat = tmp_path / "heartbeat"
    with running("--heartbeat", str(heartbeat)):
        for _ in range(2):
            while not heartbeat.exists() or not heartbeat.stat().st_mtime:
                time.sleep(0.01)
            os.utime(heartbeat, (0, 0))


async def test_a_pass_that_fails_is_no_heartbeat(tmp_path: Path) -> None:
    """The rows cannot be read: whoever watches has to see it."""

    class Away:
        async def overdue(self, now_us: int, limit: int) -> list[Any]:
            raise Unavailable

    heartbeat, clock = tmp_path / "heartbeat", Clock()
    broker = Broker(Away(), MemoryPending(), clock)  # type: ignore[arg-type]
    agents = Agents(broker, Dispatcher(broker.store, clock), Settings(heartbeat=heartbeat))
    with pytest.raises(Unavailable):
        await agents.reclaim()
    assert not heartbeat.exists()


async def test_duties_end_though_a_driver_swallows_the_word() -> None:
    """A cancelled call that ends in an error of the driver's leaves the duty running: it is cancelled again."""
    entered = asyncio.Event()

    class Stubborn:
        async def overdue(self, now_us: int, limit: int) -> list[Any]:
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise Unavailable from None
            return []

        expired = overdue

        async def webhooks(self, *_: Any) -> list[Any]:
            return []

    clock = Clock()
    broker = Broker(Stubborn(), MemoryPending(), clock)  # type: ignore[arg-type]
    agents = Agents(broker, Dispatcher(broker.store, clock), Settings())
    agents.start()
    await entered.wait()
    async with asyncio.timeout(10):
        await agents.stop()
    assert all(task.done() for task in agents._tasks)


def test_a_rule_is_replaced_at_its_place(api: Any) -> None:
    """PUT: the same id, other content; another's name is a conflict."""
    rules = f"/scopes/{api.scope}/routing-rules"
    condition = [{"field": "type", "value": "a"}]
    kept = api.ok("POST", rules, {"name": "one", "action": {"kind": "archive"}, "conditions": condition})
    api.ok("POST", rules, {"name": "two", "order": 200, "action": {"kind": "archive"}, "conditions": condition})
    assert api.publish(1, type="a")["state"] == "archived"
    changed = {"name": "one", "order": 1, "action": {"kind": "transform", "set": {"labels.x": 1}}}
    assert api.ok("PUT", f"{rules}/{kept['id']}", changed)["id"] == kept["id"]
    assert api.publish(1, type="a")["labels"] == {"x": 1}
    assert api.call("PUT", f"{rules}/{kept['id']}", {**changed, "name": "two"}).status_code == 409
    assert api.call("PUT", f"{rules}/none", changed).status_code == 404
    wrong = api.call("PUT", f"{rules}/{kept['id']}", {**changed, "action": {"kind": "copy"}})
    assert wrong.json()["error"]["details"][0]["field"] == "action.kind"


def test_an_older_database_is_brought_up_to_date_step_by_step(
    running: Callable[..., Any], client: Any, tmp_path: Path
) -> None:
    """A file of the first version keeps its messages and gets what is missing; one from the future is refused."""
    from scaiqueue_reference.store import schema

    path = tmp_path / "old.sqlite3"
    with sqlite3.connect(path) as old:
        for statement in schema.SQLITE[0]:
            old.execute(statement)
        old.execute("PRAGMA user_version = 1")
    old.close()
    with running("--database", f"sqlite:///{path}") as server:
        api = client(server)
        with api.http:
            assert api.ok("GET", "/scopes") == []
            until(lambda: api.ok("GET", "/system-agents"))
    with sqlite3.connect(path) as after:
        assert after.execute("PRAGMA user_version").fetchone() == (len(schema.SQLITE),)
    after.close()
