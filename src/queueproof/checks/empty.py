"""Empty answers while a message was certainly waiting: told as notes, one a queue; if it persists the drain tells."""

from collections.abc import Collection

import polars as pl

from queueproof.checks.closed import may_be_closed
from queueproof.checks.facts import FOREVER, Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.redelivery import empty_claims
from queueproof.checks.telling import ALL_RECORDED, LOOKED_AT, Row, names, second, tell
from queueproof.evidence.history import History

CHECK = "empty"


def check_empty(history: History | Facts, *, unmodelled: Collection[str] = ()) -> list[Finding]:
    """Notes on CLAIM-2: a claim came back empty though a message never touched before was acknowledged earlier."""
    facts = facts_of(history, unmodelled=unmodelled)
    claims = empty_claims(facts)
    unknown = facts.unknown_claims.group_by("q").agg(unknown=pl.col("inv").min())
    claims = claims.join(unknown, on="q", how="left").filter(pl.col("unknown").fill_null(FOREVER) > pl.col("ret"))
    if not facts.one_clock or claims.height == 0:
        return []
    joined = claims.sort("inv").join_asof(
        _waiting(facts), left_on="inv", right_on="sure", by="q", allow_exact_matches=False, check_sortedness=False
    )
    false = joined.filter(pl.col("until") > pl.col("ret"))
    false = false.join(may_be_closed(facts, false, "inv", "ret").select("op"), on="op", how="anti")
    told = false.sort("inv").group_by("q", maintain_order=True).agg(pl.all().first(), count=pl.len())
    calls = names(facts, [*told["op"].head(LOOKED_AT), *told["publish"].head(LOOKED_AT)])
    return tell(facts, told, lambda row: _finding(row, calls))


def _waiting(facts: Facts) -> pl.DataFrame:
    """q, sure, until, publish: the latest that any message acknowledged so far stays untouched."""
    made = facts.timed(facts.publishes.filter(pl.col("ok") & pl.col("m").is_not_null())).sort("ret")
    made = made.unique("m", keep="first", maintain_order=True).select("q", "m", sure="ret", publish="op")
    touched = pl.concat([t.select("m", "inv") for t in (facts.deliveries, facts.frees)])
    first = touched.group_by("m").agg(until=pl.col("inv").min())
    made = made.join(first, on="m", how="left").with_columns(pl.col("until").fill_null(FOREVER)).sort("sure")
    longest = made.with_columns(longest=pl.col("until").cum_max().over("q"))
    leader = pl.when(pl.col("until") == pl.col("longest")).then("publish").forward_fill().over("q")
    return longest.select("q", "sure", until="longest", publish=leader)


def _finding(row: Row, calls: dict[int, Row]) -> Finding:
    publish, claim = calls[row["publish"]], calls[row["op"]]
    zero = publish["inv"]
    sent, back, until = (second(row[name], zero) for name in ("inv", "ret", "until"))
    return Finding(
        check=CHECK,
        requirement="CLAIM-2",
        summary=f"{row['count']} claim(s) of queue {claim['queue']} came back empty though a message was waiting",
        operations=(row["publish"], row["op"]),
        proof=(
            f"message {publish['message']} was acknowledged by {second(row['sure'], zero)} < {sent} and not claimed "
            f"before {until} > {back}"
        ),
        assumes=(ALL_RECORDED,),
        weight="note",
        message=publish["message"],
        queue=claim["queue"],
    )
