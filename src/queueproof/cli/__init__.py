"""The command line: options in, one of the rooms called, an exit code out. No logic of its own.

One file a command. Imports of what a command needs stand inside it, so that `queueproof --help` answers at once.
"""

from importlib import import_module

from queueproof.cli.app import app, main

__all__ = ["COMMANDS", "app", "main"]

# In the order in which --help lists them; importing a file adds its command.
COMMANDS = ("conformance", "load", "capacity", "compare", "report", "matrix", "doctor", "replay", "clean", "serve")

for _command in COMMANDS:
    import_module(f"queueproof.cli.{_command}")
