"""A run is told to a person, a script, or GitHub's runner; words and JSON never share a stream."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.report import measured_stories as measured
from tests.report.conftest import failing
from typer.testing import CliRunner

from queueproof.cli import app
from queueproof.cli.telling import tell


def test_a_script_gets_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(failing(tmp_path / "run"), json=True)
    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"] == "does-not-conform"
    assert "Does not conform" in err


def test_a_person_gets_the_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(failing(tmp_path / "run"))
    out, err = capsys.readouterr()
    assert "✗ CLAIM-6" in out and err == ""


def test_github_gets_summary_and_annotations_around_a_muted_story(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    tell(failing(tmp_path / "run"))
    out, err = capsys.readouterr()
    assert out.startswith("::stop-commands::") and out.rstrip().endswith("::")
    assert err.startswith("::error title=CLAIM-6::")
    assert "Does not conform" in (tmp_path / "summary.md").read_text()


@pytest.mark.parametrize(
    ("write", "told"), [(measured.capacity, "95 % interval"), (measured.compared, "claim.response.p50")]
)
def test_every_kind_of_run_is_told_in_its_own_words(
    write: Callable[[Path], Path],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    tell(write(tmp_path / "run"))
    out, err = capsys.readouterr()
    assert told in out and out.startswith("::stop-commands::") and err == ""
    assert told in (tmp_path / "summary.md").read_text()


def test_report_as_json(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(failing(tmp_path / "run")), "--json"])
    assert done.exit_code == 0 and json.loads(done.stdout)["schema"] == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell: str) -> None:
    """What a shell asks when Tab is pressed after `queueproof ma`."""
    asked = {
        "_QUEUEPROOF_COMPLETE": f"complete_{shell}", "COMP_WORDS": "queueproof ma", "COMP_CWORD": "1",
        "_TYPER_COMPLETE_ARGS": "queueproof ma", "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    done = CliRunner().invoke(app, [], env=asked, prog_name="queueproof")
    assert "matrix" in done.stdout and "serve" not in done.stdout


def test_completion_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))  # none may have started this
    done = CliRunner().invoke(app, ["--show-completion", "bash"], prog_name="queueproof")
    assert done.exit_code == 0 and "_QUEUEPROOF_COMPLETE" in done.stdout
