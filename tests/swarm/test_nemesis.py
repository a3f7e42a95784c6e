"""Faults during a load, from the plan to the verdict: a right server stands them, a forgetful one is named."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from queueproof import conduct_load
from queueproof.drive import nemesis
from queueproof.drive.load_runner import LoadOptions
from queueproof.drive.proxy import Proxy
from queueproof.errors import UsageError

SCENARIO = """
objectives = ["errors < 0.1%"]
[consumers]
count = 4
visibility_timeout_s = "500ms"
idle_s = "300ms"
[sending]
timeout_s = 3
connect_timeout_s = 1
[drain]
cadence_s = "250ms"
slack_s = "600ms"
limit_s = 30
[[stages]]
rate = 60
duration = 8
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "own.toml"
    path.write_text(SCENARIO)
    return str(path)


class TestPlan:
    """When which fault is struck."""

    def test_faults_follow_each_other_with_quiet_around_them(self) -> None:
        first, second = nemesis.plan(["pause-server", "cut-connections"], duration_s=20, visibility_timeout_s=5)
        assert (first.name, first.for_s) == ("pause-server", 6)
        assert first.at_s == pytest.approx(3)
        assert second.at_s == pytest.approx(13.5)
        assert second.at_s + second.for_s == pytest.approx(15.5)

    def test_a_short_load_in_peace_is_none_of_its_business(self) -> None:
        assert nemesis.plan([], duration_s=0.1, visibility_timeout_s=5) == []

    def test_a_name_that_is_none_is_refused(self) -> None:
        with pytest.raises(UsageError) as refused:
            nemesis.known(["kill-everything"])
        assert refused.value.hint

    def test_more_than_a_load_has_time_for_is_refused(self) -> None:
        with pytest.raises(UsageError) as refused:
            nemesis.plan(["pause-server"] * 3, duration_s=10, visibility_timeout_s=5)
        assert refused.value.hint

    @pytest.mark.parametrize("name", nemesis.NAMES)
    def test_a_target_that_cannot_suffer_it_is_told_what_would(self, name: str) -> None:
        with pytest.raises(UsageError) as refused:
            nemesis.acts([name], server=None, restart_cmd="", proxy=None)
        assert name in refused.value.message
        assert "target" in refused.value.hint

    def test_a_restart_command_that_fails_says_why(self) -> None:
        act = nemesis.acts(["kill-server"], server=None, restart_cmd="echo no such service >&2; exit 4", proxy=None)
        with pytest.raises(OSError, match="exit code 4: no such service"):
            act["kill-server"]()


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def talk(link: socket.socket) -> None:
        with link:
            while data := link.recv(4096):
                link.sendall(data)

    def accept() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(link,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


class TestProxy:
    """What stands between, when connections are cut."""

    def test_it_passes_everything_on_when_nothing_is_struck(self, echo: int) -> None:
        with Proxy("127.0.0.1", echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), 5) as link:
            for text in (b"one", b"x" * 200_000):
                link.sendall(text)
                got = b""
                while len(got) < len(text):
                    got += link.recv(65536)
                assert got == text

    def test_it_cuts_before_and_after_the_servers_work(self, echo: int) -> None:
        with Proxy("127.0.0.1", echo) as proxy:
            proxy.cut(1.0)
            for _ in range(12):
                with socket.create_connection(("127.0.0.1", proxy.port), 5) as link:
                    link.sendall(b"hello")
                    with pytest.raises(ConnectionResetError):
                        link.recv(10)
            assert proxy.counts["before"] > 0
            assert proxy.counts["after"] > 0
            proxy.cut(0.0)
            with socket.create_connection(("127.0.0.1", proxy.port), 5) as link:
                link.sendall(b"hello")
                assert link.recv(10) == b"hello"

    def test_a_server_that_is_away_is_a_reset(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            nobody = probe.getsockname()[1]
        with (
            Proxy("127.0.0.1", nobody) as proxy,
            pytest.raises(ConnectionResetError),
            socket.create_connection(("127.0.0.1", proxy.port), 5) as link,
        ):
            link.recv(10)


def run(options: LoadOptions, **target: Any) -> Any:
    return conduct_load.load(options, **target).results


@pytest.mark.parametrize("name", ["kill-server", "pause-server", "cut-connections", "slow-network"])
def test_the_reference_server_keeps_its_promises(name: str, scenario: str, tmp_path: Path) -> None:
    """Exit 0 although calls failed: the scenario's objectives are for a target in peace."""
    long_s = 15 if name == "kill-server" else None  # a process has to start in it, perhaps on a busy machine
    options = LoadOptions(scenario=scenario, out=tmp_path / "run", nemesis=(name,), duration_s=long_s)
    results = run(options, kind="embedded")
    crowded = results.exit_code == 4 and results.load["invalid"]  # the machine was too crowded for a generator
    assert results.exit_code == 0 or crowded, (results.summary, results.load.get("problems"))
    (row,) = results.load["nemesis"]
    assert row["name"] == name
    assert row["ok_before"] >= 20
    assert row["ok_after"] >= 20
    assert results.objectives == ()


@pytest.mark.parametrize("fault", ["forgetful", "amnesiac"])
def test_a_server_that_forgets_when_it_is_killed_is_named(fault: str, scenario: str, tmp_path: Path) -> None:
    """What was waiting; or everything, so that no claim is answered well any more."""
    command = [sys.executable, str(Path(__file__).with_name("toy_queue.py")), fault]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            options = LoadOptions(
                scenario=scenario,
                out=tmp_path / "run",
                nemesis=("kill-server",),
                restart_cmd=f"kill -USR1 {process.pid}",
            )
            results = run(options, url=url, key="k")
        finally:
            process.kill()
    assert results.exit_code == 1
    (finding, *_) = [one for one in results.findings if one.weight == "violation"]
    assert finding.check == "loss"
    assert finding.operations


Serve = Callable[..., str]


def test_a_fault_that_cannot_be_struck_is_a_failure_of_the_harness(serve: Serve, scenario: str, tmp_path: Path) -> None:
    options = LoadOptions(scenario=scenario, out=tmp_path / "run", nemesis=("kill-server",), restart_cmd="exit 3")
    results = run(options, url=serve(), key="k")
    assert results.exit_code == 5
    assert "--restart-cmd ended with exit code 3" in results.summary
