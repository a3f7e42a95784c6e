"""Waiting for a message ends: by its coming, by a verdict, or because nothing at all can be seen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from drive_server import Notes
from fixtures.pocket import Message, Pocket, Refusal, running
from fixtures.pocket.http import Reply, Request

from queueproof.contract import wire
from queueproof.drive import queue as queue_module
from queueproof.drive.case import Case
from queueproof.drive.client import Client
from queueproof.drive.limits import RequestBudget
from queueproof.drive.outcomes import Blocked, Disturbed, Inconclusive, Violation
from queueproof.drive.recorder import Recorder
from queueproof.drive.world import World
from queueproof.evidence.created import Ledger


@asynccontextmanager
async def case_on(server: Pocket, notes: Notes) -> AsyncIterator[Case]:
    """A case against that server."""
    async with running(server) as url:
        client = Client(url, server.keys["all"], recorder=Recorder(notes), budget=RequestBudget(), run="testrun0")
        try:
            yield Case(World(run="testrun0", client=client, ledger=Ledger()), "VIS-1", "test_x.py::test_x")
        finally:
            await client.close()


class Pouring(Pocket):
    """Each claim is answered with more than is ever read."""

    async def claim(self, request: Request) -> Reply:
        await super().claim(request)
        return Reply(body=b" " * 40_000)


async def test_where_no_claim_is_ever_answered_the_case_ends_inconclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each claim of unknown result may hold the message until its timeout: waiting for that would never end."""
    monkeypatch.setattr(wire, "ANSWER_LIMIT", 20_000)
    monkeypatch.setattr(queue_module, "LONGEST_UNANSWERED_S", 0.3)
    notes = Notes()
    async with case_on(Pouring(), notes) as case:
        queue = await case.queue()
        message = await queue.publish()
        with pytest.raises(Inconclusive, match=r"for 0.3 s no claim was answered: the answer is larger than"):
            await queue.take_one(message, within_s=0.0)
    claims = [record.op for record in notes.invokes if record.verb == "claim"]
    assert len(claims) > 1


async def test_what_an_earlier_claim_holds_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that looked for another message may have met it: nobody is accused of keeping it back."""
    monkeypatch.setattr(queue_module, "EMPTY_IN_A_ROW", 1)
    async with case_on(Pocket(), Notes()) as case:
        queue = await case.queue()
        messages = await queue.publish_many(2)
        await queue.take(*messages, batch_size=2, timeout_s=60)
        with pytest.raises(Disturbed, match="is held by an earlier claim"):
            await queue.take_one(messages[0], timeout_s=60, within_s=0.0)


class Keeping(Pocket):
    """What is released stays out of reach."""

    def give_back(self, message: Message) -> None:
        message.lock_until = float("inf")


async def test_what_was_released_and_does_not_come_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "EMPTY_IN_A_ROW", 1)
    async with case_on(Keeping(), Notes()) as case:
        queue = await case.queue()
        message = await queue.publish()
        held = await queue.take_one(message, timeout_s=60)
        await queue.act("release", held, root="VIS-6")
        with pytest.raises((Violation, Blocked)):
            await queue.take_one(message, timeout_s=60, within_s=0.0)


async def test_whoever_claims_from_a_server_that_died_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only a wait for one message: every loop of claims, of which none is sent any more."""
    monkeypatch.setattr(queue_module, "LONGEST_UNANSWERED_S", 0.2)
    async with case_on(server := Pocket(), Notes()) as case:
        queue = await case.queue()
        await queue.publish()
        await server.stop()
        with pytest.raises(Inconclusive, match="no claim was answered"):
            for _ in range(1000):
                await queue.claim()
                await asyncio.sleep(0.01)


async def test_an_empty_queue_that_is_not_found_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "LONGEST_UNANSWERED_S", 0.0)

    class Missing(Pocket):
        """Says 404 for nothing."""

        async def claim(self, request: Request) -> Reply:
            raise Refusal(404, "NOTHING_THERE", "Nothing.")

    async with case_on(Missing(), Notes()) as case:
        queue = await case.queue()
        await queue.publish()
        for _ in range(3):
            assert not (await queue.claim()).deliveries
