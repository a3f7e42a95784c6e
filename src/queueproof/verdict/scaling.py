"""What more machines bring, and where they stop: the universal scalability law fitted to capacities at several counts.

C(N) = λN / (1 + σ(N−1) + κN(N−1)), Gunther 2007: λ is what one carries alone, σ the share of the work that queues for
something shared, κ what keeping the others informed costs. N/C(N) is linear in (1, N−1, N(N−1)), so that least squares
on it, with none of the three below zero, is a small exact calculation. The peak lies at N* = √((1−σ)/κ).
"""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

DRAWS: Final = 400
FORECAST: Final = 4  # so many times the largest count that was measured is as far as one looks
_TINY: Final = 1e-9


@dataclass(frozen=True, kw_only=True)
class Law:
    """A fitted law."""

    alone: float  # λ, messages a second of one
    contention: float  # σ
    coherence: float  # κ

    def at(self, count: float) -> float:
        return self.alone * count / (1 + self.contention * (count - 1) + self.coherence * count * (count - 1))

    @property
    def peak(self) -> float | None:
        """The count beyond which more carry less; None when there is none."""
        if self.coherence <= _TINY:
            return None
        return math.sqrt(max(1 - self.contention, 0.0) / self.coherence) or 1.0

    @property
    def ceiling(self) -> float | None:
        """What no number of them passes; None when there is no bound."""
        peak = self.peak
        if peak is not None:
            return self.at(max(1.0, peak))
        return self.alone / self.contention if self.contention > _TINY else None


def fit(points: Sequence[tuple[float, float]]) -> Law | None:
    """The law through (count, capacity) points of two or more counts; two tell nothing of κ, which is then 0."""
    counts = {count for count, _ in points}
    if len(counts) < 2:
        return None
    columns = 3 if len(counts) > 2 else 2
    best: tuple[float, Sequence[float]] | None = None
    for used in (chosen for size in range(1, columns + 1) for chosen in itertools.combinations(range(columns), size)):
        solved = _least_squares(points, used) if 0 in used else None
        if solved is not None and min(solved) >= 0 and solved[0] > 0:
            error = _error(points, solved)
            if best is None or error < best[0] - _TINY * (1 + error):
                best = error, solved
    if best is None:
        return None
    first, second, third = best[1]
    return Law(alone=1 / first, contention=second / first, coherence=third / first)


def _basis(count: float) -> tuple[float, float, float]:
    return 1.0, count - 1, count * (count - 1)


def _least_squares(points: Sequence[tuple[float, float]], used: Sequence[int]) -> list[float] | None:
    """Coefficients of N/C over the used columns, relative errors weighed alike; 0 for the others."""
    rows = [([_basis(n)[column] * c / n for column in used], 1.0) for n, c in points]
    size = len(used)
    matrix = [
        [sum(row[i] * row[j] for row, _ in rows) for j in range(size)] + [sum(row[i] * y for row, y in rows)]
        for i in range(size)
    ]
    for i in range(size):
        pivot = max(range(i, size), key=lambda row: abs(matrix[row][i]))
        matrix[i], matrix[pivot] = matrix[pivot], matrix[i]
        if abs(matrix[i][i]) < 1e-12:
            return None
        for j in range(size):
            if j != i:
                share = matrix[j][i] / matrix[i][i]
                matrix[j] = [a - share * b for a, b in zip(matrix[j], matrix[i], strict=True)]
    found = [0.0, 0.0, 0.0]
    for place, column in enumerate(used):
        found[column] = matrix[place][size] / matrix[place][place]
    return found


def _error(points: Sequence[tuple[float, float]], coefficients: Sequence[float]) -> float:
    return sum((1 - sum(a * b for a, b in zip(_basis(n), coefficients, strict=True)) * c / n) ** 2 for n, c in points)


def told(measured: Sequence[Mapping[str, Any]], *, over: str) -> dict[str, Any]:
    """As results.json keeps it. `measured`: {"count", "rate", "low", "high"} each; {} when one count is all there is.

    Each number's interval comes from refits through capacities drawn from their own intervals.
    """
    points = [(float(one["count"]), float(one["rate"])) for one in measured if one.get("rate")]
    law = fit(points)
    if law is None:
        return {}
    draw = random.Random(1)
    laws = [found for _ in range(DRAWS) if (found := fit([(n, _drawn(one, draw)) for n, one in _with(measured)]))]
    largest = max(n for n, _ in points)
    counts = sorted({n for n, _ in points} | {largest * 2, largest * FORECAST})
    forecast = [{"count": n, "rate": law.at(n), **_middle([one.at(n) for one in laws])} for n in counts]
    return {
        "over": over,
        "points": [dict(one) for one in measured],
        "alone": law.alone,
        "contention": law.contention,
        "coherence": law.coherence,
        "peak": law.peak,
        "ceiling": law.ceiling,
        "forecast": forecast,
        "sentence": sentence(law, over=over, largest=largest, counts=len({n for n, _ in points})),
    }


def _with(measured: Sequence[Mapping[str, Any]]) -> list[tuple[float, Mapping[str, Any]]]:
    return [(float(one["count"]), one) for one in measured if one.get("rate")]


def _drawn(one: Mapping[str, Any], draw: random.Random) -> float:
    """A capacity from its interval, in log rate; four standard deviations lie between the ends."""
    low, high = one.get("low") or one["rate"], one.get("high") or one["rate"]
    spread = math.log(max(high, low) / low) / 3.92 if low > 0 else 0.0
    return float(one["rate"]) * math.exp(draw.gauss(0.0, spread))


def _middle(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "low": ordered[int(0.025 * len(ordered))],
        "high": ordered[min(len(ordered) - 1, int(0.975 * len(ordered)))],
    }


def sentence(law: Law, *, over: str, largest: float, counts: int) -> str:
    """What it means, in words."""
    twice = law.at(2 * largest) / law.at(largest)
    parts = [
        f"One carries {law.alone:,.0f}/s; twice as many {over} as {largest:g} would carry {twice:.2f} times as much"
    ]
    peak = law.peak
    if peak is not None and peak < 10_000:
        parts.append(f"beyond about {max(1, round(peak)):,} {over} more bring less (at most {law.ceiling:,.0f}/s)")
    elif law.ceiling is not None and law.contention > 0.005:
        parts.append(f"no number of {over} passes {law.ceiling:,.0f}/s")
    else:
        parts.append("nothing shared was seen that would stop it")
    if counts < 3:
        parts.append("two counts say nothing of a peak")
    return "; ".join(parts) + "."
