"""The noise certificate: how late the harness itself was, so that its own slowness is never called the server's."""

import asyncio
import contextlib
import time

from queueproof.drive.client import Client
from queueproof.evidence.results import Noise

SAMPLE_S = 0.02
# A liveness case allows `slack_s`; a harness that was late by a quarter of it can no longer tell.
SLACK_SHARE = 0.25


class LagMeter:
    """Measures how late the event loop wakes up, while the block runs."""

    def __init__(self) -> None:
        self.lags_ns: list[int] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "LagMeter":
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _measure(self) -> None:
        while True:
            due_ns = time.monotonic_ns() + round(SAMPLE_S * 1e9)
            await asyncio.sleep(SAMPLE_S)
            self.lags_ns.append(max(0, time.monotonic_ns() - due_ns))

    def mark(self) -> int:
        """A point in time for `quiet`."""
        return len(self.lags_ns)

    def quiet(self, slack_s: float, since: int = 0) -> bool:
        """Whether the loop was never late by a share of the slack that matters, since that mark."""
        return max(self.lags_ns[since:], default=0) < slack_s * SLACK_SHARE * 1e9


def certificate(meter: LagMeter, client: Client, slack_s: float) -> Noise:
    """What the run's meter and client saw, as it stands in the results."""
    return Noise(
        loop_lag_p99_ms=_ms(meter.lags_ns, 0.99),
        loop_lag_max_ms=_ms(meter.lags_ns, 1.0),
        round_trip_p50_ms=_ms(client.round_trips_ns, 0.5),
        round_trip_p99_ms=_ms(client.round_trips_ns, 0.99),
        requests=len(client.round_trips_ns),
        retried=client.retried,
        rate_limited=client.budget.rate_limited,
        quiet=meter.quiet(slack_s),
    )


def _ms(values_ns: list[int], share: float) -> float:
    ordered = sorted(values_ns)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6, 3) if ordered else 0.0
