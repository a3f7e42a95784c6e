"""The coordinator of a load: prepare → plan → ready → go → stop → final → drain → outcome, over any number of workers.

Locust's own ending loses what workers have not yet reported, so the end is ours: every worker is told to stop, lets
its calls come back, and sends a final that says how many ticks and how many bytes of history must have arrived. A
missing final fails the run. Workers are reached through `post(kind, data, worker)`, in this process or through Locust.
"""

import secrets
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import gevent
import gevent.event

from queueproof.errors import ExitCode, HarnessError, QueueproofError
from queueproof.evidence import created
from queueproof.evidence.history import clock_domain
from queueproof.evidence.latency import Interval, IntervalLog, log_name
from queueproof.swarm import outcome
from queueproof.swarm.adaptation import adapt
from queueproof.swarm.client import Client
from queueproof.swarm.drain import AWAY, Drain, books_of
from queueproof.swarm.health import Pressure
from queueproof.swarm.ledger import Ledger
from queueproof.swarm.measures import Measures, Whole
from queueproof.swarm.plan import HEAD_START_S, Plan, as_data
from queueproof.swarm.preparation import Ground, clean_up, preload, prepare
from queueproof.swarm.scenario import Scenario
from queueproof.swarm.sender import Sender
from queueproof.swarm.worker import DONE, FINAL, PROOF, READY, SEGMENT, TICK, TICK_S

PLAN, GO, STOP = "qp-plan", "qp-go", "qp-stop"
READY_S: Final = 60.0  # what a worker may take to get ready
FINAL_S: Final = 15.0  # beyond a call's time-outs: what a worker may take to send its final

Post = Callable[[str, dict[str, Any], str], None]


@dataclass(kw_only=True)
class _Member:
    """What the coordinator knows of one worker."""

    id: str  # Locust's client id
    index: int
    ready: bool = False
    ticks: int = 0
    done: bool = False
    final: dict[str, Any] | None = None
    health: dict[str, float] = field(default_factory=dict)
    in_flight: int = 0
    shipped: int = 0
    lost: bool = False


