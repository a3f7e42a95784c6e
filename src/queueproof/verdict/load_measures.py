"""Durations that only the whole history shows: how long messages were pending, and how late they came back.

Only calls timed by one clock are compared. Both are seen from the client, so they contain the answer's way.
"""

import polars as pl

from queueproof.evidence.history import History
from queueproof.evidence.latency import HIGHEST_US, Histogram, bucket


def queue_wait(history: History) -> Histogram:
    """From the answer of a publish to the answer that delivered the message first (attempts 1)."""
    published = history.calls.filter(
        (pl.col("verb") == "publish") & (pl.col("result") == "ok") & (pl.col("token") != "")
    )
    first = history.deliveries.filter((pl.col("attempts") == 1) & (pl.col("token") != ""))
    joined = first.join(published.select("token", "domain", published="ret"), on=["token", "domain"], how="inner")
    return _histogram(joined.select((pl.col("ret") - pl.col("published")).alias("ns"))["ns"])


def redelivery_lag(history: History) -> Histogram:
    """From a lock's latest end (the answer plus the timeout asked for) to the answer that delivered the message again.

    A message that was failed, released, completed or extended in between came back for another reason, or its lock
    ended at another time: it is left out.
    """
    held = history.deliveries.sort("message", "ret").with_columns(
        again=pl.col("ret").shift(-1).over("message"), clock=pl.col("domain").shift(-1).over("message")
    )
    held = held.filter(pl.col("again").is_not_null() & (pl.col("clock") == pl.col("domain")))
    touched = history.calls.filter(pl.col("verb").is_in(["complete", "fail", "release", "extend"]))
    acts = touched.select("message", act="inv")
    between = held.join(acts, on="message", how="inner").filter(
        (pl.col("act") >= pl.col("inv")) & (pl.col("act") <= pl.col("again"))
    )
    lapsed = held.join(between.select("message", "ret").unique(), on=["message", "ret"], how="anti")
    return _histogram(lapsed.select((pl.col("again") - pl.col("ret") - pl.col("timeout")).alias("ns"))["ns"])


def _histogram(nanoseconds: pl.Series) -> Histogram:
    microseconds = (nanoseconds // 1000).clip(0, HIGHEST_US)
    counts: dict[int, int] = {}
    for value in microseconds.drop_nulls().to_list():
        index = bucket(value)
        counts[index] = counts.get(index, 0) + 1
    return Histogram(counts)
