"""What a capacity search says on a terminal while it runs: a line a window that stays, and one that moves."""

from types import TracebackType
from typing import Any, Final, TextIO

from rich.console import Console
from rich.status import Status

from queueproof.report.live import backlog
from queueproof.report.text import plain

_STYLES: Final = {"met": "green", "missed": "red", "short": "yellow", "invalid": "yellow"}


class Live:
    """Called with what the search tells (`conduct_capacity.Told`); plain lines where `stream` is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._status: Status | None = None

    def __enter__(self) -> "Live":
        if self._console.file.isatty() and not self._console.is_dumb_terminal:  # FORCE_COLOR makes no log a terminal
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, told: Any) -> None:
        if told.kind == "conformance":
            self._moving("the core suite runs first (about half a minute)")
        elif told.kind == "window":
            self._moving(f"window {told.number}: {told.rate:.0f}/s ({told.phase})")
        elif told.kind == "second" and self._status is not None:
            line = told.line
            self._status.update(
                f"window {told.number}: {told.rate:.0f}/s ({told.phase})  {line['phase']} {line['elapsed_s']:.0f} of "
                f"{line['duration_s']:.0f} s  backlog {backlog(line)}  "
                f"errors {line['errors']}  e2e p99 {line['e2e_p99_us'] / 1000:.0f} ms"
            )
        elif told.kind == "probe" and told.probe is not None:
            probe = told.probe
            text = f"{told.number:3}  {probe.rate:9.1f}/s  {probe.phase:7} {probe.came:8} {plain(probe.why, 120)}"
            self._console.print(text.rstrip(), style=_STYLES.get(probe.came, "bold red"), soft_wrap=True)

    def _moving(self, text: str) -> None:
        if self._status is not None:
            self._status.update(text)
        else:
            self._console.print(text, soft_wrap=True)
