"""Lets the tests of this folder import the helpers that stand beside them, and the fixtures of the repository."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

for folder in (Path(__file__).parents[3], Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from cli_run import Serving, serving  # noqa: E402


@pytest.fixture
def pocket() -> Iterator[Serving]:
    """A correct server that is there before the run and goes on after it."""
    with serving("pocket") as server:
        yield server
