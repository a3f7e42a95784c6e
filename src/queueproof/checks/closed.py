"""When a queue may have been closed to claims: paused, archived, drained or deleted, itself or with its scope."""

import polars as pl

from queueproof.checks.facts import FOREVER, HAPPENED, Facts

_CLOSING = ["pause", "archive", "drain", "delete"]
_OPENING = ["resume", "unarchive"]


def closures(facts: Facts) -> pl.DataFrame:
    """q, start, end: from a closing call's invocation to the return of an ok resume invoked after that call returned.

    An unknown closing call may act at any time, and calls timed by several clocks are not compared: closed for ever.
    """
    closing = changes(facts, _CLOSING)
    if closing.height == 0:
        return pl.DataFrame(schema={"q": pl.UInt64, "start": pl.Int64, "end": pl.Int64})
    reopened = changes(facts, ["resume"]).filter("ok").select("q", "level", "dom", again="inv", end="ret")
    pairs = closing.join(reopened, on=["q", "level", "dom"], how="left")
    later = pl.when(pl.col("again") > pl.col("ret")).then(pl.col("end"))
    closed = pairs.group_by("op", "q").agg(start=pl.col("inv").first(), end=later.min())
    return closed.select("q", "start", pl.col("end").fill_null(FOREVER))


def changes(facts: Facts, verbs: list[str]) -> pl.DataFrame:
    """Life cycle calls that may have happened, one row a queue that they touch: op q level inv ret ok dom verb."""
    calls = facts.history.calls
    wanted = [f"{verb}-{level}" for verb in verbs for level in ("queue", "scope")]
    calls = calls.filter(pl.col("verb").is_in(wanted) & HAPPENED).select(
        "op",
        "inv",
        verb=pl.col("verb").cast(pl.String),
        ret=pl.when(pl.col("result") == "ok").then("ret").fill_null(FOREVER),
        ok=pl.col("result") == "ok",
        scope=pl.col("scope").cast(pl.String),
        queue=pl.col("queue").cast(pl.String),
        dom=facts.coding.name("domain"),
    )
    calls = calls.with_columns(level=pl.col("verb").str.extract(r"-(\w+)$"))
    by_queue = calls.filter(pl.col("level") == "queue").join(facts.queues, on=["scope", "queue"])
    by_scope = calls.filter(pl.col("level") == "scope").drop("queue").join(facts.queues.drop("queue"), on="scope")
    columns = ["op", "q", "level", "inv", "ret", "ok", "dom", "verb"]
    return pl.concat([by_queue.select(columns), by_scope.select(columns)])


def reopenings(facts: Facts) -> pl.DataFrame:
    """Calls that may have opened a queue again."""
    return changes(facts, _OPENING)


def may_be_closed(facts: Facts, rows: pl.DataFrame, start: str, end: str) -> pl.DataFrame:
    """The rows (with q and two columns of times) whose queue may have been closed at some time between the two."""
    closed = closures(facts).rename({"start": "closed_from", "end": "closed_to"})
    if closed.height == 0 or rows.height == 0:
        return rows.head(0)
    hit = rows.with_row_index("_row").join(closed, on="q")
    anytime = pl.lit(not facts.one_clock)
    hit = hit.filter(anytime | ((pl.col("closed_from") <= pl.col(end)) & (pl.col("closed_to") >= pl.col(start))))
    return rows.with_row_index("_row").join(hit.select("_row").unique(), on="_row", how="semi").drop("_row")
