"""What a plan's messages are published with, and where that places them in their queue's order."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from queueproof.contract import wire
from queueproof.drive.plans import Step
from queueproof.drive.world import World

SHORT_DELAY_S = 2
LONG_DELAY_S = 3600
# A deadline may end a message's life as well: none comes near within a run.
DEADLINES_FROM = timedelta(hours=30)
A_KILOBYTE = "0123456789abcdef" * 64


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One publish of a plan."""

    fields: dict[str, Any]
    body: Callable[[str], Any] | None  # None: the usual one
    states: frozenset[str]  # where the message may be once it is acknowledged
    rank: tuple[float, ...]  # its place in the queue's order, the smallest first; () where that is not documented
    promised: bool  # whether pages say that it is taken
    optional: bool  # whether the plan may end without it


def asked(step: Step, world: World, ordering: str, opened: datetime) -> Asked | None:
    """The publish that the step stands for; None where it cannot be spelled: nothing is known of the server's clock.

    `opened`: when the plan began, from which its deadlines count.
    """
    drawn = dict(step.fields)
    fields: dict[str, Any] = {"labels": {"plan": f"m{step.message}"} if drawn.get("labels") else None}
    rank: tuple[float, ...] = (step.message,)
    if drawn.get("key"):
        # keys and types of few letters, so that a server that runs them together is found out
        fields["idempotency_key"] = f"{'a-' * (step.message % 3)}k-{world.token()}"
    if "tier" in drawn:
        fields["priority"] = {"tier": drawn["tier"], "score": drawn["score"]}
    if ordering == "priority":
        rank = (wire.TIERS.index(drawn.get("tier", "normal")), -drawn.get("score", 500), step.message)
    if ordering == "deadline":
        due_s = drawn.get("due_s")
        rank = () if due_s is None else (0, due_s, step.message)
        if due_s is not None:
            moment = opened + DEADLINES_FROM + timedelta(seconds=due_s)
            fields["deadline"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    delay = drawn.get("delay", "")
    if delay:
        due = world.moment(SHORT_DELAY_S if delay == "short" else LONG_DELAY_S)
        if due is None:
            return None
        fields["delay_until"] = due.strftime("%Y-%m-%dT%H:%M:%SZ")
    if drawn.get("ttl"):
        fields["ttl_seconds"] = drawn["ttl"]
    pad = A_KILOBYTE * drawn.get("kilobytes", 0)
    states = {"": {"pending"}, "hour": {"hidden"}}.get(delay, {"hidden", "pending"})
    return Asked(
        fields=fields,
        body=(lambda token: {"qp": token, "n": step.message, "pad": pad}) if pad else None,
        states=frozenset(states),
        rank=rank,
        promised=not (delay or drawn.get("ttl") or ordering == "deadline"),
        optional=delay == "hour",
    )


def now() -> datetime:
    """The moment that a plan's deadlines count from, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)
