"""A Docker engine with the images that the stack needs, or a skip that says what to do."""

import json
import os
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "fixtures" / "stack" / "containers.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All in one process: each of these takes seconds of both cores."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("docker"))


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """A client of a Docker engine that answers."""
    docker = pytest.importorskip("docker", reason="pip install 'queueproof[stack]'")
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException:
        pytest.skip("Docker does not answer: start it (`docker info` must succeed)")
    yield client
    client.close()


@pytest.fixture(scope="session")
def images(engine: Any) -> Any:
    """The engine, with all that testcontainers starts."""
    import docker
    from testcontainers.core.config import testcontainers_config

    wanted = [
        os.environ.get("QUEUEPROOF_MARIADB_IMAGE") or "mariadb:11.8",
        os.environ.get("QUEUEPROOF_REDIS_IMAGE") or "redis:8",
    ]
    if not testcontainers_config.ryuk_disabled:
        wanted.append(testcontainers_config.ryuk_image)
    for name in wanted:
        try:
            engine.images.get(name)
        except docker.errors.ImageNotFound:
            hint = "" if "ryuk" not in name else ", or set TESTCONTAINERS_RYUK_DISABLED=true"
            pytest.skip(f"the image {name} is not here: docker pull {name}{hint}")
    return engine


@pytest.fixture
def holder(images: Any) -> Iterator[Any]:
    """Starts the program that holds the containers; its process and its ready line."""
    started: list[subprocess.Popen[bytes]] = []

    def hold() -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
        command = [sys.executable, "-P", str(PROGRAM)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["ready"], line
        return process, line

    yield hold
    for process in started:
        process.terminate()
        process.wait(60)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


BASES = ("mariadb:11.8", "redis:8", "python:3.13-slim", "debian:trixie-slim")
KEYS = ROOT / "fixtures" / "stack" / "development-keys.toml"


class Compose:
    """The development profile under a name and ports of its own."""

    def __init__(self) -> None:
        self.name = f"queueproof-test-{os.getpid()}"
        self.port, self.page = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.keys = {name: row["token"] for name, row in tomllib.loads(KEYS.read_text())["keys"].items()}

    def __call__(self, *words: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        ports = {"SCAIQUEUE_PUBLISHED_PORT": str(self.port), "LOCUST_PUBLISHED_PORT": str(self.page)}
        environment = {**os.environ, **ports, **variables}
        command = ["docker", "compose", "--project-name", self.name, "--project-directory", str(ROOT), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture(scope="session")
def compose(engine: Any) -> Iterator[Compose]:
    """`docker compose up --wait`, nothing else said; everything of it is taken away afterwards."""
    import docker

    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("`docker compose` is not here: install its plugin (Debian 13: docker-compose)")
    for name in BASES:
        try:
            engine.images.get(name)
        except docker.errors.ImageNotFound:
            pytest.skip(f"the image {name} is not here: docker pull {name}")
    running = Compose()
    try:
        running("up", "--build", "--wait")
        yield running
    finally:
        running("down", "--volumes", "--timeout", "5", check=False)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
