"""Servers that a run starts for itself, each in a process of its own that ends with this one, whatever happens.

embedded: the reference server over SQLite. services: the same over a private MariaDB and a private Redis, found on this
machine, on free ports and in a temporary folder. stack: two API processes and a worker over both in containers.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

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
_ROWS = "queueproof-rows-"  # + process id + "-" + a random part


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that is ready. `keys`: those with fewer rights, by name."""

    url: str
    key: str
    keys: Mapping[str, str]
    handles: Mapping[str, "Handle"] = field(default_factory=dict)  # its parts: server, agents, redis, database


class Handle:
    """One part of a target that may be struck: its process, or where it listens.

    Raises OSError when that fails, or cannot be done to this part.
    """

    restartable = True

    def kill(self) -> None:
        """SIGKILL."""
        raise OSError(f"{type(self).__name__} cannot be killed")

    def start(self) -> None:
        """Starts it again, over the same data and on the same port, and waits until it answers."""
        raise OSError(f"{type(self).__name__} cannot be started")

    def signal(self, number: int) -> None:
        raise OSError(f"{type(self).__name__} takes no signal {number}")

    def flush(self) -> None:
        raise OSError(f"{type(self).__name__} cannot be flushed")


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


@contextlib.contextmanager
def struck(kind: str, log: Path | None) -> Iterator[Server]:
    """The same (errors: `started`), its parts to be struck: data outlive it, agents have a process of their own."""
    known_kind(kind)
    with contextlib.ExitStack() as stack:
        handles: dict[str, Handle] = {}
        if kind == "embedded":
            folder = stack.enter_context(_rows())
            arguments = ["--database", f"sqlite:///{folder}/queue.db"]
        else:
            if kind == "stack":
                stores = stack.enter_context(_containers(log))
                handles["redis"] = Endpoint(stores[3])
            else:
                stores = stack.enter_context(_services(log, handles))
            arguments = [*stores, "--role", "api"]
            command = [sys.executable, "-P", "-m", "scaiqueue_reference", "--role", "worker", *stores]
            handles["agents"] = stack.enter_context(Child.running(command, log))
        command = [sys.executable, "-P", "-m", "scaiqueue_reference", "--port", "0", *arguments]
        server = stack.enter_context(Child.running(command, log))
        handles["server"] = server
        keys = dict(server.ready["keys"])
        server.command[server.command.index("--port") + 1] = str(urlsplit(server.ready["url"]).port)
        yield Server(url=server.ready["url"], key=keys.pop("all"), keys=keys, handles=handles)


@contextlib.contextmanager
def _rows() -> Iterator[str]:
    """A folder for the rows of a server that is killed and started again; what a killed harness left goes first."""
    for left in Path(tempfile.gettempdir()).glob(f"{_ROWS}*"):
        owner = left.name.removeprefix(_ROWS).partition("-")[0]
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (ValueError, OSError):  # no folder of ours, or another user's process
            continue
    with tempfile.TemporaryDirectory(prefix=f"{_ROWS}{os.getpid()}-") as folder:
        yield folder


class Child(Handle):
    """A process of ours that says in a line of JSON when it is ready."""

    def __init__(self, command: list[str], log: Path | None) -> None:
        self.command, self._log = command, log
        self._open = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}

    @classmethod
    @contextlib.contextmanager
    def running(cls, command: list[str], log: Path | None) -> Iterator["Child"]:
        child = cls(command, log)
        try:
            child.start()
            yield child
        finally:
            child.signal(signal.SIGCONT)
            child._open.close()

    def start(self) -> None:
        """Raises HarnessError, an OSError's cousin for whoever strikes, when it does not come up."""
        self._process = self._open.enter_context(_process(self.command, self._log))
        try:
            self.ready = _ready(self._process, "the reference server did not start", self._log)
        except HarnessError as error:
            if self.ready:  # it ran before: whoever struck it is told
                raise OSError(error.message) from error
            raise

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._open.close()

    def signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


class Endpoint(Handle):
    """A Redis that can only be reached, at a redis:// URL."""

    restartable = False

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._at = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._password = parts.password

    def flush(self) -> None:
        with socket.create_connection(self._at, timeout=5) as link:
            login = f"AUTH {self._password}\r\n" if self._password else ""
            link.sendall(f"{login}FLUSHALL\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < (2 if login else 1):
                data = link.recv(4096)
                if not data:
                    break
                answer += data
        if b"-" in answer[:1] or not answer.endswith(b"+OK\r\n"):
            raise OSError(f"Redis refused to be flushed: {answer.decode(errors='replace').strip()}")


class Service(Endpoint):
    """MariaDB or Redis of services.py, which kills and starts it when told so on its standard input."""

    restartable = True

    def __init__(self, name: str, url: str, tell: Callable[[str], None]) -> None:
        super().__init__(url)
        self._name, self._tell = name, tell

    def kill(self) -> None:
        self._tell(f"kill {self._name}")
        self._wait(up=False)

    def start(self) -> None:
        self._tell(f"start {self._name}")
        self._wait(up=True)

    def _wait(self, *, up: bool) -> None:
        until = time.monotonic() + READY_WITHIN_S
        while self._accepts() is not up:
            if time.monotonic() > until:
                raise OSError(f"{self._name} did not {'start again' if up else 'end'} in time")
            time.sleep(0.05)

    def _accepts(self) -> bool:
        try:
            with socket.create_connection(self._at, timeout=1):
                return True
        except OSError:
            return False


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
def _services(log: Path | None, handles: dict[str, Handle] | None = None) -> Iterator[list[str]]:
    """A private MariaDB and a private Redis; the reference server's options for them, and `handles` on both."""
    command = [sys.executable, "-P", str(_script("services.py")), "--with-parent", str(os.getpid()), "--obey"]
    with _process(command, log, stdin=subprocess.PIPE) as process:
        line = _line(process)
        if not line:
            raise TargetError(
                "--target services needs MariaDB and Redis on this machine, and could not start them",
                hint=f"install mariadb-server and redis-server{_see(log)}",
            )
        ready = json.loads(line)

        def tell(order: str) -> None:
            assert process.stdin is not None
            process.stdin.write(f"{order}\n".encode())
            process.stdin.flush()

        if handles is not None:
            handles["database"] = Service("mariadbd", ready["database"], tell)
            handles["redis"] = Service("redis-server", ready["redis"], tell)
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
