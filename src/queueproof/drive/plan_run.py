"""One run of one plan on a fresh queue: each step's call, what the book makes of its answer, and the end."""

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from queueproof.contract import wire
from queueproof.drive import plan_fields
from queueproof.drive.case import Case
from queueproof.drive.delivery import Message, S
from queueproof.drive.optional import DeadLetters, change, dead_letter_queue
from queueproof.drive.outcomes import UNDOCUMENTED, Blocked, Disturbed, Inconclusive, NotSupported
from queueproof.drive.plan_audit import audit
from queueproof.drive.plan_book import Book, Broken, Entry
from queueproof.drive.plans import AWAITED, KINDS, Phase, Plan, Step
from queueproof.drive.queue import BACKOFF_S, EMPTY_IN_A_ROW, UNAVAILABLE, Queue
from queueproof.evidence.margins import KEY_LIFETIME_NS
from queueproof.evidence.operation import Result

QUICKSTART_HOLD_S = 60
# States in which a message's idempotency key may be forgotten: how long one is kept is not documented.
ENDED = frozenset({"done", "dead"})


@dataclass
class Ran:
    """One run of a plan: what was done, in words, and how it broke (None: it did not)."""

    plan: Plan
    story: list[str] = field(default_factory=list)
    broken: Broken | None = None
    touched: set[int] = field(default_factory=set)  # positions of the steps that had to do with the broken message


