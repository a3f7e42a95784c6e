"""What all cases of a run share: client, keys, the dialect spoken, names, and the ledger of what was created."""

import asyncio
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from queueproof.drive.client import Client
from queueproof.drive.outcomes import CaseEnd
from queueproof.evidence.created import Ledger

if TYPE_CHECKING:
    from queueproof.drive.queue import Queue

# Time that a liveness case allows beyond the contract's own bound (timeout + the enforcer's cadence).
DEFAULT_SLACK_S = 5.0
# The visibility-timeout enforcer passes every second (docs/contract.md, section 5.5).
CADENCE_S = 1.0
# Two runs draw the same plans unless they are told otherwise, so that they can be compared.
DEFAULT_SEED = 1

# Between two looks where requests are counted.
RATIONED_POLL_S = 0.8

# Under a tight limit a case gets a call through about this often (engine.CASES_A_REQUEST share the rate).
THRIFTY_CALL_S = 3.5

KEY_NAMES = ("view", "publish", "consume", "manage", "foreign")


@dataclass(kw_only=True)
class Dialect:
    """Where servers may differ and all be right: found out before the first case."""

    timeout_s: int = 2  # the shortest visibility timeout that the server takes, from SHORT_TIMEOUTS_S
    long_hold_s: int = 120  # outlasts every plan; 60, the quickstart's, where that is refused
    batch_max: int = 100  # the largest batch that is known to be taken
    correlation: bool = True  # publish takes correlation_id
    queue_fields_needed: frozenset[str] = frozenset()  # optional by contract, yet demanded when a queue is created
    queue_fields_refused: frozenset[str] = frozenset()  # not documented for creating a queue, and refused there
    publish_key_needed: bool = False  # publish without an idempotency key is refused
    reader: str = ""  # the way to read a message's row that was found to work
    deletes: bool | None = None  # whether DELETE on a scope works; None until tried


@dataclass(kw_only=True)
class World:
    """One run's shared things. Keys: "view", "publish", "consume", "manage", "foreign", those that were given."""

    run: str
    client: Client
    keys: Mapping[str, str] = field(default_factory=dict)
    slack_s: float = DEFAULT_SLACK_S
    seed: int = DEFAULT_SEED  # of what is drawn: plans, bodies, keys
    shrink: bool = True  # a plan that breaks is run again and again until few steps are left of it
    webhook_host: str = ""  # the name by which the target reaches this machine, for events
    heard: bool = False  # an event of the target's reached this machine
    most_held: int | None = None  # by one key in all queues together: a limit that was found (crowding)
    ours: bool = False  # the run itself started the server, so that nobody else's work can suffer
    dialect: Dialect = field(default_factory=Dialect)
    ledger: Ledger
    suspected: set[str] = field(default_factory=set)  # cases in which a plan's message was late once
    queues: list["Queue"] = field(default_factory=list)  # every queue that a case made
    scope: str = ""  # the shared scope's id, once there is one
    no_scope: CaseEnd | None = None  # how the attempt to make it ended, if it failed
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def slug(self, hint: str) -> str:
        """A slug that no other run gives: letters and digits only, since what else is allowed is not documented."""
        short = "".join(character for character in hint.lower() if character.isalnum())[:12]
        return f"qp{self.run}{short}{next(self._numbers)}"

    def token(self) -> str:
        """A mark for one published body, unique in the world (wire.token finds it again)."""
        return f"qp.{self.run}.{next(self._numbers)}"

    @property
    def thrift(self) -> bool:
        """Whether the rate of requests is so limited that a case tries one of several that are alike."""
        return self.client.budget.tight

    def room_s(self, calls: int) -> int:
        """How much longer a hold has to be for that many calls to fit into it under a tight limit; else 0."""
        return math.ceil(calls * THRIFTY_CALL_S) if self.thrift else 0

    async def late_in(self) -> None:
        """Waits for most of a hold that begins now: of fewer claims meanwhile fewer go unanswered, and disturb."""
        hold_s = self.dialect.timeout_s
        await asyncio.sleep(max(hold_s / 2, hold_s - 1.0))

    def pause_s(self, usual_s: float) -> float:
        """How long to wait before the next of many calls: longer where requests are counted."""
        return max(usual_s, RATIONED_POLL_S) if self.client.budget.rationed else usual_s

    def moment(self, in_s: float) -> datetime | None:
        """When by the server's clock it is in `in_s` seconds for certain; late by what is not known of that clock.

        None where nothing is known of it: no answer tells the time, and the server is not of this machine.
        """
        ahead_s = self.client.skew.most_ahead_s(same_machine=self.ours)
        return None if ahead_s is None else datetime.now(UTC) + timedelta(seconds=in_s + ahead_s)

    def come_s(self, in_s: float) -> float:
        """In how many seconds `moment(in_s)` has come for certain."""
        return in_s + self.client.skew.spread_s(same_machine=self.ours)

    def in_an_hour(self) -> str:
        """A moment that no run sees, by any clock that the server may go by: RFC 3339."""
        moment = datetime.now(UTC) + timedelta(seconds=3600 + self.client.skew.farthest_s)
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")

    @property
    def bound_s(self) -> float:
        """How long after a lock's end a message may take to be claimable again."""
        return CADENCE_S + self.slack_s
