"""The pages of capacity and comparison: whatever a run says of itself stays text (test_browser.py opens them)."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.report import measured_stories as measured

from queueproof.report.story import load_story
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


def test_the_marks_of_an_axis_leave_each_other_room(tmp_path: Path) -> None:
    """On a phone, too, where two of them nearer than 17 % of the width would touch."""
    page = render(measured.compared(tmp_path / "run"), "html")
    marks = [(float(place), words) for place, words in re.findall(r'x="([\d.]+)%"[^>]*middle">([^<]+)', page)]
    said = [words for _, words in sorted(marks)]
    assert said[0].startswith("-") and "as before" in said and said[-1].startswith("+")
    places = sorted(place for place, _ in marks)
    assert min(b - a for a, b in itertools.pairwise(places)) >= 17


def test_the_knee_shows_every_window_and_the_limit(tmp_path: Path) -> None:
    path = measured.capacity(tmp_path / "run")
    page = render(path, "html")
    knee = page.partition('id="knee"')[2].partition("</section>")[0]
    probes = load_story(path).results.capacity["probes"]
    assert knee.count('<circle class="met"') == sum(one["came"] == "met" for one in probes)
    assert knee.count('<rect class="missed"') == sum(one["came"] == "missed" for one in probes)
    assert "objective 200 ms" in knee and 'class="band"' in knee


def test_without_two_measured_windows_there_is_no_knee(tmp_path: Path) -> None:
    assert 'id="knee"' not in render(measured.hostile_capacity(tmp_path / "run"), "html")
