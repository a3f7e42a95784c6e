"""An examination on a terminal: every line and its advice, within the width, in harmless letters."""

import pytest

from queueproof.evidence.checkup import Checkup, Line, Sign
from queueproof.report.checkup import render

CHECKUP = Checkup(
    url="http://127.0.0.1:8000",
    usable=True,
    summary="Usable; 1 thing to look at.",
    advice="give it a name",
    took_s=1.94,
    requests=65,
    lines=(
        Line(area="reach", name="TCP", sign=Sign.GOOD, said="port 8000 is open (1 ms)"),
        Line(area="keys", name="api", sign=Sign.BAD, said="no right", advice="give --api-key another key"),
        Line(area="keys", name="view", sign=Sign.ODD, said="\x1b[31mview\u202e", advice="look"),
        Line(area="verbs", name="there", sign=Sign.TOLD, said=", ".join(f"verb-{n}" for n in range(40))),
    ),
)


@pytest.mark.parametrize("width", [10, 40, 63, 64, 100, 300])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_it_fits(width: int, ascii_only: bool) -> None:
    shown = render(CHECKUP, width=width, ascii_only=ascii_only)
    assert max(map(len, shown.splitlines())) <= max(40, min(width, 120))
    assert shown.isascii() or not ascii_only
    flat = " ".join(shown.split())
    for words in ("Usable; 1 thing", "port 8000 is open", "give --api-key another key", "verb-39", "reach", "keys"):
        assert words in flat, words
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_colour_only_where_it_is_wanted() -> None:
    assert "\x1b[" in render(CHECKUP, colour=True)
