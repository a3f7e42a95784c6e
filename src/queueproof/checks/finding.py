"""What a check says: one violation, the operations that prove it, and the inequality with its numbers."""

from typing import Literal

import msgspec

# A server's clock may run a little fast against ours, and it rounds: a lock is certainly over, or certainly still
# held, only outside these margins. 1 ‰ is far beyond the drift of any disciplined clock over a timeout of minutes;
# 2 ms covers a clock read in whole milliseconds at both ends (docs/checks.md, margins).
CLOCK_DRIFT = 0.001
CLOCK_STEP_NS = 2_000_000

Weight = Literal["violation", "note"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One violation of a promise, or (weight "note") something worth telling that accuses nobody."""

    check: str  # name of the check's file: "exclusivity", "terminality", …
    requirement: str  # id of the requirement that it violates: "CLAIM-6", …
    summary: str  # one sentence, names the message
    operations: tuple[int, ...]  # the smallest set of operations that proves it
    proof: str  # the inequality with the numbers in it, in seconds from the first of `operations`
    assumes: tuple[str, ...] = ()  # what the proof rests on, in words
    weight: Weight = "violation"
    message: str = ""  # id of the message, where it is about one
    queue: str = ""


def certain_hold_ns(timeout_ns: int) -> int:
    """How long a lock of `timeout_ns`, counted from its claim's invocation, is held for certain."""
    return int(timeout_ns * (1 - CLOCK_DRIFT)) - CLOCK_STEP_NS
