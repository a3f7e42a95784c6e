"""`kill -9` at random points under load, embedded and over the stack: `python benchmarks/crash.py`.

Embedded: `--embedded N` (or CRASH_ROUNDS) kills of the server. Stack: `--stack N` (or STACK_FAULTS) of each: an API
process, a worker, mariadbd, redis-server, FLUSHALL. Then: no acknowledged message is lost, none had two holders at
once, none came back after its complete. Seeded by `--seed`; exit code 1 with the first broken promise.
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

import asyncio

from benchmarks.bench import faults
from benchmarks.bench.crashes import Exam, Fault, Ledger
from benchmarks.bench.running import Served, stack_services


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedded", type=int, default=int(os.environ.get("CRASH_ROUNDS", "60")))
    parser.add_argument("--stack", type=int, default=int(os.environ.get("STACK_FAULTS", "6")))
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    arguments = parser.parse_args()
    sys.stdout.write(f"seed {arguments.seed}\n")
    chance = random.Random(arguments.seed)
    if arguments.embedded:
        with faults.embedded(arguments.embedded) as (served, kills):
            _run("embedded", served, kills, chance)
    if arguments.stack:
        try:
            services = stack_services()
        except RuntimeError as error:
            sys.stdout.write(f"stack: not examined: {error}\n")
            return 0
        with services, faults.stack(services, arguments.stack, chance) as (served, kills):
            _run("stack", served, kills, chance)
    return 0


def _run(name: str, served: Served, kills: list[Fault], chance: random.Random) -> Ledger:
    """Raises an ExceptionGroup with Lost, or Lost."""
    began = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ledger = runner.run(Exam(served, chance).run(kills))
    delivered = sum(map(len, ledger.deliveries.values()))
    sys.stdout.write(
        f"{name}: {len(kills)} faults in {time.monotonic() - began:.0f} s: {len(ledger.published)} publishes,"
        f" {delivered} deliveries and {len(ledger.completed)} completes were acknowledged, {ledger.broken} calls broke;"
        " nothing lost, doubled or brought back\n"
    )
    sys.stdout.flush()
    return ledger


if __name__ == "__main__":
    sys.exit(main())
