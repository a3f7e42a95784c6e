"""A correct work queue in virtual time, with every freedom that the contract leaves, and one fault on request.

The freedoms (Freedom) are what two correct servers may differ in; a fault (FAULTS) is one broken promise. Times are
seconds of virtual time; the server reads them from a clock of its own that runs up to 0.9 ‰ fast or slow and is cut to
whole milliseconds.
"""

import random
from dataclasses import dataclass, field
from typing import Any

CONFLICT = "SCAIQUEUE_IDEMPOTENCY_CONFLICT"
FULL = "SCAIQUEUE_QUEUE_FULL"
PAUSED = "SCAIQUEUE_QUEUE_PAUSED"

# Each fault and the requirements that it breaks, any of which may be the one found.
FAULTS = {
    "double": ("CLAIM-6", "VIS-1", "VIS-5"),
    "early": ("VIS-1", "VIS-5", "CLAIM-6"),
    "extension-ignored": ("VIS-5",),
    "revived": ("DONE-4",),
    "swapped": ("PUB-5",),
    "changed": ("PUB-5",),
    "inverted": ("ORD-1", "ORD-3", "ORD-4"),
    "attempts-stuck": ("CLAIM-4",),
    "attempts-jump": ("CLAIM-4",),
    "key-forgotten": ("IDEM-1", "IDEM-2", "IDEM-3"),
    "conflict-missed": ("IDEM-3",),
    "conflict-invented": ("IDEM-1",),
    "oversized": ("CLAIM-5",),
    "wrong-queue": ("CLAIM-9",),
    "ghost": ("GHOST-1",),
    "lost": ("LOSS-1",),
    "never-returned": ("LOSS-3",),
    "stranded": ("LOSS-2",),
    "phantom": ("PHANTOM-1",),
    "pause-ignored": ("LIFE-4",),
    "depth-ignored": ("DEPTH-1",),
    "full-invented": ("DEPTH-3",),
    "counter-drift": ("PUB-4",),
}


@dataclass(kw_only=True)
class Freedom:
    """What a correct server is free to do."""

    rate: float = 1.0  # of its clock
    requeue: str = "original"  # where a returned message goes: original, tail, head
    refund: bool = False  # release gives the attempt back
    extend: str = "now"  # an extension counts from now, adds, or never shortens (now, add, longer)
    cadence: float = 1.0  # of the enforcer
    lazy: bool = False  # lapsed messages are handed out before the enforcer comes by
    max_retries: int = 3
    lapse_counts: bool = True  # a lapse at the last attempt dead-letters
    dead_copy: bool = False  # a dead-lettered message gets a new id …
    dead_restart: bool = False  # … and its attempts start again
    attempts_shown: bool = True
    short: bool = False  # answers with fewer messages than there are
    undo: bool = False  # takes back, uncounted, what it could not deliver
    lenient: bool = False  # completes and extends what nobody holds, too
    key_dies: bool = False  # a completed message's key is forgotten
    scope_keys: bool = False  # keys reach over the whole scope
    backoff: float = 0.0  # after fail, release and lapse
    keep_done: bool = True  # completed rows stay readable

    @classmethod
    def any(cls, rng: random.Random) -> "Freedom":
        flip = lambda: rng.random() < 0.4  # noqa: E731 -- said fourteen times below
        return cls(
            rate=1 + rng.uniform(-0.0009, 0.0009),
            requeue=rng.choice(["original", "tail", "head"]),
            refund=flip(),
            extend=rng.choice(["now", "add", "longer"]),
            cadence=rng.choice([0.1, 1.0]),
            lazy=flip(),
            max_retries=rng.choice([2, 3, 5, 50]),
            lapse_counts=flip(),
            dead_copy=flip(),
            dead_restart=flip(),
            attempts_shown=rng.random() < 0.85,
            short=flip(),
            undo=flip(),
            lenient=flip(),
            key_dies=flip(),
            scope_keys=flip(),
            backoff=rng.choice([0.0, 0.0, 0.3]),
            keep_done=flip(),
        )


@dataclass(kw_only=True)
class Message:
    """A row."""

    id: str
    queue: str
    token: str
    body: str
    place: tuple[float, float]
    state: str = "pending"
    attempts: int = 0
    shown_from: float = 0.0
    expires: float = float("inf")  # by its ttl
    until: float = 0.0  # its lock, by the server's clock
    holder: int = 0  # number of the claim that holds it
    away: bool = False  # popped by a claim that a crash cut off, until it is repaired
    rank: int | None = None
    born: float = 0.0


