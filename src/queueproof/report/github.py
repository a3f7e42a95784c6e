"""Tells a run to GitHub's runner: the step's summary, and an annotation for each new failure and nothing else.

A runner reads commands from whatever a step prints, and a report prints words that a server chose; so the report is
printed where no command is heard (`unheard`).
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TextIO

from queueproof.report.story import Story

# GitHub shows ten of a step, and takes a summary of 1 MiB a step.
_MOST: Final = 10
_SUMMARY_BYTES: Final = 1_048_576


def is_github(environment: Mapping[str, str] = os.environ) -> bool:
    return environment.get("GITHUB_ACTIONS") == "true"


def tell(story: Story, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
    """Appends to the file that GITHUB_STEP_SUMMARY names, and writes annotations to `stream` inside an action."""
    from queueproof.report.markdown import annotations
    from queueproof.report.write import markdown_of

    summary = environment.get("GITHUB_STEP_SUMMARY", "")
    if summary:
        _append(Path(summary), markdown_of(story), stream)
    if is_github(environment):
        lines = annotations(story).splitlines(keepends=True)
        if len(lines) > _MOST:
            lines = [*lines[: _MOST - 1], f"::error title=queueproof::and {len(lines) - _MOST + 1} more new failures\n"]
        stream.write("".join(lines))
        stream.flush()


def _append(path: Path, document: str, stream: TextIO) -> None:
    """What does not fit, or cannot be written, is no reason to fail a run: it is said, and left out."""
    try:
        held = path.stat().st_size if path.exists() else 0
        if held + len(document.encode("utf-8", "replace")) > _SUMMARY_BYTES:
            document = "The step's summary is full: the whole report is in report.html.\n"
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(document)
    except OSError as error:
        stream.write(f"queueproof: the step's summary cannot be written: {error.strerror or error}\n")


@contextlib.contextmanager
def unheard(stream: TextIO, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """While the block runs, GitHub's runner takes nothing in the output for a command; elsewhere nothing changes."""
    if not is_github(environment):
        yield
        return
    token = secrets.token_hex(16)
    stream.write(f"::stop-commands::{token}\n")
    try:
        yield
    finally:
        stream.write(f"::{token}::\n")
        stream.flush()
