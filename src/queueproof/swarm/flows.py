"""What producers and consumers do: publish on time, claim, work, and answer for what was claimed.

Producers are callbacks (a late answer delays nobody), consumers greenlets (each does one thing after the other).
Every message is verified on its way: token, checksum, attempts. Judging is left to the checks over the history.
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import gevent

from queueproof.contract import wire
from queueproof.evidence.operation import Invoke
from queueproof.swarm import payload
from queueproof.swarm.client import Client, Delivery, Operation
from queueproof.swarm.scenario import Scenario

_COMPLETED: Final = b'{"response":{"done":true}}'


class _Publish(Operation):
    """A publish under way: what a replay of it needs."""

    record: Invoke | None = None
    replays = 0


class Producer:
    """Publishes messages whose tokens name the run and the arrival."""

    def __init__(
        self,
        client: Client,
        scenario: Scenario,
        *,
        run: str,
        scope: str,
        queues: tuple[str, ...],
        ahead_s: float = 0.0,
        prefix: str = "",
    ) -> None:
        """`ahead_s`: of the target's clock, by which deadlines and delays go.

        `prefix` goes before the numbers in tokens, so that two producers of a run never share one.
        """
        self._client = client
        self._scenario = scenario
        self._scope = scope
        self._queues = queues
        self._ahead_s = ahead_s
        self._token = f"qp.{run}.{prefix}"
        self._draw = random.Random(f"{scenario.seed} {prefix}")
        self._paddings = payload.Paddings(scenario.messages.sizes, scenario.messages.files, seed=scenario.seed)
        self._frames = []
        for queue in queues:
            request = wire.publish(scope, queue, {})
            self._frames.append((queue, request.path, client.sender.framer("POST", request.path)))
        weights = scenario.messages.priorities
        self._tiers, self._weights = list(weights), list(weights.values())
        self.in_flight = 0
        messages = scenario.messages
        self._odd = bool(
            messages.priorities or messages.keys or messages.deadline or messages.delay or scenario.producers.replay
        )
        self._shapes: dict[str, int] = {}  # queue → shape of a plain publish in the ledger

    def publish(self, number: int, intended_ns: int) -> None:
        """Sends message `number`; does not wait."""
        operation = self._prepare(number, intended_ns)
        if operation is not None:
            self._submit(operation)

    def publish_and_wait(self, number: int) -> Operation | None:
        """The same in a greenlet, for the closed model; None when the history takes no more."""
        operation = self._prepare(number, time.monotonic_ns())
        if operation is None:
            return None
        self.in_flight += 1
        try:
            self._client.sender.call(operation)
            self._client.end(operation)
        finally:
            self.in_flight -= 1
        return operation

    def _submit(self, operation: _Publish) -> None:
        self.in_flight += 1
        operation.done = self._published
        self._client.sender.submit(operation)

    def _published(self, operation: _Publish) -> None:
        self._client.end(operation)
        if operation.replays and not self._client.sender.crashes:
            self._again(operation)
        self.in_flight -= 1

    def _again(self, first: _Publish) -> None:
        """The same message once more, under its idempotency key: a retry whose first try may have worked."""
        now_ns = time.monotonic_ns()
        operation = _Publish("publish", first.payload, now_ns)
        operation.op = self._client.ledger.operation()
        old = first.record
        if old is None:
            return
        operation.record = Invoke(
            op=operation.op,
            at_ns=now_ns,
            verb="publish",
            case=old.case,
            attempt=2,
            scope=old.scope,
            queue=old.queue,
            token=old.token,
            key=old.key,
            body=old.body,
            rank=old.rank,
            untimed=old.untimed,
        )
        if self._client.ledger.invoke(operation.record):
            self._client.measures.counters["replayed"] += 1
            self._submit(operation)

    def _prepare(self, number: int, intended_ns: int) -> _Publish | None:
        """The request of message `number`, written to the history."""
        token = f"{self._token}{number}"
        body, digest = payload.body(token, intended_ns // 1000, next(self._paddings))
        queue, _, frame = self._frames[number % len(self._frames)]
        if not self._odd:
            return self._plain(token, queue, intended_ns, frame(b'{"type":"load.message","body":%b}' % body), digest)
        extras, key, replays, rank, untimed = self._extras(token)
        operation = _Publish("publish", frame(b'{"type":"load.message","body":%b%b}' % (body, extras)), intended_ns)
        operation.op = self._client.ledger.operation()
        operation.replays = replays
        operation.record = Invoke(
            op=operation.op,
            at_ns=time.monotonic_ns(),
            verb="publish",
            case=self._client.case,
            scope=self._scope,
            queue=queue,
            token=token,
            key=key,
            body=digest,
            rank=rank,
            untimed=untimed,
        )
        return operation if self._client.ledger.invoke(operation.record) else None

    def _plain(self, token: str, queue: str, intended_ns: int, request: bytes, digest: str) -> _Publish | None:
        """A message of the common form, which costs the least."""
        ledger = self._client.ledger
        operation = _Publish("publish", request, intended_ns)
        operation.op = op = ledger.operation()
        shape = self._shapes.get(queue)
        if shape is None:
            told = {"verb": "publish", "case": self._client.case, "scope": self._scope, "queue": queue}
            shape = self._shapes[queue] = ledger.shape("invoke", "op", "at_ns", "token", "body", **told)
        return operation if ledger.brief(shape, op, time.monotonic_ns(), token, digest) else None

    def _extras(self, token: str) -> tuple[bytes, str | None, int, int | None, bool]:
        """(further members of the message, idempotency key, replays, rank, untimed)."""
        scenario, draw = self._scenario, self._draw
        messages, extras = scenario.messages, b""
        key: str | None = None
        rank: int | None = None
        untimed = False
        if self._tiers:
            tier, score = draw.choices(self._tiers, self._weights)[0], draw.randrange(1001)
            extras += b',"priority":{"tier":"%b","score":%d}' % (tier.encode(), score)
            if scenario.queue.ordering == "priority":
                rank = wire.rank(tier, score)
        if messages.deadline and draw.random() < messages.deadline:
            due = self._moment(messages.deadline_in_s * (1 + draw.random()))
            extras += b',"deadline":"%b"' % _stamp(due)
            untimed = True
            if scenario.queue.ordering == "deadline":
                rank = int(due.timestamp() * 1e6)
        if messages.delay and draw.random() < messages.delay:
            extras += b',"delay_until":"%b"' % _stamp(self._moment(messages.delay_s))
            rank, untimed = None, True  # its place counts only from a time that no client knows
        replays = int(bool(scenario.producers.replay) and draw.random() < scenario.producers.replay)
        if messages.keys or replays:
            key = token
            extras += b',"idempotency_key":"%b"' % token.encode()
        return extras, key, replays, rank, untimed

    def _moment(self, in_s: float) -> datetime:
        """By the target's clock."""
        return datetime.now(UTC) + timedelta(seconds=in_s + self._ahead_s)


