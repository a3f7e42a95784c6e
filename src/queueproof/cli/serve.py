"""`queueproof serve`: the reference server, in the place of this process."""

import os
import sys

import typer

from queueproof.cli.app import app


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def serve(context: typer.Context) -> None:
    """Starts the reference server; prints one JSON line when it is ready.

    [--host H] [--port P] [--database URL] [--redis URL] [--keys FILE]; --help lists all.
    """
    os.execv(sys.executable, [sys.executable, "-P", "-m", "scaiqueue_reference", *context.args])  # noqa: S606
