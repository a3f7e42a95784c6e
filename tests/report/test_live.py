"""What a load shows while it runs: a picture on a terminal, few plain lines elsewhere."""

import io
from typing import Any

import pytest
from rich.console import Console

from queueproof.conduct_capacity import Told
from queueproof.report.capacity_live import Live
from queueproof.report.live import LiveView, drawn, plain


def line(**changes: Any) -> dict[str, Any]:
    numbers = {
        "phase": "load",
        "elapsed_s": 4.0,
        "duration_s": 20.0,
        "published": 400,
        "completed": 390,
        "calls": 1200,
        "errors": 3,
        "empty_claims": 17,
        "in_flight": 5,
        "publish_p99_us": 12_300,
        "e2e_p99_us": 45_600,
        "lateness_p99_us": 210,
    }
    return {**numbers, **changes}


def test_every_number_is_drawn() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(drawn(line(), (100.0, 97.5)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("4/20 s", "under load", "100/s", "12.3 ms", "45.6 ms", "0.2 ms", "backlog 10", "errors 3"):
        assert part in text
    for part in ("in flight 5", "empty claims 17"):
        assert part in text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_redrawn_and_left_clean() -> None:
    stream = Terminal()
    view = LiveView(stream)
    view(line())
    view(line(elapsed_s=5.0, published=520))
    assert "120/s" in stream.getvalue()
    view.close()
    assert stream.getvalue().endswith("\x1b[2K") or "\x1b[?25h" in stream.getvalue()


def test_a_log_gets_a_plain_line_every_ten_seconds_and_at_each_phase() -> None:
    stream = io.StringIO()
    view = LiveView(stream)
    for second in range(25):
        view(line(elapsed_s=float(second), published=second * 100, completed=second * 90))
    view(line(phase="drain", elapsed_s=25.0, published=2500, completed=2250))
    view.close()
    lines = stream.getvalue().splitlines()
    assert [text.split()[0] for text in lines] == ["load", "load", "load", "drain"]
    assert "100 published/s" in lines[1]
    assert "\x1b" not in stream.getvalue()


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    view = LiveView(stream)
    view(line())
    view.close()
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().startswith("load")


def test_a_reader_that_has_gone_away_is_told_no_more() -> None:
    stream = io.StringIO()
    view = LiveView(stream)
    view(line())
    stream.close()
    view(line(phase="drain"))
    view(line(phase="drain", elapsed_s=40.0))
    view.close()


def test_a_forced_colour_makes_no_log_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves a cursor stays out of a search's log as well."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    stream = io.StringIO()
    with Live(stream) as live:
        live(Told(kind="window", number=1, rate=200.0, phase="rise"))
    assert stream.getvalue() == "window 1: 200/s (rise)\n"


def test_more_completed_than_known_is_no_backlog_below_zero() -> None:
    assert "backlog 0 " in plain(line(published=10, completed=12), (0.0, 0.0))


def test_a_drain_tells_what_it_still_awaits() -> None:
    assert "backlog 7 " in plain(line(phase="drain", left=7), (0.0, 0.0))
    assert "backlog 0 " in plain(line(phase="drain", left=0), (0.0, 0.0))
