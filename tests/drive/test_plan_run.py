"""The end of a plan against a queue that hands out only three messages at a time."""

import pytest
from drive_server import Notes
from fixtures.innocent.holds_three_only import Server as Three
from fixtures.pocket import Message, running

from queueproof.drive import plan_fields, plan_run
from queueproof.drive.case import Case
from queueproof.drive.client import Client
from queueproof.drive.limits import RequestBudget
from queueproof.drive.plan_book import Broken
from queueproof.drive.plan_run import PlanRun
from queueproof.drive.plans import Phase, Plan, Step
from queueproof.drive.recorder import Recorder
from queueproof.drive.world import World
from queueproof.evidence.created import Ledger

FOUR = tuple(Step(verb="publish", message=number) for number in range(1, 5))
OPEN = Phase(steps=(*FOUR, Step(verb="claim", size=3, long=True)))


class Losing(Three):
    """The fourth message of a queue is never handed out."""

    def is_claimable(self, message: Message) -> bool:
        own = [other for other in message.queue.scope.messages.values() if other.queue is message.queue]
        return super().is_claimable(message) and message is not own[3]


async def closed(server: Three) -> PlanRun:
    """A plan whose first three messages may be held or may be not, as far as it can tell, at its end."""
    async with running(server) as url:
        client = Client(url, server.keys["all"], recorder=Recorder(Notes()), budget=RequestBudget(), run="testrun0")
        world = World(run="testrun0", client=client, ledger=Ledger(), slack_s=0.2)
        try:
            run = PlanRun(case := Case(world, "SEQ-1", "plan"), Plan(kind="work", number=0, phases=()), "")
            run.scope = await case.scope()
            await run._open()
            await run._phase(OPEN, 0)
            for entry in run.book.entries.values():
                entry.states |= {"held", "pending"} if entry.deliveries else set()
            await run._close()
            return run
        finally:
            await client.close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_run, "EMPTY_IN_A_ROW", 1)
    monkeypatch.setattr(plan_fields, "SHORT_DELAY_S", 0)


async def test_what_may_be_held_is_let_go_before_anything_is_missed() -> None:
    run = await closed(Three())
    assert [entry.states for entry in run.book.entries.values()] == [{"done"}] * 4
    assert sum("which may be held" in line for line in run.ran.story) == 3


async def test_what_does_not_come_then_is_missed() -> None:
    with pytest.raises(Broken, match="m4 was never handed out") as broken:
        await closed(Losing())
    assert broken.value.root == "LOSS-1"
