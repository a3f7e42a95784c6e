"""The containers of `--target stack`: they end with whoever needs them, and the next start finds what was left."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "fixtures" / "stack" / "containers.py"


def there(engine: Any, line: dict[str, Any]) -> set[str]:
    known = {container.id for container in engine.containers.list(all=True)}
    return known & set(line["containers"].values())


def test_both_are_reachable_from_this_machine_alone_and_end_with_the_input(images: Any, holder: Any) -> None:
    process, line = holder()
    assert len(there(images, line)) == 2
    for name, port in (("mariadb", "3306/tcp"), ("redis", "6379/tcp")):
        bound = images.containers.get(line["containers"][name]).attrs["NetworkSettings"]["Ports"][port]
        assert {address["HostIp"] for address in bound} == {"127.0.0.1"}
    process.stdin.close()
    assert process.wait(60) == 0
    assert there(images, line) == set()


def test_what_a_killed_holder_left_goes_at_the_next_start(images: Any, holder: Any) -> None:
    process, left = holder()
    process.kill()
    process.wait()
    assert len(there(images, left)) == 2
    _, line = holder()
    assert there(images, left) == set()
    assert len(there(images, line)) == 2


@pytest.mark.parametrize(
    ("variables", "error", "hint"),
    [
        ({"DOCKER_HOST": "unix:///nowhere/docker.sock"}, "Docker does not answer", "--target services"),
        ({"PYTHONNOUSERSITE": "1"}, "is not installed", "queueproof[stack]"),
    ],
)
def test_where_there_can_be_none_it_says_what_to_do(variables: dict[str, str], error: str, hint: str) -> None:
    """Without an engine, and without the extra."""
    python = [sys.executable] if "DOCKER_HOST" in variables else [sys.executable, "-I", "-S"]
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [*python, str(PROGRAM)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    line = json.loads(done.stdout)
    assert (done.returncode, line["ready"]) == (3, False)
    assert error in line["error"]
    assert hint in line["hint"]
