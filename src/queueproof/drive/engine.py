"""Runs every case at once in one event loop, so that a run lasts about as long as its longest single wait.

Safety is decided by one observation. Liveness (something came late or not at all) is confirmed by repeats: a case
fails on it when it does so twice. A case that the network disturbed starts anew on fresh queues. Where the target hands
out only so many messages to one key, the cases that were starved are tried again, few at a time (crowding).
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from queueproof.drive.case import Case
from queueproof.drive.crowding import at_once, let_go, most_held
from queueproof.drive.limits import Rate, RequestBudget
from queueproof.drive.noise import LagMeter
from queueproof.drive.outcomes import (
    Blocked,
    CaseEnd,
    Disturbed,
    FewHeld,
    Inconclusive,
    NotRun,
    NotSupported,
    Violation,
)
from queueproof.drive.world import World
from queueproof.evidence.results import CaseResult, Outcome

# With 2 % of answers lost a case of forty calls runs undisturbed once in two: ten tries leave one in a thousand.
TRIES = 10
# A liveness failure counts when it is seen this often.
CONFIRMED_AT = 2
# A case that has begun sends about every second third of a second when it can.
CASES_A_REQUEST = 3
# As often a case whose liveness failed while the harness was late is tried once more.
NOISY_TRIES = 3
# A verb whose every call is answered 500, in each of TRIES tries, does not work: what promises that it does.
NEVER_WORKS = {"publish": "PUB-1", "claim": "CLAIM-1", "complete": "DONE-1"}
TOLD_NOTHING = frozenset({Outcome.INCONCLUSIVE, Outcome.NOT_SUPPORTED})
FAILED = 500  # not 502, 503 or 504: those may be in between, and pass


@dataclass(frozen=True, kw_only=True)
class CaseSpec:
    """A case to be run: `function(case)` is awaited."""

    name: str  # "conformance/test_visibility.py::test_…"
    requirement: str
    function: Callable[[Case], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A case's result; `proves`: another requirement, on which it rests, was proven broken on the way."""

    result: CaseResult
    proves: str = ""
    late: bool = False  # something came late or not at all, or it could not be told


async def run_cases(
    world: World, specs: Sequence[CaseSpec], meter: LagMeter, *, done: Callable[[CaseResult], None] = lambda _: None
) -> list[Ended]:
    """Every case's end, in the order of `specs`; `done` hears of each as it ends.

    When cancelled, the cases that have not ended are inconclusive, and their ends are still returned.
    """
    gate = _Gate(world.client.budget)
    ended = await _all_ends(specs, lambda spec: _in_turn(gate, world, spec, meter, done))
    starved = [number for number, end in enumerate(ended) if end.late]
    accused = [number for number in starved if ended[number].result.outcome not in TOLD_NOTHING]
    task = asyncio.current_task()
    if accused and not (task and task.cancelling()):
        most: int | None = None
        with contextlib.suppress(asyncio.CancelledError):
            most = await most_held(world)
        if most is not None:
            world.most_held = most
            few = asyncio.Semaphore(at_once(most))
            again = [specs[number] for number in starved]
            ends = await _all_ends(again, lambda spec: _sparing(few, world, spec, meter, most))
            for number, end in zip(starved, ends, strict=True):
                ended[number] = end
    for number in starved:
        done(ended[number].result)
    return ended


