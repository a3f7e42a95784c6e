"""Signals that come while a child is being started: none is lost, and no child is left."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queueproof.drive import processes, runner

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]
NUMBERS = [signal.SIGINT, signal.SIGTERM]


@contextlib.contextmanager
def handled(number: int, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.fixture
def born() -> Iterator[list["subprocess.Popen[bytes]"]]:
    """The children that were started."""
    children: list[subprocess.Popen[bytes]] = []
    yield children
    for child in children:
        child.kill()
        child.wait()


def signalled(monkeypatch: pytest.MonkeyPatch, born: list["subprocess.Popen[bytes]"], number: int) -> None:
    """From now on a signal comes in the middle of each start."""
    real = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        born.append(real(*arguments, **options))
        signal.raise_signal(number)
        return born[-1]

    monkeypatch.setattr(processes.subprocess, "Popen", popen)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_in_a_start_ends_the_child_and_is_raised(
    monkeypatch: pytest.MonkeyPatch, born: list["subprocess.Popen[bytes]"], number: signal.Signals
) -> None:
    signalled(monkeypatch, born, number)
    with handled(number, signal.default_int_handler):
        with pytest.raises(KeyboardInterrupt):
            processes.start(SLEEPER)
        assert signal.getsignal(number) is signal.default_int_handler
    assert born[0].returncode == -signal.SIGKILL


def test_a_handler_that_does_not_raise_hears_it_after_the_start(
    monkeypatch: pytest.MonkeyPatch, born: list["subprocess.Popen[bytes]"]
) -> None:
    signalled(monkeypatch, born, signal.SIGTERM)
    heard: list[int] = []
    with handled(signal.SIGTERM, lambda number, _: heard.append(number)):
        child = processes.start(SLEEPER)
    assert heard == [signal.SIGTERM]
    assert child.poll() is None


@pytest.mark.parametrize("number", NUMBERS)
def test_a_suite_that_is_being_started_is_ended(
    monkeypatch: pytest.MonkeyPatch,
    born: list["subprocess.Popen[bytes]"],
    number: signal.Signals,
    tmp_path: Path,
) -> None:
    signalled(monkeypatch, born, number)
    assert runner.run_suite([f"--qp-out={tmp_path}"], secrets={}) == -signal.SIGTERM
