"""Counters at rest: with nothing in flight and every lock lapsed, `depth_pending` and `depth_claimed` are bounded.

Pending lies between what was acknowledged and never touched, and all that may have been published less what was
certainly completed; claimed is 0. Under load counters may trail, and nothing is said.
"""

from collections.abc import Collection
from typing import Any

import polars as pl

from queueproof.checks.facts import FOREVER, Facts, facts_of
from queueproof.checks.finding import CLOCK_DRIFT, CLOCK_STEP_NS, Finding
from queueproof.checks.redelivery import CADENCE_S, SLACK_S
from queueproof.checks.telling import ALL_RECORDED, Row, tell
from queueproof.evidence.history import History

CHECK = "counters"

# Readings of a queue's counters: `name` is depth_pending or depth_claimed, `inv` and `ret` of the read, in ns.
READINGS: dict[str, Any] = {
    "scope": pl.String,
    "queue": pl.String,
    "name": pl.String,
    "value": pl.Int64,
    "inv": pl.Int64,
    "ret": pl.Int64,
}

# Counters may trail the rows by this long after the last call.
SETTLE_S = 2.0


def check_counters(
    history: History | Facts,
    readings: pl.DataFrame,
    *,
    settle_s: float = SETTLE_S,
    slack_s: float = SLACK_S,
    cadence_s: float = CADENCE_S,
    unmodelled: Collection[str] = (),
) -> list[Finding]:
    """PUB-4 (pending), VIS-4 and DONE-3 (claimed); `readings`: columns READINGS, of queues made in this run.

    Not judged: readings not at rest, of queues with a claim whose answer was lost, or that took in dead letters.
    """
    facts = facts_of(history, unmodelled=unmodelled)
    if not facts.one_clock or readings.height == 0:
        return []
    table = readings.with_columns(facts.coding.queue()).with_row_index("reading")
    rest = _rest(facts, round(settle_s * 1e9), round((slack_s + cadence_s) * 1e9))
    table = table.join(rest, on="q").filter((pl.col("inv") >= pl.col("rest")) & (pl.col("last") < pl.col("inv")))
    table = table.join(_bounds(facts), on="q", how="left")
    pending = pl.col("name") == "depth_pending"
    table = table.filter(pending | (pl.col("name") == "depth_claimed")).with_columns(
        low=pl.when(pending).then("low").otherwise(0), high=pl.when(pending).then("high").otherwise(0)
    )
    found = table.filter((pl.col("value") < pl.col("low")) | (pl.col("value") > pl.col("high")))
    return tell(facts, found.sort("inv", "reading"), _finding)


def _rest(facts: Facts, settle_ns: int, slack_ns: int) -> pl.DataFrame:
    """q, rest: from when nothing of the queue is in flight or locked; last: invocation of its last call."""
    slow = (pl.col("timeout").fill_null(FOREVER >> 8) * (1 + CLOCK_DRIFT)).ceil().cast(pl.Int64) + CLOCK_STEP_NS
    extends = facts.extends.group_by("m").agg(more=pl.col("timeout").fill_null(FOREVER >> 8).sum())
    held = facts.deliveries.join(extends, on="m", how="left")
    done = facts.frees.filter((pl.col("verb") == "complete") & pl.col("ok")).select("m").unique()
    held = held.join(done, on="m", how="anti")
    locks = held.select("q", at=pl.col("ret") + slow + 2 * pl.col("more").fill_null(0) + slack_ns, inv="inv")
    queue_of = pl.concat([facts.publishes.select("m", "q"), facts.deliveries.select("m", "q")]).drop_nulls().unique()
    acts = pl.concat([t.select("m", "inv", "ret") for t in (facts.frees, facts.extends)]).join(queue_of, on="m")
    calls = pl.concat([t.select("q", at="ret", inv="inv") for t in (facts.publishes.filter("ok"), facts.claims, acts)])
    calls = calls.with_columns(at=pl.col("at") + settle_ns)
    rest = (
        pl.concat([locks.select("q", "at", "inv"), calls])
        .group_by("q")
        .agg(rest=pl.col("at").max(), last=pl.col("inv").max())
    )
    strangers = facts.deliveries.filter((pl.col("home") != pl.col("q")).fill_null(True))
    return rest.filter(pl.col("rest") < FOREVER).join(strangers.select("q").unique(), on="q", how="anti")


def _bounds(facts: Facts) -> pl.DataFrame:
    """q, low, high of the pending messages, and whether all deliveries were completed (`all_done`)."""
    made = facts.publishes.with_columns(
        own=pl.when(pl.col("m").is_null()).then(pl.col("op").cast(pl.UInt64)).otherwise("m")
    )
    made = made.unique(["q", "own"], keep="first", maintain_order=True)
    touched = pl.concat([facts.deliveries.select("m"), facts.frees.select("m")]).unique()
    done = facts.frees.filter((pl.col("verb") == "complete") & pl.col("ok")).select("m").unique()
    made = made.with_columns(
        sure=pl.col("ok") & ~pl.col("untimed") & ~pl.col("own").is_in(touched["m"].implode()),
        done=pl.col("own").is_in(done["m"].implode()),
    )
    unfinished = facts.deliveries.join(done, on="m", how="anti").group_by("q").agg(unfinished=pl.len())
    bounds = made.group_by("q").agg(
        low=pl.col("sure").sum().cast(pl.Int64), high=(~pl.col("done")).sum().cast(pl.Int64)
    )
    return bounds.join(unfinished, on="q", how="left")


def _finding(row: Row) -> Finding:
    claimed = row["name"] == "depth_claimed"
    requirement = ("VIS-4" if row["unfinished"] else "DONE-3") if claimed else "PUB-4"
    return Finding(
        check=CHECK,
        requirement=requirement,
        summary=f"queue {row['queue']} says {row['name']} {row['value']} at rest",
        operations=(),
        proof=f"{row['value']} is not in [{row['low']}, {row['high']}], with nothing in flight and every lock lapsed",
        assumes=(ALL_RECORDED, "the queue was empty when the history began"),
        queue=row["queue"],
    )
