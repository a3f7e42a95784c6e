"""Scores and backoff."""

from hypothesis import given
from hypothesis import strategies as st

from scaiqueue_reference.message import TIERS
from scaiqueue_reference.ordering import BACKOFF_CAP_US, NO_DEADLINE, backoff_us, score

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
