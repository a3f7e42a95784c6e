"""The search for the highest rate that a target carries: rise, narrow, repeat near the edge, state the interval.

`search` is given `probe(rate, phase) → Probe` and starts no load, so that it is tried on simulated servers. A probe is
one steady window. What cannot be held against the target (the generator was the bottleneck) is no miss: the search goes
on below it, and where nothing lower was missed the answer is a lower bound and says whose limit it is.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from queueproof.verdict.edge import Edge, edge


class Came(StrEnum):
    """What a window came to."""

    MET = "met"
    MISSED = "missed"
    SHORT = "short"  # its consumers were the bottleneck: run again at once, with more
    INVALID = "invalid"  # the generator was the bottleneck: nothing is said about the target
    FINDING = "finding"  # the target broke a promise
    GONE = "gone"  # the target did not answer any more
    FAILED = "failed"  # the harness failed, or nothing could be measured
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One steady window at one rate."""

    rate: float  # messages a second that were offered
    came: Came
    why: str = ""  # what was missed or went wrong, in words
    phase: str = ""  # "rise", "fall", "narrow" or "repeat"
    detail: dict[str, Any] = field(default_factory=dict)  # for the report; not looked at here


class Bound(StrEnum):
    """What kind of answer there is."""

    INTERVAL = "interval"  # the edge was seen from both sides
    AT_LEAST = "at-least"  # the generator ended before the target did
    BELOW = "below"  # even the lowest rate missed
    NONE = "none"  # no number: a finding, a target that went away, an interruption


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What a search found; rates a second."""

    bound: Bound
    rate: float | None = None  # the edge's median; for a lower bound the highest rate that was held
    low: float | None = None  # 95 % interval; `high` is None where only the generator ended
    high: float | None = None
    held: float | None = None  # the highest rate at which more windows met than missed
    why: str = ""  # why there is no interval, or why it is wider than was asked for
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How to search."""

    start: float  # first rate
    precision: float = 0.05  # the interval's half, as a share of the rate, at which the search is content
    most: int = 16  # windows
    lowest: float = 1.0  # below this rate nothing is tried
    highest: float = 1_000_000.0


RISE: Final = 2.0
FALL: Final = 4.0
# Windows near the edge are repeats of each other; so many make an interval worth stating.
REPEATS: Final = 4
NARROW: Final = 1.25  # interval's ends apart by more than this: still looking, not yet repeating
ABOVE: Final = 0.7  # share of what is still possible that lies below the next rate, after a window that met
CONFIRM: Final = 2  # so many invalid windows at one rate, one after the other, are the generator's limit

Probing = Callable[[float, str], Probe]


def search(probe: Probing, manner: Manner) -> Capacity:
    """Looks for the edge. `probe(rate, phase)` runs one window, and lets the target come to rest before it."""
    seen: list[Probe] = []
    ceiling = math.inf  # the generator's limit
    while sum(one.came is not Came.SHORT for one in seen) < manner.most:
        asked = _next(seen, ceiling, manner)
        if asked is None:
            break
        rate, phase = asked
        found = probe(rate, phase)
        seen.append(found)
        if found.came in _ENDS:
            return _ended(found, seen)
        last = seen[-CONFIRM:]
        invalid = len(last) == CONFIRM and all(one.came is Came.INVALID and one.rate == rate for one in last)
        # Where it has sent as much before, it is a neighbour that has the machine for longer.
        if invalid and not any(sent >= rate for sent, _ in windows(seen)):
            ceiling = min(ceiling, rate)
    return _answer(seen, ceiling, manner)


_ENDS: Final = frozenset({Came.FINDING, Came.GONE, Came.FAILED, Came.INTERRUPTED})


