"""How near `capacity` comes to a limit that is known: `python benchmarks/capacity.py`.

A server that admits 400 messages a second and refuses or holds back the rest, searched `--times N`. With `--reference`
the reference server is searched twice instead: the intervals should overlap.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bench.running import child, reference

from queueproof.conduct_capacity import CapacityOptions, capacity

LIMIT = 400
OBJECTIVE = "e2e.p99 < 200ms"


def searched(url: str, key: str, *, users: int | None = None, rate: float | None = None) -> dict[str, Any]:
    """What a search came to, as results.json keeps it, and how long it took."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        options = CapacityOptions(
            scenario="steady",
            objectives=(OBJECTIVE,),
            rate=rate,
            users=users,
            skip_conformance=True,
            out=Path(folder) / "run",
        )
        results = capacity(options, url=url, key=key).results()
    told: dict[str, Any] = {**results.capacity, "took_s": time.monotonic() - began}
    low, high = told.get("low") or 0.0, told.get("high") or 0.0
    sys.stdout.write(f"  {results.summary} {low:.0f} to {high:.0f}, {len(told.get('probes', []))} windows\n")
    sys.stdout.flush()
    return told


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--beyond", choices=("refuse", "queue"), default="refuse")
    parser.add_argument("--reference", action="store_true")
    arguments = parser.parse_args()
    if arguments.reference:
        with reference() as served:
            one, two = (searched(served.url, served.token, users=32) for _ in range(2))
        overlap = one["low"] <= two["high"] and two["low"] <= one["high"]
        sys.stdout.write(f"reference: {one['rate']:.0f}/s and {two['rate']:.0f}/s, intervals overlap: {overlap}\n")
        return 0
    near = 0
    for _ in range(arguments.times):
        with child("-m", "fixtures.limited", "--limit", str(LIMIT), "--beyond", arguments.beyond) as (_, ready):
            found = searched(ready["url"], ready["keys"]["all"], users=16, rate=250.0)
        off = (found.get("rate") or 0.0) / LIMIT - 1
        near += abs(off) <= 0.05
        sys.stdout.write(f"limit {LIMIT}/s: {off:+.1%} after {found['took_s']:.0f} s\n")
        sys.stdout.flush()
    sys.stdout.write(f"within 5 % of the limit: {near} of {arguments.times}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
