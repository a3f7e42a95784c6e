"""A load while it runs, on a terminal: progress, rates, percentiles, backlog, lateness; redrawn with every line told.

Where the stream is no terminal it writes plain lines, ten seconds apart, so that a log stays readable. A reader that
has gone away is told no more, and the load goes on.
"""

import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_EVERY_S: Final = 10.0
_PHASES: Final = {
    "prepare": "preparing the target",
    "load": "under load",
    "stop": "waiting for the last answers",
    "drain": "emptying the queues, waiting for what may come back",
}


class LiveView:
    """Is given each line of numbers of a load (docs/scenarios.md); `close` it at the end. Usable as a callback."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._live: Live | None = None
        self._heard = True  # somebody still reads
        if self._stream.isatty() and os.environ.get("TERM") != "dumb":
            console = Console(file=self._stream)
            self._live = Live(console=console, auto_refresh=False, transient=True)
            self._live.start()
        self._told_s = -PLAIN_EVERY_S
        self._before: Mapping[str, Any] = {}
        self._phase = ""

    def __call__(self, line: Mapping[str, Any]) -> None:
        if not self._heard:
            return
        try:
            self._tell(line, self._rate(line))
        except (OSError, ValueError):  # closed
            self._heard = False
        self._before, self._phase = line, line["phase"]

    def _tell(self, line: Mapping[str, Any], rate: tuple[float, float]) -> None:
        if self._live is not None:
            self._live.update(drawn(line, rate), refresh=True)
        elif line["elapsed_s"] - self._told_s >= PLAIN_EVERY_S or line["phase"] != self._phase:
            self._told_s = line["elapsed_s"]
            self._stream.write(f"{plain(line, rate)}\n")
            self._stream.flush()

    def close(self) -> None:
        if self._live is not None:
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()

    def _rate(self, line: Mapping[str, Any]) -> tuple[float, float]:
        """(published, completed) a second, since the line before."""
        before = self._before
        span_s = line["elapsed_s"] - before.get("elapsed_s", 0.0)
        if not before or span_s <= 0:
            return 0.0, 0.0
        return (line["published"] - before["published"]) / span_s, (line["completed"] - before["completed"]) / span_s


def drawn(line: Mapping[str, Any], rate: tuple[float, float]) -> RenderableType:
    """The view of one line; `rate`: messages published and completed a second."""
    share = min(line["elapsed_s"] / line["duration_s"], 1.0) if line["duration_s"] else 0.0
    head = Table.grid(padding=(0, 1))
    head.add_row(
        Text(f"{min(line['elapsed_s'], line['duration_s']):.0f}/{line['duration_s']:g} s"),
        ProgressBar(total=1.0, completed=share, width=30),
        Text(_PHASES.get(line["phase"], line["phase"]), style="bold"),
    )
    body = Table.grid(padding=(0, 3))
    published, completed = rate
    body.add_row(f"published {line['published']}", f"{published:.0f}/s", f"p99 {_ms(line['publish_p99_us'])}")
    body.add_row(f"completed {line['completed']}", f"{completed:.0f}/s", f"end to end p99 {_ms(line['e2e_p99_us'])}")
    errors = Text(f"errors {line['errors']}", style="bold red" if line["errors"] else "")
    body.add_row(Text(f"backlog {backlog(line)}"), f"in flight {line['in_flight']}", errors)
    late = f"generator late p99 {_ms(line['lateness_p99_us'])}"
    body.add_row(f"empty claims {line['empty_claims']}", f"calls {line['calls']}", late)
    return Group(head, body)


def plain(line: Mapping[str, Any], rate: tuple[float, float]) -> str:
    """The same in one line without colour."""
    return (
        f"{line['phase']:7} {line['elapsed_s']:6.1f}/{line['duration_s']:g} s  {rate[0]:.0f} published/s  "
        f"{rate[1]:.0f} completed/s  backlog {backlog(line)}  errors {line['errors']}  "
        f"publish p99 {_ms(line['publish_p99_us'])}  e2e p99 {_ms(line['e2e_p99_us'])}  "
        f"late p99 {_ms(line['lateness_p99_us'])}  empty claims {line['empty_claims']}"
    )


def backlog(line: Mapping[str, Any]) -> int:
    """Messages published and not completed, as far as the answers tell; those that a drain still awaits."""
    left = line.get("left")
    if left is not None:
        return int(left)
    return max(0, int(line["published"] - line["completed"]))


def _ms(microseconds: float) -> str:
    return f"{microseconds / 1000:.1f} ms"
