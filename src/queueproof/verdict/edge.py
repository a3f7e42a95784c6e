"""Where a target's edge lies, given windows that met or missed the objectives at known rates, with its uncertainty.

The model: a window at rate r meets with a probability that falls from near 1 to near 0 around the edge c, as a
logistic curve in log(r/c) of unknown width; and any window may miss (a hiccup) or meet (luck) whatever its rate. All
of (c, width) on a grid, every c equally likely beforehand; Bayes' rule; the interval holds the middle 95 % of what is
left. A sharp edge is found in few windows, a soft one keeps a wide interval, and one odd window far from the edge moves
little.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HICCUP: Final = 0.05  # share of windows that miss though the rate is far below the edge
LUCK: Final = 0.01  # … that meet though it is far above
# Widths of the curve, in log rate, and how likely each is: from a limiter that counts exactly to a machine shared with
# others. Wide ones are held unlikely until windows at one rate disagree; else every interval would be wide. Without any
# wider than 0.15 an interval of 95 % held the edge in 70 to 78 of 100 searches on a restless machine.
WIDTHS: Final = ((0.005, 0.28), (0.02, 0.28), (0.06, 0.28), (0.15, 0.12), (0.4, 0.04))
POINTS: Final = 1000  # a step of the grid is finer than the narrowest width
BEYOND: Final = 3.0  # the grid reaches so many times beyond the rates that were tried
CONFIDENCE: Final = 0.95

Window = tuple[float, bool]  # (rate, whether everything was met)


@dataclass(frozen=True)
class Edge:
    """What the windows say of the edge; rates a second."""

    rates: tuple[float, ...]
    below: tuple[float, ...]  # probability that the edge lies at or below the rate beside it

    def at(self, share: float) -> float:
        """The rate below which the edge lies with this probability."""
        for number, reached in enumerate(self.below):
            if reached >= share:
                before = self.below[number - 1] if number else 0.0
                low, high = self.rates[max(0, number - 1)], self.rates[number]
                return low + (high - low) * ((share - before) / (reached - before) if reached > before else 1.0)
        return self.rates[-1]

    @property
    def rate(self) -> float:
        """The median."""
        return self.at(0.5)

    @property
    def interval(self) -> tuple[float, float]:
        """The middle 95 %."""
        return self.at((1 - CONFIDENCE) / 2), self.at((1 + CONFIDENCE) / 2)

    @property
    def spread(self) -> float:
        """Upper end of the interval over its lower end: 1.10 is about ± 5 %."""
        low, high = self.interval
        return high / low


def edge(windows: Sequence[Window]) -> Edge:
    """The edge after these windows, of which there is at least one."""
    low = math.log(min(rate for rate, _ in windows) / BEYOND)
    high = math.log(max(rate for rate, _ in windows) * BEYOND)
    step = (high - low) / (POINTS - 1)
    places = [low + step * number for number in range(POINTS)]
    told = [(math.log(rate), met) for rate, met in windows]
    weights = [sum(share * math.exp(_likelihood(place, width, told)) for width, share in WIDTHS) for place in places]
    whole = sum(weights)
    below, seen = [], 0.0
    for weight in weights:
        seen += weight / whole
        below.append(seen)
    return Edge(rates=tuple(map(math.exp, places)), below=tuple(below))


def _likelihood(place: float, width: float, told: Sequence[Window]) -> float:
    """Its logarithm."""
    return sum(math.log(p if met else 1 - p) for p, met in ((_meets(place, width, at), met) for at, met in told))


def _meets(place: float, width: float, at: float) -> float:
    """Probability that a window at log rate `at` meets."""
    x = max(-40.0, min(40.0, (place - at) / width))
    return LUCK + (1 - LUCK - HICCUP) / (1 + math.exp(-x))
