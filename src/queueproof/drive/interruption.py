"""SIGINT and SIGTERM as an event that work can be raced against, so that an interrupted run still cleans up."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

Value = TypeVar("Value")


@contextlib.asynccontextmanager
async def interruptible() -> AsyncIterator[asyncio.Event]:
    """SIGINT and SIGTERM set the event while the block runs (in the main thread; elsewhere nothing changes)."""
    stop = asyncio.Event()
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.enter_context(_handled(number, stop))
        yield stop


@contextlib.contextmanager
def _handled(number: int, stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    before = signal.getsignal(number)
    try:
        loop.add_signal_handler(number, stop.set)
    except (ValueError, RuntimeError):  # not the main thread, or a platform without signal handlers in its loop
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
        signal.signal(number, before)


async def until(stop: asyncio.Event, work: Coroutine[Any, Any, Value]) -> Value | None:
    """The work's value; None when `stop` came first (the work is cancelled, and may still return what it has)."""
    if stop.is_set():
        work.close()
        return None
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:  # by a time limit around this: the work must not go on behind its back
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
    finally:
        stopped.cancel()
    if not task.done():
        task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        return None
