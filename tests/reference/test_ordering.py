"""Scores and backoff."""

from hypothesis import given
from hypothesis import strategies as st

from scaiqueue_reference.message import TIERS
from scaiqueue_reference.ordering import BACKOFF_CAP_US, NO_DEADLINE, aged, backoff_us, score, to_be_aged

tiers = st.sampled_from(TIERS)
priorities = st.integers(0, 1000)
times = st.integers(0, 253_402_300_799_999_999)


def _priority(tier: str, priority: int) -> int:
    return score("priority", created_us=1, deadline_us=None, tier=tier, priority=priority)


@given(tiers, priorities, tiers, priorities)
def test_a_tier_goes_before_every_score_of_the_next(tier: str, one: int, other_tier: str, other: int) -> None:
    """Tier first, then the higher score; exactly the order of the pairs."""
    expected = (TIERS.index(tier), -one) < (TIERS.index(other_tier), -other)
    assert (_priority(tier, one) < _priority(other_tier, other)) == expected


@given(times, times)
def test_fifo_goes_by_creation_and_ignores_the_rest(one: int, other: int) -> None:
    """Priority and deadline do not matter."""
    first = score("fifo", created_us=one, deadline_us=5, tier="background", priority=0)
    second = score("fifo", created_us=other, deadline_us=1, tier="critical", priority=1000)
    assert (first < second) == (one < other)


@given(times)
def test_no_deadline_comes_last(deadline: int) -> None:
    """Later than any deadline that can be written, and exact as a double."""
    with_one = score("deadline", created_us=0, deadline_us=deadline, tier="normal", priority=0)
    without = score("deadline", created_us=0, deadline_us=None, tier="normal", priority=0)
    assert with_one < without
    assert int(float(NO_DEADLINE)) == NO_DEADLINE


@given(st.integers(1, 10_000))
def test_backoff_never_shrinks_and_has_a_cap(attempts: int) -> None:
    """From half a second, doubling, up to the cap."""
    assert backoff_us(1) == 500_000
    assert backoff_us(attempts) <= backoff_us(attempts + 1) <= BACKOFF_CAP_US


@given(tiers, priorities, st.integers(1, 10**9), st.integers(0, 10))
def test_aging_lifts_by_whole_tiers_and_finds_what_it_would_lift(
    tier: str, priority: int, period_us: int, periods: int
) -> None:
    """After each period one tier, up to the highest; what stands where it belongs is not looked for again."""
    fresh, now_us = _priority(tier, priority), 10**12

    def due(at: int, waited_us: int) -> bool:
        steps = to_be_aged(now_us, period_us)
        return any(
            name == tier and low <= at < beyond and now_us - waited_us <= created
            for name, low, beyond, created in steps
        )

    waited_us = periods * period_us
    lifted = aged(fresh, tier, waited_us=waited_us, period_us=period_us)
    assert lifted == _priority(TIERS[max(0, TIERS.index(tier) - periods)], priority)
    assert due(fresh, waited_us) == (lifted != fresh)
    assert not due(lifted, waited_us)
