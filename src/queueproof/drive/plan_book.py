"""What may be true of each message of a plan: a set of states, which every answer narrows and every doubt widens.

A message is accused of nothing while one of its possible states allows what was seen. The states: `pending` (a claim
may bring it), `held` (a claim has it), `hidden` (delayed), `done` (completed), `dead` (dead-lettered).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from queueproof.contract import wire
from queueproof.drive.delivery import Claim, Delivery, Message, S, double_hold
from queueproof.evidence.digest import same_json
from queueproof.evidence.margins import FIFO_GATE_NS, FRESH_NS, SIGHT_NS, certain_hold_ns

# Lapses may count as failures, and how many a queue allows by default is not documented: from here on it is open.
LAPSES_SURE = 1


class Broken(Exception):  # noqa: N818  # an ending of a plan, told to whoever ran it
    """What was seen is possible in no state: `root` is the promise that broke, about `entry`'s message if about one."""

    def __init__(
        self,
        root: str,
        summary: str,
        *,
        expected: str,
        seen: str,
        proof: str = "",
        evidence: Sequence[int] = (),
        entry: "Entry | None" = None,
        liveness: bool = False,
    ) -> None:
        super().__init__(summary)
        self.root = root
        self.summary = summary
        self.expected = expected
        self.seen = seen
        self.proof = proof
        self.evidence = tuple(evidence)
        self.entry = entry
        self.liveness = liveness


@dataclass(eq=False)
class Entry:
    """One message of a plan."""

    number: int
    message: Message
    rank: tuple[float, ...]  # its place in the queue's order: the smaller goes first; () where none is documented
    states: set[str]
    labelled: bool = False
    keyed: bool = False
    latest: Delivery | None = None
    deliveries: int = 0
    lapses: int = 0
    certain_ns: int = 0  # until then its last hold is live for certain
    over_ns: int = 0  # from then on no hold of it is live
    attempts: tuple[int, int] = (1, 1)  # what the next delivery may say
    returned_by: str = ""  # what gave it back last: lapse, fail, release
    optional: bool = False  # what gave it back may keep it for as long as the server likes
    traced: bool = False  # its row showed its correlation_id
    busy: bool = False  # a call about it is under way
    let_go: bool = False  # completed at the end, though nobody can tell whether it was held
    evidence: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"m{self.number}"

    @property
    def surely_held(self) -> bool:
        return self.states == {"held"} and not self.busy and time.monotonic_ns() < self.certain_ns

    def pass_time(self, now_ns: int) -> None:
        """A hold that may be over may have given the message back."""
        if "held" in self.states and now_ns >= self.certain_ns:
            if "pending" not in self.states:
                self.lapses += 1
                self.returned_by = "lapse"
            self.states.add("pending")  # and `held` stays, since the row may say so until the enforcer has passed
            if self.lapses > LAPSES_SURE or self.attempts[0] - 1 > LAPSES_SURE:
                self.states.add("dead")


