"""Text that a server chose is shown, never obeyed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueproof.report.text import plain, seconds, shorten, span


@given(st.text(st.characters(codec=None)))
def test_whatever_comes_in_what_goes_out_prints(text: str) -> None:
    """Controls, directions, surrogates and private characters all become escapes."""
    shown = plain(text)
    assert shown.isprintable()
    shown.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x00b", "a\\x00b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\ud800", "\\ud800"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("two\nlines", "two\\nlines"),
        ("Grüße, 世界", "Grüße, 世界"),
    ],
)
def test_an_escape_stands_where_the_character_stood(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_line_break_stays_where_it_is_wanted() -> None:
    assert plain("two\r\nlines\x07", lines=True) == "two\nlines\\x07"


def test_fifty_megabytes_become_a_few_lines_and_a_number() -> None:
    shown = plain("\x00" * 50_000_000, 1_000)
    assert len(shown) < 2_100
    assert shorten("x" * 50_000_000, 1_000).endswith("… (49,999,000 more characters)")


def test_marks_do_not_climb_over_their_neighbours() -> None:
    assert len(plain("a" + "\u0301" * 500)) == 4


def test_spans_are_in_the_unit_that_suits_them() -> None:
    assert (seconds(7_917_000_000), span(480_000), span(12_400_000)) == ("7.917 s", "480 µs", "12.4 ms")
