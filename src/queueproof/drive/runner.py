"""Starts pytest as a child process, so that nothing of the caller's folder or environment reaches the suite."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from queueproof.drive.processes import start
from queueproof.drive.suite import suite_path

# What would change which files, plugins or options pytest takes.
DROPPED = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONPATH_PYTEST")


def run_suite(
    options: Sequence[str], *, secrets: Mapping[str, str], more: Sequence[str] = (), output: TextIO | None = None
) -> int:
    """Runs the suite with the plugin's `options`, and pytest's own `more`; the child's exit code.

    An option and its value are one word (`--qp-out=DIR`): a word of its own pytest would take for a place of tests,
    before it knows the plugin, and would load the conftest.py there.

    `secrets` travel as environment variables: a command line is readable by every user of the machine. SIGINT and
    SIGTERM are handed on, and the child is waited for: it cleans up and reports. The code is -SIGTERM when it had not
    begun yet. `output`: where what it prints goes instead of our own standard output.
    """
    suite = suite_path()
    command = [
        sys.executable,
        "-P",  # the caller's folder is no place to import from
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
    children: list[subprocess.Popen[bytes]] = []
    # Signals are heard from before the child is there: none falls between.
    with (
        _handed_on(children) as heard,
        start(command, env=environment, stdin=subprocess.DEVNULL, stdout=output) as child,
    ):
        children.append(child)
        if heard:
            child.terminate()
        return child.wait()


# Without options of its own pytest says nothing but what goes wrong in it: the caller tells the run's story.
QUIET = ("-qq", "--no-header", "--no-summary", "--show-capture=no", "--tb=short", "--qp-silent")


@contextmanager
def _handed_on(children: "list[subprocess.Popen[bytes]]") -> Iterator[list[int]]:
    """SIGINT and SIGTERM go to the child while the block runs: as SIGTERM, which ends an import without a traceback.

    Gives those that came; before there is a child they are only remembered.
    """
    heard: list[int] = []

    def hand_on(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        if children and children[0].poll() is None:
            children[0].terminate()

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def working_path(path: Path) -> str:
    """A path as the child sees it, whatever folder it starts in."""
    return str(path.expanduser().absolute())
