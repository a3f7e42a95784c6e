"""A reference server in a process of its own, and a small client that a test reads as a story."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
BASE = "/v1/modules/scaiqueue"


@dataclass
class Running:
    """A server process and what its ready line said."""

    process: subprocess.Popen[bytes]
    url: str
    keys: dict[str, str]

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.process.wait(15)

    def kill(self) -> None:
        """SIGKILL: nothing is finished."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(15)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def _command(*options: str) -> list[str]:
    return [sys.executable, "-m", "scaiqueue_reference", *options]


@contextmanager
def _running(*options: str) -> Iterator[Running]:
    command = _command("--port", "0", "--with-parent", str(os.getpid()), *options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment())
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline())
        yield Running(process, ready["url"], ready["keys"])
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(15)
        process.stdout.close()


@contextmanager
def _worker(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = _command("--role", "worker", "--with-parent", str(os.getpid()), *options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=_environment())
    assert process.stdout is not None
    try:
        assert b"worker" in process.stdout.readline()
        yield process
    finally:
        process.terminate()
        assert process.wait(15) == 0
        process.stdout.close()


@dataclass
class Api:
    """Calls under one scope; methods return the response, `data` of one that must have succeeded by `ok`."""

    http: httpx.Client
    scope: str = ""
    queue: str = ""
    tokens: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Any call; `key` names whose token is used."""
        key = options.pop("key", None)
        if key is not None:
            options["headers"] = {"Authorization": f"Bearer {self.tokens[key]}", **options.get("headers", {})}
        if body is not None:
            options["json"] = body
        return self.http.request(method, BASE + path, **options)

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        response = self.call(method, path, body, **options)
        assert response.status_code in (200, 201), response.text
        envelope = response.json()
        assert envelope["status"] == "ok"
        return envelope["data"]

    def new_scope(self) -> str:
        slug = f"s-{uuid.uuid4().hex}"
        self.scope = self.ok("POST", "/scopes", {"slug": slug, "display_name": slug})["id"]
        return self.scope

    def new_queue(self, **fields: Any) -> str:
        body = {"slug": f"q-{uuid.uuid4().hex}", "display_name": "q", **fields}
        self.queue = self.ok("POST", f"/scopes/{self.scope}/queues", body)["id"]
        return self.queue

    def at(self, queue: str = "") -> str:
        return f"/scopes/{self.scope}/queues/{queue or self.queue}"

    def publish(self, body: Any = None, *, queue: str = "", **fields: Any) -> Any:
        return self.ok("POST", f"{self.at(queue)}/messages", {"type": "t", "body": body, **fields})

    def try_publish(self, **fields: Any) -> httpx.Response:
        return self.call("POST", f"{self.at()}/messages", {"type": "t", "body": None, **fields})

    def claim(self, count: int = 1, timeout_s: float = 60, *, queue: str = "") -> Any:
        request = {"batch_size": count, "visibility_timeout_s": timeout_s}
        return self.ok("POST", f"{self.at(queue)}/messages/claim", request)

    def act(self, verb: str, message: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.call("POST", f"/scopes/{self.scope}/messages/{message}/{verb}", body or {}, **options)

    def read(self, message: str) -> Any:
        return self.ok("GET", f"/scopes/{self.scope}/messages/{message}")

    def depth(self, queue: str = "") -> tuple[int, int]:
        shown = self.ok("GET", self.at(queue))
        return shown["depth_pending"], shown["depth_claimed"]

    def dead_letter(self) -> str:
        queues = self.ok("GET", f"/scopes/{self.scope}/queues")
        return str(next(queue["id"] for queue in queues if queue["slug"] == "_dead_letter"))


def _client(running: Running) -> Api:
    http = httpx.Client(base_url=running.url, headers={"Authorization": f"Bearer {running.keys['all']}"}, timeout=20)
    return Api(http, tokens=running.keys)


@pytest.fixture(scope="session")
def command() -> Callable[..., list[str]]:
    """The server's command line."""
    return _command


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment in which the server's module is found."""
    return _environment()


@pytest.fixture(scope="session")
def running() -> Callable[..., Any]:
    """`with running("--database", …) as server`: a server of the test's own."""
    return _running


@pytest.fixture(scope="session")
def worker() -> Callable[..., Any]:
    """`with worker("--database", …)`: a process with the agents alone."""
    return _worker


@pytest.fixture(scope="session")
def client() -> Callable[[Running], Api]:
    """A client with the key that may do everything."""
    return _client


@pytest.fixture(scope="session")
def services() -> Iterator[Any]:
    """A private MariaDB and Redis; skips where they are not installed.

    STACK_SERVICES=containers takes those of the images that QUEUEPROOF_MARIADB_IMAGE and QUEUEPROOF_REDIS_IMAGE name.
    """
    path = ROOT / "fixtures" / "stack" / "services.py"
    if os.environ.get("STACK_SERVICES") == "containers":
        path = Path(__file__).parent / "container_services.py"
    spec = importlib.util.spec_from_file_location("stack_services", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        running = module.Services()
    except module.NotInstalled as error:
        pytest.skip(str(error))
    with running:
        yield running


@pytest.fixture(scope="session", params=["embedded", "stack"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    """One server for all tests that leave it as it was: SQLite in one process, or MariaDB and Redis with two."""
    options: list[str] = []
    if request.param == "stack":
        services = request.getfixturevalue("services")
        options = ["--database", services.database_url, "--redis", services.redis_url, "--processes", "2"]
    with _running(*options) as process:
        yield process


@pytest.fixture
def api(server: Running) -> Iterator[Api]:
    """A client with a fresh scope and a fresh fifo queue."""
    api = _client(server)
    with api.http:
        api.new_scope()
        api.new_queue(ordering="fifo", max_retries=3)
        yield api
