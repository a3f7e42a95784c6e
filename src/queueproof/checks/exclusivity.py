"""One holder at a time: two deliveries of one message while the first one's lock was certainly live.

Two deliveries d and e violate only if e came back before d's certain end **and** d came back before e's: d may have
been taken early and answered late, after its lock had lapsed and e had been served in between. A fail or release of the
message that may have acted meanwhile explains everything, and so does a complete whose answer was lost. One answered ok
explains nothing: before it the message was held, and after it it is terminal. An extend that was answered ok inside a
certain hold is a hold itself, and may also have shortened an earlier one (its timeout may count from now).
"""

from collections.abc import Collection

import polars as pl

from queueproof.checks.facts import FOREVER, Facts, facts_of
from queueproof.checks.finding import CLOCK_DRIFT, CLOCK_STEP_NS, Finding
from queueproof.checks.telling import ONE_NAME_ONE_MESSAGE, TIMEOUT_HONOURED, Row, second, span, tell
from queueproof.evidence.history import History

CHECK = "exclusivity"
NO_HOLD = -1  # an end before every time: this row holds nothing for certain


def check_exclusivity(history: History | Facts, *, unmodelled: Collection[str] = ()) -> list[Finding]:
    """CLAIM-6 (two at once), VIS-1 (given back early), VIS-5 (an extension not honoured).

    Judges messages published without delay, ttl or deadline whose calls were all timed by one clock; the clock-free
    twin (equal `attempts` in overlapping claims) needs neither timeouts nor margins.
    """
    facts = facts_of(history, unmodelled=unmodelled)
    repeated = facts.deliveries.filter(pl.col("m").is_duplicated())
    repeated = facts.of_one_clock(facts.timed(repeated))
    if repeated.height == 0:
        return []
    pairs = pl.concat([_overlaps(facts, repeated), _twins(facts, repeated)], how="diagonal")
    pairs = _not_after_completion(facts, pairs.unique(["row", "first_op"], keep="first", maintain_order=True))
    return tell(facts, pairs.sort("inv", "row"), _finding)


def _not_after_completion(facts: Facts, pairs: pl.DataFrame) -> pl.DataFrame:
    """Without the pairs whose later claim was asked for after an ok complete had returned: terminality tells those."""
    if pairs.height == 0:
        return pairs
    rows = facts.deliveries.select("row", "m").join(pairs.select("row").unique(), on="row", how="semi")
    done = facts.frees.filter((pl.col("verb") == "complete") & pl.col("ok")).join(rows, on="m", how="semi")
    told = rows.join(done.group_by("m").agg(done=pl.col("ret").min()), on="m").select("row", "done")
    pairs = pairs.join(told, on="row", how="left", maintain_order="left")
    return pairs.filter(pl.col("done").is_null() | (pl.col("done") >= pl.col("inv"))).drop("done")


# ── the two-sided rule ────────────────────────────────────────────────────────────────────────────────────────────


def certain_end(inv: pl.Expr, timeout: pl.Expr) -> pl.Expr:
    """When a lock asked for at `inv` is still held for certain (finding.py, margins); NO_HOLD without a timeout."""
    held = (timeout.cast(pl.Float64) * (1 - CLOCK_DRIFT)).floor().cast(pl.Int64) - CLOCK_STEP_NS
    return (inv + held).fill_null(NO_HOLD)


def _overlaps(facts: Facts, repeated: pl.DataFrame) -> pl.DataFrame:
    """Violating pairs: the later delivery's columns, and the earlier hold's as first_op, first_inv, …"""
    deliveries = _with_ends(facts, repeated)
    holds = pl.concat(
        [deliveries.with_columns(extend=pl.lit(False)), _certain_extends(facts, deliveries)], how="diagonal"
    )
    # An extend covers only what certainly follows it: it takes its place at its return, a delivery at its invocation.
    holds = holds.with_columns(at=pl.when("extend").then("ret").otherwise("inv")).sort(
        "m", "at", pl.col("extend").not_(), "op", "position"
    )
    holds = holds.with_columns(before=pl.col("end").cum_max().shift(1).over("m"))
    late = holds.filter(~pl.col("extend") & (pl.col("ret") < pl.col("before")))
    if late.height == 0:
        return _none()
    # One call may have ended very many holds at once: of equal ends two are enough, or the pairs would fill the memory.
    orders = (holds, holds.sort("ret", maintain_order=True))
    ends = pl.concat([order.unique(["m", "end"], keep="first", maintain_order=True) for order in orders])
    pairs = late.join(
        _as_first(ends), left_on=["m", "before"], right_on=["m", "first_end"], how="inner", coalesce=False
    )
    pairs = pairs.filter(_is_before & _both_sides).unique("row", keep="first", maintain_order=True)
    missed = late.join(pairs, on="row", how="anti")
    if missed.height:  # the longest hold was answered too late to prove anything: try the neighbours
        pairs = pl.concat([pairs.select(_PAIR), _neighbours(holds, missed)])
    return pairs.select(_PAIR).with_columns(twin=pl.lit(False))


