"""Runs the command line as its user does, against servers of fixtures/ that run in a thread of the test's."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fixtures.pocket import Pocket, Server
from fixtures.registry import find

ROOT = Path(__file__).parents[3]
# What would reach the command from the machine that runs the tests.
FOREIGN = ("SCAIGRID_", "QUEUEPROOF_", "PYTEST_", "COV_")
LONGEST_S = 120


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str

    def results(self, run: Path) -> dict[str, Any]:
        return dict(json.loads((run / "results.json").read_bytes()))


@dataclass
class Serving:
    """A server of fixtures/ that is running."""

    url: str
    server: Server

    @property
    def keys(self) -> dict[str, str]:
        return dict(getattr(self.server, "keys", {"all": "sgk_none_0123456789"}))

    @property
    def key(self) -> str:
        return self.keys["all"]

    @property
    def env(self) -> dict[str, str]:
        """The address and the key as the environment gives them."""
        return {"SCAIGRID_HOST": self.url, "SCAIGRID_API_KEY": self.key}

    @property
    def slugs(self) -> list[str]:
        """The scopes that are on the server now."""
        assert isinstance(self.server, Pocket)
        return [scope.slug for scope in self.server.scopes.values()]


@contextmanager
def serving(name: str) -> Iterator[Serving]:
    """The named server of fixtures/, on a free port, in a thread."""
    entry = find(name)
    assert entry is not None, name
    server = entry.factory()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def done(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    try:
        yield Serving(url=done(server.start("127.0.0.1", 0)), server=server)
    finally:
        done(server.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


def environment(env: dict[str, str] | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**kept, "COLUMNS": "100", **(env or {})}


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-P", "-m", "queueproof.cli", *map(str, words)]


def queueproof(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> Done:
    """`queueproof WORDS…`, run to its end; it never shows a traceback."""
    ended = subprocess.run(
        command(*words), cwd=cwd, env=environment(env), capture_output=True, timeout=LONGEST_S, stdin=subprocess.DEVNULL
    )
    return done(ended.returncode, ended.stdout, ended.stderr)


def done(code: int, out: bytes, err: bytes) -> Done:
    result = Done(code, out.decode(errors="replace"), err.decode(errors="replace"))
    assert "Traceback" not in result.out + result.err, result.out + result.err
    return result


class Started:
    """`queueproof WORDS…` while it runs, in a session of its own."""

    def __init__(self, *words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command(*words),
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self.process.wait()

    def family(self) -> list[int]:
        """The process and all that it started, by id."""
        found = [self.process.pid]
        for parent in found:
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += [int(child) for child in _text(children).split()]
        return found

    def ended(self) -> Done:
        out, err = self.process.communicate(timeout=LONGEST_S)
        return done(self.process.returncode, out, err)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def alive(process: int) -> bool:
    """Whether that process is running (a zombie is not)."""
    return Path(f"/proc/{process}").exists() and ") Z " not in _text(Path(f"/proc/{process}/stat"))


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Returns when the condition holds; fails after a time that only a hang reaches."""
    end = time.monotonic() + LONGEST_S / 2
    while not condition():
        assert time.monotonic() < end, f"it never came: {what}"
        time.sleep(0.02)


def outcomes(results: dict[str, Any]) -> dict[str, str]:
    return {requirement["id"]: requirement["outcome"] for requirement in results["requirements"]}


def requirement(*names: str) -> Sequence[str]:
    return [word for name in names for word in ("--requirement", name)]
