"""Safety by one observation, liveness by a repeat, disturbances anew; a crash of ours never accuses the server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from drive_server import client_of, http, scripted

from queueproof.contract import wire
from queueproof.drive import engine
from queueproof.drive.case import Case
from queueproof.drive.engine import CONFIRMED_AT, TRIES, CaseSpec, Ended, run_cases
from queueproof.drive.noise import LagMeter
from queueproof.drive.outcomes import Blocked, CaseEnd, Disturbed, Inconclusive, NotRun, NotSupported, Violation
from queueproof.drive.world import World
from queueproof.evidence.created import Ledger
from queueproof.evidence.results import CaseResult, Outcome

Function = Callable[[Case], Awaitable[None]]


def violation(*, liveness: bool = False) -> Violation:
    return Violation("it broke", expected="e", seen="s", proof="1 < 2", evidence=(4,), liveness=liveness)


def blocked(*, liveness: bool = False) -> Blocked:
    return Blocked("SCOPE-1", "no scope", expected="e", seen="s", evidence=(4,), liveness=liveness)


def ending_with(*ends: Exception | None) -> Function:
    """A case whose tries end one after the other like this; the last for ever."""
    tries = iter(range(10**6))

    async def case(_: Case) -> None:
        end = ends[min(next(tries), len(ends) - 1)]
        if end is not None:
            raise end

    return case


async def ran(
    *functions: Function, meter: LagMeter | None = None, done: Sequence[CaseResult] | None = None
) -> list[Ended]:
    specs = [
        CaseSpec(name=f"test_x.py::test_{number}", requirement="VIS-1", function=function)
        for number, function in enumerate(functions)
    ]
    heard = done if isinstance(done, list) else []
    async with client_of("http://127.0.0.1:9") as (client, _):
        world = World(run="r", client=client, ledger=Ledger())
        return await run_cases(world, specs, meter or LagMeter(), done=heard.append)


async def outcome(*ends: Exception | None) -> Ended:
    return (await ran(ending_with(*ends)))[0]


@pytest.mark.parametrize(
    ("ends", "expected", "tries"),
    [
        ([None], Outcome.PASSED, 1),
        ([violation()], Outcome.FAILED, 1),
        ([violation(), None], Outcome.FAILED, 1),
        ([violation(liveness=True)], Outcome.FAILED, CONFIRMED_AT),
        ([violation(liveness=True), None], Outcome.PASSED, 3),
        ([violation(liveness=True), None, violation(liveness=True)], Outcome.FAILED, 3),
        ([violation(liveness=True), violation()], Outcome.FAILED, 2),
        ([Disturbed("net"), None], Outcome.PASSED, 2),
        ([Disturbed("net")], Outcome.INCONCLUSIVE, TRIES),
        ([Disturbed("net"), violation()], Outcome.FAILED, 2),
        ([violation(liveness=True), Disturbed("net"), violation(liveness=True)], Outcome.FAILED, 3),
        ([blocked()], Outcome.BLOCKED, 1),
        ([blocked(liveness=True), None], Outcome.PASSED, 3),
        ([Inconclusive("?")], Outcome.INCONCLUSIVE, 1),
        ([NotRun("no key")], Outcome.NOT_RUN, 1),
        ([NotSupported("404")], Outcome.NOT_SUPPORTED, 1),
        ([ValueError("ours")], Outcome.HARNESS_ERROR, 1),
        ([RecursionError("ours")], Outcome.HARNESS_ERROR, 1),
        ([TimeoutError()], Outcome.HARNESS_ERROR, 1),
        ([AssertionError("ours")], Outcome.HARNESS_ERROR, 1),
    ],
)
async def test_how_a_case_ends(ends: list[Exception | None], expected: Outcome, tries: int) -> None:
    result = (await outcome(*ends)).result
    assert (result.outcome, result.tries) == (expected, tries), result.summary


async def test_a_failure_keeps_its_proof() -> None:
    result = (await outcome(violation())).result
    assert (result.summary, result.expected, result.seen, result.proof) == ("it broke", "e", "s", "1 < 2")
    assert result.evidence == (4,)


async def test_a_confirmed_lateness_says_how_often_it_was_seen() -> None:
    assert "seen 2 times in 2 tries" in (await outcome(violation(liveness=True))).result.summary


async def test_a_passed_repeat_is_told() -> None:
    assert "once in 3 tries" in (await outcome(violation(liveness=True), None)).result.summary


async def test_a_crash_says_where() -> None:
    result = (await outcome(ValueError("ours"))).result
    assert result.summary == "ValueError: ours"
    assert "test_engine.py:" in result.seen


@pytest.mark.parametrize(
    ("end", "proves"),
    [(blocked(), "SCOPE-1"), (blocked(liveness=True), "SCOPE-1"), (violation(), ""), (Inconclusive("?"), "")],
)
async def test_what_a_blocked_case_proves(end: CaseEnd, proves: str) -> None:
    ended = await outcome(end)
    assert ended.proves == proves
    assert ended.result.root == proves


async def test_one_missing_thing_proves_nothing() -> None:
    assert (await outcome(blocked(liveness=True), None)).proves == ""


async def test_a_late_harness_blames_nobody() -> None:
    meter = LagMeter()
    meter.lags_ns.extend([0, 10**12])

    async def late(_: Case) -> None:
        meter.lags_ns.append(10**12)
        raise violation(liveness=True)

    ended = (await ran(late, meter=meter))[0]
    assert ended.result.outcome is Outcome.INCONCLUSIVE
    assert "harness itself was too slow" in ended.result.summary


async def test_a_late_harness_still_sees_what_needs_no_clock() -> None:
    meter = LagMeter()
    meter.lags_ns.append(10**12)
    assert (await ran(ending_with(violation()), meter=meter))[0].result.outcome is Outcome.FAILED


async def test_all_cases_run_at_once_and_are_told_as_they_end() -> None:
    arrived = asyncio.Barrier(3)
    heard: list[CaseResult] = []

    async def meets(_: Case) -> None:
        await arrived.wait()

    async with asyncio.timeout(10):
        ended = await ran(meets, meets, meets, done=heard)
    assert [end.result.name for end in ended] == [f"test_x.py::test_{number}" for number in range(3)]
    assert len(heard) == 3


async def test_a_cancelled_run_keeps_what_ended() -> None:
    begun = asyncio.Event()

    async def endless(_: Case) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(ran(ending_with(None), ending_with(violation()), endless))
    await begun.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    passed, failed, cut = [end.result for end in await task]
    assert (passed.outcome, failed.outcome, cut.outcome) == (Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE)
    assert "interrupted" in cut.summary


async def test_each_try_is_a_new_case() -> None:
    seen: list[Case] = []

    async def case(new: Case) -> None:
        seen.append(new)
        if len(seen) < 3:
            raise Disturbed("net")

    await ran(case)
    assert len(set(map(id, seen))) == 3


def _answer(status: int) -> bytes:
    return http({"status": "error", "error": {"code": "X"}}, status=status)


@pytest.mark.parametrize(("first", "then", "proves"), [(500, 500, "CLAIM-1"), (500, 400, ""), (503, 503, "")])
async def test_a_verb_that_never_works_is_no_disturbance(first: int, then: int, proves: str) -> None:
    """Answered 500 to each call of each try: its promise is broken; else the network may have come between."""
    async with scripted(_answer(first), _answer(then)) as server, client_of(server.url) as (client, _):

        async def case(new: Case) -> None:
            await new.send(wire.claim("s", "q", batch_size=1, visibility_timeout_s=2))
            raise Disturbed("not answered")

        world = World(run="r", client=client, ledger=Ledger())
        spec = CaseSpec(name="x", requirement="VIS-1", function=case)
        (ended,) = await run_cases(world, [spec], LagMeter())
    assert ended.proves == proves
    assert ended.result.outcome is (Outcome.BLOCKED if proves else Outcome.INCONCLUSIVE)


async def test_every_ending_has_an_outcome() -> None:
    kinds = {kind for end in CaseEnd.__subclasses__() for kind in (end, *end.__subclasses__())}
    assert kinds == set(engine._OUTCOMES)


class TestPersist:
    """A call that must succeed: what ends the case, and as what."""

    async def persisted(self, *says: bytes, requirement: str = "VIS-1", monkeypatch: pytest.MonkeyPatch) -> CaseResult:
        monkeypatch.setattr("queueproof.drive.case.FIRST_PAUSE_S", 0.0)
        async with scripted(*says) as server, client_of(server.url) as (client, _):
            world = World(run="r", client=client, ledger=Ledger())

            async def case(new: Case) -> None:
                await new.own_scope()

            spec = CaseSpec(name="x", requirement=requirement, function=case)
            return (await run_cases(world, [spec], LagMeter()))[0].result

    @pytest.mark.parametrize(
        ("says", "requirement", "expected", "root"),
        [
            ([http({"data": {"id": "s1"}})], "VIS-1", Outcome.PASSED, ""),
            ([http({"error": {"code": "X"}}, status=422)], "VIS-1", Outcome.BLOCKED, "SCOPE-1"),
            ([http({"error": {"code": "X"}}, status=422)], "SCOPE-1", Outcome.FAILED, ""),
            ([http({}, status=500)], "VIS-1", Outcome.BLOCKED, "SCOPE-1"),
            ([http({}, status=500), http({"data": {"id": "s1"}})], "VIS-1", Outcome.PASSED, ""),
            ([http({}, status=503)], "VIS-1", Outcome.INCONCLUSIVE, ""),
            ([http({}, status=403)], "VIS-1", Outcome.NOT_RUN, ""),
            ([http({"data": {}})], "VIS-1", Outcome.BLOCKED, "SCOPE-1"),
            ([http(content=b"<p>")], "VIS-1", Outcome.BLOCKED, "ENV-1"),
        ],
    )
    async def test_ends(
        self, says: list[bytes], requirement: str, expected: Outcome, root: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = await self.persisted(*says, requirement=requirement, monkeypatch=monkeypatch)
        assert (result.outcome, result.root) == (expected, root), result.summary


async def test_a_verb_that_is_absent_is_named() -> None:
    """Only one that never answered otherwise in the case; what the case itself says is kept."""

    async def probing(case: Case) -> None:
        for verb in ("release", "extend", "extend"):
            await case.send(getattr(wire, verb)("s", "m", **({"visibility_timeout_s": 5} if verb == "extend" else {})))
        raise NotSupported("it is not there", lacks=("dead-letter",))

    says = [http({}, status=404), http({}, status=404), http({"data": {}})]
    async with scripted(*says) as server, client_of(server.url) as (client, _):
        world = World(run="r", client=client, ledger=Ledger())
        spec = CaseSpec(name="test_x.py::test_x", requirement="VIS-5", function=probing)
        [ended] = await run_cases(world, [spec], LagMeter())
    assert ended.result.lacks == ("dead-letter", "release")


async def test_a_right_that_comes_and_goes_is_no_lack_of_one() -> None:
    """A key that was granted a call before, and is refused it now, has the right."""

    async def twice(case: Case) -> None:
        await case.own_scope()
        await case.own_scope()

    says = [http({"data": {"id": "s1"}}), http({}, status=403), http({"data": {"id": "s2"}})]
    async with scripted(*says) as server, client_of(server.url) as (client, _):
        spec = CaseSpec(name="test_x.py::test_x", requirement="VIS-1", function=twice)
        [ended] = await run_cases(World(run="r", client=client, ledger=Ledger()), [spec], LagMeter())
    assert (ended.result.outcome, ended.result.tries) == (Outcome.PASSED, 2)
