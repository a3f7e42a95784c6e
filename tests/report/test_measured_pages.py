"""The pages of capacity and comparison: whatever a run says of itself stays text (test_browser.py opens them)."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.report import measured_stories as measured

from queueproof.report.write import render


@pytest.mark.parametrize("write", [measured.hostile_capacity, measured.hostile_comparison])
def test_nothing_that_a_run_says_becomes_markup(write: Callable[[Path], Path], tmp_path: Path) -> None:
    hostile = write(tmp_path / "run")
    page = render(hostile, "html")
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\x1b" not in render(hostile, "text")
    *told, command = render(hostile, "markdown").strip().splitlines()
    assert "<img" not in "".join(told).replace("\\<img", "")
    assert command.count("`") == 2  # one code span, in which nothing is markup
