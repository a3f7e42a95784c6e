"""When each message of an open load is to be sent: a seeded schedule of intended starts, computed and never waited for.

Stages follow each other; within one the rate is constant or changes evenly. The k-th arrival of a stage comes when
the area under its rate reaches k (constant spacing), or reaches a running sum of exponential steps (Poisson): one
formula for constant, ramp, steps and spike. Pure: no clock, no input or output.
"""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Spacing = Literal["constant", "poisson"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A stretch of the load."""

    duration_s: float
    rate: float  # arrivals a second at its start
    to_rate: float  # … and at its end; equal for a constant stage

    @property
    def area(self) -> float:
        """How many arrivals it has on average."""
        return (self.rate + self.to_rate) / 2 * self.duration_s

    def when_s(self, position: float) -> float:
        """Seconds from the stage's start until the area under the rate reaches `position`."""
        slope = (self.to_rate - self.rate) / self.duration_s
        if slope == 0:
            return position / self.rate
        # area(t) = rate·t + slope·t²/2, solved in the form that keeps its digits when the slope is small
        root = math.sqrt(max(self.rate * self.rate + 2 * slope * position, 0.0))
        return min(2 * position / (self.rate + root), self.duration_s) if position > 0 else 0.0


def constant(rate: float, duration_s: float) -> list[Stage]:
    return [Stage(duration_s=duration_s, rate=rate, to_rate=rate)]


def ramp(rate: float, to_rate: float, duration_s: float) -> list[Stage]:
    return [Stage(duration_s=duration_s, rate=rate, to_rate=to_rate)]


def steps(rates: Sequence[float], duration_s: float) -> list[Stage]:
    """Each rate for an equal part of `duration_s`."""
    return [Stage(duration_s=duration_s / len(rates), rate=rate, to_rate=rate) for rate in rates]


def spike(rate: float, peak: float, duration_s: float, *, peak_s: float) -> list[Stage]:
    """`rate` throughout, but `peak` for `peak_s` in the middle."""
    calm_s = (duration_s - peak_s) / 2
    parts = ((calm_s, rate), (peak_s, peak), (calm_s, rate))
    return [Stage(duration_s=length, rate=at, to_rate=at) for length, at in parts]


def duration_s(stages: Sequence[Stage]) -> float:
    return sum(stage.duration_s for stage in stages)


def schedule(stages: Sequence[Stage], *, spacing: Spacing = "constant", seed: int = 1) -> Iterator[int]:
    """Intended starts, ns from the load's start, in order; computed as they are asked for.

    Constant spacing gives exactly round(rate × duration) arrivals a stage.
    """
    draw = random.Random(seed)
    start_s = 0.0
    for stage in stages:
        positions = _even(stage.area) if spacing == "constant" else _poisson(stage.area, draw)
        for position in positions:
            yield int((start_s + stage.when_s(position)) * 1e9)
        start_s += stage.duration_s


def _even(area: float) -> Iterator[float]:
    return map(float, range(round(area)))


def _poisson(area: float, draw: random.Random) -> Iterator[float]:
    position = draw.expovariate(1.0)
    while position < area:
        yield position
        position += draw.expovariate(1.0)


def count(stages: Sequence[Stage], *, spacing: Spacing = "constant", seed: int = 1) -> int:
    """How many arrivals `schedule` gives."""
    if spacing == "constant":
        return sum(round(stage.area) for stage in stages)
    return sum(1 for _ in schedule(stages, spacing=spacing, seed=seed))


def share(starts: Iterator[int], *, index: int, workers: int) -> Iterator[tuple[int, int]]:
    """The part of worker `index` (from 0) of `workers`: (number in the whole schedule, intended start in ns)."""
    return itertools.islice(enumerate(starts), index, None, workers)
