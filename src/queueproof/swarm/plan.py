"""What a worker has to know: sent from the coordinator to every worker as plain data before the load starts."""

import dataclasses
import time
from typing import Any

import msgspec

from queueproof.evidence.history import clock_domain
from queueproof.swarm.scenario import Scenario

# The start lies a little ahead of the word to go: so long may it take to reach a worker.
HEAD_START_S = 0.3


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One worker's part of a run."""

    run: str
    url: str
    scenario: dict[str, Any]
    scope: str
    queues: tuple[str, ...]
    ahead_s: float  # how far the target's clock is ahead of the coordinator's
    index: int  # from 0
    workers: int
    domain: str  # the coordinator's clock domain
    directory: str  # the run directory, as the coordinator names it
    proof: str  # content of the file `.proof` in it: who reads the same shares the disk

    def read_scenario(self) -> Scenario:
        return msgspec.convert(self.scenario, Scenario)

    def own_start_ns(self, start_ns: int) -> int:
        """When the load starts on this machine's clock; another machine starts a head start after it heard of it."""
        if self.domain == clock_domain():
            return start_ns
        return time.monotonic_ns() + int(HEAD_START_S * 1e9)

    @property
    def writer(self) -> int:
        """Number of the worker's history file; 0 is the coordinator's."""
        return self.index + 1


def as_data(scenario: Scenario) -> dict[str, Any]:
    found = msgspec.to_builtins(dataclasses.asdict(scenario))
    return dict(found)


def part(total: int, index: int, workers: int) -> int:
    """The share of `total` things that falls to worker `index`: the shares add up to it."""
    return (total - index + workers - 1) // workers
