"""Two API processes and two workers at once: each message is delivered once (benchmarks/deliveries.py: more)."""

import os
from typing import Any

from benchmarks.bench.deliveries import exam, two_of_each

DELIVERIES = int(os.environ.get("DELIVERIES", "5000"))


async def test_no_message_is_delivered_twice_or_never(services: Any) -> None:
    """By number, by attempts and by the rows' own counters; both processes take part."""
    with two_of_each(services) as served:
        ledger, (pending, claimed) = await exam(served, DELIVERIES)
    assert (ledger.published, ledger.delivered) == (DELIVERIES, DELIVERIES)
    assert (ledger.doubled, ledger.missing, ledger.later_attempts) == (0, 0, 0)
    assert (pending, claimed) == (0, DELIVERIES - ledger.completed)
    assert len(ledger.processes) == 2
