"""What stands on the terminal: at any width, in any alphabet, and never what a server wanted it to do."""

import io
from pathlib import Path

import pytest
from rich.cells import cell_len

from queueproof.report.cards import Group
from queueproof.report.story import load_story
from queueproof.report.terminal import render, render_card, show, terminal_width, wants_ascii, wants_colour


def test_a_failure_explains_itself(failing_run: Path) -> None:
    text = render(load_story(failing_run), width=100)
    for words in (
        "✗ Does not conform  CLAIM-6 failed; 8 of 17 requirements passed.",
        "In a `competing` queue, concurrent claims MUST never both return the same message",
        "expected  no second delivery before 10.196 s",
        "seen      a second delivery at 7.917 s",
        "proof     7.917 < 0.196 + 10 and 0.201 < 7.912 + 10",
        "▸claim #4",
        "again  queueproof conformance --url http://127.0.0.1:8080 --requirement CLAIM-6",
        "by CLAIM-6  DONE-4, VIS-2",
        "429 came between three times",
        "nothing (3 of 3 scopes deleted)",
        "report.html",
    ):
        assert words in text, words


def test_a_passing_run_is_short(passing_run: Path) -> None:
    text = render(load_story(passing_run), width=80)
    assert "✓ Conforms  All 7 requirements passed." in text
    assert len(text.splitlines()) < 15


@pytest.mark.parametrize("width", [20, 40, 57, 80, 100, 300])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_line_is_wider_than_the_terminal(
    failing_run: Path, hostile_run: Path, load_run: Path, width: int, ascii_only: bool
) -> None:
    for path in (failing_run, hostile_run, load_run):
        text = render(load_story(path), width=width, ascii_only=ascii_only)
        lines = [line for line in text.splitlines() if str(path) not in line]  # a path stays whole, to be copied
        assert all(cell_len(line) <= max(40, width) for line in lines)
        assert text.isascii() or not ascii_only


def test_a_hostile_answer_moves_nothing(hostile_run: Path) -> None:
    for colour in (False, True):
        text = render(load_story(hostile_run), width=100, colour=colour)
        assert "\x00" not in text and "\u202e" not in text and "\x1b[31m\\" not in text
        assert "\\x1b[31m" in text
    assert "\x1b" not in render(load_story(hostile_run), width=100)


def test_colour_is_only_for_terminals_that_want_it(failing_run: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert wants_colour(Terminal(), {"TERM": "xterm"})
    assert not wants_colour(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})
    assert not wants_colour(Terminal(), {"TERM": "dumb"})
    assert not wants_colour(io.StringIO(), {"TERM": "xterm"})
    assert "\x1b[" in render(load_story(failing_run), colour=True)
    assert "\x1b[" not in render(load_story(failing_run), colour=False)


def test_the_width_is_what_columns_says_else_the_terminals(failing_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    assert [terminal_width(out, {"COLUMNS": said}) for said in ("40", "0", "wide", "")] == [40, 100, 100, 100]
    monkeypatch.setenv("COLUMNS", "40")
    show(load_story(failing_run), out)
    kept_whole = ("report", "junit")  # paths, there to be copied
    lines = [line for line in out.getvalue().splitlines() if not line.strip().startswith(kept_whole)]
    assert max(map(cell_len, lines)) <= 40


def test_a_stream_that_cannot_carry_the_signs_gets_letters(failing_run: Path) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    assert wants_ascii(stream)
    show(load_story(failing_run), stream)
    assert b"X CLAIM-6" in raw.getvalue()


def test_a_cut_off_run_has_a_page_too(interrupted_run: Path) -> None:
    text = render(load_story(interrupted_run), width=100)
    assert "? No verdict  The run was cut off before a verdict" in text


def test_load_shows_percentiles_and_missed_objectives(load_run: Path) -> None:
    text = render(load_story(load_run), width=110)
    assert "MISSED  e2e.p99 < 40ms  45.0 ms · 12 % above 40ms" in text
    assert "publish response" in text and "4.5 ms" in text
    assert "and 22 more findings" in text


def test_a_narrow_terminal_gets_the_weightiest_percentiles(load_run: Path) -> None:
    wide, usual, narrow = (render(load_story(load_run), width=width) for width in (120, 80, 40))
    heads = [line.split() for text in (wide, usual) for line in text.splitlines() if line.split()[:1] == ["count"]]
    assert heads == [
        ["count", "errors", "p50", "p90", "p95", "p99", "p99.9", "max"],
        ["count", "errors", "p50", "p99", "max"],
    ]
    assert "publish response: 1,600 calls, 2 errors, p50 900 µs, p99 4.5 ms, max 18.0 ms" in " ".join(narrow.split())


def test_a_card_alone_is_plain_text(failing_run: Path) -> None:
    (card,) = load_story(failing_run).group(Group.NEW)
    text = render_card(card)
    assert text.startswith("✗ CLAIM-6") and "\x1b" not in text
