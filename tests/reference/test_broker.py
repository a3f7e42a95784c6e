"""The broker over real rows: what a restart keeps, who holds what, and where a message goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from scaiqueue_reference.broker import Broker
from scaiqueue_reference.clock import Clock
from scaiqueue_reference.errors import IdempotencyConflict, NotFound, NotOwner, QueueFull, WrongState
from scaiqueue_reference.message import Actor, Draft, JournalPage, Message, Queue, Scope
from scaiqueue_reference.pending.memory import MemoryPending
from scaiqueue_reference.places import Places
from scaiqueue_reference.store.sqlite import SQLiteStore

ANN, BOB = Actor("user", "ann"), Actor("user", "bob")
MINUTE = 60_000_000


class Clockwork(Clock):
    """A clock that the test moves."""

    ahead_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.ahead_us


class House:
    """A broker with one scope and one queue, and how to start it anew over the same file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.clock = Clockwork()

    async def open(self) -> "House":
        self.broker = Broker(SQLiteStore(str(self._path), self.clock), MemoryPending(), self.clock)
        await self.broker.open()
        self.places = Places(self.broker)
        return self

    async def build(self, **fields: object) -> None:
        self.scope: Scope = await self.places.create_scope("t", "s", "s", "")
        names = {"slug": "q", "display_name": "q", "max_retries": 2}
        self.queue: Queue = await self.places.create_queue(self.scope, {**names, **fields})

    async def restart(self) -> None:
        await self.broker.close()
        await self.open()

    async def publish(self, body: bytes = b"1", **fields: object) -> Message:
        draft = Draft(message_type="t", body=body, **fields)  # type: ignore[arg-type]
        return (await self.broker.publish(ANN, self.scope, self.queue, draft)).message

    async def claim(self, count: int = 10, actor: Actor = ANN, for_us: int = MINUTE) -> list[Message]:
        return await self.broker.claim(actor, self.scope, self.queue, count, for_us)

    async def reclaim(self) -> int:
        overdue = await self.broker.store.overdue(self.clock.now_us(), 100)
        return sum([await self.broker.reclaim(message) for message in overdue])

    async def expire(self) -> int:
        expired = await self.broker.store.expired(self.clock.now_us(), 100)
        return sum([await self.broker.expire(message) for message in expired])


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """One scope, one fifo queue with max_retries 2."""
    house = await House(tmp_path / "rows.sqlite3").open()
    await house.build()
    yield house
    await house.broker.close()


async def test_a_claim_survives_a_restart(house: House) -> None:
    """The lock is in the row: nobody else gets it, its holder completes it."""
    await house.publish()
    (held,) = await house.claim()
    await house.restart()
    assert await house.claim(actor=BOB) == []
    assert await house.reclaim() == 0
    done = await house.broker.complete(ANN, house.scope.id, held.id, b"{}")
    assert done.state == "completed"


async def test_what_waits_is_found_again_after_a_restart_in_its_order(house: House) -> None:
    """The order is rebuilt from the rows."""
    published = [(await house.publish()).id for _ in range(5)]
    await house.restart()
    assert [message.id for message in await house.claim()] == published


async def test_a_lock_that_ran_out_while_the_server_was_down_is_reclaimed(house: House) -> None:
    """At the next pass, with the attempt counted."""
    await house.publish()
    await house.claim()
    await house.restart()
    house.clock.ahead_us = MINUTE + 1_000_000
    assert await house.reclaim() == 1
    (again,) = await house.claim(actor=BOB)
    assert again.attempts == 2


async def test_nothing_is_reclaimed_before_its_time(house: House) -> None:
    """Nor after the holder extended."""
    await house.publish()
    (held,) = await house.claim()
    house.clock.ahead_us = MINUTE - 1_000_000
    assert await house.reclaim() == 0
    await house.broker.extend(ANN, house.scope.id, held.id, MINUTE)
    house.clock.ahead_us += 2_000_000
    assert await house.reclaim() == 0
    house.clock.ahead_us += MINUTE
    assert await house.reclaim() == 1


async def test_released_failed_and_reclaimed_messages_keep_their_place(house: House) -> None:
    """A fifo queue stays a fifo queue."""
    house.queue = await house.places.update_queue(house.queue, {"max_retries": 9})
    first, second = await house.publish(), await house.publish()
    await house.claim(1)
    await house.broker.release(ANN, house.scope.id, first.id)
    assert [message.id for message in await house.claim(1)] == [first.id]
    await house.broker.fail(ANN, house.scope.id, first.id, "x")
    house.clock.ahead_us = MINUTE
    assert [message.id for message in await house.claim(2)] == [first.id, second.id]