class Coordinator:
    """Runs one load. Create it, `begin` it in a greenlet, read `told` when `finished` is set."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        url: str,
        run: str,
        directory: Path,
        headers: dict[str, str],
        post: Post,
        progress: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        """`post(kind, data, worker id)` sends to a worker; `progress` is given a line of numbers every second."""
        self.scenario, self.run, self.directory = scenario, run, directory
        self.finished = gevent.event.Event()
        self.told: dict[str, Any] = {}
        self._url, self._headers, self._post, self._progress = url, headers, post, progress
        self._members: dict[int, _Member] = {}
        self._stop = gevent.event.Event()  # set: the load is over, by itself or by a wish
        self._ready = gevent.event.Event()
        self._finals = gevent.event.Event()
        self._interrupted = False
        self._whole = Whole()
        self._second: dict[int, Whole] = defaultdict(Whole)
        self._series: list[dict[str, Any]] = []
        self._logs: dict[tuple[str, str], IntervalLog] = {}
        self._problems: list[str] = []
        self._start_wall_s = 0.0
        self._ended_s = 0.0
        self._begun_ns = 0
        self._pressure = Pressure()
        self._crowd: float | None = None
        self._adapted: list[str] = []  # what the target did not take as the scenario had it
        self._phase = "prepare"
        self._drain: Drain | None = None  # once there is one

    # ── the run ──

    def begin(self, workers: list[str]) -> None:
        """The whole run over these workers (Locust client ids); never raises: `told` says what happened."""
        told: dict[str, Any] = {}
        telling = gevent.spawn(self._report_on)
        try:
            told = self._conduct(workers)
        except QueueproofError as error:
            told = {"error": {"exit_code": int(error.exit_code), "message": error.message, "hint": error.hint}}
        except Exception as error:
            text = "".join(traceback.format_exception(error))
            told = {"error": {"exit_code": int(ExitCode.HARNESS), "message": text, "hint": "please report this"}}
        finally:
            telling.kill()
            self._report()  # the last line tells the whole
            self._dismiss()
            self.told = {"run": self.run, "interrupted": self._interrupted, **told}
            outcome.write(self.directory, self.told)
            (self.directory / PROOF).unlink(missing_ok=True)
            self.finished.set()

    def _dismiss(self) -> None:
        """Whatever went wrong: no worker goes on."""
        for member in self._members.values():
            if member.final is None and not member.lost:
                self._post(STOP, {}, member.id)

    def interrupt(self) -> None:
        """Ends the load now: stop → final → a short drain."""
        if not self._stop.is_set():
            self._interrupted = True
            self._stop.set()

    def _conduct(self, workers: list[str]) -> dict[str, Any]:
        if not workers:
            raise HarnessError("no worker has connected", hint="start workers first: --processes N, or locust --worker")
        sending = self.scenario.sending
        sender = Sender(
            self._url, headers=self._headers, timeout_s=sending.timeout_s, connect_timeout_s=sending.connect_timeout_s
        )
        path = self.directory / "history-0.ndjson" if sending.history else None
        ledger = Ledger(path, run=self.run, writer=0, on_failure=self.interrupt)
        client = Client(sender, ledger, Measures(), case=f"load/{self.scenario.name}")
        try:
            made = created.Ledger(self.directory / created.LEDGER)
            ground = prepare(client, self.scenario, made, run=self.run)
            told: dict[str, Any] = {}
            try:
                self.scenario, self._adapted = adapt(client, self.scenario, ground)
                told.update(self._between(client, ground, workers))
            finally:
                told["clean_up"] = clean_up(self._unrecorded(sender), ground, made)
            return told
        finally:
            ledger.close()
            sender.close()

    def _unrecorded(self, sender: Sender) -> Client:
        """For the clean-up: the history ends with the drain, or its deletions would explain every loss."""
        nowhere = Ledger(None, run=self.run, writer=0, on_failure=lambda: None)
        return Client(sender, nowhere, Measures(), case="clean-up")

    def _between(self, client: Client, ground: Ground, workers: list[str]) -> dict[str, Any]:
        """From a prepared target to the outcome."""
        preload(client, self.scenario, ground, run=self.run)
        self._plan(ground, workers)
        self._go(client.ledger)
        self._phase = "load"
        self._stop.wait()
        self._ended_s = time.monotonic()
        self._crowd = self._pressure.share()
        self._collect()
        drained: dict[str, Any] = {"complete": False, "why": "no history was kept", "missing": 0}
        if client.ledger.kept:
            self._phase = "drain"
            books = books_of(self.directory)
            books.longest_s = max(books.longest_s, self.scenario.consumers.visibility_timeout_s)
            self._drain = drain = Drain(client, self.scenario, ground, books)
            drained = drain.run(hurry=self._interrupted)
            drained |= {"longest_wait_s": drain.longest_wait_s, "longest_s": books.longest_s}
        if client.ledger.failure is not None:
            self._problems.append(f"the history could not be written: {client.ledger.failure.strerror}")
        return self._outcome(ground, drained, client)

    def _plan(self, ground: Ground, workers: list[str]) -> None:
        """Tells every worker its part, and waits until all are ready for it: else the first to start would be alone.

        Raises HarnessError when one is not. A worker that is lost, or an interruption, ends the waiting as well.
        """
        proof = secrets.token_hex(16)
        (self.directory / PROOF).write_text(proof)
        self._members = {index: _Member(id=worker, index=index) for index, worker in enumerate(workers)}
        for index, worker in enumerate(workers):
            plan = Plan(
                run=self.run,
                url=self._url,
                scenario=as_data(self.scenario),
                scope=ground.scope,
                queues=ground.queues,
                ahead_s=ground.ahead_s,
                index=index,
                workers=len(workers),
                domain=clock_domain(),
                directory=str(self.directory.resolve()),
                proof=proof,
            )
            data = {name: getattr(plan, name) for name in plan.__struct_fields__}
            self._post(PLAN, {"plan": data, "headers": self._headers}, worker)
        if not gevent.wait([self._ready, self._stop], timeout=READY_S, count=1):
            late = [str(member.index) for member in self._members.values() if not member.ready]
            raise HarnessError(
                f"worker {', '.join(late)} did not get ready within {READY_S:g} s", hint="see its log, and the network"
            )

    def _go(self, ledger: Ledger) -> None:
        """The load starts a moment later everywhere."""
        ledger.mark("load")
        self._pressure = Pressure()
        self._begun_ns = time.monotonic_ns() + int(HEAD_START_S * 1e9)
        self._start_wall_s = time.time() + HEAD_START_S
        if not self._stop.is_set():
            for member in self._members.values():
                self._post(GO, {"start_ns": self._begun_ns}, member.id)

    def _collect(self) -> None:
        """Stops every worker and waits for its final; what is missing is a problem of the run."""
        self._phase = "stop"
        self._dismiss()
        sending, consumers = self.scenario.sending, self.scenario.consumers
        patience_s = sending.timeout_s + sending.connect_timeout_s + consumers.work_s * consumers.batch_size + FINAL_S
        self._finals.wait(patience_s)
        for member in self._members.values():
            self._check(member)
        self._write_seconds(everything=True)
        for log in self._logs.values():
            log.close()

    def _check(self, member: _Member) -> None:
        final = member.final
        if final is None:
            how = "has vanished" if member.lost else "sent no final"
            self._problems.append(f"worker {member.index} {how}: what it did last is not known")
            return
        self._problems += final["problems"]
        if final["ticks"] != member.ticks:
            self._problems.append(f"worker {member.index}: {member.ticks} of {final['ticks']} ticks arrived")
        if final["history_bytes"] != member.shipped:
            missing = final["history_bytes"] - member.shipped
            self._problems.append(f"worker {member.index}: {missing} bytes of its history did not arrive")

    # ── what workers send ──

    def receive(self, kind: str, data: Mapping[str, Any]) -> None:
        """A worker's message, in the order in which it was sent."""
        member = self._members.get(data["index"])
        if member is None:
            return
        if kind == READY:
            member.ready = True
            if all(one.ready for one in self._members.values()):
                self._ready.set()
        elif kind == TICK:
            self._take_tick(member, data)
        elif kind == SEGMENT:
            self._take_segment(member, data)
        elif kind == DONE:
            self._take_done(member, data)
        elif kind == FINAL:
            member.final = dict(data)
            member.health = dict(data["health"])
            self._count_finals()

    def _count_finals(self) -> None:
        if all(one.final is not None or one.lost for one in self._members.values()):
            self._finals.set()

    def lost(self, worker: str) -> None:
        """Locust says that this worker has gone: the load ends, and its final will be missing."""
        for member in self._members.values():
            if member.id == worker and member.final is None and not member.lost:
                member.lost = True
                self._stop.set()
                self._count_finals()

    def _take_tick(self, member: _Member, data: Mapping[str, Any]) -> None:
        member.ticks += 1
        member.health, member.in_flight = dict(data["health"]), data["in_flight"]
        self._whole.add(data)
        self._second[data["tick"]].add(data)
        if all(one.ticks > data["tick"] or one.final for one in self._members.values()):
            self._write_seconds(before=data["tick"] + 1)

    def _take_segment(self, member: _Member, data: Mapping[str, Any]) -> None:
        if data["offset"] != member.shipped:
            return  # a gap: the final's byte count will tell
        with (self.directory / f"history-{member.index + 1}.ndjson").open("ab") as history:
            history.write(data["data"])
        member.shipped += len(data["data"])

    def _take_done(self, member: _Member, data: Mapping[str, Any]) -> None:
        member.done = True
        if data.get("failed") or all(one.done for one in self._members.values()):
            self._stop.set()

    # ── intervals ──

    def _write_seconds(self, *, before: int = 0, everything: bool = False) -> None:
        """Interval logs and the series, second by second, once all workers' parts are in."""
        for number in sorted(self._second):
            if not everything and number >= before:
                break
            second = self._second.pop(number)
            for key, histogram in second.histograms.items():
                start_s = self._start_wall_s + number * TICK_S
                self._log(key).write(Interval(start_s=start_s, length_s=TICK_S, counts=histogram.counts))
            self._series.append(outcome.second(number, second, self._series[-1] if self._series else None))

    def _log(self, key: tuple[str, str]) -> IntervalLog:
        found = self._logs.get(key)
        if found is None:
            path = self.directory / log_name(*key)
            found = self._logs[key] = IntervalLog(path, start_s=self._start_wall_s)
        return found

    # ── telling ──

    def _report_on(self) -> None:
        """A line a second, whatever the phase: silence means that the process hangs."""
        while True:
            self._report()
            gevent.sleep(TICK_S)

    def _report(self) -> None:
        in_flight = sum(member.in_flight for member in self._members.values())
        elapsed_s = max(0.0, (time.monotonic_ns() - self._begun_ns) / 1e9) if self._begun_ns else 0.0
        left = len(self._drain.books.missing) if self._drain else None
        self._progress(outcome.line(self._phase, elapsed_s, self.scenario, self._whole, in_flight, left))

    def _outcome(self, ground: Ground, drained: dict[str, Any], client: Client) -> dict[str, Any]:
        duration_s = min(self._ended_s - self._begun_ns / 1e9, self.scenario.duration_s)
        told = outcome.whole(
            self.scenario,
            self._whole,
            workers={member.index: member.health for member in self._members.values()},
            duration_s=max(duration_s, 0.0),
            drained=drained,
        )
        unsupported = {verb for m in self._members.values() if m.final for verb in m.final["unsupported"]}
        told["load"]["unsupported"] = sorted(unsupported | client.unsupported)
        told["load"]["adapted"] = self._adapted
        told["load"]["timer"] = (
            "kernel" if all(m.final["precise"] for m in self._members.values() if m.final) else "hub"
        )
        told["load"]["queues"] = dict.fromkeys(ground.queues, self.scenario.queue.ordering)
        told["load"]["token_prefix"] = f"qp.{self.run}."
        told["load"]["dead_letter"] = ground.dead_letter
        told["load"]["max_retries"] = self.scenario.queue.max_retries
        told["load"]["cadence_s"] = self.scenario.drain.cadence_s
        told["load"]["slack_s"] = self.scenario.drain.slack_s
        told["load"]["cpu_pressure"] = self._crowd
        told["load"]["series"] = self._series
        told["problems"] = self._problems
        if drained["why"] == AWAY:
            hint = "see the target's log: nothing can be said about what it had accepted"
            message = f"{AWAY}{outcome.last_answer(self._series)}"
            told["error"] = {"exit_code": int(ExitCode.TARGET), "message": message, "hint": hint}
        return told


def plan_of(data: Mapping[str, Any]) -> Plan:
    """A plan as it came out of a Locust message."""
    return Plan(**{**data, "queues": tuple(data["queues"])})
