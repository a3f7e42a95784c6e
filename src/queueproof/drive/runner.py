"""Starts pytest as a child process, so that nothing of the caller's folder or environment reaches the suite."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from queueproof.drive.processes import start
from queueproof.drive.suite import suite_path

# What would change which files, plugins or options pytest takes.
DROPPED = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONPATH_PYTEST")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How the child ended: with pytest's exit code, and whether SIGINT or SIGTERM came."""

    code: int
    interrupted: bool


def run_suite(options: Sequence[str], *, secrets: Mapping[str, str], more: Sequence[str] = ()) -> Ended:
    """Runs the suite with the plugin's `options`, and pytest's own `more`.

    `secrets` travel as environment variables: a command line is readable by every user of the machine. SIGINT and
    SIGTERM are handed on, and the child is waited for: it cleans up and reports.
    """
    suite = suite_path()
    command = [
        sys.executable,
        "-P",  # the caller's folder holds none of our modules
        "-m",
        "pytest",
        str(suite),
        "-c",
        str(suite / "pytest.ini"),
        "--rootdir",
        str(suite),
        "--confcutdir",
        str(suite),
        "-p",
        "no:cacheprovider",
        *options,
        *(more or QUIET),
    ]
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1", **secrets}
    with start(command, env=environment, stdin=subprocess.DEVNULL) as child, _handed_on(child) as heard:
        code = child.wait()
    return Ended(code=code, interrupted=bool(heard))


# Without options of its own pytest says nothing but what goes wrong in it: the caller tells the run's story.
QUIET = ("-qq", "--no-header", "--no-summary", "--show-capture=no", "--tb=short", "--qp-silent")


@contextmanager
def _handed_on(child: "subprocess.Popen[bytes]") -> Iterator[list[int]]:
    """SIGINT and SIGTERM go to the child while the block runs; those that came, in their order."""
    heard: list[int] = []

    def hand_on(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        if child.poll() is None:
            child.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def working_path(path: Path) -> str:
    """A path as the child sees it, whatever folder it starts in."""
    return str(path.expanduser().absolute())