@dataclass(eq=False)
class Book:
    """All messages of one plan's queue, and what may be true of them."""

    ordering: str = "fifo"
    cap: int = 0  # the queue's max_retries, where it is known
    entries: dict[int, Entry] = field(default_factory=dict)
    unknown_claims: int = 0
    unknown_hold_ns: int = 0  # the longest hold that one of these may give
    paused_ns: int = 0  # since then nothing may be handed out; 0 while it may

    @property
    def fifo(self) -> bool:
        return self.ordering == "fifo"

    def of(self, message: Message) -> Entry | None:
        return next((e for e in self.entries.values() if e.message.id == message.id), None)

    def published(self, entry: Entry) -> None:
        """A new message, which a claim that was never answered may take as well."""
        self.entries[entry.number] = entry
        if self.unknown_claims:
            entry.states.add("held")
            entry.over_ns = time.monotonic_ns() + self.unknown_hold_ns
            entry.attempts = (entry.attempts[0], entry.attempts[1] + self.unknown_claims)

    # ── what was claimed ──────────────────────────────────────────────────────────────────────────────────────────

    def claimed(self, claim: Claim, *, hold_s: float, alone: bool) -> None:
        """Judges an answer to a claim, then takes it over. `alone`: nothing else was under way meanwhile."""
        exchange = claim.exchange
        for entry in self.entries.values():
            entry.pass_time(exchange.ret_ns if claim.sure else time.monotonic_ns())
        if not claim.sure:
            self._maybe_claimed(exchange.ret_ns, hold_s)
            return
        if claim.deliveries and self.paused_ns and exchange.inv_ns > self.paused_ns:
            raise Broken(
                "LIFE-4",
                "a paused queue handed out a message",
                expected="an empty list from a paused queue",
                seen=f"{len(claim.deliveries)} messages",
                evidence=(exchange.op,),
                entry=self.of(claim.deliveries[0].message),
            )
        if alone:
            self._in_order(claim)
        for delivery in claim.deliveries:
            known = self.of(delivery.message)
            if known is not None:
                self._delivered(known, delivery, alone=alone)

    def _maybe_claimed(self, ret_ns: int, hold_s: float) -> None:
        """A claim without an answer may hold whatever waited, or take what waits later: it may still be under way."""
        self.unknown_claims += 1
        self.unknown_hold_ns = max(self.unknown_hold_ns, round(hold_s * S))
        for entry in self.entries.values():
            if entry.states <= {"done", "dead"}:
                continue
            if entry.states & {"pending", "hidden"}:
                entry.states.add("held")
            entry.over_ns = max(entry.over_ns, ret_ns) + round(hold_s * S)
            entry.attempts = (entry.attempts[0], entry.attempts[1] + 1)

    def _delivered(self, entry: Entry, delivery: Delivery, *, alone: bool) -> None:
        if "pending" not in entry.states and self._proven(entry, delivery, alone=alone):
            raise self._impossible(entry, delivery)
        self._contents(entry, delivery)
        entry.deliveries += 1
        entry.latest = delivery
        entry.states = {"held"}
        entry.optional = False
        entry.certain_ns, entry.over_ns = delivery.held_until_ns, max(entry.over_ns, delivery.over_ns)
        entry.evidence.append(delivery.claim.op)
        if isinstance(delivery.attempts, int):
            entry.attempts = (delivery.attempts + 1, delivery.attempts + 1 + self.unknown_claims)

    def _proven(self, entry: Entry, delivery: Delivery, *, alone: bool) -> bool:
        """Whether a delivery is impossible in whatever order overlapping calls had their effects."""
        return alone or (entry.latest is not None and bool(double_hold(entry.latest, delivery)))

    def _impossible(self, entry: Entry, delivery: Delivery) -> Broken:
        """A delivery of what no claim could have brought."""
        roots = {
            "held": ("VIS-1", "a message was handed out while an earlier claim held it"),
            "done": ("DONE-4", "a completed message was handed out"),
            "hidden": ("CLAIM-8", "a message was handed out long before its delay was over"),
            "dead": ("DLQ-1", "a message that had used up its retries was handed out by its own queue"),
        }
        root, summary = roots[min(entry.states, key=list(roots).index)]
        proof = ""
        if root == "VIS-1" and entry.latest is not None:
            left = (entry.certain_ns - delivery.claim.ret_ns) / S
            proof = f"the second claim returned {left:.3f} s before the first hold's certain end"
        return Broken(
            root,
            summary,
            expected=f"no delivery of {entry.name}, which is {' or '.join(sorted(entry.states))}",
            seen=f"{entry.name} (id {delivery.id}) with attempts {delivery.attempts!r}",
            proof=proof,
            evidence=(*entry.evidence, delivery.claim.op),
            entry=entry,
        )

    def _contents(self, entry: Entry, delivery: Delivery) -> None:
        """What a delivery shows of the message: attempts, body, labels."""
        low, high = entry.attempts
        again = {"lapse": "VIS-3", "fail": "FAIL-2"}.get(entry.returned_by, "CLAIM-4")
        shown = delivery.attempts
        if isinstance(shown, int) and not low <= shown <= high:
            raise self._differs(again, entry, delivery, "attempts", low if low == high else f"{low} to {high}", shown)
        if delivery.body is not wire.ABSENT and not same_json(delivery.body, entry.message.body):
            raise self._differs("PUB-5", entry, delivery, "body", entry.message.body, delivery.body)
        labels, sent = delivery.item.get("labels"), entry.message.fields.get("labels") or {}
        ours = {name: labels[name] for name in ("plan",) if name in labels} if isinstance(labels, dict) else {}
        if isinstance(labels, dict | None) and ours != sent:  # what a server adds is its own
            raise self._differs("CLAIM-3", entry, delivery, "labels", sent, labels)

    def _differs(self, root: str, entry: Entry, delivery: Delivery, what: str, expected: Any, seen: Any) -> Broken:
        return Broken(
            root,
            f"{entry.name} was handed out with other {what} than it has",
            expected=f"{what} {_short(expected)}",
            seen=f"{what} {_short(seen)}",
            evidence=(*entry.evidence, delivery.claim.op),
            entry=entry,
        )

    def _in_order(self, claim: Claim) -> None:
        """No message that was never handed out may be passed over by one of a worse place."""
        if self.unknown_claims:
            return
        brought = {delivery.message.id for delivery in claim.deliveries}
        firsts = [e for d in claim.deliveries if d.attempts == 1 and (e := self.of(d.message)) is not None]
        settled_ns = claim.exchange.inv_ns - (0 if self.fifo else SIGHT_NS)  # a fresh message may be seen a little late
        waiting = [
            entry
            for entry in self.entries.values()
            if entry.states == {"pending"}
            and not entry.deliveries
            and "delay_until" not in entry.message.fields
            and entry.message.publish.ret_ns < settled_ns
            and entry.message.id not in brought
        ]
        for first in firsts:
            if not self.fifo and claim.exchange.ret_ns - first.message.publish.inv_ns > FRESH_NS:
                continue  # its age may have raised it
            for passed in waiting:
                if first.deliveries == 0 and passed.rank < first.rank and self._comparable(passed, first):
                    tier = "ORD-3" if passed.rank[0] == first.rank[0] else "ORD-4"
                    raise Broken(
                        {"fifo": "ORD-1", "deadline": "ORD-2"}.get(self.ordering, tier),
                        f"{first.name} was handed out before {passed.name}",
                        expected=f"{passed.name} first",
                        seen=f"{first.name}, while {passed.name} had been waiting",
                        evidence=(passed.message.publish.op, first.message.publish.op, claim.exchange.op),
                        entry=passed,
                    )

    def _comparable(self, passed: Entry, first: Entry) -> bool:
        """Whether the order of the two is certain: fifo by publishes one after the other, else by unequal rank."""
        if not (passed.rank and first.rank):
            return False
        if self.fifo:
            return passed.message.publish.ret_ns + FIFO_GATE_NS < first.message.publish.inv_ns
        return bool(passed.rank[:2] != first.rank[:2]) and "delay_until" not in first.message.fields

    # ── what became of it ─────────────────────────────────────────────────────────────────────────────────────────

    def freed(self, entry: Entry, verb: str, *, sure: bool, overtaken: bool = False) -> None:
        """A complete, release or fail was sent for what was surely held, and was acknowledged, or not answered.

        `overtaken`: a claim was answered with the message before this call was.
        """
        after = {"done"} if verb == "complete" else {"pending"}
        if verb == "fail" and (spent := entry.attempts[0] - 1) >= (self.cap or LAPSES_SURE + 1):
            after = {"dead"} if self.cap and spent > self.cap else {"dead", "pending"}
        entry.states = after if sure and not overtaken else entry.states | after
        if verb == "release":  # whether it gives the attempt back is not documented
            entry.attempts = (max(1, entry.attempts[0] - 1), entry.attempts[1])
        if verb != "complete":
            entry.returned_by = verb
        entry.optional = overtaken or verb == "fail"  # its backoff is the server's choice

    def extended(self, entry: Entry, inv_ns: int, ret_ns: int, seconds: float, *, sure: bool) -> None:
        """An extend: from now, or added to what is left; without an answer, or not at all."""
        renewed = inv_ns + certain_hold_ns(round(seconds * S))
        entry.certain_ns = renewed if sure else min(entry.certain_ns, renewed)
        entry.over_ns = max(entry.over_ns, ret_ns) + round(seconds * S)


def _short(value: Any) -> str:
    text = wire.encode(value).decode() if value is not wire.ABSENT else "nothing"
    return text if len(text) <= 160 else f"{text[:80]}…{text[-40:]} ({len(text)} characters)"
