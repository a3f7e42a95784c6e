"""SEQ: whole sequences of calls, drawn by Hypothesis, after each of which every message must be where it belongs."""

from queueproof.drive.case import Case, proves
from queueproof.drive.plan_shrink import run_plans
from queueproof.drive.plans import FAILING, draw_plans


async def plans(case: Case, kind: str, count: int) -> None:
    """`count` plans of a kind, all at once; a few where the server counts requests."""
    few = 2 if case.world.client.budget.rate_limited else count
    await run_plans(case, draw_plans(kind, count, case.world.seed)[:few], own_scope=kind in FAILING)


@proves("SEQ-1")
async def test_a_worker_may_do_anything(case: Case) -> None:
    """SEQ-1: Whatever legal calls came before, a message MUST be where the life cycle puts it, and the counters MUST
    count it there.

    One worker publishes, replays, claims, completes, fails, releases, extends and lets lapse, some messages delayed.
    """
    await plans(case, "work", 6)


@proves("SEQ-1")
async def test_a_queue_may_be_paused_at_any_moment(case: Case) -> None:
    """SEQ-1: Whatever legal calls came before, a message MUST be where the life cycle puts it, and the counters MUST
    count it there.

    As before, and the queue is paused and resumed between the calls.
    """
    await plans(case, "pauses", 4)


@proves("SEQ-1")
async def test_priorities_outlive_everything(case: Case) -> None:
    """SEQ-1: Whatever legal calls came before, a message MUST be where the life cycle puts it, and the counters MUST
    count it there.

    Messages of all tiers and scores in a queue ordered by priority.
    """
    await plans(case, "priorities", 3)


@proves("SEQ-1")
async def test_failures_end_among_the_dead_letters(case: Case) -> None:
    """SEQ-1: Whatever legal calls came before, a message MUST be where the life cycle puts it, and the counters MUST
    count it there.

    In queues that allow two retries much is failed, and what has used them up is looked for among the dead letters.
    """
    await plans(case, "failures", 3)


@proves("SEQ-1")
async def test_deadlines_outlive_everything(case: Case) -> None:
    """SEQ-1: Whatever legal calls came before, a message MUST be where the life cycle puts it, and the counters MUST
    count it there.

    Messages with far deadlines and without one, where that is taken, in a queue ordered by deadline: some are delayed,
    and the queue is paused and resumed.
    """
    await plans(case, "deadlines", 3)


@proves("SEQ-1")
async def test_a_limit_counts_what_is_there(case: Case) -> None:
    """SEQ-1: Whatever legal calls came before, a message MUST be where the life cycle puts it, and the counters MUST
    count it there.

    In queues ordered by priority, for as many messages as are ever published, of which much is failed and some is
    delayed: whatever counts for `max_depth`, and whatever became of the others, there is room for each.
    """
    await plans(case, "limits", 4)


@proves("SEQ-1")
async def test_a_crowd_may_do_anything_at_once(case: Case) -> None:
    """SEQ-1: Whatever legal calls came before, a message MUST be where the life cycle puts it, and the counters MUST
    count it there.

    The steps of a phase are sent at the same moment; what overlaps may have happened in any order.
    """
    await plans(case, "crowds", 4)
