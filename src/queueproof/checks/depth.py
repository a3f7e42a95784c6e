"""A full queue takes no more, and only a full one refuses.

Counted on the safe side each time. Certainly waiting: acknowledged, not yet possibly claimed or ended (whether claimed
ones count is not promised). Possibly there: every publish that may have happened, less what was certainly done.
"""

from collections.abc import Collection, Mapping

import polars as pl

from queueproof.checks.facts import FOREVER, Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.telling import ALL_RECORDED, LOOKED_AT, Row, names, tell
from queueproof.evidence.history import History

CHECK = "depth"
FULL = "SCAIQUEUE_QUEUE_FULL"


def check_depth(
    history: History | Facts, limits: Mapping[str, int], *, unmodelled: Collection[str] = ()
) -> list[Finding]:
    """DEPTH-1 (too many taken) and DEPTH-3 (refused with room), for queues of policy `reject`.

    `limits`: queue id → max_depth, unchanged through the run and above 0. Runs timed by several clocks are not judged.
    """
    facts = facts_of(history, unmodelled=unmodelled)
    if not facts.one_clock or not limits:
        return []
    table = facts.queues.select(
        "q", limit=pl.col("queue").replace_strict(dict(limits), default=None, return_dtype=pl.Int64)
    )
    table = table.filter(pl.col("limit") > 0)
    return _overshoots(facts, table) + _unjustified(facts, table)


def _overshoots(facts: Facts, limits: pl.DataFrame) -> list[Finding]:
    """Instants (returns of publishes) at which more messages were certainly waiting than the limit allows."""
    made = facts.timed(
        facts.publishes.filter(pl.col("ok") & pl.col("m").is_not_null()).join(limits, on="q", how="semi")
    )
    made = made.sort("ret").unique("m", keep="first", maintain_order=True).select("q", "m", "op", at="ret")
    made = made.join(_gone(facts, made), on="m", how="left").with_columns(pl.col("gone").fill_null(FOREVER))
    unknown = facts.unknown_claims.join(limits, on="q", how="semi")
    # a claim invoked at the very instant may act before it: removals come first
    events = pl.concat(
        [
            made.select("q", "at", "op", step=pl.lit(1, pl.Int64), first=pl.lit(1)),
            # gone before its publish was answered: it never certainly waited
            made.filter(pl.col("gone") < FOREVER).select(
                "q",
                at=pl.max_horizontal("gone", "at"),
                op=pl.lit(None, pl.Int64),
                step=pl.lit(-1, pl.Int64),
                first=pl.when(pl.col("gone") <= pl.col("at")).then(2).otherwise(0),
            ),
            unknown.select(
                "q",
                at="inv",
                op=pl.lit(None, pl.Int64),
                step=-pl.col("limit").fill_null(FOREVER >> 20),
                first=pl.lit(0),
            ),
        ],
        how="vertical_relaxed",
    )
    events = events.sort("q", "at", "first").with_columns(waiting=pl.col("step").cum_sum().over("q"))
    gone_at_once = made.filter(pl.col("gone") <= pl.col("at")).select("op")
    over = events.join(limits, on="q").filter(pl.col("op").is_not_null() & (pl.col("waiting") > pl.col("limit")))
    over = over.join(gone_at_once, on="op", how="anti").sort("at", "op")
    calls = names(facts, over["op"].head(LOOKED_AT))
    return tell(facts, over, lambda row: _overshoot(row, calls[row["op"]]))


def _gone(facts: Facts, made: pl.DataFrame) -> pl.DataFrame:
    """When each message may first have been claimed or ended."""
    removals = pl.concat([facts.deliveries.select("m", "inv"), facts.frees.select("m", "inv")])
    return removals.join(made.select("m"), on="m", how="semi").group_by("m").agg(gone=pl.col("inv").min())


def _unjustified(facts: Facts, limits: pl.DataFrame) -> list[Finding]:
    """Refusals for want of room although fewer messages than the limit can have been there."""
    calls = facts.history.calls
    refused = calls.filter((pl.col("verb") == "publish") & (pl.col("result") == "rejected") & (pl.col("code") == FULL))
    refused = refused.select("op", "inv", "ret", facts.coding.queue()).join(limits, on="q")
    if refused.height == 0:
        return []
    possible = facts.publishes.join(limits, on="q", how="semi").select("q", "m", "inv", "ret", "op")
    # answered publishes with one id made one message; each unanswered one may have made another
    own = pl.when(pl.col("m").is_null()).then(pl.col("op").cast(pl.UInt64)).otherwise("m")
    possible = possible.with_columns(own=own).sort("inv").unique(["q", "own"], keep="first", maintain_order=True)
    begun = possible.select("q", "inv", begun=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("q"))
    done = facts.frees.filter((pl.col("verb") == "complete") & pl.col("ok")).sort("ret").unique("m", keep="first")
    done = done.select("m", "ret").join(possible.select("m", "q").drop_nulls(), on="m").sort("ret")
    done = done.select("q", "ret", done=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("q"))
    refused = refused.sort("ret").join_asof(
        begun.rename({"inv": "begun_inv"}), left_on="ret", right_on="begun_inv", by="q", check_sortedness=False
    )
    refused = refused.sort("inv").join_asof(
        done.rename({"ret": "done_ret"}),
        left_on="inv",
        right_on="done_ret",
        by="q",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    there = pl.col("begun").fill_null(0) - pl.col("done").fill_null(0)
    found = refused.with_columns(there=there).filter(pl.col("there") < pl.col("limit")).sort("inv", "op")
    rows = names(facts, found["op"].head(LOOKED_AT))
    return tell(facts, found, lambda row: _refusal(row, rows[row["op"]]))


def _overshoot(row: Row, call: Row) -> Finding:
    return Finding(
        check=CHECK,
        requirement="DEPTH-1",
        summary=f"a publish was taken by queue {call['queue']} beyond its max_depth",
        operations=(row["op"],),
        proof=f"when it was answered, at least {row['waiting']} acknowledged and unclaimed messages > {row['limit']}",
        assumes=(ALL_RECORDED, "max_depth and policy reject were in force throughout"),
        message=call["message"],
        queue=call["queue"],
    )


def _refusal(row: Row, call: Row) -> Finding:
    return Finding(
        check=CHECK,
        requirement="DEPTH-3",
        summary=f"a publish to queue {call['queue']} was refused as full, with room left",
        operations=(row["op"],),
        proof=f"at most {row['there']} messages can have been there < {row['limit']}",
        assumes=(ALL_RECORDED, "the queue was empty when the history began"),
        queue=call["queue"],
    )
