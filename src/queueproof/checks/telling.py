"""Findings from rows: names looked up, times made readable, and a flood of equal findings cut short."""

from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

from queueproof.checks.facts import FOREVER, Facts
from queueproof.checks.finding import Finding

# A server that is wrong in every message is told in this many findings a requirement; the rest is counted.
MOST = 50

# So many rows of one check are put into words at most, in case different requirements hide behind each other.
LOOKED_AT = 1_000

ONE_NAME_ONE_MESSAGE = "the server gives each message an id of its own"
TIMEOUT_HONOURED = "the server locks for the visibility timeout that was asked for, by a clock at most 1 ‰ fast"
ALL_RECORDED = "every call on these queues is in this history"

Row = dict[str, Any]


def second(at_ns: int, zero_ns: int) -> str:
    """A time in seconds from `zero_ns`, "never" for a return that never came."""
    return "never" if at_ns >= FOREVER else f"{(at_ns - zero_ns) / 1e9:.3f} s"


def span(length_ns: int) -> str:
    """A length of time in seconds, without needless digits."""
    return f"{length_ns / 1e9:g} s"


def tell(facts: Facts, violations: pl.DataFrame, one: Callable[[Row], Finding]) -> list[Finding]:
    """`one` finding for each of the first rows, and for each requirement a note that counts the rest.

    A row's columns whose names end in `row` are replaced by the delivery with that row number as a dictionary.
    """
    kept: dict[tuple[str, str], list[Finding]] = {}
    more: dict[tuple[str, str], int] = {}
    for row in _rows(facts, violations.head(LOOKED_AT)):
        finding = one(row)
        kind = (finding.requirement, finding.weight)
        if len(kept.setdefault(kind, [])) < MOST:
            kept[kind].append(finding)
        else:
            more[kind] = more.get(kind, 0) + 1
    unseen = max(0, violations.height - LOOKED_AT)
    rest = [_rest(kept[kind][-1], count, unseen) for kind, count in more.items()]
    return [finding for findings in kept.values() for finding in findings] + rest


def names(facts: Facts, ops: Iterable[int]) -> dict[int, Row]:
    """The calls with these numbers, as dictionaries with the columns of CALLS."""
    wanted = pl.Series("op", sorted(set(ops)), dtype=pl.Int64)
    found = facts.history.calls.filter(pl.col("op").is_in(wanted.implode()))
    return {row["op"]: row for row in found.iter_rows(named=True)}


def _rows(facts: Facts, violations: pl.DataFrame) -> list[Row]:
    columns = [name for name in violations.columns if name.endswith("row")]
    rows = violations.to_dicts()
    deliveries = facts.history.deliveries
    for row in rows:
        for column in columns:
            row[column] = deliveries.row(row[column], named=True)
    return rows


def _rest(last: Finding, count: int, unseen: int) -> Finding:
    perhaps = f", and {unseen} not looked at" if unseen else ""
    return Finding(
        check=last.check,
        requirement=last.requirement,
        summary=f"and {count} more of the kind told last{perhaps}",
        operations=(),
        proof=f"{count} more rows satisfy the same inequality",
        weight="note",
    )
