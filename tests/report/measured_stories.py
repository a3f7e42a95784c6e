"""Runs that measured something: a load second by second, a capacity with its knee, two versions beside each other."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.report import conftest as stories
from tests.report.conftest import Run

from queueproof.evidence.latency import Interval, IntervalLog, bucket, log_name, read_logs
from queueproof.evidence.results import Results, Verdict
from queueproof.evidence.run import RunDirectory, manifest_of
from queueproof.verdict import scaling
from queueproof.verdict.capacity import Came, Manner, Probe, search
from queueproof.verdict.compare import Side, compare

SECONDS = 30
EVIL = "<img src=x onerror=alert(1)>\"'`|\u202e\x1b[31m" + "x" * 90
URL = "http://127.0.0.1:8080"


def write_logs(
    path: Path, middles_ms: Mapping[tuple[str, str], float], *, seed: int = 1, seconds: int = SECONDS
) -> None:
    """An interval log each (verb, kind): 400 values a second about the middle, a slow path, a stall in second 10."""
    draw = random.Random(seed)
    for (verb, kind), middle_ms in middles_ms.items():
        log = IntervalLog(path / log_name(verb, kind), start_s=1_000.0)
        for second in range(seconds):
            counts: dict[int, int] = {}
            for number in range(400):
                slow = 6.0 if number % 50 == 0 else 1.0
                stalled = 8.0 if second == 10 and kind == "response" and number % 4 == 0 else 1.0
                at = bucket(max(1, int(1_000 * middle_ms * slow * stalled * draw.lognormvariate(0.0, 0.25))))
                counts[at] = counts.get(at, 0) + 1
            log.write(Interval(start_s=1_000.0 + second, length_s=1.0, counts=counts))
        log.close()


def load(path: Path) -> Path:
    """The load of the other stories, with its interval logs."""
    stories.load(path)
    middles = {"publish": 0.9, "claim": 1.5, "complete": 0.7, "e2e": 9.0}
    write_logs(path, {(verb, "response"): middle_ms for verb, middle_ms in middles.items()}, seconds=16)
    return path


# ── capacity ──────────────────────────────────────────────────────────────────────────────────────────────────────


def capacity(path: Path) -> Path:
    """Four replicas beside one and two: windows up to the knee, an interval, and the law through the three."""
    limit = 820.0
    draw = random.Random(7)
    objective = "e2e.p99 < 200ms"

    def probe(rate: float, phase: str) -> Probe:
        busy = rate / limit * draw.gauss(1.0, 0.012)
        p99_us = round(9_000 / (1 - busy) if busy < 0.98 else 450_000 + 8_000_000 * (busy - 0.98))
        met = p99_us < 200_000
        held = [{"expression": objective, "value_us": p99_us, "met": met}]
        held.append({"expression": "errors < 0.1%", "value": 0.0002, "met": True})
        detail = {
            "processes": 1, "sent": round(10 * rate), "duration_s": 10.0, "throughput": min(rate, limit),
            "objectives": held, "e2e_p99_us": p99_us, "generator_cpu": round(rate / 4_000, 3), "restless": "",
        }  # fmt: skip
        why = "" if met else f"missed {objective}"
        return Probe(rate=rate, came=Came.MET if met else Came.MISSED, why=why, phase=phase, detail=detail)

    found = search(probe, Manner(start=100.0))
    answer = {"rate": found.rate, "low": found.low, "high": found.high}
    fewer = [
        {"count": 1, "rate": 262.0, "low": 251.0, "high": 274.0},
        {"count": 2, "rate": 468.0, "low": 455.0, "high": 482.0},
    ]
    probes = [
        {"rate": one.rate, "came": one.came, "why": one.why, "phase": one.phase, "number": number,
         "directory": f"windows/{number:02}-{one.rate:.0f}", **one.detail}
        for number, one in enumerate(found.probes, 1)
    ]  # fmt: skip
    told = {
        **answer, "bound": found.bound, "held": found.held, "why": found.why, "proven": True, "samples": 2_000,
        "conformance": "the core suite is green", "replicas": 4, "probes": probes,
        "searches": [{**answer, "processes": 1, "bound": found.bound, "held": found.held, "why": found.why}],
        "scaling": scaling.told([*fewer, {"count": 4, **answer}], over="replicas"),
    }  # fmt: skip
    held = next(tuple(one["objectives"]) for one in probes if one["rate"] == found.held)
    said = f"Carries {found.rate:.0f}/s (95 % interval {found.low:.0f} to {found.high:.0f}) with {objective}."
    command = f'queueproof capacity steady --url {URL} --objective "{objective}" --replicas 4 --beside r1 --beside r2'
    run = Run(path, kind="capacity", command=command, scenario="steady", replicas=4)
    return run.finish(Verdict.OBJECTIVES_MET, 0, summary=said, capacity=told, objectives=held)


def hostile_capacity(path: Path) -> Path:
    """A search whose every word is markup, two windows that say little, and a law over two counts."""

    def point(count: int) -> dict[str, float]:
        return {"count": count, "rate": 400.0 * count, "low": 380.0 * count, "high": 420.0 * count}

    told: dict[str, Any] = {
        "bound": "interval", "rate": 400.0, "low": 380.0, "high": 420.0, "held": 395.0, "why": EVIL, "proven": False,
        "conformance": EVIL, "samples": 2000, "searches": [],
        "probes": [
            {"number": 1, "rate": 200.0, "came": "met", "why": "", "phase": "rise", "directory": "windows/01"},
            {"number": 2, "rate": 400.0, "came": "missed", "why": EVIL, "phase": "x", "directory": f"windows/{EVIL}"},
            {"number": 3, "rate": 300.0, "came": "invalid", "why": EVIL, "phase": "repeat"},
        ],
        "scaling": {
            "over": "replicas", "points": [point(1), point(2)], "alone": 400.0, "contention": 0.01,
            "coherence": 0.001, "peak": 30.0, "ceiling": 4000.0, "forecast": [point(1), point(2), point(8)],
            "sentence": EVIL,
        },
    }  # fmt: skip
    return _hostile(Run(path, kind="capacity", command=EVIL, x=EVIL), capacity=told)


def _hostile(run: Run, **told: Any) -> Path:
    held = ({"expression": EVIL, "value_us": 1, "met": False},)
    return run.finish(Verdict.OBJECTIVES_MISSED, 1, summary=EVIL, advice=EVIL, objectives=held, **told)


# ── comparison ────────────────────────────────────────────────────────────────────────────────────────────────────


def compared(path: Path) -> Path:
    """A version whose claims take a fifth longer, and whose completes a quarter less: both are told."""
    sides = [_side(path / "before", seed=1), _side(path / "after", seed=2, claim=1.21, complete=0.74)]
    found = compare(*sides)
    command = "queueproof compare main reports/latest"
    run = Run(path, kind="compare", command=command, baseline=sides[0].name, run=sides[1].name, fail_on=[])
    return run.finish(
        found.verdict, int(found.exit_code), summary=found.summary, comparison=found.told, objectives=found.objectives
    )


def _side(path: Path, *, seed: int, claim: float = 1.0, complete: float = 1.0) -> Side:
    middles = {("publish", "response"): 3.1, ("claim", "response"): 21.0 * claim}
    middles |= {("complete", "response"): 6.4 * complete, ("e2e", "response"): 30.0 * claim}
    directory = RunDirectory.create(path, "load", f"ab12cd0{seed}")
    write_logs(path, {**middles, ("dispatch", "lateness"): 0.05}, seed=seed)
    manifest = manifest_of(run=f"ab12cd0{seed}", kind="load", target={"url": URL}, options={}, command="")
    scenario = {"scenario": "steady", "model": "open", "scheduled": 12_000, "sent": 12_000, "throughput": 399.6}
    verbs = {name: {"count": 12_000, "errors": 0} for name in ("publish", "claim", "complete")}
    results = Results(schema=1, verdict=Verdict.OBJECTIVES_MET, exit_code=0, load=scenario, verbs=verbs)
    directory.write_manifest(manifest)
    directory.write_results(results)
    name = "reports/baselines/main" if seed == 1 else "reports/20261124-151421-load-cgyylimc"
    return Side(name=name, manifest=manifest, results=results, logs=read_logs(path))


def hostile_comparison(path: Path) -> Path:
    side = {
        "name": EVIL, "run": "a", "started": "2026-01-01T00:00:00Z", "target": "", "scenario": EVIL, "sent": 1,
        "throughput": 1.0,
    }  # fmt: skip
    metric = {
        "metric": EVIL, "change": "slower", "baseline_us": 1e4, "run_us": 2e4, "ratio": 2.0, "low": 1.8, "high": 2.2,
        "allowed_us": 500.0,
    }  # fmt: skip
    told: dict[str, Any] = {
        "baseline": side, "run": side, "metrics": [metric], "notes": [EVIL],
        "shown": [{"verb": EVIL, "percent": 50.0, "baseline_us": 1e4, "run_us": 2e4}],
        "errors": {"baseline": 0.0, "run": 0.1, "worse": True},
    }  # fmt: skip
    return _hostile(Run(path, kind="compare", command=EVIL, x=EVIL), comparison=told)
