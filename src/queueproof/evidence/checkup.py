"""What `queueproof doctor` saw of a target, as its table and its JSON show it."""

from enum import StrEnum
from typing import Any

import msgspec

SCHEMA = 1


class Sign(StrEnum):
    """How a line is meant."""

    GOOD = "good"
    TOLD = "told"  # a fact, neither good nor bad
    ODD = "odd"  # usable, but something will be missing or slow
    BAD = "bad"  # a run would fail on it, or cannot begin


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    area: str  # "reach", "keys", "rates", "verbs", "enforcer", "clock", "speed", "dialect", "left behind"
    name: str
    sign: Sign
    said: str  # for people
    value: Any = None  # the same for programs
    advice: str = ""  # what to do about it


class Checkup(msgspec.Struct, frozen=True, kw_only=True):
    """A whole examination. `usable`: whether a conformance run can begin."""

    schema: int = SCHEMA
    url: str
    usable: bool
    complete: bool = True  # False: interrupted
    summary: str  # one sentence
    advice: str = ""  # what to do next
    took_s: float = 0.0
    requests: int = 0
    lines: tuple[Line, ...] = ()

    def value(self, area: str, name: str) -> Any:
        """The value of the line of that name; None when there is none."""
        return next((line.value for line in self.lines if (line.area, line.name) == (area, name)), None)
