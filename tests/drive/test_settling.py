"""Completing, failing and releasing what is held: what a fault of the server's own means, once and for ever."""

import pytest
from drive_server import Notes, case_on
from fixtures.pocket import Pocket, Refusal, Request
from fixtures.pocket.http import Reply

from queueproof.drive import settling
from queueproof.drive.outcomes import UNDOCUMENTED, Blocked, Disturbed, NotSupported


class Crashing(Pocket):
    """The first so many calls of a verb crash, before their effect or after it; unknown paths perhaps, too."""

    def __init__(self, *, verb: str, times: int = 1_000, after: bool = False, everywhere: bool = False) -> None:
        super().__init__()
        self.verb, self.times, self.after, self.everywhere = verb, times, after, everywhere

    async def answer(self, request: Request) -> Reply:
        if not request.target.endswith(f"/{self.verb}"):
            try:
                return await super().answer(request)
            except Refusal as refusal:
                if self.everywhere and refusal.status == 404:
                    raise Refusal(500, "INTERNAL_ERROR", "no such path") from None
                raise
        if self.times > 0:
            self.times -= 1
            if self.after:
                await super().answer(request)
            raise Refusal(500, "INTERNAL_ERROR", "AttributeError")
        return await super().answer(request)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "FIRST_PAUSE_S", 0.0)


async def settled(server: Pocket, verb: str, **options: str) -> bool:
    async with case_on(server, Notes()) as case:
        queue = await case.queue()
        held = await queue.take_one(await queue.publish(), timeout_s=60)
        if verb == "complete":
            return (await queue.complete(held, **options)).ok
        return (await queue.act(verb, held, **{"root": "FAIL-1", **options})).ok


@pytest.mark.parametrize("verb", ["complete", "fail", "release"])
async def test_a_fault_each_time_is_a_refusal(verb: str) -> None:
    with pytest.raises(Blocked, match="answered 500 INTERNAL_ERROR, again and again") as end:
        await settled(Crashing(verb=verb), verb)
    assert end.value.root == ("DONE-1" if verb == "complete" else "FAIL-1")


async def test_a_call_that_may_be_refused_may_not_crash() -> None:
    with pytest.raises(Blocked) as end:
        await settled(Crashing(verb="fail"), "fail", root=UNDOCUMENTED, faults="FAIL-1")
    assert end.value.root == "FAIL-1"


async def test_a_verb_that_may_be_absent_where_absent_ones_crash_too() -> None:
    with pytest.raises(NotSupported, match="as unknown paths do here"):
        await settled(Crashing(verb="release", everywhere=True), "release")


async def test_a_completion_that_crashed_twice_may_happen_then() -> None:
    assert await settled(Crashing(verb="complete", times=2), "complete")


@pytest.mark.parametrize("verb", ["complete", "release"])
async def test_a_fault_after_the_effect_tells_nothing(verb: str) -> None:
    with pytest.raises(Disturbed):
        await settled(Crashing(verb=verb, times=1, after=True), verb)
