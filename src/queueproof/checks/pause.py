"""A paused queue hands out nothing: a claim sent after a pause was answered, and back before any resume was sent."""

from collections.abc import Collection

import polars as pl

from queueproof.checks.closed import changes, reopenings
from queueproof.checks.facts import Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.telling import ALL_RECORDED, Row, second, tell
from queueproof.evidence.history import History

CHECK = "pause"


def check_pause(history: History | Facts, *, unmodelled: Collection[str] = ()) -> list[Finding]:
    """LIFE-4, for a paused queue and a paused or archived scope; whatever may have opened either again counts."""
    facts = facts_of(history, unmodelled=unmodelled)
    pauses = pl.concat([changes(facts, ["pause"]), changes(facts, ["archive"]).filter(pl.col("level") == "scope")])
    pauses = pauses.filter("ok").select("q", "dom", pause="op", pause_inv="inv", pause_ret="ret").sort("pause_ret")
    if pauses.height == 0:
        return []
    claims = facts.deliveries.unique("op", keep="first", maintain_order=True).select(
        "row", "op", "inv", "ret", "q", "dom"
    )
    after = claims.sort("inv").join_asof(
        pauses,
        left_on="inv",
        right_on="pause_ret",
        by=["q", "dom"],
        allow_exact_matches=False,
        check_sortedness=False,
    )
    # join_asof names its right key only when both differ; the pause's own return is kept under its name
    after = after.filter(pl.col("pause").is_not_null())
    opened = reopenings(facts).select("q", open_inv="inv", open_ret="ret", open_dom="dom")
    between = (pl.col("open_inv") <= pl.col("ret")) & (pl.col("open_ret") >= pl.col("pause_inv"))
    maybe = after.join(opened, on="q").filter(between | (pl.col("open_dom") != pl.col("dom")))
    found = after.join(maybe.select("op").unique(), on="op", how="anti")
    return tell(facts, found.sort("inv", "op"), _finding)


def _finding(row: Row) -> Finding:
    delivery, zero = row["row"], row["pause_inv"]
    return Finding(
        check=CHECK,
        requirement="LIFE-4",
        summary=f"message {delivery['message']} was claimed from a paused queue",
        operations=(row["pause"], row["op"]),
        proof=(
            f"the pause returned at {second(row['pause_ret'], zero)} < {second(row['inv'], zero)}, when the claim was "
            f"sent; no resume was sent before it came back at {second(row['ret'], zero)}"
        ),
        assumes=(ALL_RECORDED,),
        message=delivery["message"],
        queue=delivery["queue"],
    )
