"""Reports are written beside the run, or returned, from the directory alone."""

import json
from pathlib import Path

import pytest

from queueproof.errors import CorruptRunError, UsageError
from queueproof.report.write import FORMATS, render, write_reports


@pytest.mark.parametrize("name", ["passing_run", "failing_run", "hostile_run", "load_run", "interrupted_run"])
def test_every_run_gets_its_reports(name: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(name)
    write_reports(path)
    assert (path / "report.html").read_text().startswith("<!doctype html>")
    assert (path / "junit.xml").read_text().startswith("<?xml")
    for form in FORMATS:
        if form != "json" or name != "interrupted_run":
            assert render(path, form)


def test_the_same_run_gives_the_same_report(failing_run: Path) -> None:
    assert render(failing_run, "html") == render(failing_run, "html")


def test_json_is_the_results_file(passing_run: Path) -> None:
    assert json.loads(render(passing_run, "json"))["verdict"] == "conforms"


def test_what_cannot_be_done_says_what_to_do(passing_run: Path, interrupted_run: Path) -> None:
    with pytest.raises(UsageError, match="no report format 'pdf'"):
        render(passing_run, "pdf")
    (passing_run / "results.json").unlink()
    with pytest.raises(CorruptRunError, match=r"results\.json"):
        render(passing_run, "json")