async def test_only_the_holder_acts_on_a_claimed_message(house: House) -> None:
    """Another identity, a message at rest, a finished one and an unknown one are refused, and nothing changes."""
    message = await house.publish()
    act = house.broker
    for step in (act.complete(ANN, house.scope.id, message.id, None), act.release(ANN, house.scope.id, message.id)):
        with pytest.raises(WrongState):
            await step
    await house.claim()
    refused = (
        act.complete(BOB, house.scope.id, message.id, None),
        act.fail(BOB, house.scope.id, message.id, ""),
        act.release(BOB, house.scope.id, message.id),
        act.extend(BOB, house.scope.id, message.id, MINUTE),
    )
    for step in refused:
        with pytest.raises(NotOwner):
            await step
    await act.complete(ANN, house.scope.id, message.id, b"1")
    with pytest.raises(WrongState):
        await act.complete(ANN, house.scope.id, message.id, b"2")
    with pytest.raises(NotFound):
        await act.complete(ANN, house.scope.id, "nothing", None)
    kept = await act.store.message(house.scope.id, message.id)
    assert kept is not None
    assert kept.response == b"1"


async def test_the_last_attempt_leads_to_the_dead_letters_under_the_same_id(house: House) -> None:
    """With its body and reason; from there it can be claimed, given back and completed, but never moves again."""
    message = await house.publish(b'{"a": 1}')
    for _ in range(2):
        house.clock.ahead_us += MINUTE
        await house.claim()
        last = await house.broker.fail(ANN, house.scope.id, message.id, "boom")
    assert (last.state, last.queue_id) == ("dead_lettered", house.queue.dead_letter_id)
    assert (last.id, last.body, last.failure_reason) == (message.id, b'{"a": 1}', "boom")
    assert await house.claim() == []
    house.queue = (await house.places.queue("t", None, house.queue.dead_letter_id))[1]
    for _ in range(3):
        house.clock.ahead_us += MINUTE
        assert len(await house.claim()) == 1
        last = await house.broker.fail(ANN, house.scope.id, message.id, "again")
        assert last.state == "dead_lettered"
    house.clock.ahead_us += MINUTE
    await house.claim()
    assert (await house.broker.complete(ANN, house.scope.id, message.id, None)).state == "completed"


async def test_max_retries_zero_means_one_delivery(house: House) -> None:
    """The first failure is the last."""
    house.queue = await house.places.update_queue(house.queue, {"max_retries": 0})
    message = await house.publish()
    await house.claim()
    assert (await house.broker.fail(ANN, house.scope.id, message.id, "")).state == "dead_lettered"


async def test_twenty_identical_publishes_at_once_are_one_message(house: House) -> None:
    """Exactly one was made, and all have its id."""
    draft = Draft(message_type="t", body=b"1", idempotency_key=b"k")
    tries = (house.broker.publish(ANN, house.scope, house.queue, draft) for _ in range(20))
    answers = await asyncio.gather(*tries)
    assert [answer.created for answer in answers].count(True) == 1
    assert len({answer.message.id for answer in answers}) == 1
    assert len(await house.claim()) == 1


@pytest.mark.parametrize("other", [b"K", b"k ", b"k\x00", "é".encode(), "e\u0301".encode()])
async def test_keys_are_exact(house: House, other: bytes) -> None:
    """Case, spaces, NUL and the forms of unicode make different keys."""
    one = await house.publish(idempotency_key=b"k")
    two = await house.publish(idempotency_key=other)
    assert one.id != two.id
    assert (await house.publish(idempotency_key=b"k")).id == one.id


async def test_a_key_outlives_its_message_and_the_move_to_the_dead_letters(house: House) -> None:
    """A replay shows the row as it is, and makes nothing claimable."""
    message = await house.publish(idempotency_key=b"k")
    for _ in range(2):
        house.clock.ahead_us += MINUTE
        await house.claim()
        await house.broker.fail(ANN, house.scope.id, message.id, "")
    replay = await house.publish(idempotency_key=b"k")
    assert (replay.id, replay.state) == (message.id, "dead_lettered")
    with pytest.raises(IdempotencyConflict):
        await house.publish(b"2", idempotency_key=b"k")
    assert await house.claim() == []


