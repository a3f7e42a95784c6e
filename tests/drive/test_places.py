"""Scopes and queues that a server takes no more of: how many it has to take is promised nowhere."""

from dataclasses import replace

import pytest
from drive_server import Notes, case_on
from fixtures.pocket import Message, Pocket, Refusal, Reply, Request
from fixtures.pocket.model import Queue

from queueproof.contract import wire
from queueproof.drive import case as case_module
from queueproof.drive.outcomes import Blocked, Disturbed, Inconclusive, Violation
from queueproof.evidence.operation import Result


class Few(Pocket):
    """Takes so many queues a scope, queues in all, and scopes."""

    a_scope = in_all = scopes_at_most = 1_000
    status = 409

    def add_queue(self, queue: Queue) -> None:
        own = [len([q for q in scope.queues.values() if not q.slug.startswith("_")]) for scope in self.scopes.values()]
        here = [other for other in queue.scope.queues.values() if not other.slug.startswith("_")]
        if not queue.slug.startswith("_") and (len(here) >= self.a_scope or sum(own) >= self.in_all):
            raise Refusal(409, "SCAIQUEUE_TOO_MANY_QUEUES", "One too many.")
        super().add_queue(queue)

    async def create_scope(self, request: Request) -> Reply:
        if len(self.scopes) >= self.scopes_at_most:
            raise Refusal(self.status, "SCAIQUEUE_TOO_MANY_SCOPES", "One too many.")
        return await super().create_scope(request)


class Strict(Few):
    """Knows no `max_retries`."""

    def set_fields(self, queue: Queue, fields: dict[str, object]) -> None:
        if "max_retries" in fields:
            raise Refusal(422, "VALIDATION_ERROR", "Unknown.")
        super().set_fields(queue, fields)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_module, "MANY", 2)
    monkeypatch.setattr(case_module, "FIRST_PAUSE_S", 0.0)


async def test_the_scope_that_cases_share_gets_a_successor() -> None:
    server = Few()
    server.a_scope = 3
    async with case_on(server, Notes()) as case:
        homes = [(await case.queue()).scope for _ in range(8)]
    assert [homes.count(home) for home in dict.fromkeys(homes)] == [
        3,
        2,
        2,
        1,
    ]  # the plainest one more has a place, too


async def test_a_scope_that_a_case_chose_gets_none() -> None:
    server = Few()
    server.a_scope = 3
    async with case_on(server, Notes()) as case:
        scope = await case.own_scope()
        for _ in range(3):
            await case.queue(scope=scope)
        with pytest.raises(Inconclusive, match="takes no more than 3 queues: 409 SCAIQUEUE_TOO_MANY_QUEUES"):
            await case.queue(scope=scope)


async def test_a_server_that_takes_no_more_queues_anywhere() -> None:
    server = Few()
    server.in_all = 3
    async with case_on(server, Notes()) as case:
        for _ in range(3):
            await case.queue()
        with pytest.raises(Inconclusive, match="takes no more than 3 queues"):
            await case.queue()


async def test_scopes_of_one_queue_each_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_module, "SUCCESSORS", 3)
    server = Few()
    server.a_scope = 1
    async with case_on(server, Notes()) as case:
        for _ in range(2):
            await case.queue(scope=await case.own_scope())
        await case.queue()
        with pytest.raises(Inconclusive, match="takes no more than 3 queues"):
            await case.queue()


async def test_a_form_that_is_refused_where_there_is_room_is_refused() -> None:
    async with case_on(Strict(), Notes()) as case:
        for _ in range(3):
            await case.queue()
        with pytest.raises(Blocked) as end:
            await case.queue(root="QUEUE-3", max_retries=3)
    assert end.value.root == "QUEUE-3"


@pytest.mark.parametrize(("status", "kind"), [(409, Inconclusive), (422, Inconclusive), (500, Blocked)])
async def test_a_server_that_takes_no_more_scopes(status: int, kind: type[Exception]) -> None:
    server = Few()
    server.scopes_at_most, server.status = 3, status
    async with case_on(server, Notes()) as case:
        for _ in range(3):
            await case.own_scope()
        with pytest.raises(kind, match="no more than 3 scopes" if kind is Inconclusive else "creating a scope"):
            await case.own_scope()


async def test_the_first_scope_of_all_has_to_be_taken() -> None:
    server = Few()
    server.scopes_at_most = 0
    async with case_on(server, Notes()) as case:
        with pytest.raises(Blocked):
            await case.own_scope()


async def test_a_key_is_held_to_its_promise_while_it_is_surely_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a message that did not come is held against a server, whatever its key's age."""
    async with case_on(Pocket(), Notes()) as case:
        case.requirement = "IDEM-2"
        message = await (await case.queue()).publish()
        for liveness, lifetime_ns, kind in (
            (False, 1_000_000_000_000, Violation),
            (False, 0, Disturbed),
            (True, 0, Violation),
        ):
            monkeypatch.setattr(case_module, "KEY_LIFETIME_NS", lifetime_ns)
            with pytest.raises(kind):
                case.require(False, "x", expected="", seen="", evidence=(message.publish,), liveness=liveness)
            with pytest.raises(kind if kind is Disturbed else (Violation, Blocked)):
                case.refuse("IDEM-1", "x", expected="", seen="", evidence=(message.publish,), liveness=liveness)
        case.requirement = "IDEM-5"
        with pytest.raises(Violation):
            case.require(False, "two keys, one message", expected="", seen="", evidence=(message.publish,))


class Forgetful(Pocket):
    """Keeps no key."""

    def key_store(self, queue: Queue) -> dict[object, Message]:
        return {}


async def test_a_second_id_after_a_late_replay_is_a_forgotten_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after, it is a second message under one key; without a replay it is the message's own id that changed."""
    for lifetime_ns, kind in ((1_000_000_000_000, Blocked), (0, Disturbed)):
        monkeypatch.setattr(case_module, "KEY_LIFETIME_NS", lifetime_ns)
        async with case_on(Forgetful(), Notes()) as case:
            queue = await case.queue()
            message = await queue.publish(idempotency_key="key")
            await queue.take_one(message, timeout_s=60)
            assert (await case.send(wire.publish(queue.scope, queue.id, message.fields))).ok
            with pytest.raises(kind) as end:
                await queue.claim(10, 60)
            assert getattr(end.value, "root", "IDEM-2") == "IDEM-2"


async def test_a_second_id_after_a_lost_replay_proves_nothing() -> None:
    """It may have come when the key was forgotten, for the message had come to its end."""
    async with case_on(Forgetful(), Notes()) as case:
        queue = await case.queue()
        message = await queue.publish(idempotency_key="key")
        await queue.take_one(message, timeout_s=60)
        await case.send(wire.publish(queue.scope, queue.id, message.fields))
        case.exchanges[-1] = replace(case.exchanges[-1], result=Result.UNKNOWN)
        with pytest.raises(Disturbed):
            await queue.claim(10, 60)
