"""The delivery counter: 1 on the first claim, one more on each later one, refunded at most by a release.

Three bounds, each by counting what certainly and what possibly happened before:

- at least 1 + deliveries answered before this one was asked for - releases that may have acted before it;
- more than any delivery answered before this one was asked for, less the releases that may lie between;
- at most 1 + other deliveries that may have come before + unknown claims of the queue that may have taken it.

Only deliveries from the queue that the message was published to count: a dead-letter move may start again.
"""

from collections.abc import Collection

import polars as pl

from queueproof.checks.facts import Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.telling import ALL_RECORDED, ONE_NAME_ONE_MESSAGE, Row, second, tell
from queueproof.evidence.history import History

CHECK = "attempts"


def check_attempts(history: History | Facts, *, unmodelled: Collection[str] = ()) -> list[Finding]:
    """CLAIM-4; servers that omit `attempts` are not judged here."""
    facts = facts_of(history, unmodelled=unmodelled)
    table = facts.deliveries.select("row", "op", "inv", "ret", "q", "m", "t", "attempts", "dom", "home")
    table = facts.of_one_clock(table)
    at_home = (pl.col("home") == pl.col("q")).fill_null(False) & pl.col("attempts").is_not_null()
    high = _too_high(facts, table.filter(at_home), table)
    low = _too_low(facts, table.filter(at_home & (pl.col("m").is_duplicated() | (pl.col("attempts") < 1))))
    found = pl.concat([high, low]).sort("inv", "row").unique("row", keep="first", maintain_order=True)
    return tell(facts, found, _finding)


_KEPT = ("row", "op", "inv", "ret", "attempts", "bound", "count", "other", "kind")


def _too_high(facts: Facts, judged: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """Attempts above what all other deliveries and unknown claims together can explain."""
    judged = judged.filter(pl.col("attempts") > 1)
    if judged.height == 0:
        return _none()
    unknown = facts.unknown_claims
    foreign = unknown.join(judged.select("q", "dom").unique(), on=["q", "dom"], how="anti")
    judged = judged.sort("ret").join_asof(
        unknown.select("q", "dom", "count", unknown_inv="inv"),
        left_on="ret",
        right_on="unknown_inv",
        by="q",
        check_sortedness=False,
    )
    if foreign.height:  # an unknown claim timed by another clock may have come at any time: count them all
        judged = judged.join(unknown.group_by("q").agg(all=pl.len().cast(pl.Int64)), on="q", how="left")
        judged = judged.with_columns(count=pl.max_horizontal("count", "all"))
    begun = (
        every.select("m", "inv")
        .join(judged.select("m").unique(), on="m", how="semi")
        .sort("inv")
        .with_columns(begun=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("m"))
    )
    judged = judged.join_asof(
        begun.rename({"inv": "begun_inv"}),
        left_on="ret",
        right_on="begun_inv",
        by="m",
        check_sortedness=False,
    )
    # `begun` counts this delivery too: 1 + the others.
    judged = judged.with_columns(count=pl.col("count").fill_null(0), begun=pl.col("begun").fill_null(1))
    judged = judged.with_columns(bound=pl.col("begun") + pl.col("count"))
    high = judged.filter(pl.col("attempts") > pl.col("bound"))
    return high.with_columns(other=pl.lit(None, pl.Int64), kind=pl.lit("high")).select(_KEPT)


def _too_low(facts: Facts, judged: pl.DataFrame) -> pl.DataFrame:
    """Attempts that did not grow over deliveries which certainly came before."""
    if judged.height == 0:
        return _none()
    judged = _releases(facts, judged)
    ended = judged.sort("ret").with_columns(
        before=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("m", "q"),
        # what a later delivery must reach, if the releases that ended before this one are not counted again
        reach=(pl.col("attempts") + 1 + pl.col("ended")).cum_max().over("m", "q"),
    )
    ended = ended.with_columns(
        best=pl.when(pl.col("reach") == pl.col("attempts") + 1 + pl.col("ended"))
        .then("op")
        .forward_fill()
        .over("m", "q")
    )
    judged = judged.sort("inv").join_asof(
        ended.select("m", "q", "before", "reach", "best", before_ret="ret"),
        left_on="inv",
        right_on="before_ret",
        by=["m", "q"],
        allow_exact_matches=False,
        check_sortedness=False,
    )
    judged = judged.with_columns(
        by_count=1 + pl.col("before") - pl.col("begun"), by_other=pl.col("reach") - pl.col("begun")
    )
    judged = judged.with_columns(
        bound=pl.max_horizontal("by_count", "by_other", pl.lit(1)), before=pl.col("before").fill_null(0)
    )
    low = judged.filter(pl.col("attempts") < pl.col("bound"))
    kind = (
        pl.when((pl.col("by_other") >= pl.col("by_count")) & (pl.col("by_other") == pl.col("bound")))
        .then(pl.lit("after"))
        .otherwise(pl.lit("count"))
    )
    return low.with_columns(count=pl.col("before"), other=pl.col("best"), kind=kind).select(_KEPT)


def _releases(facts: Facts, judged: pl.DataFrame) -> pl.DataFrame:
    """Adds `begun`, releases that may have acted before its answer, and `ended`, those certainly before it."""
    releases = facts.frees.filter(pl.col("verb") == "release").join(judged.select("m").unique(), on="m", how="semi")
    number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("m")
    for name, on, side, exact in (("begun", "ret", "inv", True), ("ended", "inv", "ret", False)):
        counted = releases.sort(side).select("m", number.alias(name), pl.col(side).alias("release_at"))
        judged = judged.sort(on).join_asof(
            counted,
            left_on=on,
            right_on="release_at",
            by="m",
            allow_exact_matches=exact,
            check_sortedness=False,
        )
        judged = judged.with_columns(pl.col(name).fill_null(0)).drop("release_at", strict=False)
    return judged


def _none() -> pl.DataFrame:
    whole = dict.fromkeys(_KEPT, pl.Int64)
    return pl.DataFrame(schema=whole | {"row": pl.UInt32, "kind": pl.String})


def _finding(row: Row) -> Finding:
    delivery, zero = row["row"], row["inv"]
    message = delivery["message"]
    proofs = {
        "high": (
            f"attempts {row['attempts']} > {row['bound']} = 1 + other deliveries and unknown claims ({row['count']}) "
            f"invoked before this answer came, {second(row['ret'], zero)} after its claim was invoked"
        ),
        "count": (
            f"attempts {row['attempts']} < {row['bound']} = 1 + {row['count']} deliveries answered before this claim "
            "was invoked, less the releases that may have acted"
        ),
        "after": (
            f"attempts {row['attempts']} < {row['bound']}, which it must reach after an earlier delivery that was "
            "answered before this claim was invoked, less the releases that may lie between"
        ),
    }
    return Finding(
        check=CHECK,
        requirement="CLAIM-4",
        summary=f"message {message} says attempts {row['attempts']}, where {_words(row)} {row['bound']} is possible",
        operations=(row["op"],) if row["kind"] != "after" else (row["other"], row["op"]),
        proof=proofs[row["kind"]],
        assumes=(ONE_NAME_ONE_MESSAGE, ALL_RECORDED),
        message=message,
        queue=delivery["queue"],
    )


def _words(row: Row) -> str:
    return "at most" if row["kind"] == "high" else "at least"
