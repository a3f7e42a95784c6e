"""The command line's frame: one application, every error of the family one clear line and its exit code."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from queueproof import __version__
from queueproof.errors import ExitCode, QueueproofError, UsageError

app = typer.Typer(
    name="queueproof",
    help="Proves that a work-queue server keeps its promises, and says how much it can carry while it does.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Typer carries a click of its own or the real one; the base of its errors has the same name in both.
CommandLineError: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> None:
    """Runs the command line; every error of the family is one clear line and its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell lets its background jobs ignore the first
        signal.signal(number, signal.default_int_handler)
    try:
        code = app(standalone_mode=False)
    except QueueproofError as error:
        code = _told(error)
    except CommandLineError as error:
        code = _told(_misspelt(error))
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except Exception:  # a crash of ours, whose exit code would else be 1: the target's
        sys.stderr.write(f"{traceback.format_exc()}queueproof: the harness itself failed\n  → please report this\n")
        code = ExitCode.HARNESS
    sys.exit(int(code or 0))


def _told(error: QueueproofError) -> ExitCode:
    sys.stderr.write(f"queueproof: {error}\n" if str(error) else "")
    return error.exit_code


def _misspelt(error: Any) -> UsageError:
    """What the parser of options says, in our words; no words at all printed the help."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return UsageError("")
    near = list(getattr(error, "possibilities", None) or ())
    message = error.message if near else error.format_message()
    command = " ".join(["queueproof", *([context.info_name] if context and context.parent else [])])
    return UsageError(
        message.rstrip("."),
        hint=f"did you mean {' or '.join(near)}?" if near else f"`{command} --help` lists what there is",
    )


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """A reader that wants no more (`| head`) is no error of anybody's."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"queueproof {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Proves that a work-queue server keeps its promises, and says how much it can carry while it does."""
