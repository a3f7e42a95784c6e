"""Counters of answered calls in Prometheus' text format."""

from bisect import bisect_left
from collections import Counter

# Upper bounds in seconds: from a commit's time on a fast disk to a client's usual time-out.
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts calls by endpoint and status, and their durations by endpoint."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, int]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._sums: Counter[str] = Counter()

    def count(self, endpoint: str, status: int, elapsed_s: float) -> None:
        """One answered call."""
        self._calls[endpoint, status] += 1
        self._sums[endpoint] += elapsed_s  # type: ignore[assignment]
        buckets = self._buckets.get(endpoint)
        if buckets is None:
            buckets = self._buckets[endpoint] = [0] * (len(_BOUNDS) + 1)
        buckets[bisect_left(_BOUNDS, elapsed_s)] += 1

    def render(self) -> str:
        """The exposition text, version 0.0.4."""
        lines = ["# HELP scaiqueue_requests_total Answered calls.", "# TYPE scaiqueue_requests_total counter"]
        for (endpoint, status), count in sorted(self._calls.items()):
            lines.append(f'scaiqueue_requests_total{{endpoint="{endpoint}",status="{status}"}} {count}')
        name = "scaiqueue_request_duration_seconds"
        lines += [f"# HELP {name} From the request's first byte read to its answer ready.", f"# TYPE {name} histogram"]
        for endpoint, buckets in sorted(self._buckets.items()):
            total = 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), buckets, strict=True):
                total += count
                lines.append(f'{name}_bucket{{endpoint="{endpoint}",le="{bound}"}} {total}')
            lines.append(f'{name}_sum{{endpoint="{endpoint}"}} {self._sums[endpoint]:.6f}')
            lines.append(f'{name}_count{{endpoint="{endpoint}"}} {total}')
        return "\n".join(lines) + "\n"
