"""The engine: all at once, safety by one look, liveness by repeats, and never a word about its own crashes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from queueproof.drive.case import Case
from queueproof.drive.engine import TRIES, CaseSpec, Ended, run_cases
from queueproof.drive.noise import LagMeter
from queueproof.drive.outcomes import Blocked, CaseEnd, Disturbed, Inconclusive, NotRun, NotSupported, Violation
from queueproof.evidence.results import Outcome


class World:
    """As much of a world as the engine itself looks at."""

    slack_s = 5.0


def violation(liveness: bool = False) -> Violation:
    return Violation("it broke", expected="a", seen="b", liveness=liveness)


async def ran(*ends: CaseEnd | Exception | None) -> Ended:
    """How a case ends that ends like this, try after try (the last for ever)."""
    left = list(ends)

    async def case(_: Case) -> None:
        end = left.pop(0) if len(left) > 1 else left[0]
        if end is not None:
            raise end

    [ended] = await run_all(case)
    return ended


async def run_all(*functions: Callable[[Case], Awaitable[None]]) -> list[Ended]:
    specs = [CaseSpec(name=f"t.py::{n}", requirement="VIS-1", function=f) for n, f in enumerate(functions)]
    world: Any = World()
    return await run_cases(world, specs, LagMeter())


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (None, Outcome.PASSED),
        (violation(), Outcome.FAILED),
        (Blocked("PUB-1", "no"), Outcome.BLOCKED),
        (NotSupported("no"), Outcome.NOT_SUPPORTED),
        (NotRun("no"), Outcome.NOT_RUN),
        (Inconclusive("no"), Outcome.INCONCLUSIVE),
        (Disturbed("no"), Outcome.INCONCLUSIVE),
        (KeyError("ours"), Outcome.HARNESS_ERROR),
    ],
)
async def test_each_end_has_its_outcome(end: CaseEnd | Exception | None, outcome: Outcome) -> None:
    assert (await ran(end)).result.outcome is outcome


async def test_safety_is_never_retried_away() -> None:
    result = (await ran(violation(), None)).result
    assert (result.outcome, result.tries) == (Outcome.FAILED, 1)


async def test_liveness_fails_when_it_fails_twice() -> None:
    late = violation(liveness=True)
    assert (await ran(late, late)).result.outcome is Outcome.FAILED
    assert (await ran(late, None, late)).result.outcome is Outcome.FAILED
    once = (await ran(late, None, None)).result
    assert once.outcome is Outcome.PASSED
    assert "once" in once.summary


async def test_a_disturbed_case_starts_anew() -> None:
    assert (await ran(Disturbed("net"), Disturbed("net"), None)).result.outcome is Outcome.PASSED
    assert (await ran(Disturbed("net"))).result.tries == TRIES


async def test_a_refused_request_proves_its_root_and_an_absence_only_when_repeated() -> None:
    assert (await ran(Blocked("PUB-1", "refused"))).proves == "PUB-1"
    absent = Blocked("LOSS-1", "absent", liveness=True)
    assert (await ran(absent, absent)).proves == "LOSS-1"
    assert (await ran(absent, None, None)).proves == ""


async def test_noise_of_our_own_is_no_verdict() -> None:
    meter = LagMeter()
    specs = [CaseSpec(name="t.py::late", requirement="VIS-2", function=_noisy(meter))]
    world: Any = World()
    [ended] = await run_cases(world, specs, meter)
    assert ended.result.outcome is Outcome.INCONCLUSIVE
    assert "too slow" in ended.result.summary


def _noisy(meter: LagMeter) -> Callable[[Case], Awaitable[None]]:
    async def case(_: Case) -> None:
        meter.lags_ns.append(3_000_000_000)
        raise violation(liveness=True)

    return case


async def test_cases_run_at_once() -> None:
    """Each waits for the other: one after the other they would never end."""
    first, second = asyncio.Event(), asyncio.Event()

    async def one(_: Case) -> None:
        first.set()
        await second.wait()

    async def other(_: Case) -> None:
        second.set()
        await first.wait()

    ended = await asyncio.wait_for(run_all(one, other), 5)
    assert [end.result.outcome for end in ended] == [Outcome.PASSED] * 2


async def test_an_interruption_keeps_what_ended() -> None:
    async def quick(_: Case) -> None:
        return

    async def endless(_: Case) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(run_all(quick, endless))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    ended = await task
    assert [end.result.outcome for end in ended] == [Outcome.PASSED, Outcome.INCONCLUSIVE]
