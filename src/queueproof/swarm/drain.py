"""How a load ends (docs/checks.md, loss): claim and complete until empty, wait out every lock, read what is missing.

The drain only gathers evidence; whether a message is lost is said by the checks. It is over early when every
published message is known to be completed, and it is cut short, and says so, at its limit or when the target is away.
"""

import json
import math
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import gevent

from queueproof.contract import wire
from queueproof.evidence.history import read_records
from queueproof.evidence.operation import Invoke, Result, Return
from queueproof.swarm.client import Client, Delivery, Operation
from queueproof.swarm.flows import completion
from queueproof.swarm.preparation import Ground
from queueproof.swarm.scenario import Scenario

DRAINERS: Final = 12
BATCH: Final = 10
POLL_S: Final = 0.2  # between two claims of an empty queue: the checks want at least two a second
CLOCK_MARGIN: Final = 0.002  # a server's clock may run a little slow against ours; the checks allow half of this
# Where requests are limited, one drainer a queue uses up what is admitted. So long it waits when it is not told.
PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 5.0
AWAY_S: Final = 10.0  # a target that answers nothing for so long is away
AWAY: Final = "the target does not answer any more"
# A complete whose answer was lost may have worked: its message is not awaited, though it may still come.
MAY_BE_DONE: Final = frozenset({Result.OK, Result.UNKNOWN})
READS: Final = 500  # so many missing messages are read one by one


@dataclass(kw_only=True)
class Books:
    """What the history says of every message before the drain begins."""

    missing: dict[str, str] = field(default_factory=dict)  # published ok, surely not completed: id → token
    unsure: set[str] = field(default_factory=set)  # tokens of publishes whose result is unknown
    extended: Counter[str] = field(default_factory=Counter)  # id → extends, each of which may have moved its lock
    unknown_claims: int = 0
    longest_s: float = 0.0  # visibility timeout

    def done(self, message: str, token: str) -> None:
        """This message is completed, or may be. A dead letter may have an id of its own, but has its token."""
        if self.missing.pop(message, None) is None and token:
            self.missing = {one: carried for one, carried in self.missing.items() if carried != token}

    @property
    def settled(self) -> bool:
        """Every message that is known to exist is completed, or may be."""
        return not self.missing

    @property
    def lock_s(self) -> float:
        """The longest that one claim may hold a missing message; an extend counts from now or from the lock's end."""
        extends = max((self.extended[message] for message in self.missing), default=0) if self.extended else 0
        return self.longest_s * (1 + 2 * extends)


def books_of(directory: Path) -> Books:
    """Reads all histories of a run so far."""
    books = Books()
    completed: set[str] = set()
    for path in sorted(directory.glob("history-*.ndjson")):
        opened: dict[int, Invoke] = {}
        for record in read_records(path):
            if isinstance(record, Invoke) and record.verb in {"publish", "claim", "complete", "extend"}:
                opened[record.op] = record
                books.longest_s = max(books.longest_s, record.timeout_s or 0.0)
            elif isinstance(record, Return) and record.op in opened:
                _enter(books, completed, opened.pop(record.op), record)
        for record in opened.values():
            _enter(books, completed, record, None)
    for message in completed:
        books.missing.pop(message, None)
    return books


def _enter(books: Books, completed: set[str], call: Invoke, back: Return | None) -> None:
    result = back.result if back is not None else Result.UNKNOWN
    if call.verb == "publish":
        if result is Result.OK and back is not None:
            books.missing[back.message] = call.token
        elif result is Result.UNKNOWN:
            books.unsure.add(call.token)
    elif call.verb == "claim" and result is Result.UNKNOWN:
        books.unknown_claims += 1
    elif call.verb == "extend":
        books.extended[call.message] += 1
    elif call.verb == "complete" and result in MAY_BE_DONE:
        completed.add(call.message)


