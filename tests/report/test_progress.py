"""Progress is one line, never wider than the terminal, and only where there is one."""

import io

import pytest

from queueproof.report.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_counts_what_ended_what_runs_and_how_long() -> None:
    now = [100.0]
    progress = Progress(96, io.StringIO(), clock=lambda: now[0], environment={})
    for number in range(57):
        progress.done(failed=number < 2)
    now[0] = 112.4
    assert progress.line(100) == "57 of 96 cases ended, 2 failed, 39 running, longest wait 12 s"
    assert progress.line(40) == "57/96 ended, 2 failed, 12 s"
    assert len(progress.line(12)) == 11


@pytest.mark.parametrize(
    ("stream", "environment", "quiet"),
    [(io.StringIO(), {}, False), (Terminal(), {"TERM": "dumb"}, False), (Terminal(), {}, True)],
)
def test_it_is_silent_where_nobody_looks(stream: io.StringIO, environment: dict[str, str], quiet: bool) -> None:
    progress = Progress(3, stream, environment=environment, quiet=quiet)
    progress.done(failed=True)
    progress.close()
    assert stream.getvalue() == ""


def test_it_takes_its_line_away() -> None:
    stream = Terminal()
    progress = Progress(3, stream, environment={})
    progress.close()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_terminal_that_is_gone_ends_it() -> None:
    stream = Terminal()
    progress = Progress(3, stream, environment={})
    stream.close()
    progress.close()
