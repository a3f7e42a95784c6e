"""Plans: drawn alike from one seed, shrunk by leaving steps out, and judged by what may be true of each message."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from queueproof.contract import wire
from queueproof.drive.client import Exchange
from queueproof.drive.delivery import Claim, Delivery, Message
from queueproof.drive.plan_book import Book, Broken, Entry
from queueproof.drive.plan_run import PlanRun
from queueproof.drive.plans import KINDS, Phase, Plan, Step, draw_plans, drawn
from queueproof.evidence.operation import Result

S = 1_000_000_000


def exchange(op: int, inv_s: float, ret_s: float, *, ok: bool = True) -> Any:
    return SimpleNamespace(op=op, inv_ns=round(inv_s * S), ret_ns=round(ret_s * S), ok=ok)


def story(*numbers: int, cap: int = 0, ordering: str = "fifo") -> Book:
    """A book with these messages, published one after the other at 1, 2, 3 s."""
    book = Book(ordering=ordering, cap=cap)
    for number in numbers:
        publish = exchange(number, number, number + 0.1)
        body = {"n": number}
        message = Message(id=f"id-{number}", token=f"t{number}", body=body, fields={"body": body}, publish=publish)
        book.entries[number] = Entry(number=number, message=message, rank=(number,), states={"pending"})
    return book


def claimed(book: Book, at_s: float, *numbers: int, hold_s: float = 60, attempts: int = 1, **item: Any) -> None:
    """An answer to a claim at `at_s` that hands these messages out."""
    call = exchange(100 + round(at_s * 10), at_s, at_s + 0.1)
    deliveries = []
    for position, number in enumerate(numbers):
        message = book.entries[number].message
        shown = {"id": message.id, "body": message.body, "attempts": attempts, **item}
        deliveries.append(Delivery(message=message, item=shown, claim=call, timeout_s=hold_s, position=position))
    book.claimed(Claim(exchange=call, deliveries=deliveries), hold_s=hold_s, alone=True)


def root_of(book: Book, at_s: float, *numbers: int, **options: Any) -> str:
    with pytest.raises(Broken) as broken:
        claimed(book, at_s, *numbers, **options)
    return broken.value.root


class TestDrawing:
    """From a seed to plans."""

    def test_one_seed_draws_the_same_plans(self) -> None:
        assert draw_plans("work", 4, 7) == draw_plans("work", 4, 7)

    def test_another_seed_draws_others(self) -> None:
        assert draw_plans("work", 4, 7) != draw_plans("work", 4, 8)

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_plan_publishes_before_it_settles(self, kind: str) -> None:
        for plan in draw_plans(kind, 5, 1):
            published: set[int] = set()
            for step in plan.steps:
                if step.verb == "publish":
                    published.add(step.message)
                elif step.message:
                    assert step.message in published

    def test_only_crowds_send_at_once(self) -> None:
        assert any(phase.at_once for plan in draw_plans("crowds", 3, 1) for phase in plan.phases)
        assert not any(phase.at_once for plan in draw_plans("work", 3, 1) for phase in plan.phases)

    def test_nothing_is_written_where_it_is_drawn(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from hypothesis import strategies as st

        monkeypatch.chdir(tmp_path)
        assert len(drawn(st.integers(), 5, 1)) == 5
        assert list(tmp_path.iterdir()) == []


class TestShrinking:
    """Steps are left out by their place."""

    def test_a_phase_that_is_left_empty_goes_too(self) -> None:
        one, two, three = (Step(verb="claim", size=size) for size in (1, 2, 3))
        plan = Plan(kind="work", number=0, phases=(Phase(steps=(one, two)), Phase(steps=(three,))))
        assert plan.without([0]).steps == (two, three)
        assert plan.without([2]).phases == (Phase(steps=(one, two)),)
        assert plan.without([0, 1, 2]).phases == ()


def answered(result: Result, status: int, message: str = "") -> Exchange:
    """A call's end; with status 0 without an answer."""
    answer = wire.Answer(status=status, document={"data": {"id": message}}) if status else None
    request = wire.publish("s", "q", {})
    return Exchange(op=9, request=request, result=result, answer=answer, inv_ns=5 * S, ret_ns=6 * S)


