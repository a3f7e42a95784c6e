"""The command line as its users meet it: another process, in another folder."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fixtures.pocket import running
from fixtures.registry import find

<<<<<<< HEAD:tests/cli/conftest.py
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))  # the helpers that stand beside the tests
=======
for folder in (Path(__file__).parents[3], Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
>>>>>>> house:tests/cli/whole/conftest.py

import cli_run  # noqa: E402


@dataclass(frozen=True)
class Ended:
    """What a finished command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class Command:
    """Runs `queueproof …` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *words: str, **environment: str) -> "subprocess.Popen[str]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("SCAIGRID", "QUEUEPROOF"))}
        return subprocess.Popen(
            [sys.executable, "-m", "queueproof.cli", *words],
            cwd=self.folder,
            env={**clean, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, **environment: str) -> Ended:
        process = self.start(*words, **environment)
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            raise
        assert "Traceback" not in out + err, out + err
        return Ended(process.returncode, out, err)

    def results(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / run / "results.json").read_text())
        return found


@pytest.fixture
def queueproof(tmp_path: Path) -> Command:
    return Command(tmp_path)


@dataclass(frozen=True)
class Served:
    """A fixture server that runs in a thread of this process."""

    url: str
    keys: dict[str, str]
    server: Any


@contextlib.contextmanager
def serving(name: str) -> Iterator[Served]:
    """A server of fixtures/, by name, while the block runs."""
    entry = find(name)
    assert entry is not None
    server = entry.factory()
    ready, ended = threading.Event(), threading.Event()
    found: list[str] = []

    async def serve() -> None:
        async with running(server) as url:
            found.append(url)
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield Served(found[0], dict(getattr(server, "keys", None) or {"all": "sgk_x"}), server)
    finally:
        ended.set()
        thread.join(10)


@pytest.fixture(name="serving")
def serving_fixture() -> Callable[[str], contextlib.AbstractContextManager[Served]]:
    return serving


@pytest.fixture
def pocket() -> Iterator[cli_run.Serving]:
    """A correct server that is there before the run and goes on after it."""
    with cli_run.serving("pocket") as server:
        yield server