def _next(seen: Sequence[Probe], ceiling: float, manner: Manner) -> tuple[float, str] | None:
    """The next rate and why; None when enough is known."""
    if not seen:
        return manner.start, "rise"
    met = [one.rate for one in seen if one.came is Came.MET]
    missed = [one.rate for one in seen if one.came is Came.MISSED]
    if seen[-1].came is Came.SHORT:
        return seen[-1].rate, seen[-1].phase
    if seen[-1].came is Came.INVALID and seen[-1].rate < ceiling:
        return seen[-1].rate, "repeat"  # once more: another program may have had the machine for a moment
    if not missed:
        return _up(max(met, default=0.0), ceiling, manner)
    if not met:
        rate = min(missed) / FALL
        lower = max(rate, manner.lowest)
        return (lower, "fall") if lower < min(missed) else None
    return _near(edge(windows(seen)), seen, ceiling, manner)


def _up(best: float, ceiling: float, manner: Manner) -> tuple[float, str] | None:
    """Higher: doubled, or, below the generator's limit, half-way to it."""
    if ceiling < math.inf:
        if not best:
            lower = ceiling / FALL
            return (lower, "fall") if lower >= manner.lowest else None
        between = math.sqrt(best * ceiling)
        return (between, "narrow") if ceiling / best > 1 + 2 * manner.precision else None
    higher = best * RISE
    return (higher, "rise") if higher <= manner.highest else None


def _near(found: Edge, seen: Sequence[Probe], ceiling: float, manner: Manner) -> tuple[float, str] | None:
    """After a miss below the middle of what is still possible, after a window that met above it.

    So either side of the edge is tried again and again, and the interval shrinks from both ends.
    """
    repeats = sum(one.phase == "repeat" and one.came in {Came.MET, Came.MISSED} for one in seen)
    if found.spread <= 1 + 2 * manner.precision and repeats >= REPEATS:
        return None
    last = next(one for one in reversed(seen) if one.came in {Came.MET, Came.MISSED})
    rate = found.at(ABOVE if last.came is Came.MET else 1 - ABOVE)
    return (rate, "repeat" if found.spread <= NARROW else "narrow") if rate < ceiling else None


def windows(seen: Sequence[Probe]) -> list[tuple[float, bool]]:
    """Those that say something about the target."""
    return [(one.rate, one.came is Came.MET) for one in seen if one.came in {Came.MET, Came.MISSED}]


def held(seen: Sequence[Probe]) -> float | None:
    """The highest rate that met, and that no more windows at or below it missed than met at or above it."""
    for rate in sorted({one.rate for one in seen if one.came is Came.MET}, reverse=True):
        above = sum(one.came is Came.MET and one.rate >= rate for one in seen)
        below = sum(one.came is Came.MISSED and one.rate <= rate for one in seen)
        if above > below:
            return rate
    return None


def _ended(last: Probe, seen: Sequence[Probe]) -> Capacity:
    return Capacity(bound=Bound.NONE, held=held(seen), why=last.why, probes=tuple(seen))


def _answer(seen: Sequence[Probe], ceiling: float, manner: Manner) -> Capacity:
    best = held(seen)
    missed = [one for one in seen if one.came is Came.MISSED]
    probes = tuple(seen)
    if best is None:
        if not missed:
            why = next((one.why for one in seen if one.came is Came.INVALID), "")
            return Capacity(
                bound=Bound.NONE, why=f"the generator was the bottleneck at every rate: {why}", probes=probes
            )
        lowest = min(missed, key=lambda one: one.rate)
        return Capacity(bound=Bound.BELOW, high=lowest.rate, why=lowest.why, probes=probes)
    if not missed:
        why = next((one.why for one in seen if one.came is Came.INVALID), "the search ended there")
        return Capacity(bound=Bound.AT_LEAST, rate=best, low=best, held=best, why=why, probes=probes)
    found = edge(windows(seen))
    low, high = found.interval
    why = ""
    if found.spread > 1 + 2 * manner.precision:
        why = "the edge is not sharp: windows at the same rate met and missed"
        if found.rate >= ceiling:
            why = f"the generator ends at {ceiling:.4g}/s"
    return Capacity(bound=Bound.INTERVAL, rate=found.rate, low=low, high=high, held=best, why=why, probes=probes)
