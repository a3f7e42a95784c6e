"""Whether an empty claim had room: a queue may hand out only so many messages at a time, and then says nothing more.

How many is not documented. A queue that is known to have had M messages held at once hands out M at least; where fewer
may have been held when a claim came back empty, no such limit explains it. M counts holds that were certain, and what
may have been held counts every hold that is not certainly over, so that both err to the server's side.
"""

import polars as pl

from queueproof.checks.exclusivity import certain_end
from queueproof.checks.facts import FOREVER, Facts
from queueproof.checks.finding import CLOCK_DRIFT, CLOCK_STEP_NS


def with_room(facts: Facts, found: pl.DataFrame) -> pl.DataFrame:
    """The rows of `found` (q, empty_inv, empty_ret) whose queue had more messages held at another time than then.

    Adds `held` (may have been, at most) and `most` (were, at least, at once). Deliveries that other clocks timed cannot
    be placed: such a queue's rows are left out.
    """
    if found.height == 0:
        return found.with_columns(held=pl.lit(None, pl.Int64), most=pl.lit(None, pl.Int64))
    holds = _holds(facts, found.select("q").unique())
    if not facts.one_clock:
        several = holds.group_by("q").agg(clocks=pl.col("dom").n_unique()).filter(pl.col("clocks") > 1)
        found = found.join(several, on="q", how="anti")
    found = found.join(_most_at_once(holds), on="q", how="left").with_row_index("nth")
    begun = _count(found, "empty_ret", holds.select("q", at="inv"))
    over = _count(found, "empty_inv", holds.select("q", at="end"))
    found = found.join(begun, on="nth", how="left").join(over, on="nth", how="left", suffix="_over")
    found = found.with_columns(held=pl.col("count") - pl.col("count_over")).drop("nth", "count", "count_over")
    return found.filter(pl.col("held") < pl.col("most"))


def _holds(facts: Facts, queues: pl.DataFrame) -> pl.DataFrame:
    """Every delivery of these queues: q dom inv ret, `end` (surely over by then), `sure` (held from ret to then)."""
    table = facts.deliveries.join(queues, on="q", how="semi").select("q", "m", "dom", "inv", "ret", "timeout")
    slow = (pl.col("timeout") * (1 + CLOCK_DRIFT)).ceil().cast(pl.Int64) + CLOCK_STEP_NS
    longer = facts.extends.select("m").unique().with_columns(extended=pl.lit(True))
    ended = facts.frees.filter("ok").select("m", "inv", free="ret").sort("inv")
    table = table.join(longer, on="m", how="left").join(facts.first_free, on="m", how="left").sort("inv")
    table = table.join_asof(ended, on="inv", by="m", strategy="forward", check_sortedness=False)
    lapse = pl.when(pl.col("extended").is_null()).then(pl.col("ret") + slow)
    return table.select(
        "q",
        "dom",
        "inv",
        "ret",
        end=pl.min_horizontal(lapse, "free").fill_null(FOREVER),
        sure=pl.min_horizontal(certain_end(pl.col("inv"), pl.col("timeout")), pl.col("freed").fill_null(FOREVER)),
    )


def _most_at_once(holds: pl.DataFrame) -> pl.DataFrame:
    """How many messages of each queue were surely held at once: q, most."""
    sure = holds.filter(pl.col("sure") > pl.col("ret"))
    steps = pl.concat(
        [
            sure.select("q", at="ret", step=pl.lit(1, pl.Int64)),
            sure.select("q", at="sure", step=pl.lit(-1, pl.Int64)),
        ]
    )
    steps = steps.sort("at", "step").with_columns(held=pl.col("step").cum_sum().over("q"))
    return steps.group_by("q").agg(most=pl.col("held").max())


def _count(found: pl.DataFrame, moment: str, events: pl.DataFrame) -> pl.DataFrame:
    """How many events of its queue lie before each row's moment: nth, count."""
    events = events.sort("at").with_columns(count=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("q"))
    rows = found.select("nth", "q", at=moment).sort("at")
    counted = rows.join_asof(events, on="at", by="q", allow_exact_matches=False, check_sortedness=False)
    return counted.select("nth", pl.col("count").fill_null(0))
