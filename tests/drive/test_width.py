"""More requests at once where the way is long, and no more where they only wait for each other."""

import asyncio
import random
from collections.abc import Callable

import pytest

from queueproof.drive.limits import RequestBudget
from queueproof.drive.width import LEAST, MOST, ROUND, Width


def widened(width: Width, takes: Callable[[int], float], rounds: int = 60) -> int:
    """What is allowed after so many rounds of trips; `takes(allowed)` gives one in seconds."""
    for _ in range(rounds * ROUND):
        width.took(takes(width.allowed))
    return width.allowed


def test_a_server_that_is_far_away_gets_more() -> None:
    assert widened(Width(), lambda _: 0.1) == MOST


def test_so_does_one_whose_way_differs() -> None:
    draw = random.Random(1)
    assert widened(Width(), lambda _: draw.uniform(0.0, 0.25)) > LEAST


@pytest.mark.parametrize("service_s", [0.0005, 0.004, 0.05, 0.5])
def test_a_server_that_takes_one_after_the_other_gets_hardly_more(service_s: float) -> None:
    assert widened(Width(), lambda allowed: service_s * allowed) <= LEAST + 4


def test_none_is_added_where_answers_come_at_once() -> None:
    assert widened(Width(), lambda _: 0.002) == LEAST


def test_what_was_given_is_taken_back_when_answers_come_later() -> None:
    width = Width()
    assert widened(width, lambda _: 0.1) == MOST
    assert widened(width, lambda _: 0.5) == LEAST


async def test_the_budget_lets_as_many_through() -> None:
    budget, inside, most = RequestBudget(2), 0, 0

    async def call() -> None:
        nonlocal inside, most
        async with budget.slot():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async def most_of(seconds: float) -> int:
        """How many are inside at once after two rounds of such trips."""
        nonlocal most
        for _ in range(2 * ROUND):
            budget.took(seconds)
        for _ in range(2):  # places that were taken back go when they are left
            most = 0
            await asyncio.gather(*(call() for _ in range(30)))
        return most

    assert await most_of(0.1) == 6
    assert await most_of(0.4) == 2