_FIRST = (
    "first_op",
    "first_inv",
    "first_ret",
    "first_end",
    "first_timeout",
    "first_attempts",
    "first_extend",
    "first_at",
)
_PAIR = ("row", "op", "inv", "ret", "end", "attempts", *_FIRST)
_is_before = (pl.col("first_at") <= pl.col("at")) & (
    (pl.col("first_op") != pl.col("op")) | (pl.col("first_position") < pl.col("position"))
)
_both_sides = (pl.col("ret") < pl.col("first_end")) & (pl.col("first_extend") | (pl.col("first_ret") < pl.col("end")))


def _as_first(holds: pl.DataFrame) -> pl.DataFrame:
    return holds.select("m", *(pl.col(name.removeprefix("first_")).alias(name) for name in (*_FIRST, "first_position")))


def _neighbours(holds: pl.DataFrame, missed: pl.DataFrame) -> pl.DataFrame:
    """Violating pairs among the four holds before each missed delivery."""
    columns = [*_FIRST, "first_position"]
    found = []
    for distance in range(1, 5):
        shifted = holds.with_columns(
            *(pl.col(name.removeprefix("first_")).shift(distance).over("m").alias(name) for name in columns)
        )
        shifted = shifted.join(missed.select("row"), on="row", how="semi")
        found.append(shifted.filter(_is_before & _both_sides).select(_PAIR))
    return pl.concat(found).unique("row", keep="first", maintain_order=True)


def _none() -> pl.DataFrame:
    schema = dict.fromkeys(_PAIR, pl.Int64) | {"row": pl.UInt32, "first_extend": pl.Boolean, "twin": pl.Boolean}
    return pl.DataFrame(schema=schema)


def _with_ends(facts: Facts, repeated: pl.DataFrame) -> pl.DataFrame:
    """Deliveries with their certain end: the lock's own, or what may have freed or shortened it before."""
    table = repeated.select("row", "op", "position", "inv", "ret", "timeout", "m", "q", "attempts")
    table = _cut(facts, table.with_columns(end=certain_end(pl.col("inv"), pl.col("timeout"))))
    return table.sort("m", "inv", "op", "position")


def _cut(facts: Facts, table: pl.DataFrame) -> pl.DataFrame:
    """Rows with `end` no later than the first call that may have freed, or the end that an extend may have set."""
    frees = facts.frees.join(table.select("m").unique(), on="m", how="semi")
    frees = frees.filter(~((pl.col("verb") == "complete") & pl.col("ok")))
    table = _first_from(table, frees.select("m", "ret", at="inv"), "freed")
    extends = facts.extends.select("m", "ret", at=certain_end(pl.col("inv"), pl.col("timeout")))
    table = _first_from(table, extends, "shortened")
    freed_inside = pl.col("freed") <= pl.col("ret")
    end = pl.when(freed_inside).then(NO_HOLD).otherwise(pl.min_horizontal("end", "freed", "shortened"))
    return table.with_columns(end=end).drop("freed", "shortened")


def _first_from(table: pl.DataFrame, others: pl.DataFrame, name: str) -> pl.DataFrame:
    """Adds the smallest `at` among the message's others that may have acted after the row's invocation."""
    others = others.join(table.select("m").unique(), on="m", how="semi").sort("m", "ret")
    others = others.with_columns(pl.col("at").reverse().cum_min().reverse().over("m").alias(name))
    joined = table.sort("inv").join_asof(
        others.select("m", "ret", name).sort("ret").rename({"ret": "until"}),
        left_on="inv",
        right_on="until",
        by="m",
        strategy="forward",
        check_sortedness=False,
    )
    return joined.with_columns(pl.col(name).fill_null(FOREVER)).drop("until", strict=False)


