"""The container image of the harness: no root, no network, and it proves a server."""

import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("docker")


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    if shutil.which("docker") is None or docker("info").returncode != 0:
        pytest.skip("needs a Docker engine: start one and let `docker info` succeed")
    name = f"queueproof-test-{uuid.uuid4().hex[:8]}"
    built = docker("build", "--quiet", "--target", "queueproof", "--tag", name, ".")
    assert built.returncode == 0, built.stderr[-3000:]
    try:
        yield name
    finally:
        docker("image", "rm", "--force", name)


def test_it_proves_a_server_without_a_network(image: str) -> None:
    ended = docker("run", "--rm", "--network", "none", image, "conformance", "--requirement", "SCOPE-1")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Conforms" in ended.stdout


def test_it_does_not_run_as_root(image: str) -> None:
    assert docker("run", "--rm", "--network", "none", "--entrypoint", "id", image, "-u").stdout.strip() == "10001"
