"""What a call of the conformance suite costs beside httpx's own transport: `python benchmarks/suite_client.py`.

CPU of this process alone a call, in turns against one server in a process of its own; the rest of a client (history,
digests, budgets) is the same for both and left out.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from queueproof.drive.transport import Transport

AT_ONCE = 8
PATH = "/v1/modules/scaiqueue/scopes"


async def cpu_us(call: Callable[[], Awaitable[None]], calls: int) -> float:
    """CPU of a call in µs, with eight of them under way at a time."""

    async def several() -> None:
        for _ in range(calls // AT_ONCE):
            await call()

    await call()
    begun = time.process_time()
    await asyncio.gather(*(several() for _ in range(AT_ONCE)))
    return (time.process_time() - begun) / calls * 1e6


async def compared(url: str, key: str, *, calls: int, rounds: int) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    transport = Transport(url, most=48, idle=16, idle_s=4.0)

    async def ours() -> None:
        extensions = {"timeout": {"connect": 5.0, "read": 10.0}, "target": PATH.encode()}
        answer = await transport.handle_async_request(httpx.Request("GET", url, headers=headers, extensions=extensions))
        await answer.aread()
        await answer.aclose()

    async with httpx.AsyncClient(base_url=url, trust_env=False, headers=headers) as client:

        async def theirs() -> None:
            async with client.stream("GET", PATH) as answer:
                await answer.aread()

        pairs = [(await cpu_us(theirs, calls), await cpu_us(ours, calls)) for _ in range(rounds)]
    await transport.aclose()
    ratio = statistics.median(their / our for their, our in pairs)
    their_us, our_us = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"httpx.AsyncClient   {their_us:6.0f} µs of CPU a call")
    print(f"the suite's client  {our_us:6.0f} µs of CPU a call, {ratio:.1f} times less")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "fixtures.serve", "pocket"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as server:
        try:
            told = json.loads(server.stdout.readline() if server.stdout else "{}")
            asyncio.run(compared(told["url"], told["keys"]["all"], calls=options.calls, rounds=options.rounds))
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
