"""Feeds Locust's own statistics from a tick's histograms, the way its master merges workers' reports.

`request.fire` costs some 6 µs a request; a whole tick of any size costs as much as a few of them.
"""

import time
from collections.abc import Mapping
from typing import Any, Final

from locust.stats import RequestStats, StatsEntry, StatsError, bucket_response_time

from queueproof.evidence.latency import highest, lowest

METHOD: Final = "POST"
NO_VERB: Final = frozenset({"dispatch"})


def feed(stats: RequestStats, cut: Mapping[str, Any]) -> None:
    """Adds one cut of measures.py."""
    for verb, kinds in cut["counts"].items():
        if verb in NO_VERB or "response" not in kinds:
            continue
        entry = _entry(stats, verb, kinds["response"], cut["counters"].get(f"{verb}.error", 0))
        stats.get(verb, METHOD).extend(entry)
        if verb != "e2e":  # no request of its own: not in the sum
            stats.total.extend(entry)
    for name, number in cut["counters"].items():
        verb, mark, code = name.partition(".code.")
        if mark:
            _error(stats, verb, code, number)


def _entry(stats: RequestStats, verb: str, counts: Mapping[int, int], failures: int) -> Any:
    """Times in ms, with fractions, as Locust's own clients log them (its annotations say int)."""
    now_s = time.time()
    entry: Any = StatsEntry(stats, verb, METHOD)
    for index, number in counts.items():
        milliseconds = (lowest(index) + highest(index)) / 2000
        entry.num_requests += number
        entry.total_response_time += milliseconds * number
        entry.response_times[bucket_response_time(milliseconds)] += number
    entry.min_response_time = lowest(min(counts)) / 1000
    entry.max_response_time = highest(max(counts)) / 1000
    entry.num_failures = failures
    entry.num_reqs_per_sec[int(now_s)] = entry.num_requests
    if failures:
        entry.num_fail_per_sec[int(now_s)] = failures
    entry.last_request_timestamp = now_s
    return entry


def _error(stats: RequestStats, verb: str, code: str, number: int) -> None:
    key = StatsError.create_key(METHOD, verb, code)
    error = stats.errors.get(key)
    if error is None:
        error = stats.errors[key] = StatsError(METHOD, verb, code)
    error.occurrences += number
