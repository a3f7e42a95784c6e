"""Clients of the simulated queue: delays, lost answers, retries, crashes, pauses, and a drain at the end.

`simulate(seeds)` runs one small world a seed, each in a scope of its own, and gives them as one history: the checks
keep scopes apart, and one call of a check judges hundreds of worlds.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from checks_queue import Freedom, Message, Server

from queueproof.checks.all import run_all
from queueproof.checks.counters import READINGS
from queueproof.checks.finding import Finding
from queueproof.checks.loss import ROWS, Drain
from queueproof.checks.order import Ordering
from queueproof.evidence.history import History, tabulate
from queueproof.evidence.operation import Clock, Invoke, Item, Record, Result, Return

Answer = tuple[str, Any]
Process = Generator[Any, Answer, None]

CLIENT_TIMEOUT = 1.5
TIMEOUTS = (0.05, 0.5, 2.0)
LONG_TIMEOUT = 20.0
QUIET_POLL = 0.4


@dataclass(kw_only=True)
class Simulation:
    """Many worlds as one history, and what the drain of each learnt."""

    history: History
    orderings: dict[str, Ordering] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    dead: list[str] = field(default_factory=list)
    drains: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)  # seeds whose fault struck


def simulate(seeds: Iterable[int], fault: str = "", *, noise: float = 1.0) -> Simulation:
    """One world a seed; `noise` scales the chance of lost answers (0: a quiet network)."""
    records: list[Record] = [Clock(domain="here", at_ns=0, wall_us=0, run="simulated")]
    ops = itertools.count(1)
    out = Simulation(history=tabulate([]))
    for seed in seeds:
        world = World(seed, fault, ops, noise)
        world.run()
        records += world.records
        world.report(out)
    out.history = tabulate(records)
    return out


class World:
    """One server, its clients, and a heap of what happens next."""

    def __init__(self, seed: int, fault: str, ops: "itertools.count[int]", noise: float) -> None:
        self.rng = random.Random(f"{seed}-{fault}")
        self.seed, self.ops, self.correct = seed, ops, not fault
        self.scope = f"w{seed}"
        self.server = Server(self.rng, Freedom.any(self.rng), self.scope, fault)
        self.server.queues["main"].ordering = self.rng.choice(["fifo", "fifo", "priority"])
        self.noise = self.rng.choice([0.0, 0.03, 0.12]) * noise
        self.slow = self.rng.choice([0.0, 0.1])
        self.records: list[Record] = []
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.now = 0.0
        self.down: tuple[float, float] = (float("inf"), float("inf"))
        self.known: list[tuple[str, dict[str, Any]]] = []  # what was published, for replays
        self.cut: list[Message] = []  # popped by claims that a crash cut off
        self.quiet = (0.0, 0.0)
        self.readings: list[dict[str, Any]] = []
        self.limited = self.rng.random() < 0.3
        if self.limited:
            self.server.queues["main"].max_depth = 3

    # ── time ──

    def run(self) -> None:
        if self.rng.random() < 0.2 and self.noise:
            start = self.rng.uniform(2, 5)
            self.down = (start, start + 0.4)
            self.at(start + 1.2, self._repair)
        for _ in range(self.rng.randint(1, 3)):
            self.start(self._producer())
        for _ in range(self.rng.randint(1, 3)):
            self.start(self._consumer())
        if self.rng.random() < 0.3:
            self.start(self._pauser())
        if self.correct and self.rng.random() < 0.5:
            self.start(self._patient())
        self._advance()
        self.start(self._drain())
        self._advance()

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (when, next(self.order), what))

    def _advance(self) -> None:
        while self.heap:
            self.now, _, what = heapq.heappop(self.heap)
            what()

    def start(self, process: Process) -> None:
        self.at(self.now + self.rng.random() * 0.2, lambda: self._resume(process, None))

    def _resume(self, process: Process, answer: Any) -> None:
        try:
            asked = process.send(answer)
        except StopIteration:
            return
        if isinstance(asked, float):
            self.at(self.now + asked, lambda: self._resume(process, None))
        else:
            self._call(asked[0], asked[1], lambda result: self._resume(process, result))

    # ── one call ──

    def _call(self, verb: str, spec: dict[str, Any], then: Callable[[Answer], None]) -> None:
        rng, op, sent = self.rng, next(self.ops), self.now
        self._invoke(op, verb, spec)
        there = sent + self._delay()
        back = there + self._delay()
        crash, up = self.down
        if crash <= sent < up or rng.random() < self.noise / 4:
            self.at(sent + 0.001, lambda: self._back(op, "not_sent", {}, then))
            return
        if crash <= there < up:  # under way when the server fell
            if verb == "claim" and rng.random() < 0.5:
                self.at(crash, lambda: self.cut.extend(self.server.cut_off(spec["queue"], spec["limit"])))
            self.at(sent + CLIENT_TIMEOUT, lambda: self._back(op, "unknown", {}, then))
            return
        lost = rng.random() < self.noise or back - sent > CLIENT_TIMEOUT or there < crash <= back
        acts = not lost or rng.random() < 0.7
        if lost:
            there = max(there, sent + rng.random() * 3) if acts and rng.random() < 0.3 else there
            self.at(sent + CLIENT_TIMEOUT, lambda: self._back(op, "unknown", {}, then))
        if acts:
            self.at(there, lambda: self._act(op, verb, spec, back, then, lost=lost))

    def _act(
        self, op: int, verb: str, spec: dict[str, Any], back: float, then: Callable[[Answer], None], *, lost: bool
    ) -> None:
        result, learnt = self._effect(op, verb, spec)
        if not lost:
            self.at(back, lambda: self._back(op, result, learnt, then))
        elif verb == "claim" and self.server.free.undo:
            self.at(self.now + self.rng.random(), lambda: self.server.take_back(op, self.now))

    def _effect(self, op: int, verb: str, spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        server, now = self.server, self.now
        if verb == "publish":
            return server.publish(now, spec["queue"], spec)
        if verb == "claim":
            taken = server.claim(now, spec["queue"], spec["limit"], spec["timeout"], op)
            return "ok", {"items": [self._item(row) for row in taken]}
        if verb in ("complete", "fail", "release"):
            return getattr(server, verb)(now, spec["message"]), {}
        if verb == "extend":
            return server.extend(now, spec["message"], spec["timeout"]), {}
        server.queues[spec["queue"]].paused = verb == "pause-queue"
        return "ok", {}

    def _item(self, row: Message) -> Item:
        server, token, body = self.server, row.token, row.body
        if server._strikes("swapped", 0.1) and len(server.rows) > 1:
            other = self.rng.choice([r for r in server.rows.values() if r is not row])
            token, body = other.token, other.body
        if server._strikes("changed", 0.1):
            body += "?"
        name = row.id
        if server._strikes("phantom", 0.1):
            name, token, body = f"{row.id}-nobody", f"run-{self.scope}-never", "?"
        return Item(id=name, token=token, body=body, attempts=row.attempts if server.free.attempts_shown else None)

    def _delay(self) -> float:
        slow = self.rng.random() < self.slow
        return self.rng.uniform(0.2, 0.9) if slow else self.rng.uniform(0.0002, 0.02)

    def _invoke(self, op: int, verb: str, spec: dict[str, Any]) -> None:
        queue = spec.get("queue", "")
        self.records.append(
            Invoke(
                op=op,
                at_ns=round(self.now * 1e9),
                verb=verb,
                scope=self.scope,
                queue=f"{self.scope}/{queue}" if queue else "",
                message=spec.get("message", ""),
                token=spec.get("token", ""),
                key=spec.get("key"),
                body=spec.get("body", ""),
                timeout_s=spec.get("timeout"),
                limit=spec.get("limit"),
                rank=spec.get("rank"),
                untimed="delay" in spec or "ttl" in spec,
            )
        )

    def _back(self, op: int, result: str, learnt: dict[str, Any], then: Callable[[Answer], None]) -> None:
        ok = result == "ok"
        self.records.append(
            Return(
                op=op,
                at_ns=round(self.now * 1e9),
                result=Result(result),
                message=learnt.get("message", "") if ok else "",
                code=learnt.get("code", ""),
                items=tuple(learnt.get("items", ())),
            )
        )
        then((result, learnt))

    # ── clients ──

    def _producer(self) -> Process:
        rng = self.rng
        for _ in range(rng.randint(2, 6)):
            queue = "main" if rng.random() < 0.8 else "other"
            token = f"run-{self.scope}-{len(self.known)}"
            spec: dict[str, Any] = {"queue": queue, "token": token, "body": f"body of {token}"}
            spec["rank"] = rng.choice([100, 100, 400, 1500])
            if rng.random() < 0.5:
                spec["key"] = f"key-{token}"
            if rng.random() < 0.1:
                spec[rng.choice(["delay", "ttl"])] = rng.uniform(0.2, 2)
                spec["rank"] = None if self.server.queues["main"].ordering == "fifo" else spec["rank"]
            self.known.append((queue, spec))
            for _ in range(3):
                result, _learnt = yield "publish", spec
                if result != "unknown" or rng.random() < 0.3:
                    break
            if rng.random() < 0.2 and "key" in spec:
                again = dict(spec)
                if rng.random() < 0.5:
                    again.update(token=f"{token}-else", body=f"another body of {token}")
                yield rng.uniform(0.01, 0.5)
                yield "publish", again
            yield rng.choice([0.002, 0.02, rng.uniform(0.1, 1.0)])

    def _consumer(self) -> Process:
        rng = self.rng
        timeout = rng.choice(TIMEOUTS)
        for _ in range(rng.randint(6, 14)):
            queue = rng.choice(["main", "main", "main", "other", "dead"])
            spec = {"queue": queue, "limit": rng.choice([1, 1, 3]), "timeout": timeout}
            result, learnt = yield "claim", spec
            for item in learnt.get("items", ()) if result == "ok" else ():
                yield from self._work(item.id, timeout)
            yield rng.uniform(0.01, 0.6)

    def _patient(self) -> Process:
        """Looks often, and holds what it gets for long: it is done with some long after others' locks would be over."""
        yield self.rng.uniform(0, 1.5)
        for _ in range(30):
            spec = {"queue": "main", "limit": 2, "timeout": LONG_TIMEOUT}
            result, learnt = yield "claim", spec
            for item in learnt.get("items", ()) if result == "ok" else ():
                self.start(self._settle(item.id))
            yield self.rng.uniform(0.2, 0.45)

    def _settle(self, message: str) -> Process:
        yield self.rng.uniform(0, LONG_TIMEOUT * 0.9)
        yield "complete", {"message": message}

    def _work(self, message: str, timeout: float) -> Process:
        rng = self.rng
        yield rng.uniform(0, timeout * 1.2)
        if rng.random() < 0.25:
            yield "extend", {"message": message, "timeout": rng.choice(TIMEOUTS)}
            yield rng.uniform(0, timeout)
        verb = rng.choices(["complete", "fail", "release", ""], [5, 1, 1, 2])[0]
        for _ in range(rng.choice([1, 1, 2])) if verb else ():
            yield verb, {"message": message}

    def _pauser(self) -> Process:
        yield self.rng.uniform(0.5, 3)
        result, _ = yield "pause-queue", {"queue": "main"}
        yield self.rng.uniform(0.3, 1.5)
        for _ in range(20):
            result, _ = yield "resume-queue", {"queue": "main"}
            if result == "ok":
                break

    def _repair(self) -> None:
        for row in self.cut:
            row.away = False
        self.cut = []

    # ── the drain ──

    def _drain(self) -> Process:
        """Resume, claim and complete until nothing comes for long enough, reading counters and rows at the end."""
        self.noise = self.slow = 0.0
        yield "resume-queue", {"queue": "main"}
        unknown = self._unknown_claims()
        window = (unknown + 1) * ((max(TIMEOUTS) if not self.correct else LONG_TIMEOUT) * 2 + 1 + 1.5) + 3
        quiet_from = self.now
        while self.now - quiet_from < window:
            for queue in ("main", "other", "dead"):
                result, learnt = yield "claim", {"queue": queue, "limit": 10, "timeout": 2.0}
                for item in learnt.get("items", ()) if result == "ok" else ():
                    yield "complete", {"message": item.id}
                    quiet_from = self.now
            yield QUIET_POLL
        self.quiet = (quiet_from, self.now)
        yield 3.0
        for queue in ("main", "other"):
            for name, value in self.server.counts(queue).items():
                self.readings.append(self._reading(queue, name, value))

    def _unknown_claims(self) -> int:
        answered = {r.op for r in self.records if isinstance(r, Return) and r.result is not Result.UNKNOWN}
        return sum(isinstance(r, Invoke) and r.verb == "claim" and r.op not in answered for r in self.records)

    def _reading(self, queue: str, name: str, value: int) -> dict[str, Any]:
        at = round(self.now * 1e9)
        return {
            "scope": self.scope,
            "queue": f"{self.scope}/{queue}",
            "name": name,
            "value": value,
            "inv": at,
            "ret": at + 1000,
        }

    def report(self, out: Simulation) -> None:
        names = {name: f"{self.scope}/{name}" for name in self.server.queues}
        out.orderings[names["main"]] = "fifo" if self.server.queues["main"].ordering == "fifo" else "priority"
        out.orderings[names["other"]] = "fifo"
        out.retries |= {names["main"]: self.server.free.max_retries, names["other"]: self.server.free.max_retries}
        out.dead.append(names["dead"])
        if self.limited:
            out.limits[names["main"]] = 3
        out.drains.append({"scope": self.scope, "queues": list(names.values()), "quiet": self.quiet})
        out.readings += self.readings
        read = round((self.now + 1) * 1e9)
        for row in self.server.rows.values():
            out.rows.append({"scope": self.scope, "message": row.id, "state": row.state, "inv": read, "ret": read})
        if self.server.broke:
            out.broken.append(self.seed)


def judge(simulation: Simulation, *, with_rows: bool = True) -> list[Finding]:
    """All checks over a simulation, told everything that a harness knows at the end of a run."""
    drains = [
        Drain(
            queues=tuple(drain["queues"]),
            quiet_from_ns=round(drain["quiet"][0] * 1e9),
            longest_wait_ns=300_000_000,
            slack_s=1.0,
        )
        for drain in simulation.drains
    ]
    return run_all(
        simulation.history,
        orderings=simulation.orderings,
        dead_letter=simulation.dead,
        max_retries=simulation.retries,
        limits=simulation.limits,
        readings=pl.DataFrame(simulation.readings, schema=READINGS),
        drains=drains,
        rows=pl.DataFrame(simulation.rows, schema=ROWS) if with_rows else None,
        token_prefix="run-",
    )
