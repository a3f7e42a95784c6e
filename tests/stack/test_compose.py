"""`docker compose up`: the whole stack serves, survives a replica, proves itself, and puts load on itself."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

BASE = "/v1/modules/scaiqueue"


@pytest.fixture
def http(compose: Any) -> Iterator[httpx.Client]:
    """A client with all rights."""
    headers = {"Authorization": f"Bearer {compose.keys['all']}"}
    with httpx.Client(base_url=compose.url + BASE, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def states(compose: Any) -> dict[str, list[str]]:
    """What runs, by service."""
    found: dict[str, list[str]] = {}
    for line in compose("ps", "--format", "json").stdout.splitlines():
        container = json.loads(line)
        found.setdefault(container["Service"], []).append(container["Health"] or container["State"])
    return found


def test_all_of_it_is_up_and_healthy(compose: Any) -> None:
    """Two API replicas behind one port that only this machine reaches; rows and order are not published at all."""
    running = states(compose)
    assert running["api-development"] == ["healthy", "healthy"]
    for service in ("mariadb-development", "redis-development", "proxy-development", "agents-development"):
        assert running[service] == ["healthy"]
    published = [
        port
        for line in compose("ps", "--format", "json").stdout.splitlines()
        for port in json.loads(line)["Publishers"] or ()
        if port["PublishedPort"]
    ]
    assert {port["URL"] for port in published} == {"127.0.0.1"}
    assert {port["PublishedPort"] for port in published} == {compose.port, compose.page}


def test_it_goes_on_without_one_of_its_replicas(compose: Any, http: httpx.Client) -> None:
    """Both serve one queue; a publish that met the dead one is tried again under its key."""
    scope = http.post("/scopes", json={"slug": "replicas"}).json()["data"]["id"]
    queue = http.post(f"/scopes/{scope}/queues", json={"slug": "q"}).json()["data"]["id"]
    messages = f"/scopes/{scope}/queues/{queue}/messages"
    victim = compose("ps", "--quiet", "api-development").stdout.split()[0]
    subprocess.run(["docker", "kill", victim], check=True, capture_output=True)
    made = set()
    for number in range(20):
        draft = {"type": "t", "body": number, "idempotency_key": f"k{number}"}
        while (answer := http.post(messages, json=draft)).status_code >= 500:
            continue
        made.add(answer.json()["data"]["id"])
    taken = http.post(f"{messages}/claim", json={"batch_size": 50}).json()["data"]
    assert [message["body"] for message in taken] == list(range(20))
    assert {message["id"] for message in taken} == made
    assert http.delete(f"/scopes/{scope}").status_code == 200
    compose("up", "--wait")


def test_it_conforms(compose: Any, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "queueproof.cli",
        "conformance",
        "--url",
        compose.url,
        "--out",
        str(tmp_path / "r"),
    ]
    done = subprocess.run(
        [*command, "--api-key", compose.keys["all"], "--foreign-key", compose.keys["foreign"]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_load_by_several_workers_ends_with_its_verdict(compose: Any, tmp_path: Path) -> None:
    """As many as `--scale worker=N` says; a busy machine may make the generator late, but loses nothing."""
    compose("up", "--scale", "worker=2", "--exit-code-from", "master", check=False, SCENARIO="smoke")
    said = compose("logs", "--no-log-prefix", "master").stdout
    assert "2 workers connected" in said
    assert "0 left at the end" in said
    compose("cp", "master:/reports/.", str(tmp_path))
    [run] = tmp_path.iterdir()
    verdict = json.loads((run / "results.json").read_text())
    assert verdict["findings"] == []
    assert verdict["verdict"] in {"objectives-met", "objectives-missed", "no-verdict"}
    assert verdict["load"]["scheduled"] == verdict["load"]["sent"] > 0
    compose("up", "--wait")


def test_the_agents_are_stopped_after_the_master(compose: Any) -> None:
    """Its drain waits for what they take back; compose stops what others depend on last."""
    config = json.loads(compose("--profile", "*", "config", "--format", "json", MARIADB_PASSWORD="").stdout)
    assert {"agents", "agents-development"} <= config["services"]["master"]["depends_on"].keys()


def test_the_stack_profile_has_no_secrets_of_its_own(compose: Any) -> None:
    """Without them nothing starts, and what is missing is said; only the development profile holds any."""
    stopped = compose("--profile", "stack", "up", "secrets-given", MARIADB_PASSWORD="", SCAIQUEUE_KEYS_FILE="")
    assert "MARIADB_PASSWORD: set it to a password" in stopped.stdout + stopped.stderr
    services = json.loads(compose("--profile", "*", "config", "--format", "json", MARIADB_PASSWORD="").stdout)[
        "services"
    ]
    own = {
        name
        for name, service in services.items()
        if "development-only" in json.dumps(service) or "development-keys" in json.dumps(service)
    }
    assert own == {"mariadb-development", "api-development", "agents-development"}
    assert {profile for name in own for profile in services[name]["profiles"]} == {"development"}
