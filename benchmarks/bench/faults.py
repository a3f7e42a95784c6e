"""What the crash exam kills: the embedded server, and every kind of process of the stack; each is started again."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.bench.crashes import Fault
from benchmarks.bench.running import ROOT, Served, descendants

_TRIES = 20
_PAUSE_S = 0.5

STACK = ("an API process", "a worker", "mariadbd", "redis-server", "FLUSHALL")


class Kept:
    """A process of the reference server that can be killed and started again."""

    def __init__(self, *options: str) -> None:
        self._command = [sys.executable, "-m", "scaiqueue_reference", "--log-level", "error", *options]
        self.start()

    def start(self) -> None:
        """Returns when it is ready; raises RuntimeError."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, env=environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.stdout.close()
            raise RuntimeError(f"a server ended with exit code {self.process.wait()} before it was ready")
        self.ready: dict[str, Any] = json.loads(line)

    def restart(self) -> None:
        """SIGKILL, then a new one; tried again, as a supervisor would, when a busy machine keeps it from starting."""
        self._end(signal.SIGKILL)
        for left in reversed(range(_TRIES)):
            try:
                self.start()
                break
            except RuntimeError:
                if not left:
                    raise
                time.sleep(_PAUSE_S)

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    @property
    def served(self) -> Served:
        """Where it is reached."""
        return Served(self.ready["url"], self.ready["keys"]["all"], (self.process.pid,))


@contextmanager
def embedded(rounds: int) -> Iterator[tuple[Served, list[Fault]]]:
    """The embedded server at one port over one file, and `rounds` kills of it."""
    with tempfile.TemporaryDirectory(prefix="bench-crash-") as folder:
        options = ["--port", str(_free_port()), "--database", f"sqlite:///{folder}/rows.sqlite3"]
        with Kept(*options) as server:
            yield server.served, [server.restart] * rounds


@contextmanager
def stack(services: Any, rounds: int, chance: random.Random) -> Iterator[tuple[Served, list[Fault]]]:
    """Two API processes and two workers over `services`, and `rounds` of each fault of `STACK`, shuffled."""
    options = ["--database", services.database_url, "--redis", services.redis_url]
    with ExitStack() as running:
        workers = [running.enter_context(Kept("--role", "worker", *options)) for _ in range(2)]
        api = ["--role", "api", "--processes", "2", "--port", str(_free_port())]
        server = running.enter_context(Kept(*api, *options))

        def kill_an_api_process() -> None:
            children = descendants(server.process.pid)[1:]
            if children:
                os.kill(chance.choice(children), signal.SIGKILL)

        def kill_a_worker() -> None:
            chance.choice(workers).restart()

        def restart_mariadb() -> None:
            services.mariadb.kill()
            services.mariadb.start()

        def restart_redis() -> None:
            services.redis.kill()
            services.redis.start()

        def flush() -> None:
            with socket.create_connection(("127.0.0.1", services.redis.port), timeout=10) as connection:
                connection.sendall(b"FLUSHALL\r\n")
                if connection.recv(64) != b"+OK\r\n":
                    raise RuntimeError("Redis did not flush")

        faults: list[Fault] = [kill_an_api_process, kill_a_worker, restart_mariadb, restart_redis, flush] * rounds
        chance.shuffle(faults)
        yield server.served, faults


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
