"""A command that takes a while says so on a terminal, and nowhere else."""

import io

import pytest

from queueproof.report.waiting import waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, term: str) -> str:
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    with waiting("comparing [both] runs", stream):
        pass
    return stream.getvalue()


def test_a_terminal_is_told_what_is_done_and_left_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown(Terminal(), monkeypatch, "xterm")
    assert "comparing [both] runs" in told and "0:00:0" in told
    assert told.rstrip().endswith("\x1b[2K")  # the line is taken away


@pytest.mark.parametrize(("stream", "term"), [(io.StringIO(), "xterm"), (Terminal(), "dumb")], ids=["file", "dumb"])
def test_elsewhere_nothing_is_written(stream: io.StringIO, term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(stream, monkeypatch, term) == ""