async def again(book: Book, verb: str, end: Exchange) -> None:
    """One replay or conflict of m1, which ends so."""

    async def send(*_: Any, **__: Any) -> Exchange:
        return end

    world = SimpleNamespace(dialect=SimpleNamespace(timeout_s=2))
    run = PlanRun(SimpleNamespace(world=world, send=send), Plan(kind="work", number=0, phases=()), "s")  # type: ignore[arg-type]
    run.queue = SimpleNamespace(id="q", described=lambda *_: {})  # type: ignore[assignment]
    run.book = book
    await run._again(book.entries[1], verb)


class TestAgain:
    """A publish that is sent again: only an answer that says so breaks a promise."""

    @pytest.mark.parametrize("verb", ["replay", "conflict"])
    @pytest.mark.parametrize(
        ("result", "status"),
        [
            (Result.NOT_SENT, 0),
            (Result.UNKNOWN, 0),
            (Result.REJECTED, 429),
            (Result.UNKNOWN, 500),
            (Result.REJECTED, 503),
        ],
    )
    async def test_without_an_answer_nothing_is_proved(self, verb: str, result: Result, status: int) -> None:
        await again(story(1), verb, answered(result, status))

    @pytest.mark.parametrize(
        ("verb", "result", "status", "root"),
        [
            ("replay", Result.OK, 201, "IDEM-1"),
            ("replay", Result.REJECTED, 409, "IDEM-1"),
            ("conflict", Result.OK, 201, "IDEM-3"),
        ],
    )
    async def test_an_answer_may_break_a_promise(self, verb: str, result: Result, status: int, root: str) -> None:
        with pytest.raises(Broken) as broken:
            await again(story(1), verb, answered(result, status, "id-2"))
        assert broken.value.root == root

    async def test_a_key_may_be_forgotten_with_a_message_that_may_be_dead_by_now(self) -> None:
        book = story(1)
        claimed(book, 1.5, 1, hold_s=2)
        book.entries[1].lapses = 1
        await again(book, "replay", answered(Result.OK, 201, "id-2"))


