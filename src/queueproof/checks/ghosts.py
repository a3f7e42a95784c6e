"""Messages that should not exist: one publish under two ids, and deliveries of what nobody published.

A publish retried after a lost answer may legally exist twice, so a token may have as many ids as publishes of it may
have happened. A dead-letter queue may give its copy an id of its own: only queues published to count.
"""

from collections.abc import Collection

import polars as pl

from queueproof.checks.facts import HAPPENED, Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.telling import ALL_RECORDED, Row, second, tell
from queueproof.evidence.history import History

CHECK = "ghosts"
FULL = "SCAIQUEUE_QUEUE_FULL"


def check_ghosts(
    history: History | Facts, *, token_prefix: str | None = None, unmodelled: Collection[str] = ()
) -> list[Finding]:
    """GHOST-1, PHANTOM-1, and DEPTH-2 for the delivery of a publish that was refused for want of room.

    `token_prefix`: how every token of this run begins, and no other run's; without it a token that the history does not
    know may be another run's and is not judged, nor is a body without one.
    """
    facts = facts_of(history, unmodelled=unmodelled)
    return _ghosts(facts) + _phantoms(facts, token_prefix) + (_strangers(facts) if token_prefix is not None else [])


def _ghosts(facts: Facts) -> list[Finding]:
    published = facts.publishes.select("op", "inv", "ok", "q", "m", "t").filter(pl.col("t").is_not_null())
    # most tokens have one id: look only at those delivered under an unanswered one, or published again
    strays = facts.deliveries.join(facts.strays, on="row", how="semi").select("t")
    doubtful = pl.concat([strays, published.filter(pl.col("t").is_duplicated()).select("t")]).drop_nulls().unique()
    published = published.join(doubtful, on="t", how="semi")
    seen = facts.deliveries.join(doubtful, on="t", how="semi").select("t", "m", "q", "row", "op", "inv")
    seen = seen.join(published.select("t", "q").unique(), on=["t", "q"], how="semi")
    answered = published.filter("ok").select("t", "m").drop_nulls()
    ids = pl.concat([seen.select("t", "m"), answered]).unique()
    several = ids.filter(pl.col("t").is_duplicated()).group_by("t").agg(ids=pl.len())
    if several.height == 0:
        return []
    counts = (
        published.join(several, on="t", how="semi")
        .group_by("t")
        .agg(publishes=pl.col("op").sort(), sent=pl.col("inv").min())
    )
    over = several.join(counts, on="t").filter(pl.col("ids") > pl.col("publishes").list.len())
    seen = seen.unique(["t", "m"], keep="first", maintain_order=True)
    last = seen.group_by("t", maintain_order=True).agg(pl.col("row").last(), claims=pl.col("op"))
    return tell(facts, over.join(last, on="t").sort("sent", "t"), _ghost)


def _ghost(row: Row) -> Finding:
    delivery = row["row"]
    count = len(row["publishes"])
    published = f"{count} publish{'es' if count > 1 else ''}"
    return Finding(
        check=CHECK,
        requirement="GHOST-1",
        summary=f"message {delivery['message']} exists beside another with the same token",
        operations=tuple(dict.fromkeys((*row["publishes"], *row["claims"]))),
        proof=f"{row['ids']} ids > {published} of token {delivery['token']} that may have happened",
        assumes=(ALL_RECORDED, "nothing between client and server repeats a request"),
        message=delivery["message"],
        queue=delivery["queue"],
    )


def _phantoms(facts: Facts, token_prefix: str | None) -> list[Finding]:
    found = facts.deliveries.filter(pl.col("t").is_not_null()).select("row", "op", "inv", "ret", "t", made="born")
    early = (pl.col("made") > pl.col("ret")).fill_null(False) & pl.lit(facts.one_clock)
    found = found.filter(early | pl.col("made").is_null())
    if found.height == 0:
        return []
    tokens = facts.history.deliveries.select("token").with_row_index("row")
    found = found.join(tokens, on="row", how="left")
    refused = facts.history.calls.filter((pl.col("verb") == "publish") & ~HAPPENED & (pl.col("token") != ""))
    refused = refused.select("token", refused="op", code="code").unique("token", keep="first")
    found = found.join(refused, on="token", how="left")
    ours = pl.lit(False) if token_prefix is None else pl.col("token").cast(pl.String).str.starts_with(token_prefix)
    found = found.filter(pl.col("made").is_not_null() | pl.col("refused").is_not_null() | ours)
    return tell(facts, found.sort("inv", "row"), _phantom)


def _phantom(row: Row) -> Finding:
    delivery = row["row"]
    if row["refused"] is not None and row["made"] is None:
        why = f"its only publishes were refused or never sent ({row['code'] or 'no code'})"
    elif row["made"] is not None:
        why = f"its first publish was invoked at {second(row['made'], row['inv'])} > {second(row['ret'], row['inv'])}"
    else:
        why = "no publish of this run carried its token"
    full = row["made"] is None and row["code"] == FULL
    return Finding(
        check=CHECK,
        requirement="DEPTH-2" if full else "PHANTOM-1",
        summary=f"message {delivery['message']} was delivered, though nobody can have published it",
        operations=(row["op"],) if row["refused"] is None else (row["refused"], row["op"]),
        proof=f"token {delivery['token']}: {why}",
        assumes=(ALL_RECORDED,),
        message=delivery["message"],
        queue=delivery["queue"],
    )


def _strangers(facts: Facts) -> list[Finding]:
    """Bodies without a token, under ids that no publish was given, in queues where every publish carries one."""
    if facts.publishes["t"].has_nulls():
        return []
    found = facts.deliveries.filter(pl.col("t").is_null() & pl.col("body").is_not_null()).select(
        "row", "op", "inv", "q", "m"
    )
    found = found.join(facts.publishes.filter("ok").select("q").unique(), on="q", how="semi")
    found = found.join(facts.publishes.select("m").drop_nulls().unique(), on="m", how="anti")
    return tell(facts, found.sort("inv", "row"), _stranger)


def _stranger(row: Row) -> Finding:
    delivery = row["row"]
    return Finding(
        check=CHECK,
        requirement="PHANTOM-1",
        summary=f"message {delivery['message']} was delivered, though nobody can have published it",
        operations=(row["op"],),
        proof="its body carries no token, as every body published in this run does, and no publish was given its id",
        assumes=(ALL_RECORDED,),
        message=delivery["message"],
        queue=delivery["queue"],
    )
