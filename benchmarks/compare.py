"""How often `compare` is right: `python benchmarks/compare.py`.

Runs of one server must show no regression; runs of it with claims that take a fifth longer must show one. Each run is
compared with the one before it, and with the slower one after it. `--tries N` pairs of each; `--reference` takes the
pairs of one server from the reference server instead of Pocket. The target: 19 of 20, both ways.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bench.running import child, reference

from queueproof.conduct_compare import compared
from queueproof.drive.load_runner import Ended, LoadOptions, run_load
from queueproof.errors import ExitCode
from queueproof.evidence.results import Results
from queueproof.verdict import load_judge, objectives

RATE, SECONDS = 205.0, 10.0  # 2,000 samples of each verb: twenty beyond the 99th percentile
CLAIM_MS, SLOWER_MS = 20, 24


def judge(directory: Path, ended: Ended) -> Results:
    ending = load_judge.Ending(interrupted=ended.interrupted, failure=ended.failure, aborted=ended.aborted)
    return load_judge.judge(directory, objectives=objectives.parse_all(["errors < 5%"]), ending=ending)


@contextmanager
def limited(claim_ms: int) -> Iterator[tuple[str, str]]:
    """Pocket with claims that take so much longer: its address and a key."""
    with child("-m", "fixtures.limited", "--claim-ms", str(claim_ms)) as (_, ready):
        yield ready["url"], ready["keys"]["all"]


@contextmanager
def embedded() -> Iterator[tuple[str, str]]:
    with reference() as served:
        yield served.url, served.token


def measured(place: Path, server: tuple[str, str]) -> Path:
    """One run; made again, at most twice, where the generator was the bottleneck."""
    url, key = server
    for _ in range(3):
        options = LoadOptions(scenario="steady", rate=RATE, duration_s=SECONDS, settle_s=1.0, out=place)
        results = run_load(options, url=url, api_key=key, judge=judge).results
        if results.exit_code == ExitCode.INTERRUPTED:
            raise KeyboardInterrupt
        if not results.load.get("invalid"):
            break
        sys.stdout.write(f"  once more: {results.load['invalid'][0]}\n")
    return place


def told(base: Path, run: Path, place: Path) -> str:
    """The exit code and, where it is not 0, the sentence."""
    results = compared(str(base), run, fail_on=(), out=place, command="").results()
    if results.exit_code:
        sys.stdout.write(f"  {place.name}: {results.summary}\n")
    sys.stdout.flush()
    return {0: "none", 1: "regression", 4: "not comparable"}.get(results.exit_code, str(results.exit_code))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--reference", action="store_true")
    arguments = parser.parse_args()
    same: Counter[str] = Counter()
    slower: Counter[str] = Counter()
    one = embedded() if arguments.reference else limited(CLAIM_MS)
    with tempfile.TemporaryDirectory() as folder, one as base, limited(CLAIM_MS) as quick, limited(SLOWER_MS) as slow:
        place = Path(folder)
        before = measured(place / "0", base)
        for number in range(1, arguments.tries + 1):
            run = measured(place / f"{number}", base)
            same[told(before, run, place / f"same-{number}")] += 1
            first = measured(place / f"{number}-quick", quick) if arguments.reference else run
            second = measured(place / f"{number}-slow", slow)
            slower[told(first, second, place / f"slower-{number}")] += 1
            before = run
    sys.stdout.write(f"one server: no regression in {same['none']} of {arguments.tries} {dict(same)}\n")
    sys.stdout.write(f"claims a fifth slower: found in {slower['regression']} of {arguments.tries} {dict(slower)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
