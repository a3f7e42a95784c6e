"""MariaDB and Redis in containers that can be killed and started again over the same data and port."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable

START_TIMEOUT_S = 120
_NAME = "scaiqueue"


class NotInstalled(RuntimeError):  # noqa: N818 -- an answer to the user, no failure of ours
    """There is no Docker engine; the message says so."""


def _docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Container:
    """One service; `greets` is whether a fresh connection shows the service itself, not only the port."""

    def __init__(self, image: str, inner: int, options: list[str], words: list[str], greets: bytes) -> None:
        self.port, self._hello = _free_port(), greets
        self._id = _docker("run", "--detach", "--publish", f"127.0.0.1:{self.port}:{inner}", *options, image, *words)
        self._until(self._answers)

    def start(self) -> None:
        """Over the same data, and until it answers."""
        _docker("start", self._id)
        self._until(self._answers)

    def kill(self) -> None:
        """SIGKILL."""
        _docker("kill", self._id)

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing is answered."""
        _docker("pause", self._id)

    def resume(self) -> None:
        """SIGCONT."""
        _docker("unpause", self._id)

    def remove(self) -> None:
        """With its data."""
        _docker("rm", "--force", "--volumes", self._id)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(self._hello)
                return bool(connection.recv(16))
        except OSError:
            return False

    def _until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + START_TIMEOUT_S
        while not condition():
            assert time.monotonic() < end, _docker("logs", self._id)
            time.sleep(0.1)


class Services:
    """Both, as the services of fixtures/stack: use it as a context manager."""

    def __init__(self) -> None:
        if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
            raise NotInstalled("Docker does not answer: start it (`docker info` must succeed)")
        self._password = secrets.token_hex(16)

    def __enter__(self) -> "Services":
        variables = {"RANDOM_ROOT_PASSWORD": "1", "DATABASE": _NAME, "USER": _NAME, "PASSWORD": self._password}
        options = [word for name, value in variables.items() for word in ("--env", f"MARIADB_{name}={value}")]
        words = ["--innodb-flush-log-at-trx-commit=1", "--max-allowed-packet=64M", "--skip-name-resolve"]
        image = os.environ.get("QUEUEPROOF_MARIADB_IMAGE") or "mariadb:11.8"
        self.mariadb = Container(image, 3306, options, words, b"")
        image = os.environ.get("QUEUEPROOF_REDIS_IMAGE") or "redis:8"
        try:
            words = ["redis-server", "--save", "", "--appendonly", "no"]
            self.redis = Container(image, 6379, [], words, b"PING\r\n")
        except BaseException:
            self.mariadb.remove()
            raise
        self.database_url = f"mariadb://{_NAME}:{self._password}@127.0.0.1:{self.mariadb.port}/{_NAME}"
        self.redis_url = f"redis://127.0.0.1:{self.redis.port}/0"
        return self

    def __exit__(self, *_: object) -> None:
        self.redis.remove()
        self.mariadb.remove()
