"""The action and the GitLab job, run as far as a machine without their services can run them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
JOB = yaml.safe_load((ROOT / "docs" / "gitlab-ci.yml").read_text("utf-8"))


def step(name: str) -> dict[str, Any]:
    [found] = [one for one in ACTION["runs"]["steps"] if one["name"] == name]
    return dict(found)


def filled(text: str, inputs: dict[str, str], action: Path) -> str:
    """An expression of GitHub's, as its runner would fill it in."""
    text = re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda found: inputs[found[1]], text)
    return text.replace("${{ github.action_path }}", str(action))


def prove(tmp_path: Path, **given: str) -> tuple[int, dict[str, str], str]:
    """Runs the action's main step with an environment that is there already; gives exit code, outputs, summary."""
    inputs = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
    inputs |= {name.replace("_", "-"): value for name, value in given.items()}
    programs = tmp_path / "queueproof" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "queueproof").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m queueproof.cli "$@"\n')
    (programs / "queueproof").chmod(0o755)
    output, summary = tmp_path / "output", tmp_path / "summary"
    output.touch()
    environment = {name: filled(value, inputs, ROOT) for name, value in step("Prove the server")["env"].items()}
    ended = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step("Prove the server")["run"]],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env={
            **os.environ, **environment, "RUNNER_TEMP": str(tmp_path), "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary),
        },
    )  # fmt: skip
    told = dict(line.split("=", 1) for line in output.read_text().splitlines())
    assert ended.returncode == int(told["exit-code"]), ended.stderr
    return ended.returncode, told, summary.read_text() if summary.exists() else ""


def test_the_action_proves_a_server_and_tells_its_verdict(tmp_path: Path) -> None:
    code, told, summary = prove(tmp_path, arguments="--requirement SCOPE-1 --slack '5'", out="a run")
    assert (code, told["verdict"]) == (0, "conforms")
    assert "Conforms" in summary
    assert msgspec.json.decode((tmp_path / told["results"]).read_bytes())["exit_code"] == 0


def test_the_action_fails_with_the_exit_code_of_the_run(tmp_path: Path) -> None:
    code, told, summary = prove(tmp_path, url="http://127.0.0.1:9", api_key="sgk_x")
    assert (code, told["verdict"]) == (3, "no-verdict")
    assert "No verdict" in summary


def test_the_action_installs_this_revision_or_the_named_package() -> None:
    run = step("Install queueproof")
    assert run["env"]["ACTION"] == "${{ github.action_path }}"
    assert '"${PACKAGE:-$ACTION}"' in run["run"]


@pytest.mark.parametrize("name", sorted(ACTION["inputs"]))
def test_every_input_of_the_action_says_what_it_is_and_is_used(name: str) -> None:
    assert ACTION["inputs"][name]["description"]
    assert f"inputs.{name}" in str(ACTION["runs"])
    assert f"`{name}`" in (ROOT / "docs" / "ci-gate.md").read_text("utf-8")


def test_the_gitlab_job_runs_what_there_is_and_keeps_what_it_writes() -> None:
    [command] = JOB["conformance"]["script"]
    words = command.split()
    assert words[:2] == ["queueproof", "conformance"]
    artifacts = JOB["conformance"]["artifacts"]
    assert artifacts["reports"]["junit"] == words[words.index("--junit") + 1]
    assert artifacts["paths"] == [words[words.index("--out") + 1]]
    assert artifacts["when"] == "always"
