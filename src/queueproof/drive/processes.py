"""Child processes that end with us: not by our Ctrl-C, whose time is ours to choose, but whenever we are gone."""

import contextlib
import ctypes
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

PR_SET_PDEATHSIG = 1


def start(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Starts `command` in a session of its own; on Linux the kernel ends it when this process ends, even by kill -9.

    SIGINT and SIGTERM that come meanwhile are heard afterwards; where their handler raises, the child is ended first.
    """
    with _held_back() as heard:
        process = subprocess.Popen(  # noqa: S603 -- the command is ours
            command,
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
            **options,
        )
    try:
        for number in heard:
            signal.raise_signal(number)
    except BaseException:
        with process:
            process.kill()
        raise
    return process


@contextlib.contextmanager
def _held_back() -> Iterator[list[int]]:
    """The SIGINT and SIGTERM that come while the block runs (in the main thread; elsewhere nothing changes).

    What their handlers raise inside a fork Python only prints, and the run would go on.
    """
    heard: list[int] = []
    before: dict[int, Any] = {}
    with contextlib.suppress(ValueError):  # not the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, lambda number, _: heard.append(number))
    try:
        yield heard
    finally:
        for held, handler in before.items():
            signal.signal(held, handler)


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """In a child, before it does anything else (on Linux; elsewhere it does nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
