"""Processes that a benchmark starts, and the CPU time that they use."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """A server's address, and every process whose CPU time is its cost."""

    url: str
    token: str
    pids: tuple[int, ...]


@contextmanager
def child(*command: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """A Python child process and the JSON object of its first line; ended at the end."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline() or b"{}")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


@contextmanager
def reference(*options: str, beside: Sequence[int] = ()) -> Iterator[Served]:
    """The reference server; `beside` are the processes that work for it."""
    with child("-m", "scaiqueue_reference", "--port", "0", *options) as (process, ready):
        pids = tuple(ready.get("pids", ())) or (process.pid,)
        yield Served(ready["url"], ready["keys"]["all"], (*pids, *beside))


def stack_services() -> Any:
    """The private MariaDB and Redis of fixtures/stack; raises its NotInstalled, a RuntimeError."""
    spec = importlib.util.spec_from_file_location("stack_services", ROOT / "fixtures" / "stack" / "services.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Services()


def cpu_s(pids: Sequence[int]) -> float:
    """CPU seconds that these processes have used, children not counted; Linux's accounting in ns."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except OSError:  # the thread has ended meanwhile
                continue
    return total / 1e9


def descendants(pid: int) -> tuple[int, ...]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    return (pid, *(below for text in children for below in descendants(int(text))))
