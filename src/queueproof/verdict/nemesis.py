"""What a history says of the faults struck in it: whether the load was really going, and what was out of reach.

Faults are marks "nemesis" (drive/nemesis.py), on the clock of this machine: calls of another machine's clock are left
out. A fault asks whether promises are kept, so being unavailable is told and never judged.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from queueproof.checks.finding import Finding
from queueproof.evidence.history import History

MARK: Final = "nemesis"
# So many good answers before a fault and after it, and so many calls begun while it lasted, are an answer to it.
ENOUGH: Final = 20
# What is judged in peace only. A promise of the kind "within so many seconds" is owed by a server that runs. An order
# that was lost with a part of the server is made again from what was kept, and until then what is newer may come first.
PEACE: Final = frozenset({"redelivery", "order"})


def struck(history: History) -> list[dict[str, Any]]:
    """A row a fault: its name, when it was (s of the load), the calls around it, and how long nothing was answered.

    `from_s` and `to_s` count from the mark "load".
    """
    began_ns = min((mark.at_ns for mark in history.marks if mark.name == "load"), default=0)
    drain_ns = min((mark.at_ns for mark in history.marks if mark.name == "drain"), default=0)
    spans = _spans(history)
    calls = history.calls.filter(pl.col("verb").is_in(["publish", "claim", "complete"]))
    good = calls.filter(pl.col("result") == "ok")["ret"].sort()
    rows = []
    for number, (name, start, stop) in enumerate(spans):
        before = spans[number - 1][2] if number else began_ns
        after = spans[number + 1][1] if number + 1 < len(spans) else drain_ns or None
        during = calls.filter(pl.col("inv").is_between(start, stop))
        rows.append(
            {
                "name": name,
                "from_s": round((start - began_ns) / 1e9, 3),
                "to_s": round((stop - began_ns) / 1e9, 3),
                "ok_before": _within(good, before, start),
                "calls_during": during.height,
                "ok_during": during.filter(pl.col("result") == "ok").height,
                "ok_after": _within(good, stop, after),
                "unanswered_s": _silence(good, start, after),
            }
        )
    return rows


def lacking(rows: Sequence[Mapping[str, Any]], asked: Sequence[str]) -> str:
    """Why nothing can be said about what the faults did; "" when something can."""
    missing = [name for name in asked if name not in {row["name"] for row in rows}]
    if missing:
        return f"the load ended before {missing[0]} was struck"
    for row in rows:
        for what, words in (("ok_before", "good answers before"), ("ok_after", "good answers after")):
            if row[what] < ENOUGH:
                return f"{row['name']}: {row[what]} {words} it, fewer than {ENOUGH}"
        if row["calls_during"] < ENOUGH:
            return f"{row['name']}: {row['calls_during']} calls while it lasted, fewer than {ENOUGH}"
    return ""


def excused(findings: Sequence[Finding]) -> list[Finding]:
    """The findings as they count in a run with faults: what is judged in peace only becomes a note."""
    return [
        Finding(**{**{name: getattr(f, name) for name in f.__struct_fields__}, "weight": "note"})
        if f.check in PEACE and f.weight == "violation"
        else f
        for f in findings
    ]


def _spans(history: History) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    begun: dict[str, int] = {}
    for mark in sorted((m for m in history.marks if m.name == MARK), key=lambda m: m.at_ns):
        told = json.loads(mark.detail)
        if told["phase"] == "start":
            begun[told["name"]] = mark.at_ns
        elif told["name"] in begun:
            found.append((told["name"], begun.pop(told["name"]), mark.at_ns))
    return found


def _within(times: pl.Series, start: int, stop: int | None) -> int:
    inside = times.filter(times > start)
    return len(inside) if stop is None else len(inside.filter(inside <= stop))


def _silence(good: pl.Series, start: int, stop: int | None) -> float:
    """The longest stretch without a good answer that reaches into the time from the fault on, to `stop` at most, s."""
    earlier = good.filter(good <= start)
    inside = good.filter((good > start) & (good <= stop)) if stop is not None else good.filter(good > start)
    points = [*earlier.tail(1).to_list(), *inside.to_list(), *([stop] if stop is not None else [])]
    return round(max((b - a for a, b in itertools.pairwise(points)), default=0) / 1e9, 3)
