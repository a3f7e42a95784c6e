"""Runs plans, many at once, and shrinks one that breaks to the few steps that still break it."""

import asyncio
import time
from collections.abc import Sequence

from queueproof.drive.case import Case
from queueproof.drive.outcomes import Blocked, CaseEnd, Disturbed, Violation
from queueproof.drive.plan_run import PlanRun, Ran
from queueproof.drive.plans import Plan

# A plan that the network disturbed starts anew this often.
TRIES = 6
# Shrinking ends after so many rounds, each of so many candidates at once, or after so long.
ROUNDS, CANDIDATES, SHRINK_WITHIN_S = 4, 12, 25.0


async def run_plans(case: Case, plans: Sequence[Plan], *, own_scope: bool = False) -> None:
    """Runs all at once; ends the case on the first that breaks, shrunk, or when too many could not be told."""
    scope = await (case.own_scope("plans") if own_scope else case.scope())
    ends = await asyncio.gather(*(_patiently(case, plan, scope) for plan in plans), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, CaseEnd):
            raise end
    broken = [end for end in ends if isinstance(end, Ran) and end.broken is not None]
    if broken:
        first = min(broken, key=lambda ran: (ran.broken is not None and ran.broken.liveness, len(ran.story)))
        assert first.broken is not None
        if first.broken.liveness and case.name not in case.world.suspected:
            case.world.suspected.add(case.name)  # it proves nothing yet: the engine repeats the case
            _tell(case, first)
        _tell(case, await _shrunk(case, first, scope))
    proven = [end for end in ends if isinstance(end, Violation | Blocked)]
    if proven:
        raise proven[0]
    lost = [end for end in ends if isinstance(end, CaseEnd)]
    if len(lost) > len(plans) // 2:
        raise lost[0]


def _tell(case: Case, ran: Ran) -> None:
    """Ends the case with the story of a broken plan."""
    broken = ran.broken
    assert broken is not None
    told = "; ".join(f"{number}. {line}" for number, line in enumerate(ran.story, 1))
    case.refuse(
        broken.root,
        f"{broken.summary}, after {len(ran.story)} steps",
        expected=broken.expected,
        seen=f"{broken.seen}. The steps: {told}",
        proof=broken.proof,
        evidence=broken.evidence,
        liveness=broken.liveness,
    )


async def _patiently(case: Case, plan: Plan, scope: str) -> Ran:
    """A plan's run, begun anew where the network came between."""
    for _ in range(TRIES - 1):
        try:
            return await PlanRun(case, plan, scope).go()
        except Disturbed:
            continue
    return await PlanRun(case, plan, scope).go()


async def _shrunk(case: Case, ran: Ran, scope: str) -> Ran:
    """The shortest plan found that breaks the same promise: first what the message itself met, then step by step."""
    end = time.monotonic() + SHRINK_WITHIN_S
    best = ran
    if not case.world.shrink or case.world.client.budget.rate_limited:
        return best
    for number in range(ROUNDS):
        places = range(len(best.plan.steps))
        spare = [place for place in places if place not in best.touched]
        drops = [spare] if number == 0 and spare else [[place] for place in places]
        if number > 0:
            half = len(places) // 2
            drops = [list(places[half:]), list(places[:half]), *drops][:CANDIDATES]
        candidates = [best.plan.without(drop) for drop in drops]
        tries = asyncio.gather(*(_patiently(case, plan, scope) for plan in candidates), return_exceptions=True)
        try:
            async with asyncio.timeout(max(1.0, end - time.monotonic())):
                ends = await tries
        except TimeoutError:
            break
        same = [one for one in ends if isinstance(one, Ran) and _same(one, ran)]
        if same:
            best = min(same, key=lambda one: len(one.plan.steps))
        elif number > 0:
            break
    return best


def _same(one: Ran, other: Ran) -> bool:
    return one.broken is not None and other.broken is not None and one.broken.root == other.broken.root
