"""One worker's part of a load: made by a plan, started by a word, cut into ticks while it runs, ended by stop → final.

It talks to the coordinator through `post(kind, data)` alone, so that it is the same in this process, in a child of
Locust's `--processes`, and on another machine.
"""

import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

import gevent
import gevent.event

from queueproof.errors import HarnessError, QueueproofError
from queueproof.evidence.history import clock_domain
from queueproof.swarm import arrivals
from queueproof.swarm.client import Client
from queueproof.swarm.dispatcher import Dispatcher
from queueproof.swarm.flows import Consumers, Producer
from queueproof.swarm.health import Health
from queueproof.swarm.ledger import Ledger
from queueproof.swarm.measures import Measures
from queueproof.swarm.plan import Plan, part
from queueproof.swarm.sender import Sender

READY, TICK, SEGMENT, DONE, FINAL = "qp-ready", "qp-tick", "qp-segment", "qp-done", "qp-final"
TICK_S: Final = 1.0
SEGMENT_BYTES: Final = 1 << 20  # a piece of history in one message
PROOF: Final = ".proof"  # a file of the run directory: who reads the expected text shares the disk

Post = Callable[[str, dict[str, Any]], None]
Feed = Callable[[dict[str, Any]], None]


class Worker:
    """Runs its share of one plan."""

    def __init__(self, plan: Plan, *, headers: dict[str, str], post: Post, feed: Feed) -> None:
        """`headers`: what every request carries (authorization). `feed`: is given each tick's cut, for Locust.

        Raises TargetError, UsageError, HarnessError.
        """
        self.plan = plan
        self._scenario = plan.read_scenario()
        self._post, self._feed = post, feed
        self._measures, self._health = Measures(), Health()
        self._numbers: Iterator[int] = count(plan.index, plan.workers)
        self._ticks = 0
        self._shipped = 0
        self._start_ns = 0
        self._going = gevent.event.Event()
        self._over = False  # the schedule, or the time of the closed model
        self._stopping = False
        self._problems: list[str] = []
        self._dispatcher: Dispatcher | None = None
        self._consumers: Consumers | None = None
        self._greenlets: list[gevent.Greenlet[..., Any]] = []
        self._path, self._shared = self._history_path()
        sending = self._scenario.sending
        self._sender = Sender(
            plan.url,
            headers=headers,
            connections=max(1, part(sending.connections, plan.index, plan.workers)),
            timeout_s=sending.timeout_s,
            connect_timeout_s=sending.connect_timeout_s,
        )
        try:
            self._ledger = Ledger(self._path, run=plan.run, writer=plan.writer, on_failure=self._disk_failed)
        except OSError as error:
            raise HarnessError(
                f"the history {self._path} cannot be written: {error.strerror}", hint="name another folder with --out"
            ) from error
        self._client = Client(self._sender, self._ledger, self._measures, case=f"load/{self._scenario.name}")
        where: dict[str, Any] = {"run": plan.run, "scope": plan.scope, "queues": plan.queues}
        self._producer = Producer(self._client, self._scenario, ahead_s=plan.ahead_s, **where)
        one_clock = plan.domain == clock_domain()
        self._consumers = Consumers(self._client, self._scenario, one_clock=one_clock, **where)

        self._health.settle()

    # ── start ──

    def start(self, start_ns: int) -> None:
        """The load starts at this moment of the coordinator's clock; nothing when it has been stopped already."""
        if self._stopping:
            return
        plan, scenario = self.plan, self._scenario
        self._start_ns = start_ns = plan.own_start_ns(start_ns)
        self._health.start()
        self._going.set()
        if not scenario.closed:
            self._dispatch(start_ns)
        consumers = part(scenario.consumers.count, plan.index, plan.workers)
        after_s = max(0.0, (start_ns - time.monotonic_ns()) / 1e9) + scenario.consumers.start_after_s
        if self._consumers is not None:
            self._consumers.start(consumers, first=plan.index * consumers, after_s=after_s, crashed=self._crashed)
        self._spawn(self._tick_on, start_ns)
        self._spawn(self._watch_end, start_ns)

    def _dispatch(self, start_ns: int) -> None:
        scenario = self._scenario
        whole = arrivals.schedule(scenario.stages, spacing=scenario.producers.arrivals, seed=scenario.seed)
        own = arrivals.share(whole, index=self.plan.index, workers=self.plan.workers)
        self._dispatcher = Dispatcher(own, self._arrive, start_ns=start_ns)
        self._dispatcher.start()

    def _arrive(self, number: int, intended_ns: int) -> None:
        self._measures.dispatch.record((time.monotonic_ns() - intended_ns) // 1000)
        self._measures.counters["started"] += 1
        self._producer.publish(number, intended_ns)

    def publish_once(self) -> bool:
        """One message of the closed model, in the calling greenlet; False when the load is over."""
        self._going.wait()
        gevent.sleep(max(0.0, (self._start_ns - time.monotonic_ns()) / 1e9))
        if self._stopping or self._over or self._ledger.failure is not None:
            return False
        self._measures.counters["started"] += 1
        return self._producer.publish_and_wait(next(self._numbers)) is not None

    def _spawn(self, function: Callable[..., None], *arguments: Any) -> None:
        greenlet = gevent.spawn(function, *arguments)
        greenlet.link_exception(self._crashed)
        self._greenlets.append(greenlet)

    def _watch_end(self, start_ns: int) -> None:
        """Tells the coordinator when this worker's schedule is over."""
        gevent.sleep(max(0.0, start_ns / 1e9 + self._scenario.duration_s - time.monotonic()))
        self._over = True
        if self._dispatcher is not None:
            self._dispatcher.finished.wait()
        if not self._stopping:
            self._post(DONE, {"index": self.plan.index})

    # ── ticks ──

    def _tick_on(self, start_ns: int) -> None:
        while not self._stopping:
            due_s = start_ns / 1e9 + (self._ticks + 1) * TICK_S
            gevent.sleep(max(0.0, due_s - time.monotonic()))
            if not self._stopping:
                self._tick()

    def _tick(self) -> None:
        """Cuts what was measured, in slices between which arrivals are started, and sends it."""
        number, self._ticks = self._ticks, self._ticks + 1
        cut = self._cut()
        self._health.sample()
        cut.update(index=self.plan.index, tick=number, health=self._health.told(), in_flight=self._sender.in_flight)
        self._feed(cut)
        self._post(TICK, cut)
        if not self._shared:
            self._ship()

    def _cut(self) -> dict[str, Any]:
        counts: dict[str, dict[str, dict[int, int]]] = {}
        for verb, kind, recorder in self._measures.recorders():
            found = recorder.cut()
            if found:
                counts.setdefault(verb, {})[kind] = found
            gevent.sleep(0)
        return {"counts": counts, "counters": self._measures.take_counters()}

    # ── stop → final ──

    def stop(self) -> None:
        """Starts nothing more, lets everything under way come back, and sends the final. Blocks; call it once."""
        if self._stopping:
            return
        self._stopping = True
        self._going.set()  # whoever waits for the start goes home
        if self._dispatcher is not None:
            self._dispatcher.stop()
        patience_s = self._scenario.sending.timeout_s + self._scenario.sending.connect_timeout_s + 2
        until = time.monotonic() + patience_s
        # A consumer may be at work on a batch, each message of which takes its work and a call.
        batch_s = self._scenario.consumers.work_s * self._scenario.consumers.batch_size
        all_back = self._consumers is None or self._consumers.stop(patience_s + batch_s)
        while self._producer.in_flight and time.monotonic() < until:
            gevent.sleep(0.005)
        self._sender.close()
        gevent.killall([g for g in self._greenlets if g is not gevent.getcurrent()], timeout=1)
        self._health.stop()
        self._tick()
        self._ledger.close()
        if not self._shared and self._path is not None:
            self._ship()
            self._path.unlink(missing_ok=True)
        if not all_back:
            self._problems.append(f"worker {self.plan.index}: a consumer did not come back in time")
        self._post(FINAL, self._final())

    def _final(self) -> dict[str, Any]:
        for crash in self._sender.crashes[:3]:
            self._problems.append(f"worker {self.plan.index}: {''.join(traceback.format_exception(crash))}")
        if self._ledger.failure is not None:
            why = self._ledger.failure.strerror
            self._problems.append(f"worker {self.plan.index}: the history could not be written: {why}")
        return {
            "index": self.plan.index,
            "ticks": self._ticks,
            "history_bytes": self._shipped,
            "records": self._ledger.records if self._path is not None else 0,
            "precise": self._dispatcher.precise if self._dispatcher is not None else True,
            "unsupported": sorted(self._client.unsupported),
            "connections": self._sender.opened,
            "health": self._health.told(),
            "problems": self._problems,
        }

    def _disk_failed(self) -> None:
        """What cannot be recorded must not be sent: the load ends here."""
        if self._dispatcher is not None:
            self._dispatcher.stop()
        if self._consumers is not None:
            self._consumers.stopping = True
        gevent.spawn(self._post, DONE, {"index": self.plan.index, "failed": True})

    def _crashed(self, greenlet: "gevent.Greenlet[..., Any]") -> None:
        """A dead greenlet must not leave a run going for ever."""
        error = greenlet.exception
        text = error.message if isinstance(error, QueueproofError) else "".join(traceback.format_exception(error))
        self._problems.append(f"worker {self.plan.index}: {text}")
        self._post(DONE, {"index": self.plan.index, "failed": True})

    # ── history of a machine that does not share the disk ──

    def _history_path(self) -> tuple[Path | None, bool]:
        """(where the history is written, whether the coordinator reads it there)."""
        if not self._scenario.sending.history:
            return None, True
        directory = Path(self.plan.directory)
        try:
            shared = (directory / PROOF).read_text() == self.plan.proof
        except OSError:
            shared = False
        if shared:
            return directory / f"history-{self.plan.writer}.ndjson", True
        descriptor, name = tempfile.mkstemp(prefix=f"queueproof-{self.plan.run}-", suffix=".ndjson")
        os.close(descriptor)
        return Path(name), False

    def _ship(self) -> None:
        """Sends what the history gained since the last time."""
        if self._path is None:
            return
        with self._path.open("rb") as history:
            history.seek(self._shipped)
            while data := history.read(min(SEGMENT_BYTES, self._ledger.size - self._shipped)):
                self._post(SEGMENT, {"index": self.plan.index, "offset": self._shipped, "data": data})
                self._shipped += len(data)
                gevent.sleep(0)
