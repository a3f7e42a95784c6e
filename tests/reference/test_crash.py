"""`kill -9` at random points under load: what was acknowledged is there afterwards (longer: benchmarks/crash.py)."""

import os
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from benchmarks.bench import faults
from benchmarks.bench.crashes import Exam, Ledger, Lost

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "10"))
STACK_ROUNDS = int(os.environ.get("STACK_FAULTS", "1"))  # of each kind


async def test_the_embedded_server_loses_nothing() -> None:
    """Seeded; it comes back over the same file, at the same port."""
    with faults.embedded(ROUNDS) as (served, kills):
        ledger = await Exam(served, random.Random(9)).run(kills)
    assert len(ledger.completed) > ROUNDS * 20


async def test_the_stack_loses_nothing_whatever_is_killed(services: Any) -> None:
    """API processes, workers, MariaDB, Redis, its contents."""
    chance = random.Random(4)
    with faults.stack(services, STACK_ROUNDS, chance) as (served, kills):
        ledger = await Exam(served, chance).run(kills)
    assert len(kills) == STACK_ROUNDS * len(faults.STACK)
    assert len(ledger.completed) > len(kills) * 20


def _message(attempts: int) -> dict[str, Any]:
    return {"id": "m", "attempts": attempts}


def _twice_at_once(ledger: Ledger) -> None:
    ledger.took(_message(1), time.monotonic(), 60)
    ledger.took(_message(2), time.monotonic(), 60)


def _the_same_attempt_twice(ledger: Ledger) -> None:
    ledger.took(_message(1), time.monotonic() - 90, 60)
    ledger.took(_message(1), time.monotonic(), 60)


def _after_its_complete(ledger: Ledger) -> None:
    ledger.took(_message(1), time.monotonic() - 90, 60)
    ledger.completed["m"] = time.monotonic()
    ledger.took(_message(2), time.monotonic(), 60)


@pytest.mark.parametrize("story", [_twice_at_once, _the_same_attempt_twice, _after_its_complete])
def test_the_ledger_sees_what_must_not_be(story: Callable[[Ledger], None]) -> None:
    """Two holders, one attempt for two, a delivery after the complete."""
    with pytest.raises(Lost):
        story(Ledger())


def test_the_ledger_accuses_nobody_of_what_may_be() -> None:
    """A redelivery after the time, told in either order, and one whose claim was sent before the complete came."""
    now = time.monotonic()
    for order in ([(1, now - 90), (2, now)], [(2, now), (1, now - 90)]):
        ledger = Ledger()
        for attempts, sent in order:
            ledger.took(_message(attempts), sent, 60)
    ledger = Ledger()
    ledger.took(_message(1), now - 90, 60)
    ledger.completed["m"] = time.monotonic()
    ledger.took(_message(2), now, 60)
