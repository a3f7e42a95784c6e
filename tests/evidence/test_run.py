"""The run directory: whole files or none, and clear words about what is no run."""

import json
from pathlib import Path

import pytest

from queueproof.errors import CorruptRunError, UsageError
from queueproof.evidence.results import SCHEMA, Outcome, RequirementResult, Results, Verdict
from queueproof.evidence.run import MANIFEST, RESULTS, RunDirectory, manifest_of

RESULT = Results(
    schema=SCHEMA,
    verdict=Verdict.CONFORMS,
    exit_code=0,
    requirements=(RequirementResult(id="VIS-1", level="MUST", profile="core", outcome=Outcome.PASSED),),
)


def test_results_have_the_documented_form(tmp_path: Path) -> None:
    directory = RunDirectory.create(tmp_path / "run", "conformance", "r")
    directory.write_results(RESULT)
    found = json.loads((directory.path / RESULTS).read_text())
    assert (found["schema"], found["verdict"], found["exit_code"]) == (1, "conforms", 0)
    assert found["requirements"][0]["outcome"] == "passed"
    assert set(found) >= {"findings", "verbs", "load", "objectives", "observations", "noise", "clean_up"}
    assert directory.results() == RESULT


def test_the_newest_run_is_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("one", "two"):
        RunDirectory.create(None, "conformance", run).write("x", run)
    assert (tmp_path / "reports" / "latest" / "x").read_text() == "two"


def test_a_named_folder_is_used_again_and_nothing_foreign_is_lost(tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = RunDirectory.create(out, "conformance", "one")
    first.write_manifest(manifest_of(run="one", kind="conformance", target={}, options={}, command=""))
    first.write_results(RESULT)
    (out / "notes.txt").write_text("mine")
    RunDirectory.create(out, "conformance", "two")
    assert not (out / RESULTS).exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="holds other files"):
        RunDirectory.create(tmp_path, "conformance", "r")
    assert (tmp_path / "letter.txt").exists()


def test_a_file_or_an_unwritable_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nothing/here")):
        with pytest.raises(UsageError):
            RunDirectory.create(place, "conformance", "r")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": "x"}', b"\xff\xfe"])
def test_a_damaged_result_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(b"{}")
    (tmp_path / RESULTS).write_bytes(content)
    with pytest.raises(CorruptRunError, match="cannot be read"):
        RunDirectory.open(tmp_path).results()


def test_a_missing_run_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(CorruptRunError):
            RunDirectory.open(path)
