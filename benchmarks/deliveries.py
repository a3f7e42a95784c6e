"""No double delivery over the stack with two API processes and two workers: `python benchmarks/deliveries.py`.

`--deliveries N`, or the environment's DELIVERIES (`make bench DELIVERIES=1000000`), says how many; exit code 1 when a
message was delivered twice or not at all.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bench.deliveries import exam, two_of_each
from benchmarks.bench.running import stack_services


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=int(os.environ.get("DELIVERIES", "20000")))
    count = parser.parse_args().deliveries
    try:
        services = stack_services()
    except RuntimeError as error:
        sys.stdout.write(f"not measured: {error}\n")
        return 0
    began = time.monotonic()
    with services, two_of_each(services) as served, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ledger, (pending, claimed) = runner.run(exam(served, count))
    elapsed = time.monotonic() - began
    sys.stdout.write(
        f"{ledger.delivered} deliveries of {ledger.published} messages by {len(ledger.processes)} API processes and"
        f" 2 workers in {elapsed:.0f} s ({ledger.delivered / elapsed:.0f}/s): {ledger.doubled} doubled,"
        f" {ledger.missing} missing, {ledger.later_attempts} with attempts beyond 1;"
        f" at the end {pending} pending, {claimed} claimed, {ledger.completed} completed\n"
    )
    whole = (pending, claimed, ledger.later_attempts) == (0, count - ledger.completed, 0)
    return 0 if whole and not ledger.doubled and not ledger.missing else 1


if __name__ == "__main__":
    sys.exit(main())
