"""Waiting for a message ends: by its coming, by a verdict, or because nothing at all can be seen."""

import pytest
from drive_server import Notes
from fixtures.pocket import Pocket, running
from fixtures.pocket.http import Reply, Request

from queueproof.contract import wire
from queueproof.drive import queue as queue_module
from queueproof.drive.case import Case
from queueproof.drive.cleanup import Ledger
from queueproof.drive.client import Client
from queueproof.drive.limits import RequestBudget
from queueproof.drive.outcomes import Inconclusive
from queueproof.drive.recorder import Recorder
from queueproof.drive.world import World


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
    async with running(server := Pouring()) as url:
        client = Client(url, server.keys["all"], recorder=Recorder(notes), budget=RequestBudget(), run="testrun0")
        try:
            world = World(run="testrun0", client=client, ledger=Ledger())
            case = Case(world, "VIS-1", "test_x.py::test_x")
            queue = await case.queue()
            message = await queue.publish()
            with pytest.raises(Inconclusive, match=r"for 0.3 s no claim was answered: the answer is larger than"):
                await queue.take_one(message, within_s=0.0)
        finally:
            await client.close()
    claims = [record.op for record in notes.invokes if record.verb == "claim"]
    assert len(claims) > 1
