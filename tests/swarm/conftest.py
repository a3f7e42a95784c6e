"""Fixtures of the swarm's tests: a toy server in a process of its own, and a load without Locust."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gevent
import pytest

from queueproof.swarm import scenario
from queueproof.swarm.exchange import GO, PLAN, Coordinator, plan_of
from queueproof.swarm.worker import READY, Worker

sys.path.insert(0, str(Path(__file__).parent))  # the helpers that stand beside the tests

Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a toy server with a fault; gives its address."""
    with ExitStack() as stack:

        def start(fault: str = "", rate: int = 7) -> str:
            command = [sys.executable, str(Path(__file__).with_name("toy_queue.py")), fault, str(rate)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            assert process.stdout is not None
            return process.stdout.readline().strip()

        yield start


@pytest.fixture
def document() -> dict[str, Any]:
    """A load of a second that ends quickly."""
    return {
        "name": "test",
        "consumers": {"count": 4, "visibility_timeout_s": 0.3, "idle_s": "10ms"},
        "sending": {"timeout_s": 2, "connect_timeout_s": 1},
        "drain": {"cadence_s": 0, "slack_s": "150ms", "backoff_s": 0, "limit_s": 20},
        "stages": [{"rate": 120, "duration": 0.5}],
    }


class Load:
    """A coordinator and its workers in one process, with whatever happens to their messages."""

    def __init__(self, document: dict[str, Any], url: str, directory: Path) -> None:
        self.scenario = scenario.parse(document)
        self.workers: dict[str, Worker] = {}
        self.cuts: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.plan: dict[str, Any] = {}  # what the workers are told otherwise
        self.swallow: Callable[[str, dict[str, Any]], bool] = lambda kind, data: False
        self.coordinator = Coordinator(
            self.scenario,
            url=url,
            run="testrun1",
            directory=directory,
            headers={"User-Agent": "test"},
            post=self._to_worker,
            progress=self.lines.append,
        )

    def run(self, *workers: str) -> dict[str, Any]:
        self.coordinator.begin(list(workers or ("one",)))
        return self.coordinator.told

    def _to_worker(self, kind: str, data: dict[str, Any], worker: str) -> None:
        if kind == PLAN:
            plan = plan_of({**data["plan"], **self.plan})
            made = Worker(plan, headers=data["headers"], post=self._to_coordinator, feed=self.cuts.append)
            self.workers[worker] = made
            self._to_coordinator(READY, {"index": plan.index})
        elif kind == GO:
            self.workers[worker].start(data["start_ns"])
        else:
            gevent.spawn(self.workers[worker].stop)

    def _to_coordinator(self, kind: str, data: dict[str, Any]) -> None:
        if not self.swallow(kind, data):
            self.coordinator.receive(kind, data)


@pytest.fixture
def load(document: dict[str, Any], tmp_path: Path) -> Callable[..., Load]:
    """Makes a load against an address; keyword arguments change the scenario's tables."""

    def make(url: str, **changes: Any) -> Load:
        merged = {**document}
        for table, values in changes.items():
            merged[table] = {**document.get(table, {}), **values} if isinstance(values, dict) else values
        return Load(merged, url, tmp_path)

    return make
