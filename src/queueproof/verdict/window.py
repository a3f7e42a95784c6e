"""What one steady window says about its rate: the results of a load run, read as a probe of the capacity search.

Beside the objectives a rate counts as carried only when it was: the target took (nearly) every message, and the backlog
did not grow throughout. Else a target that refuses one message in ten, or that will fall over in a minute, would pass
whatever objective does not name that.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from queueproof.errors import ExitCode
from queueproof.evidence.results import Results
from queueproof.verdict.capacity import Came, Probe
from queueproof.verdict.consumers import BUSY, Crew
from queueproof.verdict.objectives import Objective

# A carried rate is one of which the target takes so much …
TAKEN: Final = 0.99
# … and of which no more than this piles up, over and above what the scenario itself holds back.
PILED: Final = 0.02
# … and a backlog breathes: what comes in a quarter of a second, or twenty messages, is no growth.
BREATH_S: Final = 0.25
FEWEST_PILED: Final = 20
# A percentile is worth stating when so many samples lie beyond it: then it moves by a fifth between equal windows.
BEYOND: Final = 20
# A target that queues needs a while until its delay shows: beyond its limit by a share e, it is late by e·T after T
# seconds, so that an objective of 200 ms hides 2 % in a window of ten seconds, and 4 % in one of five.
SHORTEST_S: Final = 10.0
SHORTEST_FAR_S: Final = 5.0
LONGEST_S: Final = 15.0


def samples(objectives: Sequence[Objective]) -> int:
    """How many samples the rarest percentile among the objectives needs: 20 beyond it (p99: 2,000)."""
    found = [
        1 - float(match[1]) / 100 for one in objectives if (match := re.search(r"\.p(\d+(?:\.\d+)?)$", one.metric))
    ]
    rarest = min((share for share in found if share > 0), default=0.05)
    return round(BEYOND / rarest)


def length_s(rate: float, wanted: int, phase: str) -> float:
    """How long a window lasts: until there are enough samples, within limits; half as long while rates are far off."""
    far = phase in {"rise", "fall"}
    enough_s = wanted / rate * (0.5 if far else 1.0)
    return max(SHORTEST_FAR_S if far else SHORTEST_S, min(LONGEST_S, enough_s))


def read(
    results: Results, *, rate: float, phase: str, crew: Crew, held_back: float = 0.0, detail: Mapping[str, Any]
) -> Probe:
    """The probe. `held_back`: the share of messages that the scenario itself leaves uncompleted for a while."""
    came, why = _came(results, held_back)
    load = results.load
    count = crew.count(rate)
    busy = crew.busy(results.verbs, load.get("throughput", 0.0), count)
    if came in {Came.MET, Came.MISSED}:
        short = crew.short(rate=rate, missed=came is Came.MISSED, busy=busy, verbs=results.verbs)
        if short:
            came, why = Came.SHORT, f"{why}: its {count:,} consumers were busy, so again with {crew.count(rate):,}"
        elif came is Came.MISSED and busy >= BUSY and crew.fixed:
            why = f"{why} (its {count:,} consumers were busy; more of them, --users, may carry more)"
    told = {
        **detail,
        "sent": load.get("sent", 0),
        "consumers": count,
        "consumers_busy": round(busy, 3),
        "duration_s": load.get("duration_s", 0.0),
        "throughput": load.get("throughput", 0.0),
        "objectives": [dict(one) for one in results.objectives],
        "e2e_p99_us": results.verbs.get("e2e", {}).get("response", {}).get("p99_us", 0),
        "generator_cpu": max((_share(one) for one in load.get("workers", [])), default=0.0),
    }
    return Probe(rate=rate, came=came, why=why, phase=phase, detail=told)


def _share(worker: Mapping[str, Any]) -> float:
    return round(worker.get("cpu_s", 0.0) / worker["wall_s"], 3) if worker.get("wall_s") else 0.0


def _came(results: Results, held_back: float) -> tuple[Came, str]:
    """In the order in which reasons count (verdict/load_judge.py)."""
    violations = [one for one in results.findings if one.weight == "violation"]
    if violations:
        return Came.FINDING, violations[0].summary
    if results.exit_code == ExitCode.INTERRUPTED:
        return Came.INTERRUPTED, "interrupted"
    if results.exit_code == ExitCode.TARGET:
        return Came.GONE, results.summary
    if results.exit_code == ExitCode.HARNESS:
        return Came.FAILED, results.summary
    if results.load.get("invalid"):
        return Came.INVALID, str(results.load["invalid"][0])
    if why := _not_taken(results):
        return Came.MISSED, why
    missed = [one["expression"] for one in results.objectives if one["met"] is False]
    if missed:
        return Came.MISSED, f"missed {', '.join(missed)}"
    if why := _piled_up(results, held_back):
        return Came.MISSED, why
    unknown = [one["expression"] for one in results.objectives if one["met"] is None]
    if unknown or not results.complete:
        return Came.FAILED, f"never measured: {', '.join(unknown)}" if unknown else results.summary
    return Came.MET, ""


def _not_taken(results: Results) -> str:
    publish = results.verbs.get("publish", {})
    calls, errors = publish.get("count", 0), publish.get("errors", 0)
    if not calls or (calls - errors) / calls >= TAKEN:
        return ""
    codes = sorted(publish.get("codes", {}).items(), key=lambda one: -one[1])
    named = f" ({codes[0][0]} {codes[0][1]:,} times)" if codes else ""
    return f"the target took {(calls - errors) / calls:.1%} of the messages{named}"


def _piled_up(results: Results, held_back: float) -> str:
    """Whether the backlog grew all the time: the last third's mean against the first third's."""
    series = [one["backlog"] for one in results.load.get("series", [])]
    sent, duration_s = results.load.get("sent", 0), results.load.get("duration_s", 0.0)
    seconds = series[: int(duration_s)]
    third = len(seconds) // 3
    if not third:
        return ""
    early, late = sum(seconds[:third]) / third, sum(seconds[-third:]) / third
    grown = late - early
    span_s = len(seconds) - third
    rate = sent / duration_s
    share = grown / (rate * span_s) if sent else 0.0
    if grown > max(FEWEST_PILED, BREATH_S * rate) and share > PILED + held_back:
        return f"the backlog grew by {grown / span_s:,.0f} messages a second: it would not be carried for long"
    return ""
