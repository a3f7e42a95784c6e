"""A claim's answer holds at most as many messages as were asked for."""

from collections.abc import Collection

import polars as pl

from queueproof.checks.facts import Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.telling import LOOKED_AT, Row, names, tell
from queueproof.evidence.history import History

CHECK = "batch"


def check_batch(history: History | Facts, *, unmodelled: Collection[str] = ()) -> list[Finding]:
    """CLAIM-5; claims that asked for no particular number, or for less than one, are not judged."""
    facts = facts_of(history, unmodelled=unmodelled)
    asked = facts.claims.filter(pl.col("limit") >= 1).select("op", "limit")
    smallest = asked["limit"].min()
    long = facts.deliveries.filter(pl.col("position") >= pl.lit(smallest)).select("op").unique()
    sizes = facts.deliveries.join(long, on="op", how="semi").group_by("op").agg(size=pl.len())
    over = asked.join(sizes, on="op", how="inner").filter(pl.col("size") > pl.col("limit")).sort("op")
    calls = names(facts, over["op"].head(LOOKED_AT))

    def finding(row: Row) -> Finding:
        return Finding(
            check=CHECK,
            requirement="CLAIM-5",
            summary=f"a claim of at most {row['limit']} returned {row['size']} messages",
            operations=(row["op"],),
            proof=f"{row['size']} items > batch_size {row['limit']}",
            queue=calls[row["op"]]["queue"],
        )

    return tell(facts, over, finding)