async def _all_ends(specs: Sequence[CaseSpec], end_of: Callable[[CaseSpec], Coroutine[Any, Any, Ended]]) -> list[Ended]:
    """Each case's end; when this is cancelled, those that have not ended are inconclusive."""
    tasks = [asyncio.create_task(end_of(spec), name=spec.name) for spec in specs]
    try:
        await asyncio.gather(*tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [_ended(task, spec) for task, spec in zip(tasks, specs, strict=True)]


def cases_at_once(rate: Rate | None) -> int:
    """How many cases share a limited rate, so that each gets its calls in time; 0 for all."""
    return max(1, math.ceil(rate.a_second * CASES_A_REQUEST)) if rate else 0


class _Gate:
    """Lets as many cases begin as the rate, which may become known or change meanwhile, has room for."""

    def __init__(self, budget: RequestBudget) -> None:
        self._budget = budget
        self._running = 0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        async with self._changed:
            await self._changed.wait_for(self._has_room)
            self._running += 1

    async def __aexit__(self, *_: object) -> None:
        async with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._running < (cases_at_once(self._budget.rate) or math.inf)


async def _in_turn(
    gate: _Gate, world: World, spec: CaseSpec, meter: LagMeter, done: Callable[[CaseResult], None]
) -> Ended:
    async with gate:
        ended = await _run(world, spec, meter)
    if not ended.late:
        done(ended.result)
    return ended


async def _sparing(few: asyncio.Semaphore, world: World, spec: CaseSpec, meter: LagMeter, most: int) -> Ended:
    """The case's end on a target that hands out at most `most` messages: what it misses there proves nothing."""
    async with few:
        before = len(world.queues)
        ended = await _run(world, spec, meter)
        with contextlib.suppress(CaseEnd):
            own = [queue for queue in world.queues[before:] if queue.case.name == spec.name]
            await let_go(Case(world, spec.requirement, spec.name), own)
    if ended.late and ended.result.outcome is not Outcome.INCONCLUSIVE:
        word = f"the target hands out no more than {most} messages at a time to one key, in all queues together"
        return Ended(result=msgspec.structs.replace(ended.result, outcome=Outcome.NOT_SUPPORTED, summary=word, root=""))
    return ended


def _ended(task: "asyncio.Task[Ended]", spec: CaseSpec) -> Ended:
    if task.cancelled() or task.exception() is not None:
        return Ended(
            result=CaseResult(
                name=spec.name,
                requirement=spec.requirement,
                outcome=Outcome.INCONCLUSIVE,
                summary="the run was interrupted before it ended",
            )
        )
    return task.result()


async def _run(world: World, spec: CaseSpec, meter: LagMeter) -> Ended:
    begun = time.monotonic()
    noisy = 0  # liveness failures that the harness's own lateness may explain
    missed = 0  # liveness failures so far
    kept = 0  # tries that passed after one
    end: CaseEnd | None = None
    tries = 0
    broken = dict(NEVER_WORKS)  # verbs that failed on the server in every try so far
    while tries < TRIES:
        tries += 1
        begin = meter.mark()
        end, case = await _attempt(world, spec)
        broken = {verb: root for verb, root in broken.items() if verb in _failing(case)}
        if isinstance(end, Disturbed):
            if broken and tries == TRIES:
                end = _does_not_work(*next(iter(broken.items())), case)
            continue
        if isinstance(end, Violation | Blocked) and end.liveness:
            if not meter.quiet(world.slack_s, begin):
                noisy += 1
                end = Inconclusive(f"the harness itself was too slow to tell: {end.summary}", evidence=end.evidence)
                if noisy == NOISY_TRIES:
                    break
                continue
            missed += 1
            if missed == CONFIRMED_AT:
                break
        elif missed and end is None:
            kept += 1
            if kept == CONFIRMED_AT:
                break
        else:
            break
    return _result(spec, end, tries=tries, missed=missed, duration_s=time.monotonic() - begun)


async def _attempt(world: World, spec: CaseSpec) -> tuple[CaseEnd | None, Case]:
    """One try: None when it passed. A crash of ours is an end as well (`_Crash`)."""
    case = Case(world, spec.requirement, spec.name)
    return await _end_of(case, spec), case


async def _end_of(case: Case, spec: CaseSpec) -> CaseEnd | None:
    if case.world.client.silence.word:
        return Inconclusive(case.world.client.silence.word)
    try:
        await spec.function(case)
    except NotSupported as end:
        end.lacks = (*end.lacks, *_absent(case))
        return end
    except CaseEnd as end:
        return end
    except Exception as error:
        return _Crash(error)
    return None


def _failing(case: Case) -> set[str]:
    """The verbs that the case was answered 500 for, and never otherwise."""
    answered = [exchange for exchange in case.exchanges if exchange.answer is not None]
    return {call.request.verb for call in answered} - {call.request.verb for call in answered if call.status != FAILED}


def _does_not_work(verb: str, root: str, case: Case) -> Blocked:
    calls = [exchange for exchange in case.exchanges if exchange.request.verb == verb]
    return Blocked(
        root,
        f"every {verb} was answered {FAILED}, in each of {TRIES} tries",
        expected=f"a {verb} that succeeds",
        seen=calls[-1].told(),
        evidence=(calls[-1].op,),
    )


def _absent(case: Case) -> list[str]:
    """The verbs that the case was answered 404, 405 or 501 for, and never otherwise."""
    worked = {exchange.request.verb for exchange in case.exchanges if not exchange.unsupported}
    return sorted({exchange.request.verb for exchange in case.exchanges} - worked)


class _Crash(CaseEnd):
    """The case itself, or the code under it, failed."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error = error
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        self.place = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""


def _result(spec: CaseSpec, end: CaseEnd | None, *, tries: int, missed: int, duration_s: float) -> Ended:
    outcome, summary = Outcome.PASSED, f"late or absent once in {tries} tries, then as promised" if missed else ""
    expected = seen = proof = root = ""
    if end is not None:
        summary = end.summary
        outcome = _OUTCOMES[type(end)]
    if isinstance(end, Violation):
        expected, seen, proof = end.expected, end.seen, end.proof
    if isinstance(end, Violation | Blocked) and missed:
        summary = f"{summary} (seen {missed} times in {tries} tries)"
    if isinstance(end, Blocked):
        expected, seen, proof, root = end.expected, end.seen, end.proof, end.root
    if isinstance(end, Disturbed):
        summary = f"disturbed in each of {tries} tries, last by: {summary}"
    if isinstance(end, _Crash):
        seen = end.place
    result = CaseResult(
        name=spec.name,
        requirement=spec.requirement,
        outcome=outcome,
        summary=summary,
        expected=expected,
        seen=seen,
        proof=proof,
        root=root,
        evidence=end.evidence if end else (),
        duration_s=round(duration_s, 3),
        tries=tries,
        lacks=end.lacks if isinstance(end, NotSupported) else (),
    )
    proven = isinstance(end, Blocked) and (not end.liveness or missed >= CONFIRMED_AT)
    late = isinstance(end, Inconclusive | Disturbed | FewHeld) or (
        isinstance(end, Violation | Blocked) and end.liveness
    )
    return Ended(result=result, proves=root if proven else "", late=late)


_OUTCOMES: dict[type[CaseEnd], Outcome] = {
    Violation: Outcome.FAILED,
    Blocked: Outcome.BLOCKED,
    NotSupported: Outcome.NOT_SUPPORTED,
    FewHeld: Outcome.NOT_SUPPORTED,
    NotRun: Outcome.NOT_RUN,
    Inconclusive: Outcome.INCONCLUSIVE,
    Disturbed: Outcome.INCONCLUSIVE,
    _Crash: Outcome.HARNESS_ERROR,
}
