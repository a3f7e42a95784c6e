"""Child processes that end with us: not by our Ctrl-C, whose time is ours to choose, but whenever we are gone."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

PR_SET_PDEATHSIG = 1


def start(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Starts `command` in a session of its own; on Linux the kernel ends it when this process ends, even by kill -9."""
    return subprocess.Popen(  # noqa: S603 -- the command is ours
        command,
        start_new_session=True,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
        **options,
    )


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """In a child, before it does anything else (on Linux; elsewhere it does nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
