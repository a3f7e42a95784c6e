"""Markdown for a CI step's summary, in which nothing that a server said is markup."""

import re
from pathlib import Path

from queueproof.report.markdown import annotations, block, code, markdown, text
from queueproof.report.story import load_story


def test_the_verdict_comes_first_and_the_card_is_whole(failing_run: Path) -> None:
    document = markdown(load_story(failing_run))
    assert document.startswith("## ❌ Does not conform\n\nCLAIM\\-6 failed; 8 of 17")
    assert "### New failures (1)" in document and "proof     7.917 < 0.196 + 10" in document
    assert "**Blocked by `CLAIM-6`** (2): `DONE-4`, `VIS-2`" in document


def test_hostile_text_is_no_markup(hostile_run: Path) -> None:
    document = markdown(load_story(hostile_run))
    outside = re.sub(r"(?ms)^(`{3,})text$.*?^\1$", "", document)
    outside = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", outside)
    assert "<script" not in outside and "\x1b" not in document and "\u202e" not in document


def test_fences_are_longer_than_what_they_hold() -> None:
    assert block("a\n```\nb").startswith("````text\n")
    assert code("a`b") == "``a`b``"
    assert text("<b>@you [x](y)") == "&lt;b\\>\\@you \\[x\\]\\(y\\)"


def test_annotations_are_for_new_failures_only(failing_run: Path, load_run: Path) -> None:
    (line,) = annotations(load_story(failing_run)).splitlines()[:1]
    assert line.startswith("::error title=CLAIM-6::")


def test_a_load_run_shows_its_table(load_run: Path) -> None:
    document = markdown(load_story(load_run))
    assert "| publish response | 1,600 | 2 | 900 µs |" in document
    assert "✗ missed | 45.0 ms | 12 % above 40ms |" in document
