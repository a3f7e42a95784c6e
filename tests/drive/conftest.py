"""Lets the tests of this folder import the helpers that stand beside them, and the fixtures of the repository."""

import sys
from pathlib import Path

for folder in (Path(__file__).parents[2], Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
