"""Ties a load to one Locust process, whatever its part: alone, master or worker.

Locust brings processes, messages, web page and signals; the load brings arrivals, evidence and an ending of its own.
Locust's stop waits until that ending is over.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from queueproof.errors import QueueproofError
from queueproof.evidence.run import RunDirectory, new_run_id
from queueproof.swarm import scenario as scenarios
from queueproof.swarm.exchange import GO, PLAN, STOP, Coordinator, plan_of
from queueproof.swarm.statistics import feed
from queueproof.swarm.values import duration
from queueproof.swarm.worker import DONE, FINAL, READY, SEGMENT, TICK, Worker

LOCAL: Final = "local"
PROGRESS: Final = "QUEUEPROOF_PROGRESS_FD"  # a pipe of the process that started Locust: a JSON line a second


class Attachment:
    """One Locust process's part in loads; as `environment.queueproof` it is there for users' own code."""

    def __init__(
        self,
        environment: Environment,
        *,
        over: Callable[[Path], None] = lambda _: None,
        wrong: Callable[[str], str] = lambda _: "",
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """`over(run directory)` is called on the master when a load has ended, before Locust goes on to quit.

        `check` is called there before a load begins, and raises QueueproofError for wrong options; `wrong(objective)`
        says what is wrong with an objective of the scenario.
        """
        self.environment: Any = environment
        self.worker: Worker | None = None  # this process's part in the load that runs
        self.coordinator: Coordinator | None = None
        self.directory: RunDirectory | None = None
        self._over, self._wrong, self._check = over, wrong, check
        self._progress = int(os.environ.get(PROGRESS) or -1)
        self._runner: Any = environment.runner
        if isinstance(self._runner, WorkerRunner):
            self._runner.register_message(PLAN, lambda environment, msg: gevent.spawn(self._begin, msg.data))
            self._runner.register_message(GO, lambda environment, msg: self._go(msg.data))
            self._runner.register_message(STOP, lambda environment, msg: gevent.spawn(self._end))
        elif isinstance(self._runner, MasterRunner):
            for kind in (READY, TICK, SEGMENT, DONE, FINAL):
                self._runner.register_message(kind, self._received)
        if not isinstance(self._runner, WorkerRunner):
            hooks: Any = environment.events
            hooks.test_start.add_listener(self._started)
            hooks.test_stopping.add_listener(self._stopping)
            hooks.quitting.add_listener(self._stopping)

    @property
    def closed_model(self) -> bool:
        """Whether Locust's users are the producers of the load that runs."""
        return self.worker is not None and self.worker.plan.read_scenario().closed

    # ── alone or master ──

    def _started(self, **_: Any) -> None:
        options = self.environment.parsed_options
        run = options.qp_run or new_run_id()
        try:
            self._check()
            scenario = scenarios.adjusted(
                scenarios.load(options.qp_scenario, wrong=self._wrong),
                rate=options.qp_rate or None,
                duration_s=duration(options.qp_duration, "--qp-duration") if options.qp_duration else None,
                users=(options.num_users or 1) if options.qp_closed else (options.qp_consumers or None),
                settle_s=options.qp_settle,
            )
            out = Path(options.qp_out) if options.qp_out else None
            self.directory = RunDirectory(out) if out and options.qp_run else RunDirectory.create(out, "load", run)
            coordinator = Coordinator(
                scenario,
                url=self.environment.host or "",
                run=run,
                directory=self.directory.path,
                headers=headers(options.qp_api_key, run),
                post=self._to_worker,
                progress=self._tell,
            )
        except QueueproofError as error:
            self._refuse(error)
            return
        self.coordinator = coordinator
        gevent.spawn(self._conduct, coordinator)

    def _refuse(self, error: QueueproofError) -> None:
        """What is wrong with the options ends a headless Locust with the right exit code, and is shown on the page."""
        self.environment.process_exit_code = int(error.exit_code)
        self._runner.log_exception("master", str(error), "")
        os.write(2, f"{error}\n".encode())
        gevent.spawn(self._runner.quit)

    def _conduct(self, coordinator: Coordinator) -> None:
        watching = gevent.spawn(self._watch, coordinator)
        coordinator.begin(self._workers())
        watching.kill()
        if self.directory is not None:
            self._over(self.directory.path)
        if self.environment.parsed_options.headless:
            self._runner.quit()
        else:
            self._runner.stop()

    def _stopping(self, **_: Any) -> None:
        """Locust wants to stop: it waits until every call is back and the drain is over."""
        if self.coordinator is not None and not self.coordinator.finished.is_set():
            self.coordinator.interrupt()
            self.coordinator.finished.wait()

    def _workers(self) -> list[str]:
        if not isinstance(self._runner, MasterRunner):
            return [LOCAL]
        clients = self._runner.clients
        found = [*clients.ready, *clients.spawning, *clients.running]
        return sorted((client.id for client in found), key=self._runner.get_worker_index)

    def _watch(self, coordinator: Coordinator) -> None:
        """Notices workers that vanish."""
        if not isinstance(self._runner, MasterRunner):
            return
        expected = set(self._workers())
        while not coordinator.finished.is_set():
            gevent.sleep(0.5)
            for worker in expected - set(self._workers()):
                coordinator.lost(worker)

    def _to_worker(self, kind: str, data: dict[str, Any], worker: str) -> None:
        if worker != LOCAL:
            self._runner.send_message(kind, data, client_id=worker)
        elif kind == PLAN:
            self._begin(data)
        elif kind == GO:
            self._go(data)
        else:
            gevent.spawn(self._end)

    def _received(self, environment: Environment, msg: Any) -> None:
        if self.coordinator is not None:
            self.coordinator.receive(msg.type, msg.data)

    # ── alone or worker ──

    def _begin(self, data: Mapping[str, Any]) -> None:
        plan = plan_of(data["plan"])
        try:
            worker = Worker(plan, headers=dict(data["headers"]), post=self._to_coordinator, feed=self._feed)
            self.worker = worker
            self._to_coordinator(READY, {"index": plan.index})
        except QueueproofError as error:
            empty: dict[str, Any] = {"ticks": 0, "history_bytes": 0, "records": 0, "unsupported": [], "health": {}}
            final = {"index": plan.index, "precise": True, "problems": [str(error)], **empty}
            self._to_coordinator(FINAL, final)
            self._to_coordinator(DONE, {"index": plan.index, "failed": True})

    def _go(self, data: Mapping[str, Any]) -> None:
        if self.worker is not None:
            self.worker.start(data["start_ns"])

    def _end(self) -> None:
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.stop()

    def _to_coordinator(self, kind: str, data: dict[str, Any]) -> None:
        if isinstance(self._runner, WorkerRunner):
            self._runner.send_message(kind, data)
        elif self.coordinator is not None:
            self.coordinator.receive(kind, data)

    def _tell(self, line: dict[str, Any]) -> None:
        """A line of numbers for whoever started this Locust; when that process has died, the load ends in order."""
        if self._progress >= 0:
            try:
                os.write(self._progress, json.dumps(line).encode() + b"\n")
            except OSError:
                self._progress = -1
                if self.coordinator is not None:
                    self.coordinator.interrupt()

    def _feed(self, cut: Mapping[str, Any]) -> None:
        feed(self._runner.stats, cut)


def headers(api_key: str, run: str) -> dict[str, str]:
    """What every request of a load carries, so that a vendor finds it in its own log."""
    own = {"User-Agent": f"queueproof-load/{run}"}
    return {**own, "Authorization": f"Bearer {api_key}"} if api_key else own