class PlanRun:
    """One run of one plan on a queue of its own."""

    def __init__(self, case: Case, plan: Plan, scope: str) -> None:
        self.case = case
        self.plan = plan
        self.scope = scope
        self.ran = Ran(plan)
        self.short_s = case.world.dialect.timeout_s
        self.meets: dict[int, set[int]] = {}  # position of a step: the messages that it met; none: all
        self.absent: set[str] = set()  # verbs that this server has not

    async def go(self) -> Ran:
        try:
            await self._open()
            position = 0
            for number, phase in enumerate(self.plan.phases):
                await self._phase(phase, position)
                position += len(phase.steps)
                await audit(self.case, self.queue, self.book)
                if number < len(self.plan.phases) - 1:
                    await self._wait()
            await self._close()
        except Broken as broken:
            self.ran.broken = broken
            self.ran.story.append(f"⇒ {broken.summary}")
            culprit = broken.entry.number if broken.entry is not None else 0
            self.ran.touched = {place for place, met in self.meets.items() if not met or culprit in met or not culprit}
        return self.ran

    async def _open(self) -> None:
        fields = dict(KINDS[self.plan.kind])
        limited, cap = fields.pop("limited", False), fields.pop("max_retries", 0)
        self.opened = plan_fields.now()
        places = sum(step.verb == "publish" for step in self.plan.steps)
        limit = {"max_depth": places, "overflow_policy": "reject"} if limited else {}
        self.queue = await self._queue_with({"max_retries": cap} if cap else {}, limit, fields)
        shown = self.queue.created.data
        self.cap = cap if cap and isinstance(shown, dict) and shown.get("max_retries") == cap else 0
        asked = self.queue.fields.get("max_depth") or 0
        self.room = asked if not isinstance(shown, dict) or shown.get("max_depth", asked) == asked else 0
        self.book = Book(ordering=fields["ordering"], cap=self.cap)

    async def _queue_with(self, cap: dict[str, Any], limit: dict[str, Any], fields: dict[str, Any]) -> Queue:
        """A queue with as much of what no page says that creation takes as this server takes."""
        refused = self.case.world.dialect.queue_fields_refused
        cap = {} if "max_retries" in refused else cap
        for more in dict.fromkeys(map(tuple, ((cap | limit).items(), cap.items()))):
            if not more:
                break
            try:
                return await self.case.queue(scope=self.scope, root=UNDOCUMENTED, **dict(more), **fields)
            except Blocked as end:
                if end.root != UNDOCUMENTED:
                    raise
        if cap:
            return await self.case.queue(scope=self.scope, **fields)
        return await self.case.lasting_queue(scope=self.scope, **fields)

    async def _phase(self, phase: Phase, position: int) -> None:
        self.alone = not phase.at_once
        if phase.at_once:
            told = len(self.ran.story)
            ends = await asyncio.gather(
                *(self._step(step, position + place) for place, step in enumerate(phase.steps)), return_exceptions=True
            )
            if len(self.ran.story) > told + 1:
                self.ran.story[told:] = ["at once: " + " | ".join(self.ran.story[told:])]
            for end in sorted((e for e in ends if e is not None), key=lambda e: not isinstance(e, Broken)):
                raise end
            return
        for place, step in enumerate(phase.steps):
            await self._step(step, position + place)

    async def _step(self, step: Step, position: int) -> None:
        self.meets[position] = {step.message} if step.message else set()
        entry = self.book.entries.get(step.message)
        match step.verb:
            case "publish":
                await self._publish(step)
            case "claim":
                await self._claim(step.size, self._hold_s(step), position, step.told())
            case "pause" | "resume":
                await self._move(step.verb)
            case "replay" | "conflict" if entry is not None and entry.keyed and not entry.states & ENDED:
                await self._again(entry, step.verb)
            case "complete" | "fail" | "release" | "extend" if entry is not None and entry.surely_held:
                await self._settle(entry, step)

    def _hold_s(self, step: Step) -> int:
        return self.case.world.dialect.long_hold_s if step.long else self.short_s

    # ── steps ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _publish(self, step: Step) -> None:
        if self.book.paused_ns:
            return
        asked = plan_fields.asked(step, self.case.world, self.book.ordering, self.opened)
        if asked is None:
            return
        message = await self._published(asked)
        if message is None:
            return
        entry = Entry(
            number=step.message,
            message=message,
            rank=asked.rank,
            states=set(asked.states),
            keyed="idempotency_key" in asked.fields,
            optional=asked.optional,
            evidence=[message.publish.op],
        )
        self.book.published(entry)
        self.ran.story.append(step.told())

    async def _published(self, asked: plan_fields.Asked) -> Message | None:
        """The message; None where the server does not take what no page says that it takes.

        A limit that is no smaller than the number of the plan's messages is never reached, whatever counts for it.
        """
        more = {} if asked.body is None else {"body": asked.body}
        root = "PUB-1" if asked.promised else UNDOCUMENTED
        end = time.monotonic() + self.case.world.slack_s
        while True:
            try:
                return await self.queue.publish(root=root, **more, **asked.fields)
            except Blocked as blocked:
                if blocked.root == UNDOCUMENTED:
                    return None
                if blocked.root != "DEPTH-3":
                    raise
                if not self.room:
                    raise NotSupported("the queue has another max_depth than was asked for") from blocked
                if self.queue.unsettled:
                    raise Disturbed("a call of unknown result may have left a message that counts") from blocked
                if time.monotonic() > end:
                    count = len(self.book.entries)
                    raise Broken(
                        "DEPTH-3", "a publish was refused for want of room, where there is some", seen=blocked.seen,
                        expected=f"a 2xx answer: {count} messages were ever taken, of max_depth {self.room}",
                        evidence=blocked.evidence, liveness=True,
                    ) from blocked  # fmt: skip
            await asyncio.sleep(self.case.world.pause_s(0.3))

    async def _claim(self, size: int, hold_s: float, position: int = -1, told: str = "") -> int:
        try:
            claim = await self.queue.claim(
                size, hold_s, refused=UNDOCUMENTED if hold_s > QUICKSTART_HOLD_S else "CLAIM-1"
            )
        except Blocked as end:
            if end.root != UNDOCUMENTED:
                raise
            hold_s = self.case.world.dialect.long_hold_s = QUICKSTART_HOLD_S
            claim = await self.queue.claim(size, hold_s)
        met = [e for d in claim.deliveries if (e := self.book.of(d.message)) is not None]
        names = ", ".join(f"{e.name} (attempts {d.attempts})" for e, d in zip(met, claim.deliveries, strict=False))
        if told:
            self.meets[position] = {entry.number for entry in met} or {-1}
            self.ran.story.append(f"{told}: {names or ('nothing' if claim.sure else 'no answer')}")
        elif names:
            self.ran.story.append(f"claim: {names}")
        self.book.claimed(claim, hold_s=hold_s, alone=self.alone)
        return len(claim.deliveries)

    async def _move(self, verb: str) -> None:
        if (verb == "pause") == bool(self.book.paused_ns) or "pause" in self.absent:
            return
        request = wire.change_queue(self.scope, self.queue.id, verb)
        self.queue.unmodelled = True
        if verb == "resume":
            self.book.paused_ns = 0
        try:
            exchange = await change(self.case, request)
        except NotSupported:
            self.absent.add("pause")
            if verb == "resume":
                raise
            return
        if verb == "pause":
            self.book.paused_ns = exchange.ret_ns
        self.ran.story.append(f"{verb} the queue")

    async def _again(self, entry: Entry, verb: str) -> None:
        """The publish once more, with its own body or with another one."""
        if self.book.paused_ns or entry.busy:
            return
        sent = dict(entry.message.fields)
        if verb == "conflict":
            sent["body"] = {"qp": "", "instead": True}
        described = self.queue.described(entry.message.token, sent)
        entry.busy = True
        exchange = await self.case.send(wire.publish(self.scope, self.queue.id, sent), fields=described)
        entry.busy = False
        self.ran.story.append(f"{verb} m{entry.number}: {exchange.told()}")
        entry.pass_time(exchange.ret_ns)
        if not (exchange.ok or exchange.refused) or exchange.status in UNAVAILABLE or entry.states & ENDED:
            return
        if exchange.code == wire.QUEUE_FULL:
            return  # what a full queue answers to a replay is not documented
        if exchange.refused and exchange.code != wire.IDEMPOTENCY_CONFLICT and "delay_until" in entry.message.fields:
            return  # a delay whose end has come may be invalid, and be judged before the key
        if exchange.ret_ns - entry.message.publish.inv_ns > KEY_LIFETIME_NS:
            if exchange.ok and wire.identity(exchange.data) != entry.message.id:
                raise Disturbed("it took so long that a key may have been forgotten meanwhile")
            return
        seen = f"{exchange.told()}, id {wire.identity(exchange.data)}"
        evidence = (entry.message.publish.op, exchange.op)
        if verb == "replay" and not (exchange.ok and wire.identity(exchange.data) == entry.message.id):
            expected = f"the original's id, {entry.message.id}"
            raise Broken(
                "IDEM-1", "a replay did not return its original", expected=expected, seen=seen, evidence=evidence,
                entry=entry,
            )  # fmt: skip
        if verb == "conflict" and exchange.ok:
            raise Broken(
                "IDEM-3", "another body was accepted under the same key", expected=wire.IDEMPOTENCY_CONFLICT, seen=seen,
                evidence=evidence, entry=entry,
            )  # fmt: skip

    async def _settle(self, entry: Entry, step: Step) -> None:
        verb, hold_s = step.verb, self._hold_s(step)
        if verb in self.absent:
            return
        certain_ns, latest = entry.certain_ns, entry.latest
        entry.busy = True
        if not self.alone and verb in {"release", "fail"}:
            entry.states = {"held", "pending"}  # a claim at the same time may bring it again
        exchange = await self.case.send(self._request(verb, entry, hold_s), urgent=True)
        entry.busy = False
        entry.evidence.append(exchange.op)
        self.ran.story.append(f"{step.told()}: {exchange.told()}")
        sure = exchange.ok
        if exchange.result is Result.NOT_SENT or (exchange.result is Result.REJECTED and verb != "complete"):
            self.absent |= {verb} if exchange.unsupported else set()
            return
        if exchange.result is Result.REJECTED:
            self.case.permitted(exchange)
            if exchange.status != 429 and exchange.ret_ns < certain_ns and self.alone:
                raise Broken(
                    "DONE-1", "completing a claimed message was refused", expected="a 2xx answer", seen=exchange.told(),
                    evidence=entry.evidence, entry=entry,
                )  # fmt: skip
            return
        if verb == "extend":
            self.book.extended(entry, exchange.inv_ns, exchange.ret_ns, hold_s, sure=sure)
        else:
            self.book.freed(entry, verb, sure=sure, overtaken=entry.latest is not latest)

    def _request(self, verb: str, entry: Entry, hold_s: float) -> wire.Request:
        match verb:
            case "complete":
                return wire.complete(self.scope, entry.message.id, response={"done": entry.number})
            case "extend":
                return wire.extend(self.scope, entry.message.id, visibility_timeout_s=hold_s)
            case "fail":
                return wire.fail(self.scope, entry.message.id, reason="planned")
            case _:
                return wire.release(self.scope, entry.message.id)

    # ── between phases ────────────────────────────────────────────────────────────────────────────────────────────

    async def _wait(self) -> None:
        """Until every short hold and delay is over, and a server's enforcer has had its second."""
        due = [e.message.publish.ret_ns for e in self.book.entries.values() if {"hidden", "pending"} <= e.states]
        over = [ret_ns + plan_fields.SHORT_DELAY_S * S for ret_ns in due if self.plan.kind in AWAITED]
        over += [e.over_ns for e in self.book.entries.values() if "held" in e.states and self._is_short(e)]
        left = (max(over, default=0) - time.monotonic_ns()) / S
        if left > 0:
            self.ran.story.append("wait until the short holds and delays are over")
            await asyncio.sleep(left + 0.2)

    def _is_short(self, entry: Entry) -> bool:
        return entry.over_ns < time.monotonic_ns() + round(self.case.world.dialect.long_hold_s / 2 * S)

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _close(self) -> None:
        """Completes what is held, waits for what lapses, and takes out everything that has to be there."""
        self.alone = True
        await self._move("resume")
        for entry in list(self.book.entries.values()):
            if entry.surely_held:
                await self._settle(entry, Step(verb="complete", message=entry.number))
        await self._wait()
        await self._drain()
        await audit(self.case, self.queue, self.book)
        await self._dead_letters()

    def _missing(self) -> list[Entry]:
        """What a claim has to bring: not completed, dead, delayed for long, backed off, or perhaps still held."""
        now_ns = time.monotonic_ns()
        for entry in self.book.entries.values():
            entry.pass_time(now_ns)
        due = (e for e in self.book.entries.values() if not e.optional and not e.states & {"done", "dead"})
        return [entry for entry in due if "held" not in entry.states or now_ns > entry.over_ns]

    async def _drain(self) -> None:
        begun, empty = time.monotonic(), 0
        while missing := self._missing():
            backoff_s = BACKOFF_S if any(entry.returned_by == "release" for entry in missing) else 0.0
            last = time.monotonic() > begun + plan_fields.SHORT_DELAY_S + self.case.world.bound_s + backoff_s
            found = await self._claim(10, self.short_s)
            for entry in list(self.book.entries.values()):
                if entry.surely_held:
                    await self._settle(entry, Step(verb="complete", message=entry.number))
            empty = 0 if found or not last else empty + 1
            if empty >= EMPTY_IN_A_ROW:
                if self.queue.unsettled or self.book.unknown_claims:
                    raise Disturbed("a call of unknown result may have taken a message")
                if await self._let_go():
                    begun, empty = time.monotonic(), 0
                    continue
                await self.queue.retried_out(missing[0].message)
                raise self._never_came(missing[0])
            if not found:
                await asyncio.sleep(self.queue.pause_s())

    async def _let_go(self) -> bool:
        """Completes what may still be held, where anything is: a queue may hand out only so many at a time."""
        now_ns = time.monotonic_ns()
        held = [e for e in self.book.entries.values() if "held" in e.states and now_ns < e.over_ns and not e.let_go]
        for entry in held:
            entry.let_go = True
            exchange = await self.case.send(wire.complete(self.scope, entry.message.id), urgent=True)
            entry.evidence.append(exchange.op)
            self.ran.story.append(f"complete {entry.name}, which may be held: {exchange.told()}")
            if not exchange.refused:
                entry.states = {"done"} if exchange.ok else entry.states | {"done"}
        return bool(held)

    def _never_came(self, entry: Entry) -> Broken:
        root = {"lapse": "VIS-2", "release": "VIS-6"}.get(entry.returned_by, "LOSS-1")
        return Broken(
            root,
            f"{entry.name} never came back" if entry.deliveries else f"{entry.name} was never handed out",
            expected=f"a delivery of {entry.name}",
            seen=f"claims came back without it for {self.case.world.bound_s + plan_fields.SHORT_DELAY_S:g} s",
            evidence=entry.evidence,
            entry=entry,
            liveness=True,
        )

    async def _dead_letters(self) -> None:
        """Every message that used up its retries is in the scope's dead letters, with its body."""
        dead = [entry for entry in self.book.entries.values() if entry.states == {"dead"}]
        if not dead:
            return
        try:
            found = await dead_letter_queue(self.case, self.scope)
        except (NotSupported, Inconclusive):
            return
        letters = DeadLetters(self.case, self.scope, found, hold_s=self.short_s)
        for entry in dead if found else []:
            at = await self.case.eventually(partial(letters.find, entry.message), lambda hit: hit is not None)
            if at is None and (letters.claimable or letters.readable):
                raise Broken(
                    "DLQ-2", f"{entry.name}, which used up its retries, is not among the dead letters",
                    expected="the message in _dead_letter", seen="no such message there", evidence=entry.evidence,
                    entry=entry, liveness=True,
                )  # fmt: skip
