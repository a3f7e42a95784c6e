"""What comes out is what went in: the published body, from the queue it was published to.

A delivery is known by its token, and by its id where a publish was answered with that id. Each publish that may have
happened counts, so a body is wrong only if nobody published it under that token or id.
"""

from collections.abc import Collection

import polars as pl

from queueproof.checks.facts import Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.telling import ALL_RECORDED, LOOKED_AT, Row, names, tell
from queueproof.evidence.history import History

CHECK = "integrity"


def check_integrity(
    history: History | Facts, *, dead_letter: Collection[str] | None = None, unmodelled: Collection[str] = ()
) -> list[Finding]:
    """PUB-5 (a body that nobody published so) and CLAIM-9 (from a queue that it was never published to).

    `dead_letter`: ids of the queues that exhausted messages move to. Without it (None) a message that may ever have
    been claimed where it was published is not judged by CLAIM-9: it may have moved.
    """
    facts = facts_of(history, unmodelled=unmodelled)
    return _bodies(facts) + _queues(facts, dead_letter)


# ── the body ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _bodies(facts: Facts) -> list[Finding]:
    found = facts.deliveries.join(facts.strays, on="row", how="semi").filter(pl.col("body").is_not_null())
    found = found.select("row", "op", "inv", "m", "t", "body")
    if found.height == 0:
        return []
    published = facts.publishes.select("op", "m", "t", "body", "ok")
    wrong = []
    for name, table in (("t", published), ("m", published.filter("ok"))):
        known = table.filter(pl.col(name).is_not_null())
        first = known.unique(name, keep="first", maintain_order=True).select(name, publish="op", published="body")
        odd = found.join(first, on=name, how="inner").filter(
            pl.col("published").is_null() | (pl.col("published") != pl.col("body"))
        )
        if odd.height:  # another publish of the same token or id may have carried this body, or an unrecorded one
            odd = odd.join(known.select(name, "body"), on=[name, "body"], how="anti")
            odd = odd.join(known.filter(pl.col("body").is_null()).select(name), on=name, how="anti")
        wrong.append(odd.select("row", "op", "inv", "publish"))
    found = pl.concat(wrong).unique("row", keep="first", maintain_order=True).sort("inv", "row")
    publishes = names(facts, found["publish"].head(LOOKED_AT))
    return tell(facts, found, lambda row: _body(row, publishes[row["publish"]]))


def _body(row: Row, publish: Row) -> Finding:
    delivery = row["row"]
    return Finding(
        check=CHECK,
        requirement="PUB-5",
        summary=f"message {delivery['message']} was delivered with a body that was not published for it",
        operations=(row["publish"], row["op"]),
        proof=f"digest of the delivered body {delivery['body']} ≠ digest of the published body {publish['body']}",
        assumes=("equal digests mean equal JSON, types included", ALL_RECORDED),
        message=delivery["message"],
        queue=delivery["queue"],
    )


# ── the queue ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _queues(facts: Facts, dead_letter: Collection[str] | None) -> list[Finding]:
    """Deliveries from one of the run's own queues to which the token was never published."""
    published = facts.publishes.select("op", "q", "t").filter(pl.col("t").is_not_null())
    ours = facts.publishes.filter("ok").select("q").unique()
    strays = facts.deliveries.filter(pl.col("born").is_not_null() & (pl.col("home") != pl.col("q")).fill_null(True))
    strays = strays.select("row", "op", "inv", "q", "m", "t")
    published = published.join(strays.select("t").unique(), on="t", how="semi")
    places = published.select("t", "q").unique()
    first = published.unique("t", keep="first", maintain_order=True).select("t", publish="op", home="q")
    strays = strays.join(first, on="t", how="inner")
    if strays.height:
        strays = strays.join(places, on=["t", "q"], how="anti").join(ours, on="q", how="semi")
        strays = strays.filter(~pl.col("q").is_in(facts.codes(dead_letter or ())))
    if strays.height and dead_letter is None:
        strays = _never_claimed_at_home(facts, strays)
    strays = strays.sort("inv", "row")
    publishes = names(facts, strays["publish"].head(LOOKED_AT))

    def finding(row: Row) -> Finding:
        delivery, home = row["row"], publishes[row["publish"]]["queue"]
        return Finding(
            check=CHECK,
            requirement="CLAIM-9",
            summary=f"message {delivery['message']} was published to queue {home} and claimed from {delivery['queue']}",
            operations=(row["publish"], row["op"]),
            proof=f"the token was published to {home} only; {delivery['queue']} delivered it",
            assumes=("no routing rule moves messages between these queues", ALL_RECORDED),
            message=delivery["message"],
            queue=delivery["queue"],
        )

    return tell(facts, strays, finding)


def _never_claimed_at_home(facts: Facts, strays: pl.DataFrame) -> pl.DataFrame:
    """The strays whose message can have been claimed nowhere else, so that no dead-letter move explains them."""
    unknown = facts.unknown_claims.select(home="q").unique()
    at_home = facts.deliveries.select("t", home="q").unique()
    return strays.join(unknown, on="home", how="anti").join(at_home, on=["t", "home"], how="anti")
