"""At most eight requests in flight, urgent ones first, and silence for as long as the server asks."""

import asyncio
import math
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from queueproof.contract.wire import Answer
from queueproof.drive import limits
from queueproof.drive.limits import DEFAULT_PAUSE_S, LONGEST_PAUSE_S, Rate, RequestBudget, read_rate, stated
from queueproof.drive.width import LEAST
from queueproof.errors import UsageError


class Clock:
    """Time that passes when somebody sleeps, and only then. Unix time is EPOCH ahead of the monotonic clock."""

    EPOCH = 1_800_000_000.0

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.EPOCH + self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits.time, "monotonic", clock.monotonic)
    monkeypatch.setattr(limits.time, "time", clock.time)
    monkeypatch.setattr(limits.asyncio, "sleep", clock.sleep)
    return clock


def limited(status: int = 429, document: object = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, document=document, headers=named)


async def slept_after(budget: RequestBudget, clock: Clock, *, burst: bool = False) -> list[float]:
    async with budget.slot(burst=burst):
        return clock.slept


async def noted(budget: RequestBudget, order: list[str], name: str, *, urgent: bool) -> None:
    async with budget.slot(urgent=urgent):
        order.append(name)


class TestPlaces:
    """Who may send, and when."""

    async def test_eight_at_once(self) -> None:
        budget = RequestBudget()
        inside = most = 0
        enough, leave = asyncio.Event(), asyncio.Event()

        async def call() -> None:
            nonlocal inside, most
            async with budget.slot():
                inside += 1
                most = max(most, inside)
                if inside == LEAST:
                    enough.set()
                await leave.wait()
                inside -= 1

        calls = [asyncio.create_task(call()) for _ in range(40)]
        await enough.wait()
        leave.set()
        await asyncio.gather(*calls)
        assert (most, inside) == (LEAST, 0)

    async def test_urgent_calls_go_before_what_waits(self) -> None:
        budget = RequestBudget(1)
        order: list[str] = []
        async with budget.slot():
            tasks = [
                asyncio.create_task(noted(budget, order, name, urgent=urgent))
                for name, urgent in [("a", False), ("b", False), ("c", True), ("d", True)]
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert order == ["c", "d", "a", "b"]

    async def test_urgent_calls_keep_nobody_out(self) -> None:
        budget = RequestBudget(1)
        order: list[str] = []
        urgent = ["urgent"] * (limits.URGENT_IN_A_ROW + 2)
        async with budget.slot():
            tasks = [
                asyncio.create_task(noted(budget, order, name, urgent=name == "urgent")) for name in ("plain", *urgent)
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert order.index("plain") == limits.URGENT_IN_A_ROW

    async def test_a_call_that_is_kept_waiting_lends_its_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "LEND_AFTER_S", 0.0)
        budget = RequestBudget(1)
        async with budget.slot(lends=True), asyncio.timeout(5), budget.slot():
            pass
        assert budget._free == 1

    async def test_only_so_many_places_are_lent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "LEND_AFTER_S", 0.0)
        budget = RequestBudget(1)
        inside, leave, lent = 0, asyncio.Event(), asyncio.Event()

        async def kept() -> None:
            nonlocal inside
            async with budget.slot(lends=True):
                inside += 1
                if inside > limits.MOST_LENT:
                    lent.set()
                await leave.wait()

        calls = [asyncio.create_task(kept()) for _ in range(limits.MOST_LENT + 5)]
        await lent.wait()
        await asyncio.sleep(0.01)
        assert inside == limits.MOST_LENT + 1
        leave.set()
        await asyncio.gather(*calls)
        assert (inside, budget._free) == (limits.MOST_LENT + 5, 1)

    async def test_a_burst_needs_no_place(self) -> None:
        budget = RequestBudget(1)
        async with budget.slot(), budget.slot(burst=True):
            pass

    @pytest.mark.parametrize("cancel", [lambda tasks: tasks[0], lambda tasks: tasks[1]])
    async def test_a_cancelled_wait_loses_no_place(self, cancel: Callable[[list], asyncio.Task[None]]) -> None:
        budget = RequestBudget(1)

        async def call() -> None:
            async with budget.slot():
                pass

        async with budget.slot():
            tasks = [asyncio.create_task(call()) for _ in range(2)]
            await asyncio.sleep(0)
            cancel(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(5), budget.slot():
            pass

    async def test_cancelled_in_the_moment_of_its_turn(self) -> None:
        budget = RequestBudget(1)

        async def call() -> None:
            async with budget.slot():
                raise AssertionError("it was cancelled")

        async with budget.slot():
            task = asyncio.create_task(call())
            await asyncio.sleep(0)
        task.cancel()  # its place was given to it, and it has not run yet
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(5), budget.slot():
            pass

    async def test_a_failed_call_gives_its_place_back(self) -> None:
        budget = RequestBudget(1)
        for _ in range(3):
            with pytest.raises(ValueError, match="x"):
                async with budget.slot():
                    raise ValueError("x")


class TestSilence:
    """What an answer says about rates."""

    @pytest.mark.parametrize(
        ("answer", "pause"),
        [
            (limited(retry_after="3"), 3.0),
            (limited(retry_after="0.25"), 0.25),
            (limited(), DEFAULT_PAUSE_S),
            (limited(retry_after="soon"), DEFAULT_PAUSE_S),
            (limited(document={"error": {"retry_after": 7}}), 7.0),
            (limited(retry_after="3600"), LONGEST_PAUSE_S),
            (limited(retry_after="inf"), LONGEST_PAUSE_S),
            (limited(document={"error": {"retry_after": 10**400}}), LONGEST_PAUSE_S),
            (limited(200, x_scaigrid_ratelimit_remaining="0", x_scaigrid_ratelimit_reset="4"), 4.0),
            (limited(200, x_ratelimit_remaining="0", x_ratelimit_reset="4"), 4.0),
            (limited(200, ratelimit_remaining="0", ratelimit_reset=f"{Clock.EPOCH + 1012:.0f}"), 12.0),
        ],
    )
    async def test_asked_for(self, clock: Clock, answer: Answer, pause: float) -> None:
        budget = RequestBudget()
        budget.learn(answer)
        assert await slept_after(budget, clock) == [pytest.approx(pause)]

    @pytest.mark.parametrize(
        "answer",
        [
            limited(200),
            limited(200, retry_after="9"),
            limited(429, retry_after="0"),
            limited(429, retry_after="-1"),
            limited(429, retry_after="nan"),
            limited(200, x_ratelimit_remaining="5", x_ratelimit_reset="9"),
            limited(200, x_ratelimit_remaining="0"),
            limited(200, x_ratelimit_remaining="none", x_ratelimit_reset="9"),
            limited(200, x_ratelimit_remaining="0", x_ratelimit_reset="nan"),
            limited(200, ratelimit_remaining="0", ratelimit_reset=f"{Clock.EPOCH:.0f}"),
        ],
    )
    async def test_not_asked_for(self, clock: Clock, answer: Answer) -> None:
        budget = RequestBudget()
        budget.learn(answer)
        assert await slept_after(budget, clock) == []

    async def test_a_date(self, clock: Clock) -> None:
        from email.utils import formatdate

        budget = RequestBudget()
        budget.learn(limited(retry_after=formatdate(clock.time() + 30, usegmt=True)))
        assert await slept_after(budget, clock) == [pytest.approx(30, abs=1)]

    async def test_a_shorter_wish_never_shortens_a_longer_one(self, clock: Clock) -> None:
        budget = RequestBudget()
        budget.learn(limited(retry_after="20"))
        budget.learn(limited(retry_after="1"))
        assert await slept_after(budget, clock) == [20.0]
        assert budget.rate_limited == 2

    async def test_bursts_are_silent_too(self, clock: Clock) -> None:
        budget = RequestBudget()
        budget.learn(limited(retry_after="5"))
        assert await slept_after(budget, clock, burst=True) == [5.0]

    async def test_silence_that_is_prolonged_while_waiting(self, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
        budget = RequestBudget()
        budget.learn(limited(retry_after="5"))
        sleep = clock.sleep

        async def prolonging(seconds: float) -> None:
            await sleep(seconds)
            if len(clock.slept) == 1:
                budget.learn(limited(retry_after="2"))

        monkeypatch.setattr(limits.asyncio, "sleep", prolonging)
        assert await slept_after(budget, clock) == [5.0, 2.0]


class TestRate:
    """A limited rate is kept in every window, and part of it is kept for what is urgent."""

    @pytest.mark.parametrize(
        ("text", "rate"),
        [
            ("60/min", Rate(requests=60, per_s=60)),
            (" 60 / m ", Rate(requests=60, per_s=60)),
            ("25/s", Rate(requests=25, per_s=1)),
            ("1000/h", Rate(requests=1000, per_s=3600)),
            ("100/30s", Rate(requests=100, per_s=30)),
            ("0.5/sec", Rate(requests=0.5, per_s=1)),
        ],
    )
    def test_spelt(self, text: str, rate: Rate) -> None:
        assert read_rate(text) == rate

    @pytest.mark.parametrize(
        "text", ["", "60", "60/", "/s", "0/s", "5/0s", "-1/s", "1e3/s", "60/fortnight", "sixty/min"]
    )
    def test_misspelt(self, text: str) -> None:
        with pytest.raises(UsageError) as caught:
            read_rate(text)
        assert "60/min" in caught.value.hint

    @pytest.mark.parametrize(("requests", "per_s"), [(60, 60), (25, 1), (5, 1), (1, 1), (3, 10)])
    @pytest.mark.parametrize("urgent", [True, False])
    async def test_no_window_holds_more(self, clock: Clock, requests: float, per_s: float, urgent: bool) -> None:
        budget = RequestBudget(rate=Rate(requests=requests, per_s=per_s))
        sent: list[float] = []
        for _ in range(200):
            async with budget.slot(urgent=urgent):
                sent.append(clock.now)
        for at in sent:
            assert sum(at <= other < at + per_s for other in sent) <= requests
        assert 200 / (sent[-1] - sent[0]) >= 0.45 * requests / per_s

    async def test_the_last_tokens_are_for_what_is_urgent(self, clock: Clock) -> None:
        budget = RequestBudget(rate=Rate(requests=60, per_s=60))
        urgent, begun = 0, clock.now
        while clock.now == begun:
            async with budget.slot():
                pass
        clock.now = begun = clock.now + 0.001
        while clock.now == begun:
            async with budget.slot(urgent=True):
                urgent += clock.now == begun
        assert urgent >= 2

    async def test_what_must_overlap_is_saved_up_for(self, clock: Clock) -> None:
        budget = RequestBudget(rate=Rate(requests=60, per_s=60))
        for _ in range(10):
            async with budget.slot(urgent=True):
                pass
        await budget.save_up(6)
        begun = clock.now
        for _ in range(6):
            async with budget.slot(burst=True):
                assert clock.now == begun

    async def test_saving_up_costs_nothing_without_a_limit(self, clock: Clock) -> None:
        await RequestBudget().save_up(100)
        assert clock.slept == []

    def test_an_announced_limit_is_learnt(self) -> None:
        budget = RequestBudget()
        assert (budget.rate, budget.tight, budget.rationed) == (None, False, False)
        budget.learn(limited(200, x_scaigrid_ratelimit_limit="60", x_scaigrid_ratelimit_remaining="59"))
        assert budget.rate == Rate(requests=60, per_s=60)
        assert (budget.tight, budget.rationed) == (True, True)
        budget.learn(limited(200, x_ratelimit_limit="60", x_ratelimit_remaining="59", x_ratelimit_reset="2"))
        assert budget.rate == Rate(requests=60, per_s=2)
        assert not budget.tight

    def test_a_limit_that_the_user_gave_is_kept(self) -> None:
        budget = RequestBudget(rate=Rate(requests=10, per_s=1))
        budget.learn(limited(200, x_ratelimit_limit="600", x_ratelimit_remaining="59"))
        assert budget.rate == Rate(requests=10, per_s=1)

    @pytest.mark.parametrize("value", ["nan", "inf", "0", "-5", "many", "1000000"])
    def test_no_limit_at_all(self, value: str) -> None:
        budget = RequestBudget()
        budget.learn(limited(200, x_ratelimit_limit=value, x_ratelimit_remaining="59"))
        assert budget.rate is None

    def test_refusals_that_come_whatever_the_rate_do_not_stop_the_run(self, clock: Clock) -> None:
        budget = RequestBudget()
        told = {"x_ratelimit_limit": "60", "x_ratelimit_reset": "60"}
        budget.learn(limited(200, **told))
        for _ in range(40):
            budget.learn(limited(429, retry_after="1", **told))
            clock.now += 2.0
        assert budget.rate == Rate(requests=15, per_s=60)

    def test_a_refusal_in_spite_of_it_makes_it_slower(self, clock: Clock) -> None:
        budget = RequestBudget()
        told = {"x_ratelimit_limit": "60", "x_ratelimit_reset": "60"}
        budget.learn(limited(200, **told))
        for _ in range(3):  # of one silence
            budget.learn(limited(429, retry_after="5", **told))
        assert budget.rate == Rate(requests=54, per_s=60)

    def test_a_reset_is_a_moment_of_the_servers_clock(self) -> None:
        """An hour ahead of ours, as its `Date` shows: the window ends in a minute all the same."""
        ahead = time.time() + 3600
        reset, date = str(math.ceil(ahead + 60)), formatdate(ahead, usegmt=True)
        told = limited(200, x_ratelimit_limit="600", x_ratelimit_remaining="59", x_ratelimit_reset=reset, date=date)
        reset_s = stated(told, now_s=time.time()).reset_s
        assert reset_s is not None
        assert 59 <= reset_s <= 63
