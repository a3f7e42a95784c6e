"""At most eight requests in flight, urgent ones first, and silence for as long as the server asks."""

import asyncio
from collections.abc import Callable

import pytest

from queueproof.contract.wire import Answer
from queueproof.drive import limits
from queueproof.drive.limits import DEFAULT_PAUSE_S, IN_FLIGHT, LONGEST_PAUSE_S, RequestBudget


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
                if inside == IN_FLIGHT:
                    enough.set()
                await leave.wait()
                inside -= 1

        calls = [asyncio.create_task(call()) for _ in range(40)]
        await enough.wait()
        leave.set()
        await asyncio.gather(*calls)
        assert (most, inside) == (IN_FLIGHT, 0)

    async def test_urgent_calls_go_before_what_waits(self) -> None:
        budget = RequestBudget(1)
        order: list[str] = []

        async def call(name: str, urgent: bool) -> None:
            async with budget.slot(urgent=urgent):
                order.append(name)

        async with budget.slot():
            tasks = [
                asyncio.create_task(call(name, urgent))
                for name, urgent in [("a", False), ("b", False), ("c", True), ("d", True)]
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert order == ["c", "d", "a", "b"]

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
