"""Cases that starve each other on a target that hands out only so many messages to one key are tried one by one."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from drive_server import Notes
from fixtures.innocent.callers_hold_fifty import Server as Fifty
from fixtures.pocket import Ask, Message, Pocket, running
from fixtures.pocket.model import Queue

from queueproof.drive import crowding, engine
from queueproof.drive import queue as queue_module
from queueproof.drive.case import Case
from queueproof.drive.client import Client
from queueproof.drive.crowding import most_held
from queueproof.drive.engine import CaseSpec, run_cases
from queueproof.drive.limits import RequestBudget
from queueproof.drive.noise import LagMeter
from queueproof.drive.outcomes import Violation
from queueproof.drive.recorder import Recorder
from queueproof.drive.world import World
from queueproof.evidence.created import Ledger
from queueproof.evidence.results import CaseResult, Outcome


class Six(Fifty):
    most = 6


class SixByQueue(Six):
    """The limit is each queue's own."""

    async def take(self, queue: Queue, ask: Ask, caller: str) -> list[Message]:
        self.most = 6 + sum(m.state == "claimed" for s in self.scopes.values() for m in s.messages.values())
        self.most -= queue.depth_claimed
        return await super().take(queue, ask, caller)


class Losing(Pocket):
    """The third message of a queue is never handed out."""

    def is_claimable(self, message: Message) -> bool:
        own = [other for other in message.queue.scope.messages.values() if other.queue is message.queue]
        return super().is_claimable(message) and message is not own[2]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "EMPTY_IN_A_ROW", 1)
    monkeypatch.setattr(crowding, "EACH", 20)


@asynccontextmanager
async def world_of(server: Pocket) -> AsyncIterator[World]:
    async with running(server) as url:
        client = Client(url, server.keys["all"], recorder=Recorder(Notes()), budget=RequestBudget(), run="testrun0")
        try:
            yield World(run="testrun0", client=client, ledger=Ledger(), slack_s=0.2)
        finally:
            await client.close()


async def holding_three(case: Case) -> None:
    queue = await case.queue()
    await queue.take(*await queue.publish_many(3), timeout_s=60, within_s=0.0)


async def ended(server: Pocket) -> tuple[World, list[CaseResult], list[CaseResult]]:
    """Five cases that hold three messages each: what came of them, and what was heard meanwhile."""
    heard: list[CaseResult] = []
    async with world_of(server) as world:
        specs = [CaseSpec(name=f"x::test_{n}", requirement="VIS-1", function=holding_three) for n in range(5)]
        ends = await run_cases(world, specs, LagMeter(), done=heard.append)
    return world, [end.result for end in ends], heard


async def test_cases_that_starved_each_other_pass_one_by_one() -> None:
    world, results, heard = await ended(Six())
    assert world.most_held == 6
    assert [result.outcome for result in results] == [Outcome.PASSED] * 5, results
    assert sorted(result.name for result in heard) == sorted(result.name for result in results)


async def test_what_is_lost_without_such_a_limit_is_lost() -> None:
    world, results, heard = await ended(Losing())
    assert world.most_held is None
    assert {result.outcome for result in results} == {Outcome.BLOCKED}
    assert len(heard) == 5


async def test_what_is_missed_behind_such_a_limit_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def six(_: World) -> int:
        return 6

    async def missing(_: Case) -> None:
        raise Violation("late", expected="e", seen="s", liveness=True)

    async def broken(_: Case) -> None:
        raise Violation("wrong", expected="e", seen="s")

    monkeypatch.setattr(engine, "most_held", six)
    async with world_of(Pocket()) as world:
        specs = [CaseSpec(name=case.__name__, requirement="VIS-1", function=case) for case in (missing, broken)]
        late, wrong = [end.result for end in await run_cases(world, specs, LagMeter())]
    assert late.outcome is Outcome.NOT_SUPPORTED
    assert late.summary == "the target hands out no more than 6 messages at a time to one key, in all queues together"
    assert wrong.outcome is Outcome.FAILED


@pytest.mark.parametrize(("server", "most"), [(Six, 6), (SixByQueue, None), (Pocket, None), (Losing, None)])
async def test_a_limit_of_a_key_is_told_from_a_queue_s(server: type[Pocket], most: int | None) -> None:
    async with world_of(server()) as world:
        queue = await Case(world, "VIS-1", "x").queue()
        await queue.publish_many(8)
        await queue.claim(10, 60)
        assert await most_held(world) == most


async def test_what_lost_claims_hold_is_waited_for() -> None:
    """Their messages take places under the limit: counted too early it would be missed, or be too small."""
    async with world_of(Six()) as world:
        queue = await Case(world, "VIS-1", "x").queue()
        await queue.publish_many(8)
        await queue.claim(10, 60)
        lost = await Case(world, "VIS-1", "lost").queue()
        await lost.publish_many(4)
        await queue.complete(next(iter(queue.latest.values())))
        await lost.claim(1, 1)
        lost.latest.clear()  # as if its answer had not come
        lost.unsure_until_ns = time.monotonic_ns() + 1_000_000_000
        assert await most_held(world) == 6
