"""How uncertain a percentile of one run is: a moving-block bootstrap over the intervals of its log.

Neighbouring seconds are alike (a compaction, a busy neighbour), so intervals are drawn in blocks of consecutive ones
(Künsch 1989); the block's length grows with the cube root of the number of intervals. Percentiles are compared as
logarithms: what is asked is how many times slower, and a logarithm's errors are nearly symmetric.
"""

import bisect
import itertools
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from queueproof.evidence.latency import Counts, highest

DRAWS: Final = 200
MOST: Final = 120  # intervals; longer runs are put together into so many
FEWEST: Final = 6  # … and fewer say nothing of how they vary


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One percentile of one run."""

    value_us: float
    error: float  # standard error of its natural logarithm
    freedom: float  # degrees of freedom of that error: blocks minus one
    count: int  # samples


class Sample:
    """The intervals of one histogram, ready to be drawn from again and again."""

    def __init__(self, intervals: Sequence[Counts]) -> None:
        kept = [counts for counts in intervals if counts]
        size = -(-len(kept) // MOST) or 1
        groups = [kept[start : start + size] for start in range(0, len(kept), size)]
        self._buckets = sorted({index for counts in kept for index in counts})
        place = {index: number for number, index in enumerate(self._buckets)}
        self._sums: list[list[int]] = []
        for group in groups:
            row = [0] * len(self._buckets)
            for counts in group:
                for index, number in counts.items():
                    row[place[index]] += number
            self._sums.append(list(itertools.accumulate(row)))
        self.count = sum(sums[-1] for sums in self._sums)
        self.size = len(self._sums)
        self.block = max(1, round(self.size ** (1 / 3)))

    def percentile(self, percent: float, weights: Sequence[int]) -> float:
        """µs, where each interval counts as often as its weight says."""
        used = [(sums, weight) for sums, weight in zip(self._sums, weights, strict=True) if weight]
        total = sum(sums[-1] * weight for sums, weight in used)
        wanted = max(1, int(percent / 100 * total + 0.5))
        at = bisect.bisect_left(
            range(len(self._buckets) - 1), wanted, key=lambda n: sum(sums[n] * weight for sums, weight in used)
        )
        return float(max(1, highest(self._buckets[at])))

    def draws(self, draw: random.Random) -> list[list[int]]:
        """Weights of the intervals, a list a draw."""
        found = []
        for _ in range(DRAWS):
            weights = [0] * self.size
            left = self.size
            while left > 0:
                start = draw.randrange(self.size - self.block + 1)
                for number in range(start, start + min(self.block, left)):
                    weights[number] += 1
                left -= self.block
            found.append(weights)
        return found


def estimates(sample: Sample, percents: Sequence[float], *, seed: int = 1) -> list[Estimate] | None:
    """Each percentile with its error; None when there are too few intervals to tell."""
    if sample.size < FEWEST:
        return None
    weights = sample.draws(random.Random(seed))
    freedom = sample.size / sample.block - 1
    # What a block bootstrap draws varies a little less than the run did: it draws around the run's own mean.
    more = math.sqrt((freedom + 1) / freedom)
    found = []
    for percent in percents:
        drawn = [math.log(sample.percentile(percent, one)) for one in weights]
        value = sample.percentile(percent, [1] * sample.size)
        found.append(
            Estimate(value_us=value, error=statistics.pstdev(drawn) * more, freedom=freedom, count=sample.count)
        )
    return found


def upper_tail(t: float, freedom: float) -> float:
    """Probability that Student's t with so many degrees of freedom is above `t` (by Hill's normal approximation)."""
    a = freedom - 0.5
    b = 48 * a * a
    w = a * math.log1p(t * t / freedom)
    z = math.sqrt(max(w, 0.0)) * (
        1 + (w + 3) / b - (4 * w * w * w + 33 * w * w + 240 * w + 855) / (10 * b * (b + 0.8 * w * w + 100))
    )
    tail = 0.5 * math.erfc(z / math.sqrt(2))
    return tail if t >= 0 else 1 - tail


def quantile(share: float, freedom: float) -> float:
    """The t below which Student's t lies with probability `share` (≥ 0.5)."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - upper_tail(middle, freedom) < share else (low, middle)
    return (low + high) / 2
