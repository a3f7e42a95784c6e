"""Where a message stands in its queue, and how long it waits after a failure: pure arithmetic.

The lowest score is claimed first; equal scores go by message id, which sorts by the time of publishing.
"""

from collections.abc import Iterator

from scaiqueue_reference.message import TIERS

# Beyond every deadline that RFC 3339 can write (year 9999), exact as a double: the place of a message without one.
NO_DEADLINE = 1 << 60

BACKOFF_BASE_US = 500_000
BACKOFF_CAP_US = 30_000_000

_SCORES_PER_TIER = 1001  # scores 0 to 1000


def score(ordering: str, *, created_us: int, deadline_us: int | None, tier: str, priority: int) -> int:
    """The score under `fifo` (created), `deadline` (earliest first) or `priority` (tier, then the higher priority)."""
    if ordering == "priority":
        return TIERS.index(tier) * _SCORES_PER_TIER + (_SCORES_PER_TIER - 1 - priority)
    if ordering == "deadline":
        return NO_DEADLINE if deadline_us is None else deadline_us
    return created_us


def aged(score: int, tier: str, *, waited_us: int, period_us: int) -> int:
    """The score under `priority` of a message that has waited: a tier higher for every period, and as before in it."""
    level = max(0, TIERS.index(tier) - waited_us // period_us)
    return level * _SCORES_PER_TIER + score % _SCORES_PER_TIER


def to_be_aged(now_us: int, period_us: int) -> Iterator[tuple[str, int, int, int]]:
    """Which messages stand too low: their tier, scores from and below, and when they were created at the latest."""
    for index, tier in enumerate(TIERS):
        for level in range(1, index + 1):
            first = level * _SCORES_PER_TIER
            yield tier, first, first + _SCORES_PER_TIER, now_us - (index - level + 1) * period_us


def backoff_us(attempts: int) -> int:
    """The wait after failed attempt number `attempts` (from 1): doubles from 0.5 s up to 30 s."""
    return min(BACKOFF_CAP_US, BACKOFF_BASE_US << min(max(attempts - 1, 0), 10))