def _stamp(when: datetime) -> bytes:
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z").encode()


class Consumers:
    """So many greenlets that claim from the queues in turn and answer for what they got."""

    def __init__(
        self, client: Client, scenario: Scenario, *, run: str, scope: str, queues: tuple[str, ...], one_clock: bool
    ) -> None:
        """`one_clock`: whether every producer's clock is this machine's; without it there is no end-to-end time."""
        self._client = client
        self._scenario = scenario
        self._own = f"qp.{run}."
        self._scope = scope
        self._queues = queues
        self._one_clock = one_clock
        self._draw = random.Random(f"{scenario.seed} fates")
        self._greenlets: list[gevent.Greenlet[..., Any]] = []
        self.stopping = False

    def start(
        self, count: int, *, first: int, after_s: float, crashed: "Callable[[gevent.Greenlet[..., Any]], None]"
    ) -> None:
        """`first`: number of the first consumer in the whole run, so that they begin at different queues."""
        for number in range(first, first + count):
            greenlet = gevent.spawn_later(after_s, self._run, number)
            greenlet.link_exception(crashed)
            self._greenlets.append(greenlet)

    def stop(self, timeout_s: float) -> bool:
        """Lets every consumer finish what it holds; whether all did."""
        self.stopping = True
        gevent.joinall(self._greenlets, timeout=timeout_s)
        late = [greenlet for greenlet in self._greenlets if not greenlet.ready()]
        gevent.killall(late, timeout=1)
        return not late

    def _run(self, number: int) -> None:
        consumers = self._scenario.consumers
        turn = number
        empty = 0
        due_ns = time.monotonic_ns()
        while not self.stopping:
            queue = self._queues[turn % len(self._queues)]
            turn += 1
            claimed = self._claim(queue, due_ns)
            due_ns = time.monotonic_ns()
            if claimed:
                empty = 0
                for delivery in claimed:
                    self._handle(delivery)
                due_ns = time.monotonic_ns()
                continue
            empty += 1
            if empty >= len(self._queues) and not self.stopping:  # every queue was found empty: a pause
                due_ns += int(consumers.idle_s * 1e9)
                gevent.sleep(consumers.idle_s)

    def _claim(self, queue: str, due_ns: int) -> list[Delivery]:
        consumers = self._scenario.consumers
        request = wire.claim(
            self._scope,
            queue,
            batch_size=consumers.batch_size,
            visibility_timeout_s=_plain(consumers.visibility_timeout_s),
        )
        operation = self._client.perform(
            request, intended_ns=due_ns, timeout_s=consumers.visibility_timeout_s, limit=consumers.batch_size
        )
        found: list[Delivery] = operation.document
        counters = self._client.measures.counters
        if operation.ok and not found:
            counters["empty_claims"] += 1
        elif not operation.ok and not self.stopping:
            gevent.sleep(consumers.idle_s)  # a target in trouble is not asked faster than an empty one
        for delivery in found:
            self._verify(delivery, operation.ended_ns)
        return found

    def _verify(self, delivery: Delivery, at_ns: int) -> None:
        counters = self._client.measures.counters
        counters["delivered"] += 1
        if not delivery.token.startswith(self._own):
            counters["foreign"] += 1
        elif not delivery.whole:
            counters["damaged"] += 1
        if delivery.attempts is not None and delivery.attempts > 1:
            counters["redelivered"] += 1
        elif delivery.whole and self._one_clock:
            self._client.measures.end_to_end.record(at_ns // 1000 - delivery.at_us)

    def _handle(self, delivery: Delivery) -> None:
        """Work, then one fate: fail, release, abandon, or complete (perhaps after an extend)."""
        consumers = self._scenario.consumers
        due_ns = time.monotonic_ns()
        if consumers.work_s:
            due_ns += int(consumers.work_s * 1e9)
            gevent.sleep(consumers.work_s)
        fate = self._draw.random() - consumers.fail
        if fate < 0 and self._optional(wire.fail(self._scope, delivery.id, reason="the scenario wants it"), due_ns):
            return
        if 0 <= fate < consumers.release and self._optional(wire.release(self._scope, delivery.id), due_ns):
            return
        if 0 <= fate - consumers.release < consumers.abandon:
            self._client.measures.counters["abandoned"] += 1
            return
        if consumers.extend and self._draw.random() < consumers.extend:
            timeout_s = consumers.visibility_timeout_s
            request = wire.extend(self._scope, delivery.id, visibility_timeout_s=_plain(timeout_s))
            self._optional(request, due_ns, timeout_s=timeout_s)
            due_ns = time.monotonic_ns()
        self._client.perform(completion(self._scope, delivery.id), intended_ns=due_ns)

    def _optional(self, request: wire.Request, due_ns: int, *, timeout_s: float | None = None) -> bool:
        """A verb that a target may lack; whether it has it."""
        if request.verb in self._client.unsupported:
            return False
        operation = self._client.perform(request, intended_ns=due_ns, timeout_s=timeout_s)
        return not self._client.is_unsupported(operation)


def completion(scope: str, message: str) -> wire.Request:
    """`wire.complete` with a response made once."""
    path = f"{wire.message_path(scope, message)}/complete"
    return wire.Request(verb="complete", method="POST", path=path, body=_COMPLETED, scope=scope, message=message)


def _plain(value: float) -> float:
    """Whole numbers as such: a server may want an integer."""
    return int(value) if value == int(value) else value