def _certain_extends(facts: Facts, deliveries: pl.DataFrame) -> pl.DataFrame:
    """Extends answered ok wholly inside a certain hold, with the hold that they make certain.

    Outside of one an ok may mean that there was nothing to extend. The first such extend of a message ends the chain:
    what rests on it is not certain either.
    """
    extends = facts.extends.filter("ok").join(deliveries.select("m").unique(), on="m", how="semi")
    extends = _cut(facts, extends.with_columns(end=certain_end(pl.col("inv"), pl.col("timeout"))))
    columns = ["op", "inv", "ret", "timeout", "m", "end"]
    holds = pl.concat([deliveries.select(columns), extends.select(columns)]).sort("m", "ret")
    holds = holds.with_columns(cover=pl.col("end").cum_max().over("m")).select("m", "ret", "cover").sort("ret")
    covered = extends.sort("inv").join_asof(
        holds.rename({"ret": "until"}),
        left_on="inv",
        right_on="until",
        by="m",
        allow_exact_matches=False,  # an extend that took no time must not rest on itself
        check_sortedness=False,
    )
    outside = ~(pl.col("ret") < pl.col("cover")).fill_null(False)
    covered = covered.sort("m", "ret").with_columns(astray=outside.cum_sum().over("m"))
    return covered.filter(pl.col("astray") == 0).select(*columns, extend=pl.lit(True))


# ── the clock-free twin ───────────────────────────────────────────────────────────────────────────────────────────


def _twins(facts: Facts, repeated: pl.DataFrame) -> pl.DataFrame:
    """Overlapping deliveries from the message's own queue with equal attempts and no release that may lie between.

    One after the other they are the attempts check's (attempts.py): there the counter, not the lock, is what failed.
    """
    same = repeated.filter(pl.col("attempts").is_not_null() & (pl.col("home") == pl.col("q"))).filter(
        pl.struct("m", "attempts").is_duplicated()
    )
    if same.height == 0:
        return _none()
    releases = facts.frees.filter(pl.col("verb") == "release").select("m", "ret", at="inv")
    same = _first_from(same, releases, "freed").sort("m", "attempts", "inv", "op", "position")
    same = same.with_columns(end=certain_end(pl.col("inv"), pl.col("timeout")), extend=pl.lit(False), at=pl.col("inv"))
    shifted = [
        pl.col(name.removeprefix("first_")).shift(1).over("m", "attempts").alias(name)
        for name in (*_FIRST, "first_freed")
    ]
    pairs = same.with_columns(shifted).filter(
        (pl.col("inv") <= pl.col("first_ret")) & (pl.max_horizontal("ret", "first_ret") < pl.col("first_freed"))
    )
    return pairs.select(_PAIR).with_columns(twin=pl.lit(True))


# ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _finding(row: Row) -> Finding:
    second_one, zero = row["row"], row["first_inv"]
    message = second_one["message"]
    same_attempts = row["attempts"] is not None and row["attempts"] == row["first_attempts"]
    if row["first_extend"]:
        requirement, what = "VIS-5", "was claimed again although its lock had been extended"
    elif row["inv"] <= row["first_ret"] or same_attempts:
        requirement, what = "CLAIM-6", "was given to two claims while the first one's lock was live"
    else:
        requirement, what = "VIS-1", "was claimable before its visibility timeout had passed"
    return Finding(
        check=CHECK,
        requirement=requirement,
        summary=f"message {message} {what}",
        operations=tuple(dict.fromkeys((row["first_op"], row["op"]))),
        proof=_twin_proof(row, zero) if row["twin"] else _proof(row, zero),
        assumes=(ONE_NAME_ONE_MESSAGE,) if row["twin"] else (ONE_NAME_ONE_MESSAGE, TIMEOUT_HONOURED),
        message=message,
        queue=second_one["queue"],
    )


def _twin_proof(row: Row, zero: int) -> str:
    return (
        f"both claims say attempts {row['attempts']} and no release lies between: one was invoked at "
        f"{second(row['first_inv'], zero)}, the other at {second(row['inv'], zero)}, before the first returned at "
        f"{second(row['first_ret'], zero)}"
    )


def _proof(row: Row, zero: int) -> str:
    other = "claim" if row["first_extend"] else "second claim"
    text = (
        f"the {other} returned at {second(row['ret'], zero)} < {second(row['first_inv'], zero)} + "
        f"{span(row['first_timeout'])}, certain until {second(row['first_end'], zero)}"
    )
    if not row["first_extend"]:
        text += (
            f"; and the first claim returned at {second(row['first_ret'], zero)}, before the second one's lock could "
            f"end at {second(row['end'], zero)}"
        )
    return text + "; no fail or release may lie between, and a complete makes nothing claimable"
