"""A Docker engine with the images that the stack needs, or a skip that says what to do."""

import json
import os
import subprocess
import sys
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
