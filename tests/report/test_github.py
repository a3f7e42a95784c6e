"""GitHub's runner hears of new failures only, and takes no command from what a server said."""

import io
from pathlib import Path

from tests.report.conftest import Run, requirement

from queueproof.evidence.results import Verdict
from queueproof.report.github import tell, unheard
from queueproof.report.story import load_story


def told(path: Path, **environment: str) -> str:
    stream = io.StringIO()
    tell(load_story(path), stream, environment)
    return stream.getvalue()


def test_elsewhere_nothing_is_written(failing_run: Path) -> None:
    assert told(failing_run) == ""


def test_an_annotation_is_for_a_new_failure_only(failing_run: Path) -> None:
    lines = told(failing_run, GITHUB_ACTIONS="true").splitlines()
    assert [line.partition("::")[2].partition("::")[0] for line in lines] == ["error title=CLAIM-6"]
    assert "IDEM-3" not in "".join(lines)  # known


def test_ten_annotations_are_all_that_is_shown(tmp_path: Path) -> None:
    broken = [requirement(f"X-{number}", "failed", summary="no") for number in range(30)]
    path = Run(tmp_path / "run").finish(Verdict.DOES_NOT_CONFORM, 1, *broken)
    lines = told(path, GITHUB_ACTIONS="true").splitlines()
    assert len(lines) == 10 and lines[-1].endswith("and 21 more new failures")


def test_the_summary_is_appended(failing_run: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    assert told(failing_run, GITHUB_STEP_SUMMARY=str(summary)) == ""
    assert summary.read_text().startswith("before\n## ❌ Does not conform")


def test_a_full_or_missing_summary_is_no_reason_to_fail(failing_run: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("x" * 1_048_000)
    told(failing_run, GITHUB_STEP_SUMMARY=str(summary))
    assert summary.stat().st_size <= 1_048_576 and summary.read_text().endswith("is in report.html.\n")
    assert "cannot be written" in told(failing_run, GITHUB_STEP_SUMMARY=str(tmp_path / "no" / "folder.md"))


def test_no_command_is_heard_in_a_report() -> None:
    stream = io.StringIO()
    with unheard(stream, {"GITHUB_ACTIONS": "true"}):
        stream.write("::error::said by a server\n")
    first, said, last = stream.getvalue().splitlines()
    token = first.removeprefix("::stop-commands::")
    assert len(token) == 32 and last == f"::{token}::" and token not in said
    with unheard(stream := io.StringIO(), {}):
        pass
    assert stream.getvalue() == ""