@dataclass(kw_only=True)
class Queue:
    """A queue's settings and keys."""

    ordering: str = "fifo"
    paused: bool = False
    max_depth: int = 0
    keys: dict[str, Message] = field(default_factory=dict)


class Server:
    """The rows and what may be done to them; every method is one atomic step at time `now`."""

    def __init__(self, rng: random.Random, freedom: Freedom, prefix: str, fault: str = "") -> None:
        self.rng, self.free, self.prefix, self.fault = rng, freedom, prefix, fault
        self.queues = {"main": Queue(), "other": Queue(), "dead": Queue()}
        self.rows: dict[str, Message] = {}
        self.ticked = 0.0
        self.drift = 0
        self.broke = 0  # how often the fault struck

    # ── publish ──

    def publish(self, now: float, queue: str, spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.pass_by(now)
        place = self.queues[queue]
        if place.paused:
            return "rejected", {"code": PAUSED}
        if place.max_depth and self._depth(queue) >= place.max_depth and not self._strikes("depth-ignored", 1):
            return "rejected", {"code": FULL}
        if self._strikes("full-invented", 0.1):
            return "rejected", {"code": FULL}
        key = spec.get("key")
        keys = self.queues["main"].keys if self.free.scope_keys else place.keys
        old = keys.get(key) if key is not None else None
        if old is not None and not self._strikes("key-forgotten", 1):
            if old.body == spec["body"]:
                if self._strikes("conflict-invented", 0.5):
                    return "rejected", {"code": CONFLICT}
                return "ok", {"message": old.id}
            if not self._strikes("conflict-missed", 1):
                return "rejected", {"code": CONFLICT}
            return "ok", {"message": old.id}
        made = self._store(now, queue, spec)
        if key is not None:
            keys[key] = made
        if self._strikes("ghost", 0.2):
            self._store(now, queue, spec)
        if self._strikes("lost", 0.2):
            del self.rows[made.id]
        return "ok", {"message": made.id}

    def _store(self, now: float, queue: str, spec: dict[str, Any]) -> Message:
        created = int(self.clock(now) * 1000) / 1000
        lead = float(spec["rank"]) if self.queues[queue].ordering != "fifo" else created
        row = Message(
            id=f"{self.prefix}-{len(self.rows)}-{self.rng.randrange(10**9)}",
            queue=queue,
            token=spec["token"],
            body=spec["body"],
            place=(lead, self.rng.random()),
            shown_from=now + spec.get("delay", 0.0),
            expires=now + spec.get("ttl", float("inf")),
            rank=spec.get("rank"),
            born=now,
        )
        self.rows[row.id] = row
        return row

    # ── claim ──

    def claim(self, now: float, queue: str, limit: int, timeout: float, number: int) -> list[Message]:
        """The rows handed out, already claimed."""
        self.pass_by(now)
        if self.queues[queue].paused and not self._strikes("pause-ignored", 1):
            return []
        ready = [row for row in self.rows.values() if row.queue == queue and self._ready(row, now)]
        ready.sort(key=lambda row: row.place)
        if self.fault == "inverted" and len(ready) > 1 and self.rng.random() < 0.3:
            self.broke += 1
            ready.reverse()
        if self.free.short and limit > 1 and self.rng.random() < 0.5:
            limit = self.rng.randint(1, limit)
        if self._strikes("oversized", 0.2):
            limit += 5
        if self.fault == "wrong-queue" and not ready and queue == "other":
            ready = [row for row in self.rows.values() if row.queue == "main" and self._ready(row, now)]
            self.broke += bool(ready)
        taken = ready[: max(limit, 1)]
        held = [row for row in self.rows.values() if row.queue == queue and row.state == "claimed" and row not in taken]
        if held and self._strikes("double", 0.15):
            taken = [*taken[: limit - 1], held[0]]
        for row in taken:
            self._take(row, now, timeout, number)
        return taken

    def _take(self, row: Message, now: float, timeout: float, number: int) -> None:
        if not (self.fault == "attempts-stuck" and row.attempts):
            row.attempts += 1
        else:
            self.broke += 1
        if self._strikes("attempts-jump", 0.1):
            row.attempts += 1
        row.state, row.holder = "claimed", number
        held = timeout * 0.4 if self._strikes("early", 0.3) else timeout
        row.until = int((self.clock(now) + held) * 1000) / 1000

    def _ready(self, row: Message, now: float) -> bool:
        return row.state == "pending" and row.shown_from <= now and not row.away

    # ── what ends a claim ──

    def complete(self, now: float, message: str) -> str:
        self.pass_by(now)
        row = self.rows.get(message)
        if row is None or not (row.state == "claimed" or (self.free.lenient and row.state == "pending")):
            return "rejected"
        row.state = "completed"
        if self.free.key_dies:
            for queue in self.queues.values():
                queue.keys = {key: held for key, held in queue.keys.items() if held is not row}
        if self._strikes("revived", 0.2):
            row.state = "pending"
        elif not self.free.keep_done:
            row.state = "archived"
        return "ok"

    def fail(self, now: float, message: str) -> str:
        self.pass_by(now)
        row = self.rows.get(message)
        if row is None or row.state != "claimed":
            return "rejected"
        if row.attempts >= self.free.max_retries and row.queue != "dead":
            self._bury(row, now)
        else:
            self._return(row, now)
        return "ok"

    def release(self, now: float, message: str) -> str:
        self.pass_by(now)
        row = self.rows.get(message)
        if row is None or row.state != "claimed":
            return "rejected"
        if self.free.refund:
            row.attempts -= 1
        self._return(row, now)
        return "ok"

    def extend(self, now: float, message: str, timeout: float) -> str:
        self.pass_by(now)
        row = self.rows.get(message)
        if row is None or row.state != "claimed":
            return "ok" if self.free.lenient and row is not None else "rejected"
        if self._strikes("extension-ignored", 1):
            return "ok"
        fresh = int((self.clock(now) + timeout) * 1000) / 1000
        row.until = {"now": fresh, "add": row.until + timeout, "longer": max(row.until, fresh)}[self.free.extend]
        return "ok"

    # ── what happens by itself ──

    def clock(self, now: float) -> float:
        return now * self.free.rate

    def pass_by(self, now: float) -> None:
        """The enforcers' passes up to now; a lazy server looks at every call."""
        tick = now // self.free.cadence
        if tick == self.ticked and not self.free.lazy:
            return
        at = now if self.free.lazy else tick * self.free.cadence
        self.ticked = tick
        for row in list(self.rows.values()):
            if row.state == "claimed" and row.until <= self.clock(at) and self.fault != "never-returned":
                last = row.attempts >= self.free.max_retries
                if last and self.free.lapse_counts and row.queue != "dead":
                    self._bury(row, at)
                else:
                    self._return(row, at)
            elif row.state == "claimed" and row.until <= self.clock(at) and self.rng.random() < 0.5:
                self._return(row, at)  # the fault loses some, not all
            elif row.state == "claimed" and row.until <= self.clock(at):
                row.until, self.broke = float("inf"), self.broke + 1
            elif row.state == "pending" and row.expires <= at:
                row.state = "expired"

    def take_back(self, number: int, now: float) -> None:
        """What claim `number` still holds is returned, uncounted: its answer could not be delivered."""
        for row in self.rows.values():
            if row.state == "claimed" and row.holder == number:
                row.attempts -= 1
                self._return(row, now)

    def cut_off(self, queue: str, limit: int) -> list[Message]:
        """A crash in the middle of a claim: the first rows are popped from the order, and nothing else happened."""
        ready = [row for row in self.rows.values() if row.queue == queue and row.state == "pending"]
        ready.sort(key=lambda row: row.place)
        for row in ready[:limit]:
            row.away = True
        return ready[:limit]

    def _return(self, row: Message, now: float) -> None:
        row.state, row.holder = "pending", 0
        row.shown_from = max(row.shown_from, now + self.free.backoff)
        first, tie = row.place
        if self._strikes("stranded", 0.5):
            row.away = True
        if self.free.requeue == "tail":
            row.place = (max(self.clock(now), first), tie)
        elif self.free.requeue == "head":
            row.place = (-1e9, tie)

    def _bury(self, row: Message, now: float) -> None:
        target = row
        if self.free.dead_copy:
            row.state = "dead_lettered"
            target = Message(id=f"{row.id}-dead", queue="dead", token=row.token, body=row.body, place=(now, 0.0))
            target.attempts = row.attempts
            self.rows[target.id] = target
        target.queue, target.state, target.place = "dead", "pending", (now, self.rng.random())
        if self.free.dead_restart:
            target.attempts = 0

    def _depth(self, queue: str) -> int:
        return sum(row.queue == queue and row.state == "pending" for row in self.rows.values())

    def counts(self, queue: str) -> dict[str, int]:
        states = [row.state for row in self.rows.values() if row.queue == queue]
        if self._strikes("counter-drift", 1):
            self.drift = 2
        return {"depth_pending": states.count("pending") + self.drift, "depth_claimed": states.count("claimed")}

    def _strikes(self, fault: str, chance: float) -> bool:
        struck = self.fault == fault and self.rng.random() < chance
        self.broke += struck
        return struck
