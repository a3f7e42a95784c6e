"""The error family: each says what happened, what to do next, and which exit code it means.

QueueproofError
├── UsageError          2    the command or its input is wrong
├── TargetError         3    the target could not be reached or used
├── NoVerdictError      4    too little was seen to judge
├── HarnessError        5    the harness itself failed
│   └── CorruptRunError 2    a run directory cannot be read
└── Interrupted       130    SIGINT or SIGTERM
"""

from enum import IntEnum


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
