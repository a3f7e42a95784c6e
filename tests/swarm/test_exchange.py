"""A whole load without Locust: what workers did is what the coordinator tells, or the run says what is missing."""

import dataclasses
import errno
import json
import os
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import polars as pl
import pytest

from queueproof.evidence import latency
from queueproof.evidence.history import History, read_history
from queueproof.swarm.worker import DONE, FINAL, PROOF, READY, SEGMENT, TICK

Make = Callable[..., Any]


def calls(history: History, verb: str, result: str = "ok") -> int:
    return history.calls.filter((history.calls["verb"] == verb) & (history.calls["result"] == result)).height


def test_two_workers_are_one_load(serve: Make, load: Make, tmp_path: Path) -> None:
    """Arrivals, histories, histograms and the account agree with each other to the last call."""
    ours = load(serve())
    told = ours.run("one", "two")
    assert told.get("error") is None
    assert told["problems"] == []
    numbers = told["load"]
    assert (numbers["scheduled"], numbers["sent"], numbers["dropped"], numbers["backlog_end"]) == (60, 60, 0, 0)
    assert numbers["drain"]["complete"]
    history = read_history(tmp_path)
    assert calls(history, "publish") == told["verbs"]["publish"]["count"] == 60
    tokens = history.calls.filter(history.calls["verb"] == "publish")["token"].to_list()
    assert sorted(tokens) == sorted(f"qp.testrun1.{number}" for number in range(60))
    assert set(history.deliveries["token"].to_list()) == set(tokens)
    assert history.deliveries["body"].n_unique() == 60
    logs = latency.read_logs(tmp_path)
    for verb in ("publish", "claim", "complete"):
        for kind in ("response", "service", "lateness"):
            assert latency.merged(logs[verb, kind]).count == told["verbs"][verb]["count"]
    assert sum(second["publish"] for second in numbers["series"]) == 60
    assert [worker["index"] for worker in numbers["workers"]] == [0, 1]
    assert sum(cut["counters"].get("publish.ok", 0) for cut in ours.cuts) == 60
    assert json.loads((tmp_path / "load.json").read_text())["run"] == "testrun1"
    assert not (tmp_path / PROOF).exists()
    assert ours.lines[-1]["published"] == 60


def test_another_machines_history_is_shipped(serve: Make, load: Make, tmp_path: Path) -> None:
    """A worker that does not share the disk sends its file in pieces; nothing of it stays behind there."""
    ours = load(serve())
    ours.plan = {"proof": "another disk"}
    pieces: list[int] = []
    ours.swallow = lambda kind, data: bool(kind == SEGMENT and pieces.append(len(data["data"])))
    told = ours.run("one", "two")
    assert told["problems"] == []
    assert pieces
    assert sum(pieces) == sum((tmp_path / f"history-{n}.ndjson").stat().st_size for n in (1, 2))
    assert calls(read_history(tmp_path), "publish") == 60
    assert not any(worker._path.exists() for worker in ours.workers.values())


