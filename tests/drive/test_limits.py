"""The request budget: so many at a time, the urgent first, and silence when the server asks for it."""

import asyncio
import time

import pytest

from queueproof.contract import wire
from queueproof.drive import limits
from queueproof.drive.limits import RequestBudget


async def test_no_more_than_allowed_are_under_way() -> None:
    budget = RequestBudget(3)
    inside = most = 0

    async def work() -> None:
        nonlocal inside, most
        async with budget.slot():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(50)))
    assert most == 3


async def test_the_urgent_go_first_and_a_burst_beside() -> None:
    budget = RequestBudget(1)
    order: list[str] = []
    gate = asyncio.Event()

    async def work(name: str, **how: bool) -> None:
        async with budget.slot(**how):
            order.append(name)
            await gate.wait()

    tasks = [asyncio.create_task(work("first"))]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(work("plain")), asyncio.create_task(work("urgent", urgent=True))]
    tasks.append(asyncio.create_task(work("burst", burst=True)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "burst", "urgent", "plain"]


async def test_a_cancelled_wait_gives_its_place_on() -> None:
    budget = RequestBudget(1)
    async with budget.slot():
        waiting = asyncio.create_task(_enter(budget))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(_enter(budget), 5)


async def _enter(budget: RequestBudget) -> None:
    async with budget.slot():
        pass


@pytest.mark.parametrize(
    ("status", "headers", "least_s", "most_s"),
    [
        (429, {"retry-after": "30"}, 29, 31),
        (429, {"retry-after": "100000"}, limits.LONGEST_PAUSE_S - 1, limits.LONGEST_PAUSE_S),
        (429, {}, limits.DEFAULT_PAUSE_S - 0.1, limits.DEFAULT_PAUSE_S),
        (200, {"x-scaigrid-ratelimit-remaining": "0", "x-scaigrid-ratelimit-reset": "20"}, 19, 20),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(time.time() + 20)}, 10, 21),
        (200, {"ratelimit-remaining": "3", "ratelimit-reset": "20"}, -1, 0),
        (200, {"x-ratelimit-remaining": "none"}, -1, 0),
        (200, {}, -1, 0),
    ],
)
def test_silence_is_learned(status: int, headers: dict[str, str], least_s: float, most_s: float) -> None:
    budget = RequestBudget()
    before = time.monotonic()
    budget.learn(wire.Answer(status=status, headers=headers))
    silence = budget._silent_until - before if budget._silent_until else -0.5
    assert least_s <= silence <= most_s + 0.5
