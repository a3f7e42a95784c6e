"""What a command that takes more than a moment shows meanwhile: what it is doing, and for how long by now."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def waiting(what: str, stream: TextIO | None = None) -> Iterator[None]:
    """Shows `what` and the time on `stream` (standard error) while the block runs, and takes it away after it.

    Writes nothing where no terminal is, nor on one that cannot move its cursor.
    """
    console = Console(file=stream if stream is not None else sys.stderr)
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    words = TextColumn("{task.description}", markup=False)
    with Progress(SpinnerColumn(), words, TimeElapsedColumn(), console=console, transient=True) as shown:
        shown.add_task(what, total=None)
        yield
