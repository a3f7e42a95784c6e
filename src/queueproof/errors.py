"""The error family: each says what happened, what to do next, and which exit code it means.

QueueproofError
├── UsageError          2    the command or its input is wrong
│   └── MistakesError   2    … in several places
├── TargetError         3    the target could not be reached or used
├── NoVerdictError      4    too little was seen to judge
├── HarnessError        5    the harness itself failed
│   └── CorruptRunError 2    a run directory cannot be read
└── Interrupted       130    SIGINT or SIGTERM
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TypeVar

T = TypeVar("T")


class ExitCode(IntEnum):
    """What a command's exit code means (docs/ci-gate.md lists the same)."""

    CONFORMS = 0
    DOES_NOT = 1
    USAGE = 2
    TARGET = 3
    NO_VERDICT = 4
    HARNESS = 5
    INTERRUPTED = 130


class QueueproofError(Exception):
    """Something went wrong that the user can act on.

    `hint` is the sentence that says what to do next.
    """

    exit_code = ExitCode.HARNESS

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class UsageError(QueueproofError):
    """The command or its input is wrong."""

    exit_code = ExitCode.USAGE


class TargetError(QueueproofError):
    """The target could not be reached or used."""

    exit_code = ExitCode.TARGET


class NoVerdictError(QueueproofError):
    """Too little was seen to judge."""

    exit_code = ExitCode.NO_VERDICT


class HarnessError(QueueproofError):
    """The harness itself failed."""

    exit_code = ExitCode.HARNESS


class CorruptRunError(HarnessError):
    """A run directory cannot be read."""

    exit_code = ExitCode.USAGE


class Interrupted(QueueproofError):  # noqa: N818 -- an interruption is no error of anybody
    """SIGINT or SIGTERM ended the run."""

    exit_code = ExitCode.INTERRUPTED


class MistakesError(UsageError):
    """Several things are wrong with the command or its input."""

    def __init__(self, each: Sequence[UsageError | CorruptRunError]) -> None:
        lines = "\n".join(f"  {one.message}" + (f" → {one.hint}" if one.hint else "") for one in each)
        super().__init__(f"{len(each)} mistakes:\n{lines}")
        self.each = tuple(each)


class Mistakes:
    """Reads one piece of input after the other, so that whoever wrote them is told everything that is wrong at once."""

    def __init__(self) -> None:
        self._found: list[UsageError | CorruptRunError] = []

    def add(self, mistake: UsageError | CorruptRunError) -> None:
        self._found += mistake.each if isinstance(mistake, MistakesError) else [mistake]

    def read(self, reading: Callable[[], T]) -> T | None:
        """What `reading` gives; None when it was a mistake, which is kept."""
        try:
            return reading()
        except (UsageError, CorruptRunError) as error:
            self.add(error)
            return None

    def tell(self) -> None:
        """Raises UsageError when there was any mistake: the only one itself, or one that lists them all."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            raise MistakesError(self._found)
