"""Waiting for a message ends: by its coming, by a verdict, or because nothing at all can be seen."""

import asyncio

import pytest
from drive_server import Notes, case_on
from fixtures.pocket import Ask, Message, Pocket, Refusal
from fixtures.pocket.http import Reply, Request
from fixtures.pocket.model import Queue as PocketQueue

from queueproof.contract import wire
from queueproof.drive import holding
from queueproof.drive import queue as queue_module
from queueproof.drive.outcomes import Blocked, Disturbed, Inconclusive, NotSupported, Violation


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


class Full(Pocket):
    """Hands out no more than `most` messages of a queue at a time, counted by `places`."""

    most = 3

    async def take(self, queue: PocketQueue, ask: Ask, caller: str) -> list[Message]:
        room = max(0, self.most - self.places(queue))
        return await super().take(queue, Ask(min(ask.batch_size, room), ask.timeout_s), caller)

    def places(self, queue: PocketQueue) -> int:
        return queue.depth_claimed


class NeverFreed(Full):
    """What was completed keeps its place."""

    def places(self, queue: PocketQueue) -> int:
        return sum(message.queue is queue and message.attempts > 0 for message in queue.scope.messages.values())


class WholeBatches(Full):
    """Once full, it waits until nothing at all is held."""

    def places(self, queue: PocketQueue) -> int:
        self.shut = queue.depth_claimed > 0 and (self.shut or queue.depth_claimed >= self.most)
        return self.most if self.shut else queue.depth_claimed

    shut = False


class Losing(Pocket):
    """The fourth message of a queue is never handed out."""

    def is_claimable(self, message: Message) -> bool:
        return super().is_claimable(message) and message is not list(message.queue.scope.messages.values())[3]


async def fourth_of(server: Pocket, monkeypatch: pytest.MonkeyPatch, timeout_s: int = 60, **fields: int) -> None:
    """Three messages are held, and a fourth does not come."""
    monkeypatch.setattr(queue_module, "EMPTY_IN_A_ROW", 1)
    async with case_on(server, Notes()) as case:
        case.world.slack_s = 0.2
        queue = await case.queue(**fields)
        messages = await queue.publish_many(4)
        await queue.take(*messages[:3], timeout_s=timeout_s)
        await queue.take_one(messages[3], timeout_s=timeout_s, within_s=0.0)


@pytest.mark.parametrize("depth", [0, 4])
async def test_what_waits_behind_a_limit_of_held_messages_is_not_lost(
    depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotSupported, match="hands out no more than 3 of its messages at a time"):
        await fourth_of(Full(), monkeypatch, max_depth=depth)


@pytest.mark.parametrize("depth", [0, 4])
@pytest.mark.parametrize("server", [NeverFreed, WholeBatches, Losing])
async def test_what_no_limit_of_held_messages_explains_is_lost(
    server: type[Pocket], depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the queue is full, so that no other message can show whether anything comes."""
    with pytest.raises((Violation, Blocked), match="an acknowledged message was not delivered"):
        await fourth_of(server(), monkeypatch, max_depth=depth)


async def test_a_limit_is_seen_where_the_held_ones_lapse_and_come_first_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotSupported, match="no more than 3"):
        await fourth_of(Full(), monkeypatch, timeout_s=1)


async def test_a_limit_is_seen_whenever_its_holds_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them ends when the others have been taken anew: it is, too, before anything is judged."""
    monkeypatch.setattr(holding, "LOOK_S", 1.0)
    monkeypatch.setattr(queue_module, "EMPTY_IN_A_ROW", 1)
    async with case_on(Full(), Notes()) as case:
        case.world.slack_s = 0.2
        queue = await case.queue()
        messages = await queue.publish_many(4)
        for message, timeout_s in zip(messages, (2.3, 0.9, 0.9), strict=False):
            await queue.take_one(message, timeout_s=timeout_s)
        with pytest.raises(NotSupported, match="no more than 3"):
            await queue.take_one(messages[3], timeout_s=60, within_s=0.0)


async def test_what_lapses_while_it_is_looked_at_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "LOOK_S", 0)
    monkeypatch.setattr(holding, "surely_held", lambda queue: list(queue.latest.values()))
    monkeypatch.setattr(queue_module, "EMPTY_IN_A_ROW", 1)
    async with case_on(Full(), Notes()) as case:
        case.world.slack_s = 0.2
        queue = await case.queue()
        messages = await queue.publish_many(4)
        await queue.take(*messages[:3], timeout_s=0.15)
        with pytest.raises(Disturbed, match="a hold may have lapsed"):
            await holding.limited(queue, messages[3])


async def test_what_is_lost_behind_short_holds_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((Violation, Blocked), match="an acknowledged message was not delivered"):
        await fourth_of(Losing(), monkeypatch, timeout_s=1)


class Forgetting(Full):
    """After its first completion, claims that find nothing say 404."""

    async def claim(self, request: Request) -> Reply:
        reply = await super().claim(request)
        if b'"data":[]' in reply.body.replace(b" ", b"") and any(m.state == "completed" for m in self.known()):
            raise Refusal(404, "NOTHING_THERE", "Nothing.")
        return reply

    def known(self) -> list[Message]:
        return [message for scope in self.scopes.values() for message in scope.messages.values()]


class Failing(Full):
    """After its first completion, the first claim is answered 503."""

    failed = False

    async def claim(self, request: Request) -> Reply:
        reply = await super().claim(request)
        done = any(m.state == "completed" for scope in self.scopes.values() for m in scope.messages.values())
        if done and not self.failed:
            self.failed = True
            raise Refusal(503, "UNAVAILABLE", "Later.")
        return reply


async def test_a_limit_is_seen_where_nothing_is_answered_404(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotSupported, match="no more than 3"):
        await fourth_of(Forgetting(), monkeypatch)


async def test_a_limit_is_not_judged_after_a_claim_that_may_hold_something(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Disturbed, match="answer was lost"):
        await fourth_of(Failing(), monkeypatch)


async def test_one_held_message_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue whose only held message keeps the others from everybody has no competing consumers."""
    server = Full()
    server.most = 1
    monkeypatch.setattr(queue_module, "EMPTY_IN_A_ROW", 1)
    async with case_on(server, Notes()) as case:
        queue = await case.queue()
        first, second = await queue.publish_many(2)
        held = await queue.take_one(first, timeout_s=60)
        assert holding.surely_held(queue) == [held]
        with pytest.raises((Violation, Blocked)):
            await queue.take_one(second, timeout_s=60, within_s=0.0)
        await queue.complete(held)
        assert holding.surely_held(queue) == []


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