class TestBook:
    """What is impossible in every possible state is accused, and nothing else."""

    def test_a_held_message_is_not_handed_out(self) -> None:
        book = story(1)
        claimed(book, 5, 1)
        assert root_of(book, 6, 1, attempts=2) == "VIS-1"

    def test_a_lapsed_one_is(self) -> None:
        book = story(1)
        claimed(book, 5, 1, hold_s=2)
        claimed(book, 9, 1, attempts=2)

    def test_a_completed_one_never_comes_back(self) -> None:
        book = story(1)
        claimed(book, 5, 1, hold_s=2)
        book.freed(book.entries[1], "complete", sure=True)
        assert root_of(book, 9, 1, attempts=2) == "DONE-4"

    def test_an_unanswered_completion_leaves_both(self) -> None:
        book = story(1)
        claimed(book, 5, 1, hold_s=2)
        book.freed(book.entries[1], "complete", sure=False)
        claimed(book, 9, 1, attempts=2)

    def test_a_release_may_give_the_attempt_back(self) -> None:
        for shown in (1, 2):
            book = story(1)
            claimed(book, 5, 1)
            book.freed(book.entries[1], "release", sure=True)
            claimed(book, 6, 1, attempts=shown)
        book = story(1)
        claimed(book, 5, 1)
        book.freed(book.entries[1], "release", sure=True)
        assert root_of(book, 6, 1, attempts=3) == "CLAIM-4"

    def test_a_lapse_counts(self) -> None:
        book = story(1)
        claimed(book, 5, 1, hold_s=2)
        assert root_of(book, 9, 1, attempts=1) == "VIS-3"

    def test_an_unanswered_claim_may_have_counted(self) -> None:
        book = story(1)
        book.claimed(Claim(exchange=exchange(50, 4, 4.1, ok=False)), hold_s=2, alone=True)
        claimed(book, 9, 1, attempts=2)

    def test_an_unanswered_claim_may_take_what_lapses_later(self) -> None:
        book = story(1)
        claimed(book, 5, 1, hold_s=2)
        book.claimed(Claim(exchange=exchange(50, 5.5, 6, ok=False)), hold_s=2, alone=True)
        claimed(book, 12, 1, attempts=3)

    def test_an_unanswered_claim_may_take_what_is_delayed(self) -> None:
        book = story(1)
        book.entries[1].states = {"hidden", "pending"}
        book.claimed(Claim(exchange=exchange(50, 4, 4.1, ok=False)), hold_s=2, alone=True)
        claimed(book, 12, 1, attempts=2)

    def test_an_unanswered_claim_may_take_what_is_published_later(self) -> None:
        book = story(1)
        book.claimed(Claim(exchange=exchange(50, 4, 4.1, ok=False)), hold_s=2, alone=True)
        later = Entry(number=1, message=book.entries[1].message, rank=(1,), states={"pending"})
        book.published(later)
        assert later.states == {"pending", "held"}
        claimed(book, 12, 1, attempts=2)

    def test_an_older_message_is_not_passed_over(self) -> None:
        assert root_of(story(1, 2), 5, 2) == "ORD-1"

    def test_an_earlier_deadline_is_not_passed_over(self) -> None:
        book = story(1, 2, ordering="deadline")
        book.entries[1].rank, book.entries[2].rank = (0, 60, 1), (0, 59, 2)
        assert root_of(book, 5, 1) == "ORD-2"

    def test_without_a_deadline_any_place_will_do(self) -> None:
        for number in (1, 2):
            book = story(1, 2, ordering="deadline")
            book.entries[1].rank, book.entries[2].rank = (), (0, 59, 2)
            claimed(book, 5, number)

    def test_equal_deadlines_are_not_compared(self) -> None:
        book = story(1, 2, ordering="deadline")
        book.entries[1].rank, book.entries[2].rank = (0, 60, 1), (0, 60, 2)
        claimed(book, 5, 2)

    def test_what_may_share_a_time_stamp_may_change_places(self) -> None:
        book = story(1, 2)
        book.entries[2].message = replace(book.entries[2].message, publish=exchange(2, 1.104, 1.2))
        claimed(book, 5, 2)

    def test_within_one_answer_any_order_will_do(self) -> None:
        claimed(story(1, 2), 5, 2, 1)

    def test_what_came_back_may_stand_anywhere(self) -> None:
        book = story(1, 2)
        claimed(book, 5, 1, hold_s=2)
        claimed(book, 9, 2)

    def test_an_unanswered_claim_ends_the_judging_of_order(self) -> None:
        book = story(1, 2)
        book.claimed(Claim(exchange=exchange(50, 4, 4.1, ok=False)), hold_s=60, alone=True)
        claimed(book, 5, 2)

    def test_spent_retries_are_dead(self) -> None:
        book = story(1, cap=2)
        claimed(book, 5, 1, attempts=1)
        book.freed(book.entries[1], "fail", sure=True)
        claimed(book, 6, 1, attempts=2)
        book.freed(book.entries[1], "fail", sure=True)
        assert book.entries[1].states == {"dead", "pending"}  # one page counts attempts, another retries
        claimed(book, 7, 1, attempts=3)
        book.freed(book.entries[1], "fail", sure=True)
        assert root_of(book, 8, 1, attempts=4) == "DLQ-1"

    def test_a_pause_hands_out_nothing(self) -> None:
        book = story(1)
        book.paused_ns = 4 * S
        assert root_of(book, 5, 1) == "LIFE-4"

    def test_contents_are_those_of_the_publish(self) -> None:
        assert root_of(story(1), 5, 1, body={"n": 2}) == "PUB-5"
        assert root_of(story(1), 5, 1, labels={"plan": "m2"}) == "CLAIM-3"
        claimed(story(1), 5, 1, labels={"added": "by the server"})
        claimed(story(1), 5, 1, labels=None)

    def test_an_extend_without_an_answer_leaves_the_nearer_end(self) -> None:
        book = story(1)
        claimed(book, 5, 1, hold_s=60)
        entry = book.entries[1]
        book.extended(entry, 6 * S, 6 * S + 1, 2, sure=False)
        assert entry.certain_ns < 9 * S
        assert entry.over_ns > 60 * S

    def test_a_message_without_attempts_is_not_judged_by_them(self) -> None:
        claimed(story(1), 5, 1, attempts=wire.ABSENT)
