"""Locust's own command line: headless, its web page, a master with a worker, each with the verdict at the end."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from queueproof.evidence.history import read_history
from queueproof.evidence.run import RunDirectory

LOCUSTFILE = Path(__file__).parents[2] / "load" / "locustfile.py"
SCENARIO = """
objectives = ["errors < 1%"]
[consumers]
count = 4
visibility_timeout_s = "300ms"
idle_s = "10ms"
[drain]
cadence_s = 0
slack_s = "600ms"
[[stages]]
rate = 60
duration = 1.5
"""
Locust = Callable[..., "subprocess.Popen[str]"]


def assert_right(results: Any) -> None:
    """Exit 0; or, on a machine too crowded for a generator, the exit code of a run that says so of itself."""
    assert results.exit_code == 0 or (results.exit_code == 4 and results.load["invalid"]), results.summary
    assert [finding for finding in results.findings if finding.weight == "violation"] == []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def locust(tmp_path: Path) -> Iterator[Locust]:
    """Starts `locust` in a folder of its own; whatever happens, none is left."""
    (tmp_path / "own.toml").write_text(SCENARIO)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOCUST_", "SCAIGRID_"))}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    with ExitStack() as stack:

        def start(*arguments: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--loglevel", "WARNING", *arguments]
            process = stack.enter_context(
                subprocess.Popen(
                    command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )
            )
            stack.callback(process.kill)
            watchdog = threading.Timer(100, process.kill)
            watchdog.start()
            stack.callback(watchdog.cancel)
            return process

        yield start


def test_headless_ends_with_the_verdict(locust: Locust, serve: Any, tmp_path: Path) -> None:
    process = locust("--headless", "--host", serve(), "--qp-scenario", "own.toml", "--qp-out", "run")
    said, _ = process.communicate()
    results = RunDirectory(tmp_path / "run").results()
    assert process.returncode == results.exit_code, said
    assert_right(results)
    assert results.load["sent"] == 90
    assert results.summary in said


def test_a_fault_is_locusts_exit_code(locust: Locust, serve: Any, tmp_path: Path) -> None:
    process = locust("--headless", "--host", serve("lost"), "--qp-scenario", "own.toml", "--qp-out", "run")
    said, _ = process.communicate()
    assert process.returncode == 1, said
    assert "loss" in said


def test_a_master_and_its_worker_are_one_load(locust: Locust, serve: Any, tmp_path: Path) -> None:
    port = str(free_port())
    master = locust(
        *("--master", "--expect-workers", "1", "--headless", "--host", serve(), "--qp-scenario", "own.toml"),
        *("--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--qp-out", "run"),
    )
    worker = locust("--worker", "--master-host", "127.0.0.1", "--master-port", port)
    said, _ = master.communicate()
    worker.communicate()
    results = RunDirectory(tmp_path / "run").results()
    assert master.returncode == results.exit_code, said
    assert_right(results)
    assert results.load["sent"] == results.verbs["publish"]["count"] == 90
    assert len(results.load["workers"]) == 1
    assert read_history(tmp_path / "run").calls.height > 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "no server is named"),
        (["--qp-objective", "errors"], "2 mistakes:"),
        (["--host", "http://127.0.0.1:9", "--qp-objective", "errors"], "`errors` is no objective"),
        (["--host", "http://127.0.0.1:9", "--qp-duration", "soon"], "--qp-duration 'soon' is no duration"),
    ],
)
def test_wrong_options_end_it_before_anything_is_sent(
    options: list[str], words: str, locust: Locust, tmp_path: Path
) -> None:
    process = locust("--headless", "--qp-scenario", "own.toml", "--qp-out", "run", *options)
    said, _ = process.communicate()
    assert process.returncode == 2, said
    assert words in said
    assert not (tmp_path / "run").exists()


def test_a_masters_busy_port_ends_it_with_a_word(locust: Locust) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        master = locust(
            *("--master", "--headless", "--host", "http://127.0.0.1:9", "--qp-scenario", "own.toml"),
            *("--master-bind-host", "127.0.0.1", "--master-bind-port", port),
        )
        said, _ = master.communicate()
    assert master.returncode
    assert "in use" in said


def test_the_web_page_starts_a_load_and_shows_its_verbs(locust: Locust, serve: Any, tmp_path: Path) -> None:
    port = free_port()
    process = locust(
        *("--web-host", "127.0.0.1", "--web-port", str(port), "--host", serve()),
        *("--qp-scenario", "own.toml", "--qp-out", "run"),
    )
    page = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(page) as answer:
                assert b"locust" in answer.read().lower()
            break
        except OSError:
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.1)
    started = urllib.request.Request(f"{page}/swarm", data=b"user_count=1&spawn_rate=1", method="POST")
    with urllib.request.urlopen(started) as answer:
        assert json.load(answer)["success"]
    results = tmp_path / "run" / "results.json"
    while not results.exists():
        assert time.monotonic() < until
        time.sleep(0.1)
    with urllib.request.urlopen(f"{page}/stats/requests") as answer:
        rows = {row["name"]: row for row in json.load(answer)["stats"]}
    assert rows["publish"]["num_requests"] == 90
    assert_right(RunDirectory(tmp_path / "run").results())
