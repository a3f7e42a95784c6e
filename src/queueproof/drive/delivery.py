"""What a case knows of a message: as it was published, and as each claim handed it out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from queueproof.contract import wire
from queueproof.contract.wire import ABSENT
from queueproof.drive.client import Exchange
from queueproof.evidence.margins import certain_hold_ns

S = 1_000_000_000  # ns


@dataclass(kw_only=True, eq=False)
class Message:
    """A message that was published and acknowledged."""

    id: str
    token: str
    body: Any
    fields: Mapping[str, Any]  # as sent
    publish: Exchange
    correlation: str = ""

    @property
    def row(self) -> Mapping[str, Any]:
        """What the publish answer said of it."""
        data = self.publish.data
        return data if isinstance(data, dict) else {}


@dataclass(kw_only=True, eq=False)
class Delivery:
    """One message as one claim handed it out."""

    message: Message
    item: Mapping[str, Any]
    claim: Exchange
    timeout_s: float
    position: int

    @property
    def id(self) -> str:
        return wire.identity(self.item)

    @property
    def attempts(self) -> Any:
        found = wire.attempts(self.item)
        return self.item.get("attempts", ABSENT) if found is None else found

    @property
    def body(self) -> Any:
        return self.item.get("body", ABSENT)

    @property
    def held_until_ns(self) -> int:
        """Until then the message is this claim's for certain (unless it is freed)."""
        return self.claim.inv_ns + certain_hold_ns(round(self.timeout_s * S))

    @property
    def over_ns(self) -> int:
        """From then on the lock has lapsed for certain."""
        return self.claim.ret_ns + round(self.timeout_s * S)


@dataclass(kw_only=True)
class Claim:
    """One claim and what it delivered. `sure`: it was answered ok (an unknown one may hold messages)."""

    exchange: Exchange
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def sure(self) -> bool:
        return self.exchange.ok

    def of(self, message: Message) -> list[Delivery]:
        return [delivery for delivery in self.deliveries if delivery.message is message]


def double_hold(first: Delivery, second: Delivery) -> str:
    """The inequality that proves two holds of one message at once, in seconds from the first claim; "" without proof.

    Both halves are needed, also when the two claims overlap: either may have been taken early and answered late, after
    its lock had lapsed (docs/checks.md, exclusivity).
    """
    if second.claim.inv_ns < first.claim.inv_ns:
        first, second = second, first
    if not (second.claim.ret_ns < first.held_until_ns and first.claim.ret_ns < second.held_until_ns):
        return ""
    second_ret, first_end, first_ret, second_end = (
        f"{(ns - first.claim.inv_ns) / S:.3f} s"
        for ns in (second.claim.ret_ns, first.held_until_ns, first.claim.ret_ns, second.held_until_ns)
    )
    return (
        f"the second claim returned at {second_ret} < {first_end}, until when the first holds for certain; "
        f"the first returned at {first_ret} < {second_end}, until when the second does"
    )