@pytest.mark.parametrize(
    ("kind", "word"),
    [(TICK, "ticks arrived"), (SEGMENT, "bytes of its history did not arrive"), (FINAL, "sent no final")],
)
def test_what_does_not_arrive_is_a_problem_of_the_run(
    kind: str, word: str, serve: Make, load: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One message of a kind is lost on the way."""
    monkeypatch.setattr("queueproof.swarm.exchange.FINAL_S", 0.0)
    ours = load(serve(), sending={"timeout_s": 0.2, "connect_timeout_s": 0.2})
    ours.plan = {"proof": "another disk"}
    lost: list[str] = []

    def swallow(one: str, data: dict[str, Any]) -> bool:
        if one == kind and data["index"] == 1 and not lost:
            lost.append(one)
            return True
        return False

    ours.swallow = swallow
    told = ours.run("one", "two")
    assert any("worker 1" in problem and word in problem for problem in told["problems"])


def test_a_worker_that_vanishes_ends_the_run(serve: Make, load: Make) -> None:
    ours = load(serve(), stages=[{"rate": 60, "duration": 60}])

    def vanish() -> None:
        ours.workers["two"].stop()
        ours.coordinator.lost("two")

    def swallow(kind: str, data: dict[str, Any]) -> bool:
        if data["index"] == 1 and kind == TICK and not gone:
            gone.append(gevent.spawn(vanish))
        return bool(data["index"] == 1 and kind != READY)

    gone: list[Any] = []
    ours.swallow = swallow
    told = ours.run("one", "two")
    assert any("worker 1 has vanished" in problem for problem in told["problems"])


def test_the_load_begins_when_the_slowest_worker_is_ready(serve: Make, load: Make) -> None:
    """A worker that takes its time finds no arrivals that are late already."""
    ours = load(serve())
    made = ours.coordinator.receive

    def receive(kind: str, data: dict[str, Any]) -> None:
        if kind == READY and data["index"] == 1:
            gevent.spawn_later(2.0, made, kind, data)
        else:
            made(kind, data)

    ours.coordinator.receive = receive
    told = ours.run("one", "two")
    assert told["problems"] == []
    assert told["load"]["sent"] == 60
    assert told["load"]["lateness"]["max_us"] < 1_900_000


def test_a_worker_that_never_gets_ready_is_named(serve: Make, load: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queueproof.swarm.exchange.READY_S", 0.3)
    ours = load(serve())
    ours.swallow = lambda kind, data: bool(kind == READY and data["index"] == 1)
    told = ours.run("one", "two")
    assert told["error"]["exit_code"] == 5
    assert "worker 1 did not get ready" in told["error"]["message"]


def test_an_interruption_before_the_start_sends_nothing(serve: Make, load: Make) -> None:
    ours = load(serve())
    ours.swallow = lambda kind, data: bool(kind == READY and gevent.spawn(ours.coordinator.interrupt))
    told = ours.run("one")
    assert told["interrupted"]
    assert told["problems"] == []
    assert told["load"]["sent"] == 0


def test_an_interruption_stops_drains_and_tells(serve: Make, load: Make, tmp_path: Path) -> None:
    ours = load(serve(), stages=[{"rate": 60, "duration": 60}])

    def receive(kind: str, data: dict[str, Any]) -> None:
        made(kind, data)
        if kind == TICK and data["counters"].get("publish.ok"):
            gevent.spawn(ours.coordinator.interrupt)

    made, ours.coordinator.receive = ours.coordinator.receive, receive
    told = ours.run("one")
    assert told["interrupted"]
    assert told["problems"] == []
    history = read_history(tmp_path)
    assert 0 < calls(history, "publish") == told["verbs"]["publish"]["count"] < 100
    assert told["load"]["backlog_end"] == 0


def test_every_kind_of_claim_ends_well(serve: Make, load: Make, tmp_path: Path) -> None:
    """Failed, released, extended, abandoned, replayed, prioritised: all are completed in the end."""
    ours = load(
        serve(),
        queue={"ordering": "priority", "count": 3},
        producers={"arrivals": "poisson"},
        messages={"priorities": {"high": 1, "low": 3}, "sizes": [[1, 1], [5000, 1]], "deadline": 0.2},
        consumers={"batch_size": 3, "fail": 0.1, "release": 0.1, "abandon": 0.1, "extend": 0.3, "work_s": "2ms"},
    )
    told = ours.run("one")
    history = read_history(tmp_path)
    assert told["load"]["backlog_end"] == 0
    published = set(history.calls.filter(history.calls["verb"] == "publish")["message"].to_list())
    completed = history.calls.filter((history.calls["verb"] == "complete") & (history.calls["result"] == "ok"))
    assert set(completed["message"].to_list()) == published
    assert {"fail", "release", "extend"} <= set(told["verbs"])
    assert told["load"]["counters"]["abandoned"] > 0
    assert history.calls["rank"].n_unique() > 10


def test_a_replay_goes_out_under_its_key(serve: Make, load: Make, tmp_path: Path) -> None:
    """The toy knows no keys, so the history shows two messages of one token."""
    load(serve(), producers={"replay": 1.0}, stages=[{"rate": 20, "duration": 0.5}]).run("one")
    publishes = read_history(tmp_path).calls.filter(pl.col("verb") == "publish")
    assert publishes.height == 20
    assert publishes["key"].to_list() == publishes["token"].to_list()
    assert publishes["key"].n_unique() == 10
    assert publishes["body"].n_unique() == 10


def test_a_backlog_is_preloaded_and_drained(serve: Make, load: Make, tmp_path: Path) -> None:
    """No consumer at all: the drain completes everything."""
    told = load(serve(), producers={"preload": 30}, consumers={"count": 0}).run("one")
    assert told["load"]["backlog_end"] == 0
    assert told["load"]["drain"]["delivered"] == 90
    assert calls(read_history(tmp_path), "publish") == 90
    assert told["verbs"]["publish"]["count"] == 60


def test_a_full_disk_ends_the_run_with_a_clear_word(serve: Make, load: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be recorded is not sent."""
    taken = os.posix_fallocate
    rooms: list[int] = []

    def fallocate(descriptor: int, offset: int, length: int) -> None:
        rooms.append(length)
        if len(rooms) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken(descriptor, offset, length)

    monkeypatch.setattr("queueproof.swarm.ledger.WINDOW", 4096)
    monkeypatch.setattr("queueproof.swarm.ledger.os.posix_fallocate", fallocate)
    told = load(serve(), stages=[{"rate": 100, "duration": 60}]).run("one")
    assert any("history could not be written: No space left" in problem for problem in told["problems"])
    assert told["verbs"]["publish"]["count"] < 500  # of 6,000


def test_a_mistake_of_ours_is_told_as_such(serve: Make, load: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("queueproof.swarm.flows.Consumers._verify", crash)
    told = load(serve(), stages=[{"rate": 50, "duration": 60}]).run("one")
    assert any("RuntimeError: ours" in problem for problem in told["problems"])


@pytest.mark.parametrize(("change", "code"), [("nobody", 3), ("broken setup", 3)])
def test_a_target_that_cannot_be_prepared(change: str, code: int, load: Make, serve: Make) -> None:
    url = "http://127.0.0.1:9" if change == "nobody" else serve() + "/elsewhere"
    told = load(url).run("one")
    assert told["error"]["exit_code"] == code
    assert told["error"]["hint"]


def test_a_target_that_is_busy_at_first_is_asked_again(
    serve: Make, load: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One 503 in fifty calls is no reason not to begin; nothing but 503 is."""
    monkeypatch.setattr("queueproof.swarm.preparation.PAUSE_S", 0.01)
    told = load(serve("hesitant", 3)).run("one")
    assert told["load"]["sent"] == 60
    assert told["load"]["backlog_end"] == 0
    refused = load(serve("hesitant", 5)).run("one")
    assert refused["error"]["exit_code"] == 3
    assert "did not create scope: status 503" in refused["error"]["message"]


def test_a_target_with_demands_of_its_own_gets_what_it_takes(serve: Make, load: Make, tmp_path: Path) -> None:
    """Longer holds, smaller batches, a key in every message; the asking is in the history."""
    told = load(serve("picky"), consumers={"batch_size": 20}, messages={"keys": True}).run("one", "two")
    assert told.get("error") is None
    numbers = told["load"]
    assert (numbers["sent"], numbers["backlog_end"]) == (60, 0)
    assert numbers["adapted"] == [
        "the visibility timeout is 1 s: 0.3 s was refused (422 VALIDATION_ERROR)",
        "a claim asks for 5: 20 were refused (422 VALIDATION_ERROR)",
    ]
    history = read_history(tmp_path)
    publishes = history.calls.filter(history.calls["verb"] == "publish")
    assert sorted(publishes["key"]) == sorted(f"qp.testrun1.{number}" for number in range(60))
    assert calls(history, "claim", "rejected") > 0
    assert sum(told["verbs"][verb]["errors"] for verb in ("publish", "claim", "complete")) == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [("deaf", "refuses every claim: 422 VALIDATION_ERROR"), ("barred", "does not hand out messages: 403 FORBIDDEN")],
)
def test_a_target_that_takes_no_claim_is_told_before_the_load(fault: str, words: str, serve: Make, load: Make) -> None:
    url = serve(fault)
    told = load(url).run("one")
    assert told["error"]["exit_code"] == 3
    assert words in told["error"]["message"]
    with urllib.request.urlopen(f"{url}/count") as answer:
        assert json.load(answer)["data"]["s1"] == 1  # the scope was deleted


def test_a_target_that_dies_half_way_leaves_losses_open(
    serve: Make, load: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queueproof.swarm.drain.AWAY_S", 0.3)
    told = load(serve("dying"), stages=[{"rate": 100, "duration": 1}]).run("one")
    assert told["error"]["exit_code"] == 3
    assert told["load"]["sent"] == 100
    assert "the last good answer came in second 1 of the load" in told["error"]["message"]
    assert not told["load"]["drain"]["complete"]
    assert told["verbs"]["publish"]["errors"] > 30


def test_no_worker_is_no_run(load: Make) -> None:
    ours = load("http://127.0.0.1:9")
    ours.coordinator.begin([])
    assert "no worker" in ours.coordinator.told["error"]["message"]


def test_without_a_history_nothing_is_claimed_about_correctness(serve: Make, load: Make, tmp_path: Path) -> None:
    told = load(serve(), sending={"history": False}).run("one")
    assert told["load"]["drain"]["why"] == "no history was kept"
    assert not list(tmp_path.glob("history-*"))


def test_a_closed_load_is_said_to_be_one(serve: Make, load: Make, document: dict[str, Any]) -> None:
    """Two producers that send one message after the other, until the time is over."""
    ours = load(serve("slow"))
    ours.scenario = ours.coordinator.scenario = dataclasses.replace(ours.scenario, users=2)

    def produce() -> None:
        while "one" not in ours.workers or ours.workers["one"].publish_once():
            gevent.sleep(0)

    users = [gevent.spawn(produce) for _ in range(2)]
    told = ours.run("one")
    gevent.joinall(users, timeout=3)
    assert told["load"]["model"] == "closed"
    assert told["load"]["dropped"] == 0
    assert told["load"]["sent"] == told["verbs"]["publish"]["count"] <= 2 * 1.3 / 0.05


def test_done_is_only_told_by_the_last(serve: Make, load: Make) -> None:
    """The load ends when every worker's schedule is over."""
    ours = load(serve())
    done: list[int] = []
    ours.swallow = lambda kind, data: bool(kind == DONE and done.append(data["index"]))
    ours.run("one", "two")
    assert sorted(done) == [0, 1]