class Drain:
    """One drain."""

    def __init__(self, client: Client, scenario: Scenario, ground: Ground, books: Books) -> None:
        self._client = client
        self._scenario = scenario
        self._ground = ground
        self.books = books
        self._queues = [*ground.queues, *([ground.dead_letter] if ground.dead_letter else [])]
        self._stopping = False
        self.delivered = 0
        now = time.monotonic()
        self._started = self._last_delivery = self._last_answer = now
        self._quiet_from_ns = time.monotonic_ns()  # what was claimed last had been completed
        self._rows: list[dict[str, Any]] = []
        self._batch = BATCH
        self._limited = False  # the target was met limiting requests
        self._resume = 0.0  # until then it admits none
        self._answered: set[str] = set()  # queues of which a claim was answered ok
        self._asked = dict.fromkeys(self._queues, 0.0)  # queue → when its last empty answer came

    def run(self, *, hurry: bool = False) -> dict[str, Any]:
        """Blocks until it is over; says how it ended. `hurry`: interrupted, so no quiet window is waited."""
        self._client.ledger.mark("drain", json.dumps({"window_s": self.window_s()}))
        drainers = [gevent.spawn(self._empty, number) for number in range(max(DRAINERS, len(self._queues)))]
        try:
            why = self._watch(drainers, hurry=hurry)
        finally:
            self._stopping = True
            gevent.joinall(drainers, timeout=self._scenario.sending.timeout_s + 2)
            gevent.killall(drainers, timeout=1)
        for greenlet in drainers:
            if greenlet.exception is not None and not isinstance(greenlet.exception, gevent.GreenletExit):
                raise greenlet.exception
        told = {
            "complete": not why,
            "why": why,
            "took_s": round(time.monotonic() - self._started, 3),
            "quiet_s": round(time.monotonic() - self._last_delivery, 3),
            "window_s": round(self.window_s(), 3),
            "delivered": self.delivered,
            "missing": len(self.books.missing),
        }
        self._client.ledger.mark("drained", json.dumps(told))
        if not hurry:
            self._read_missing()
        # A dead letter that cannot be claimed is where its retries have led, and no backlog.
        dead = sum(row["state"].startswith("dead") for row in self._rows)
        told |= {"missing": told["missing"] - dead, "dead_lettered": dead}
        return {**told, "queues": self._claimable(), "quiet_from_ns": self._quiet_from_ns, "rows": self._rows}

    def _claimable(self) -> list[str]:
        """The queues that were drained: without a dead-letter queue that cannot be claimed, though the others can."""
        refused = self._answered.intersection(self._ground.queues) and self._ground.dead_letter not in self._answered
        return list(self._ground.queues) if refused else self._queues

    def window_s(self) -> float:
        """How long the queues must stay empty before a missing message can be judged."""
        drain = self._scenario.drain
        if self.books.settled:  # nothing is owed: what comes back wrongly comes when its lock ends
            return min((self.books.lock_s + drain.cadence_s) * (1 + CLOCK_MARGIN) + 2 * POLL_S, drain.settle_s)
        lock_s = (self.books.lock_s + drain.cadence_s + drain.slack_s) * (1 + CLOCK_MARGIN) + 2 * POLL_S
        return (self.books.unknown_claims + 1) * lock_s + self.longest_wait_s

    @property
    def longest_wait_s(self) -> float:
        """The longest that a message may be hidden without a lock: a backoff, a delay."""
        drain, messages = self._scenario.drain, self._scenario.messages
        return max(
            drain.backoff_s if self._scenario.consumers.fail else 0.0, messages.delay_s if messages.delay else 0.0
        )

    def _watch(self, drainers: "list[gevent.Greenlet[..., Any]]", *, hurry: bool) -> str:
        """Waits for the end; "" when the queues are empty and stayed so, else why it was cut short."""
        limit_s = self._scenario.drain.limit_s
        while True:
            gevent.sleep(0.02)
            now = time.monotonic()
            empty = all(at > self._last_delivery for at in self._asked.values())
            if any(drainer.ready() for drainer in drainers):
                return "the drain failed"
            if empty and (hurry or now - self._last_delivery > self.window_s()):
                return "interrupted" if hurry and not self.books.settled else ""
            if now - self._last_answer > AWAY_S:
                return AWAY
            if now - self._started > limit_s:
                return f"not finished within drain.limit_s = {limit_s:g} s"

    def _empty(self, number: int) -> None:
        """Claims from one queue and completes all it gets."""
        queue = self._queues[number % len(self._queues)]
        timeout_s = self._scenario.consumers.visibility_timeout_s
        asked: int | float = int(timeout_s) if timeout_s == int(timeout_s) else timeout_s
        while not self._stopping:
            if self._limited and number >= len(self._queues):
                gevent.sleep(POLL_S)
                continue
            began, batch = time.monotonic(), self._batch
            request = wire.claim(self._ground.scope, queue, batch_size=batch, visibility_timeout_s=asked)
            operation = self._perform(request, timeout_s=timeout_s, limit=batch)
            self._answered.update([queue] if operation.ok else [])
            if not operation.ok:
                self.books.unknown_claims += operation.result is Result.UNKNOWN
                self._refused(queue, operation, batch)
                gevent.sleep(POLL_S)
            elif operation.document:
                self._complete(operation.document, began + timeout_s)
            else:
                self._asked[queue] = max(self._asked[queue], began)
                gevent.sleep(POLL_S)

    def _perform(self, request: wire.Request, *, until: float = math.inf, **asked: Any) -> Operation:
        """A call, again after each answer that it came too early (429), if that is before `until` (monotonic s)."""
        while True:
            gevent.sleep(max(0.0, self._resume - time.monotonic()))
            operation = self._client.perform(request, **asked)
            now = time.monotonic()
            if operation.status:
                self._last_answer = now
            if operation.status != 429:
                return operation
            self._limited = True
            self._resume = max(self._resume, now + _pause_s(operation))
            if self._stopping or self._resume > until:
                return operation

    def _refused(self, queue: str, operation: Operation, batch: int) -> None:
        """How large a batch may be is not documented; a dead-letter queue that cannot be claimed is legal too.

        A queue that the server itself says it does not know has nothing to give: what it held is read, and missed.
        """
        status = operation.status
        if status == 404 and operation.code:
            self._asked[queue] = time.monotonic()
        elif 400 <= status < 500 and status != 429 and batch > 1:
            self._batch = 1
        elif queue == self._ground.dead_letter and 400 <= status < 500 and status != 429:
            self._asked[queue] = time.monotonic()

    def _complete(self, deliveries: list[Delivery], until: float) -> None:
        """Completes them, as long as they are held (`until`, monotonic s): later they come again."""
        self._last_delivery = time.monotonic()
        for delivery in deliveries:
            self.delivered += 1
            self.books.unsure.discard(delivery.token)
            if self._perform(completion(self._ground.scope, delivery.id), until=until).result in MAY_BE_DONE:
                self.books.done(delivery.id, delivery.token)
        self._last_delivery = time.monotonic()
        self._quiet_from_ns = time.monotonic_ns()

    def _read_missing(self) -> None:
        """The rows of what did not come: the loss check's evidence."""
        give_up = time.monotonic() + self._scenario.drain.limit_s
        for message in list(self.books.missing)[:READS]:
            began_ns = time.monotonic_ns()
            operation = self._perform(wire.read_message(self._ground.scope, message), until=give_up)
            if not operation.status:
                return
            state = operation.state if operation.ok else "absent" if operation.status == 404 else ""
            if state:
                row = {"scope": self._ground.scope, "message": message, "state": state}
                self._rows.append({**row, "inv": began_ns, "ret": operation.ended_ns})


def _pause_s(operation: Operation) -> float:
    """How long a target that limits requests wants none."""
    answer = wire.Answer(status=operation.status, headers={"retry-after": operation.header("Retry-After")})
    wanted = wire.retry_after_s(answer, now_s=time.time())
    return PAUSE_S if wanted is None else min(max(wanted, POLL_S), LONGEST_PAUSE_S)
