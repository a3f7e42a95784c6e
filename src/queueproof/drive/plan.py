"""What a run will cost, before anything is sent: calls, the longest wait, and the time under a limited rate.

The numbers a requirement are measured (`python -m fixtures.costs`), once without a limit and once under a tight one,
where cases try fewer of what is alike; tests/drive/test_plan.py holds them against a run.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import msgspec

from queueproof.contract.requirements import Requirement
from queueproof.drive.engine import cases_at_once
from queueproof.drive.limits import TIGHT_PER_S, Pace, Rate

COSTS = "costs.toml"
# Preflight and clean-up, and what a start and a verdict take.
SET_UP_CALLS = 21
SET_UP_S = 2.0
# Without a limit eight requests are under way at once; so long one takes on a busy machine.
CALL_S = 0.01


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the cases of one requirement take."""

    calls: int  # without a limit
    thrift: int  # calls under a tight one
    seconds: float  # the longest of its cases, without a limit
    waits: float  # all of its cases one after the other, under a tight limit that never lets one wait


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run as it will be."""

    requirements: int
    calls: int
    longest_s: float
    wall_s: float
    rate: Rate | None
    at_once: int  # cases; 0 for all
    thrift: bool


@cache
def costs() -> Mapping[str, Cost]:
    """Every requirement's cost, by id."""
    text = resources.files(__package__).joinpath(COSTS).read_text(encoding="utf-8")
    return {name: msgspec.convert(entry, Cost) for name, entry in tomllib.loads(text).items()}


def plan(selected: Sequence[Requirement], rate: Rate | None) -> Plan:
    """The run of the selected requirements under that rate (None: as fast as the server goes)."""
    known = [costs()[requirement.id] for requirement in selected if requirement.id in costs()]
    thrift = rate is not None and rate.a_second < TIGHT_PER_S
    calls = SET_UP_CALLS + sum(cost.thrift if thrift else cost.calls for cost in known)
    longest_s = max((cost.seconds for cost in known), default=0.0)
    at_once = cases_at_once(rate)
    if rate is None:
        wall_s = SET_UP_S + max(longest_s, calls * CALL_S)
    else:
        waits_s = sum(cost.waits for cost in known) / at_once
        wall_s = SET_UP_S + max(longest_s, calls / Pace(rate).steady, waits_s)
    return Plan(
        requirements=len(selected),
        calls=calls,
        longest_s=longest_s,
        wall_s=wall_s,
        rate=rate,
        at_once=at_once,
        thrift=thrift,
    )


def told(plan: Plan) -> str:
    """The plan in a few lines."""
    rows = [
        ("requirements", f"{plan.requirements:,}"),
        ("calls", f"about {plan.calls:,}"),
        ("longest wait", f"{plan.longest_s:.0f} s, of one case"),
        ("wall time", f"about {_duration(plan.wall_s)}"),
    ]
    if plan.rate is None:
        rows.append(("rate", "no limit given; one that the server announces is kept"))
    else:
        few = ", and fewer of what is alike" if plan.thrift else ""
        rows.append(("rate", f"at most {plan.rate}: {plan.at_once} cases at a time{few}"))
    return "".join(f"{name:14}{said}\n" for name, said in rows) + "Nothing has been sent.\n"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
