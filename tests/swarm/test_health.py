"""The generator watches itself, feeds Locust's statistics, and keeps Locust out of everybody else's process."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from queueproof.evidence.latency import Histogram, bucket
from queueproof.swarm import health
from queueproof.swarm.health import Health, Pressure, troubles

GOOD = {"cpu_s": 1.0, "wall_s": 10.0}
CALM = Histogram({bucket(100): 1000})


@pytest.mark.parametrize(
    ("worker", "dispatch", "started", "word"),
    [
        (GOOD, CALM, 1000, ""),
        ({"cpu_s": 9.5, "wall_s": 10.0}, CALM, 1000, "worker 0 used 95% of a core"),
        (GOOD, Histogram({bucket(100): 900, bucket(90_000): 100}), 1000, "100 of 1000 arrivals were started more than"),
        (GOOD, Histogram({bucket(100): 985, bucket(90_000): 15}), 1000, ""),
        (GOOD, CALM, 990, "10 were dropped"),
    ],
)
def test_a_run_is_invalid_when_its_generator_was(
    worker: dict[str, float], dispatch: Histogram, started: int, word: str
) -> None:
    found = troubles({0: worker}, dispatch=dispatch, scheduled=1000, started=started, open_model=True)
    assert (word in found[0]) if word else found == []


def test_a_closed_load_is_judged_by_its_cpu_alone() -> None:
    late = Histogram({bucket(90_000): 1000})
    assert troubles({0: GOOD}, dispatch=late, scheduled=5, started=9, open_model=False) == []


def test_the_hunger_for_processors_is_read_off_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "cpu"
    clock = [100.0]
    monkeypatch.setattr(health, "_PRESSURE", told)
    monkeypatch.setattr(health.time, "monotonic", lambda: clock[0])
    assert Pressure().share() is None
    told.write_text("some avg10=1.00 avg60=0.0 avg300=0.0 total=5000000\nfull avg10=0.0 avg60=0.0 avg300=0.0 total=7\n")
    pressure = Pressure()
    told.write_text("some avg10=1.00 avg60=0.0 avg300=0.0 total=8000000\n")
    clock[0] = 110.0
    assert pressure.share() == 0.3


def test_collections_are_counted_while_it_runs() -> None:
    own = Health()
    own.start()
    gc.collect()
    own.stop()
    told = own.told()
    gc.collect()
    assert told["gc_pauses"] >= 1
    assert told["gc_pause_ms"] >= told["gc_longest_ms"] > 0
    assert own.told()["gc_pauses"] == told["gc_pauses"]


def python(program: str) -> str:
    """What a program of its own prints."""
    command = [sys.executable, "-c", "import sys\nsys.path[:0] = " + repr([p for p in sys.path if p]) + "\n" + program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_nobody_else_gets_locust_or_gevent() -> None:
    """What the command line and the checks import leaves their process as it is."""
    modules = ("swarm.arrivals", "swarm.scenario", "drive.load_runner", "verdict.load_judge")
    imports = ", ".join(f"queueproof.{module}" for module in modules)
    assert python(f"import {imports}\nprint(sorted({{'locust', 'gevent'}} & set(sys.modules)))").strip() == "[]"


def test_locusts_statistics_are_fed_in_batches() -> None:
    told = python(
        "from locust.stats import RequestStats\n"
        "from queueproof.evidence.latency import bucket\n"
        "from queueproof.swarm.statistics import feed\n"
        "stats = RequestStats()\n"
        "cut = {'counts': {'publish': {'response': {bucket(2000): 3, bucket(50000): 1}, 'service': {5: 4}},\n"
        "                  'e2e': {'response': {bucket(7000): 2}}, 'dispatch': {'lateness': {3: 4}}},\n"
        "       'counters': {'publish.ok': 3, 'publish.error': 1, 'publish.code.RATE_LIMITED': 1}}\n"
        "feed(stats, cut)\n"
        "feed(stats, cut)\n"
        "entry = stats.get('publish', 'POST')\n"
        "print(entry.num_requests, entry.num_failures, stats.total.num_requests,\n"
        "      stats.get('e2e', 'POST').num_requests,\n"
        "      dict(entry.response_times), round(entry.min_response_time), round(entry.max_response_time),\n"
        "      [(error.error, error.occurrences) for error in stats.errors.values()])\n"
    )
    assert told.strip() == "8 2 8 4 {2: 6, 50: 2} 2 50 [('RATE_LIMITED', 2)]"
