"""Packs every call of a run into one small block of data, from which the page shows any stretch of it.

Ten thousand calls as elements would make a page of many megabytes that a browser is slow to scroll; as rows of
numbers they are a few hundred kilobytes, and the page's script draws only those that are in sight.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from queueproof.evidence.operation import Result
from queueproof.report.exchange import Exchange, exchanges
from queueproof.report.text import NS_PER_MS, plain

MOST_CALLS: Final = 10_000
# Measured: 1.1 s and 150 MB. Reading more costs a report more than its reader would wait.
MOST_READ: Final = 100_000
_TEXT: Final = 80


@dataclass(frozen=True, kw_only=True)
class Calls:
    """What `pack` made: JSON that is safe inside a page, and how much of the run it is."""

    data: str
    shown: int
    read: int
    whole: bool  # False: the history goes on beyond what was read

    @property
    def note(self) -> str:
        """What is not among them, in words; "" when all are."""
        if self.shown == self.read and self.whole:
            return ""
        of = f"{self.shown:,} of {'' if self.whole else 'the first '}{self.read:,} calls"
        return f"{of}: those that were not answered ok, then the earliest. The history holds all."


def pack(path: Path, anchors: dict[int, str], *, budget: int) -> Calls:
    """The calls of the run in `path`, at most `budget` characters of data.

    `anchors`: by operation, where the page shows it whole. Rows hold: operation, verb, begun (ms from the first),
    took (µs; -1: no answer), status (0: none), result, code, case, anchor; texts by their number in a list.
    """
    source = exchanges(path, [])
    found = list(itertools.islice(source, MOST_READ))
    whole = next(source, None) is None
    kept = _chosen(found, MOST_CALLS)
    while True:
        data = _packed(kept, anchors)
        if len(data) <= budget or not kept:
            return Calls(data=data, shown=len(kept), read=len(found), whole=whole)
        kept = _chosen(kept, int(len(kept) * min(0.9, budget / len(data))))


def _chosen(found: Sequence[Exchange], most: int) -> list[Exchange]:
    """The first `most` by weight (not ok, then time), back in the order of time."""
    if len(found) > most:
        found = sorted(found, key=lambda call: (call.result is Result.OK, call.at_ns))[:most]
    return sorted(found, key=lambda call: (call.at_ns, call.op))


def _packed(calls: Sequence[Exchange], anchors: dict[int, str]) -> str:
    texts: dict[str, int] = {"": 0}

    def number(text: str) -> int:
        return texts.setdefault(plain(text, _TEXT), len(texts))

    origin = calls[0].at_ns if calls else 0
    rows = [
        [
            call.name[1:],
            number(call.verb),
            round((call.at_ns - origin) / NS_PER_MS, 1),
            -1 if call.until_ns is None else (call.until_ns - call.at_ns) // 1_000,
            (call.answer.status or 0) if call.answer else 0,
            number(call.result.value.replace("_", " ")),
            number(call.answer.code or call.answer.why if call.answer else ""),
            number(call.invoke.case.rpartition("::")[2]),
            number(anchors.get(call.op, "")),
        ]
        for call in calls
    ]
    text = json.dumps({"texts": list(texts), "rows": rows}, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
