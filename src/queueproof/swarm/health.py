"""Whether the generator itself was the bottleneck: its CPU, its lateness, its garbage collections.

A run whose generator could not keep up says nothing about the target, so it is invalid, and says so.
"""

import gc
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from queueproof.evidence.latency import Histogram, lowest

# A worker is one thread: beyond this share of a core, over a whole run, arrivals queue behind each other.
BUSIEST: Final = 0.90
# On two cores that the target shares, dispatching stays below 5 ms at the 99th percentile; a generator that is ten
# times later measures itself. A handful of late arrivals is the machine's doing, and stands in the histogram.
LATEST_US: Final = 50_000
LATE_ONES: Final = 20

# Cyclic garbage is rare here; a collection of the young takes some 0.1 ms, so it is asked for less often.
_YOUNG: Final = 20_000


_PRESSURE: Final = Path("/proc/pressure/cpu")


class Pressure:
    """How often a program of this machine wanted a processor and had none: Linux's pressure stall information."""

    def __init__(self) -> None:
        self._from = (_waited_s(), time.monotonic())

    def share(self) -> float | None:
        """Of the time since it was made, 0 to 1; None where the kernel does not tell."""
        before_s, began = self._from
        now_s, passed_s = _waited_s(), time.monotonic() - began
        if before_s is None or now_s is None or passed_s <= 0:
            return None
        return round(min(1.0, max(0.0, now_s - before_s) / passed_s), 3)


def _waited_s() -> float | None:
    """Since the machine's start."""
    try:
        found = re.search(r"^some .*\btotal=(\d+)", _PRESSURE.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) / 1e6 if found else None


class Health:
    """One worker's own state, sampled with every tick."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.pauses = 0
        self.pause_ns = 0
        self.longest_pause_ns = 0
        self._pause_from = 0
        self._last = (time.process_time(), time.monotonic())

    def settle(self) -> None:
        """Before the load: what was imported and set up until now is left alone by the collector. Takes a moment."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, 20, 50)

    def start(self) -> None:
        """From here on the load runs."""
        gc.callbacks.append(self._collecting)
        self._last = (time.process_time(), time.monotonic())

    def stop(self) -> None:
        self.sample()
        if self._collecting in gc.callbacks:
            gc.callbacks.remove(self._collecting)
        gc.unfreeze()

    def sample(self) -> None:
        now = (time.process_time(), time.monotonic())
        self.cpu_s += now[0] - self._last[0]
        self.wall_s += now[1] - self._last[1]
        self._last = now

    def _collecting(self, phase: str, _: Mapping[str, Any]) -> None:
        now_ns = time.perf_counter_ns()
        if phase == "start":
            self._pause_from = now_ns
            return
        pause_ns = now_ns - self._pause_from
        self.pauses += 1
        self.pause_ns += pause_ns
        self.longest_pause_ns = max(self.longest_pause_ns, pause_ns)

    def told(self) -> dict[str, float]:
        """As plain data, for the coordinator."""
        return {
            "cpu_s": round(self.cpu_s, 6),
            "wall_s": round(self.wall_s, 6),
            "gc_pauses": self.pauses,
            "gc_pause_ms": round(self.pause_ns / 1e6, 3),
            "gc_longest_ms": round(self.longest_pause_ns / 1e6, 3),
        }


def troubles(
    workers: Mapping[int, Mapping[str, float]], *, dispatch: Histogram, scheduled: int, started: int, open_model: bool
) -> list[str]:
    """Why a run is invalid, in sentences; empty when it is not. `workers`: what each told."""
    found = []
    for index, told in sorted(workers.items()):
        share = told["cpu_s"] / told["wall_s"] if told["wall_s"] else 0.0
        if share > BUSIEST:
            found.append(
                f"worker {index} used {share:.0%} of a core: the generator was the bottleneck (add --processes)"
            )
    late = sum(number for index, number in dispatch.counts.items() if lowest(index) > LATEST_US)
    if open_model and late > max(LATE_ONES, dispatch.count / 100):
        found.append(
            f"{late} of {dispatch.count} arrivals were started more than {LATEST_US // 1000} ms late: "
            "the generator, or the machine that it shares, was the bottleneck"
        )
    if open_model and started != scheduled:
        found.append(f"{started} of {scheduled} scheduled messages were sent: {scheduled - started} were dropped")
    return found
