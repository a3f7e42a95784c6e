"""Servers that a run starts for itself, each in a process of its own that ends with this one, whatever happens.

embedded: the reference server over SQLite. services: the same over a private MariaDB and a private Redis, found on this
machine, on free ports and in a temporary folder. stack: two API processes and a worker over both in containers.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import queueproof
from queueproof.drive.processes import start
from queueproof.errors import HarnessError, TargetError, UsageError

KINDS = ("embedded", "services", "stack")
# A first start of MariaDB writes its system tables; on a busy machine that has taken ten seconds.
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 15.0
# The first start of a stack pulls two images.
PULLED_WITHIN_S = 600.0
API_PROCESSES = 2


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that is ready. `keys`: those with fewer rights, by name."""

    url: str
    key: str
    keys: Mapping[str, str]


@contextlib.contextmanager
def started(kind: str, log: Path | None) -> Iterator[Server]:
    """Starts the server of that kind and stops it after the block; `log`: where its standard error goes.

    Raises UsageError for a kind that does not exist, TargetError for one that cannot be started on this machine,
    HarnessError when ours does not come up.
    """
    known_kind(kind)
    with contextlib.ExitStack() as stack:
        if kind == "stack":
            stores = stack.enter_context(_containers(log))
            server = stack.enter_context(_reference(log, [*stores, "--role", "api", "--processes", str(API_PROCESSES)]))
            stack.enter_context(_worker(log, stores))
        else:
            stores = stack.enter_context(_services(log)) if kind == "services" else []
            server = stack.enter_context(_reference(log, stores))
        yield server


def known_kind(kind: str) -> None:
    """Raises UsageError for a kind of target that does not exist."""
    if kind not in {"", *KINDS}:
        raise UsageError(f"there is no target {kind!r}", hint=f"choose one of {', '.join(KINDS)}")


@contextlib.contextmanager
def _reference(log: Path | None, arguments: Sequence[str] = ()) -> Iterator[Server]:
    command = [sys.executable, "-P", "-m", "scaiqueue_reference", "--port", "0", *arguments]
    with _process(command, log) as process:
        ready = _ready(process, "the reference server did not start", log)
        keys = dict(ready["keys"])
        yield Server(url=ready["url"], key=keys.pop("all"), keys=keys)


@contextlib.contextmanager
def _worker(log: Path | None, stores: Sequence[str]) -> Iterator[None]:
    """The agents in a process of their own."""
    command = [sys.executable, "-P", "-m", "scaiqueue_reference", "--role", "worker", *stores]
    with _process(command, log) as process:
        _ready(process, "the reference server's worker did not start", log)
        yield


@contextlib.contextmanager
def _containers(log: Path | None) -> Iterator[list[str]]:
    """MariaDB and Redis in containers; the reference server's options for them.

    The program that holds them removes them when its standard input ends: that is, when this process does.
    """
    command = [sys.executable, "-P", str(_script("containers.py"))]
    with _process(command, log, stdin=subprocess.PIPE) as process:
        ready = _ready(process, "the containers did not start", log, within_s=PULLED_WITHIN_S)
        if not ready["ready"]:
            raise TargetError(f"--target stack: {ready['error']}", hint=ready["hint"])
        yield ["--database", ready["database"], "--redis", ready["redis"]]


@contextlib.contextmanager
def _services(log: Path | None) -> Iterator[list[str]]:
    """A private MariaDB and a private Redis; the reference server's options for them."""
    command = [sys.executable, "-P", str(_script("services.py")), "--with-parent", str(os.getpid())]
    with _process(command, log) as process:
        line = _line(process)
        if not line:
            raise TargetError(
                "--target services needs MariaDB and Redis on this machine, and could not start them",
                hint=f"install mariadb-server and redis-server{_see(log)}",
            )
        ready = json.loads(line)
        yield ["--database", ready["database"], "--redis", ready["redis"]]


def _script(name: str) -> Path:
    """A program that starts both: inside an installed wheel, or beside the sources."""
    package = Path(queueproof.__file__).parent
    for place in (package / "_bundled" / "stack", package.parents[1] / "fixtures" / "stack"):
        if (place / name).is_file():
            return place / name
    raise HarnessError(f"{name} is missing from this installation", hint="install queueproof again")


@contextlib.contextmanager
def _process(
    command: Sequence[str], log: Path | None, *, stdin: int = subprocess.DEVNULL
) -> Iterator["subprocess.Popen[bytes]"]:
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(log.open("ab")) if log is not None else subprocess.DEVNULL
        process = start(command, stdin=stdin, stdout=subprocess.PIPE, stderr=errors)
        try:
            yield process
        finally:
            _stop(process)


def _ready(
    process: "subprocess.Popen[bytes]", failure: str, log: Path | None, *, within_s: float = READY_WITHIN_S
) -> dict[str, Any]:
    try:
        ready: dict[str, Any] = json.loads(_line(process, within_s))
    except ValueError as error:
        raise HarnessError(failure, hint=f"run `queueproof serve` to see why{_see(log)}") from error
    return ready


def _see(log: Path | None) -> str:
    return f", or see {log}" if log else ""


def _line(process: "subprocess.Popen[bytes]", within_s: float = READY_WITHIN_S) -> bytes:
    """The first line of a server's output; empty when it ended, or said nothing in time."""
    assert process.stdout is not None
    found: list[bytes] = []

    def read(stream: IO[bytes]) -> None:
        found.append(stream.readline())
        said.set()
        stream.read()  # nobody reads the rest: keep its pipe from filling up

    said = threading.Event()
    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    said.wait(within_s)
    return found[0] if found else b""


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
