"""Two doors, one verdict: `pytest conformance --qp-url …` finds what the command finds. And `serve`."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from cli_run import ROOT, Done, Serving, Started, done, environment, outcomes, queueproof, requirement, serving

CHOSEN = ("SCOPE-1", "QUEUE-1", "PUB-1", "PUB-2", "CLAIM-1", "CLAIM-2")


def pytest_door(*words: str | Path, server: Serving | None, cwd: Path, out: Path) -> Done:
    command = [sys.executable, "-m", "pytest", ROOT / "conformance", "--qp-out", out, *words]
    command += ["--qp-url", server.url] if server else []
    env = environment({"SCAIGRID_API_KEY": server.key} if server else {})
    ended = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, timeout=120)
    return done(ended.returncode, ended.stdout, ended.stderr)


def qp(*names: str) -> list[str]:
    return [word for name in names for word in ("--qp-requirement", name)]


class TestPytest:
    """The same outcomes; pytest's own exit codes know less."""

    @pytest.mark.parametrize(("name", "code"), [("pocket", 0), ("publish_without_state", 1)])
    def test_the_same_outcomes(self, tmp_path: Path, name: str, code: int) -> None:
        with serving(name) as server:
            ours = queueproof("conformance", *requirement(*CHOSEN), "--out", "a", cwd=tmp_path, env=server.env)
            theirs = pytest_door(*qp(*CHOSEN), server=server, cwd=tmp_path, out=tmp_path / "b")
        assert (ours.code, theirs.code) == (code, code), theirs.out + theirs.err
        one, other = (json.loads((tmp_path / run / "results.json").read_bytes()) for run in "ab")
        assert outcomes(one) == outcomes(other)
        assert (one["exit_code"], one["verdict"]) == (other["exit_code"], other["verdict"])

    def test_a_dead_server_is_no_pass(self, tmp_path: Path) -> None:
        server = Serving(url="http://127.0.0.1:9", server=None)  # type: ignore[arg-type]
        ended = pytest_door(*qp("SCOPE-1"), server=server, cwd=tmp_path, out=tmp_path / "run")
        assert ended.code not in {0, 5}
        assert json.loads((tmp_path / "run" / "results.json").read_bytes())["exit_code"] == 3

    def test_wrong_options(self, tmp_path: Path) -> None:
        ended = pytest_door(*qp("NO-SUCH-1"), server=None, cwd=tmp_path, out=tmp_path / "run")
        assert ended.code == 4
        assert "no requirement NO-SUCH-1" in ended.err

    def test_an_address_with_a_password_reaches_no_file(self, tmp_path: Path) -> None:
        server = Serving(url="http://u:hunter2@127.0.0.1:9", server=None)  # type: ignore[arg-type]
        ended = pytest_door(*qp("SCOPE-1"), server=server, cwd=tmp_path, out=tmp_path / "run")
        assert ended.code not in {0, 5}
        run = tmp_path / "run"
        assert not run.exists() or not any(b"hunter2" in path.read_bytes() for path in run.iterdir())


class TestPassThrough:
    """The words after -- are pytest's."""

    def test_a_choice_by_name(self, tmp_path: Path, pocket: Serving) -> None:
        words = *requirement("SCOPE-1", "VIS-1"), "--out", "run", "--", "-k", "test_scope", "-v"
        ended = queueproof("conformance", *words, cwd=tmp_path, env=pocket.env)
        found = outcomes(json.loads((tmp_path / "run" / "results.json").read_bytes()))
        assert (found["SCOPE-1"], found["VIS-1"]) == ("passed", "not-run")
        assert ended.code == 4
        assert "test_scope.py::" in ended.out
        assert "PASSED" in ended.out


class TestServe:
    """One JSON line when it is ready; it ends when it is told to."""

    def test_ready_and_stopped(self, tmp_path: Path) -> None:
        with Started("serve", "--port", "0", cwd=tmp_path) as server:
            assert server.process.stdout is not None
            ready = json.loads(server.process.stdout.readline())
            assert ready["ready"] is True
            assert set(ready["keys"]) == {"all", "view", "publish", "consume", "manage", "foreign"}
            env = {"SCAIGRID_HOST": ready["url"], "SCAIGRID_API_KEY": ready["keys"]["all"]}
            assert queueproof("conformance", *requirement("SCOPE-1"), "--out", "run", cwd=tmp_path, env=env).code == 0
            with urllib.request.urlopen(f"{ready['url']}/openapi.json") as answer:
                assert answer.status == 200
            server.signal(signal.SIGTERM)
            ended = server.ended()
        assert ended.code == 0
        assert ended.out == ""

    def test_help(self, tmp_path: Path) -> None:
        ended = queueproof("serve", "--help", cwd=tmp_path)
        assert ended.code == 0
        assert "--database" in ended.out

    @pytest.mark.parametrize("words", [["--port", "seventy"], ["--no-such-option"], ["--database", "oracle://x"]])
    def test_wrong_usage(self, tmp_path: Path, words: list[str]) -> None:
        assert queueproof("serve", *words, cwd=tmp_path).code == 2


def test_nothing_is_written_beside_the_run(tmp_path: Path, pocket: Serving) -> None:
    """An empty folder holds the run, and nothing else, afterwards."""
    queueproof("conformance", *requirement("SCOPE-1"), "--out", "run", cwd=tmp_path, env=pocket.env)
    assert os.listdir(tmp_path) == ["run"]  # noqa: PTH208 -- names, in one word