async def test_a_full_queue_refuses_and_keeps_nothing(house: House) -> None:
    """Also when many come at once; a replay is no new message; claimed ones count until they are done."""
    house.queue = await house.places.update_queue(house.queue, {"max_depth": 3})
    await house.publish(idempotency_key=b"k")
    outcomes = await asyncio.gather(*(house.publish() for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(outcome, QueueFull) for outcome in outcomes) == 8
    await house.publish(idempotency_key=b"k")
    (held, *_) = await house.claim(1)
    with pytest.raises(QueueFull):
        await house.publish()
    await house.broker.complete(ANN, house.scope.id, held.id, None)
    await house.publish()
    assert len(await house.claim()) == 3


async def test_overflow_may_go_to_the_dead_letters(house: House) -> None:
    """Nothing is lost, and the answer says where it is."""
    house.queue = await house.places.update_queue(house.queue, {"max_depth": 1, "overflow_policy": "dead_letter"})
    await house.publish()
    spilled = await house.publish()
    assert (spilled.state, spilled.queue_id) == ("dead_lettered", house.queue.dead_letter_id)


async def test_a_message_past_its_life_is_neither_claimed_nor_kept_waiting(house: House) -> None:
    """By ttl, by deadline; the claim refuses it even before the agent came by."""
    by_ttl = await house.publish(ttl_seconds=10)
    by_deadline = await house.publish(deadline_us=house.clock.now_us() + 10_000_000)
    lasting = await house.publish()
    house.clock.ahead_us = 11_000_000
    assert [message.id for message in await house.claim()] == [lasting.id]
    assert await house.expire() == 2
    for key in (by_ttl.id, by_deadline.id):
        kept = await house.broker.store.message(house.scope.id, key)
        assert kept is not None
        assert kept.state == "expired"


async def test_a_delayed_message_is_not_claimed_before_its_time(house: House) -> None:
    """Also after a restart."""
    await house.publish(delay_until_us=house.clock.now_us() + MINUTE)
    assert await house.claim() == []
    await house.restart()
    house.clock.ahead_us = MINUTE - 1_000_000
    assert await house.claim() == []
    house.clock.ahead_us = MINUTE
    assert len(await house.claim()) == 1


@pytest.mark.parametrize("ordering", ["priority", "deadline"])
async def test_the_order_asked_for_is_the_order_given(house: House, ordering: str) -> None:
    """Over a restart as well."""
    fields = {"slug": "o", "display_name": "o", "ordering": ordering}
    house.queue = await house.places.create_queue(house.scope, fields)
    now_us = house.clock.now_us()
    places = [("low", 1000, 4), ("critical", 0, 5), ("normal", 10, 1), ("normal", 11, 2), ("normal", 10, 1)]
    made = [
        await house.publish(priority_tier=tier, priority_score=score, deadline_us=now_us + hours * 60 * MINUTE)
        for tier, score, hours in places
    ]
    await house.restart()
    by = {"priority": [1, 3, 2, 4, 0], "deadline": [2, 4, 3, 0, 1]}
    assert [message.id for message in await house.claim()] == [made[place].id for place in by[ordering]]


async def test_many_claims_at_once_never_share_a_message(house: House) -> None:
    """Each of 200 messages goes to exactly one of 50 claims."""
    published = await asyncio.gather(*(house.publish() for _ in range(200)))
    batches = await asyncio.gather(*(house.claim(4) for _ in range(50)))
    taken = [message.id for batch in batches for message in batch]
    assert sorted(taken) == sorted(message.id for message in published)


async def test_the_journal_tells_what_happened(house: House) -> None:
    """One line a step, in order, with the attempt and the actor."""
    message = await house.publish(correlation_id="c")
    await house.claim(actor=BOB)
    await house.broker.complete(BOB, house.scope.id, message.id, None)
    lines = [
        entry for _, entry in await house.broker.store.journal(JournalPage(tenant_id="t", scope_id=house.scope.id))
    ]
    steps: Callable[[str], str] = lambda name: f"scaiqueue.message.{name}"  # noqa: E731
    assert [line.event_type for line in lines] == [steps("published"), steps("claimed"), steps("completed")]
    assert [(line.attempts, line.actor_id, line.correlation_id) for line in lines] == [
        (0, "ann", "c"),
        (1, "bob", "c"),
        (1, "bob", "c"),
    ]
