"""One key, one message: an idempotency key is a register that the first publish sets for good.

How long a key lives is promised nowhere, nor that it outlives its message. So only publishes that lie within
KEY_LIFETIME_NS of each other are judged, and what follows a possible end of the message (a complete, a fail that may
have moved it away) is told as a note. Publishes that overlap in time may race: IDEM-7, which is a SHOULD.
"""

from collections.abc import Collection

import polars as pl

from queueproof.checks.facts import FOREVER, HAPPENED, Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.telling import ALL_RECORDED, LOOKED_AT, Row, names, second, tell
from queueproof.evidence.history import History
from queueproof.evidence.margins import KEY_LIFETIME_NS

CHECK = "idempotency"

CONFLICT = "SCAIQUEUE_IDEMPOTENCY_CONFLICT"
KEYS_LIVE = f"a key is remembered for at least {KEY_LIFETIME_NS // 1_000_000_000} s while its message is not ended"
SAME_ELSE = "publishes with one key and one body are equal in type, labels and priority too"


def check_idempotency(history: History | Facts, *, unmodelled: Collection[str] = ()) -> list[Finding]:
    """IDEM-1 (two ids, or a conflict without one), IDEM-2 (two messages), IDEM-3 (two bodies), IDEM-7, IDEM-8."""
    facts = facts_of(history, unmodelled=unmodelled)
    keyed = facts.publishes.filter(pl.col("k").is_not_null())
    if keyed.height == 0:
        return _unfounded_conflicts(facts)
    return _two_answers(facts, keyed) + _two_messages(facts) + _unfounded_conflicts(facts)


# ── two answers that contradict each other ────────────────────────────────────────────────────────────────────────


def _two_answers(facts: Facts, keyed: pl.DataFrame) -> list[Finding]:
    """Two ok answers for one key in one queue with different ids, or to different bodies."""
    ok = keyed.filter(pl.col("ok") & pl.col("m").is_not_null())
    several = ok.filter(pl.col("k").is_duplicated()).sort("q", "k", "ret", "op")
    register = ["op", "inv", "ret", "m", "body", "dom", "untimed"]
    firsts = several.unique(["q", "k"], keep="first", maintain_order=True)
    firsts = firsts.select("q", "k", *(pl.col(name).alias(f"first_{name}") for name in register))
    pairs = several.join(firsts, on=["q", "k"], how="inner").filter(pl.col("op") != pl.col("first_op"))
    pairs = pairs.with_columns(other_body=(pl.col("body") != pl.col("first_body")).fill_null(False))
    pairs = pairs.filter(
        (pl.col("other_body") | (pl.col("m") != pl.col("first_m"))) & (pl.col("dom") == pl.col("first_dom"))
    )
    pairs = pairs.filter(~pl.col("untimed") & ~pl.col("first_untimed"))
    span = pl.max_horizontal("ret", "first_ret") - pl.min_horizontal("inv", "first_inv")
    pairs = pairs.filter(span <= KEY_LIFETIME_NS)
    if pairs.height == 0:
        return []
    pairs = _with_end(facts, pairs).sort("inv", "op")
    calls = names(facts, [*pairs["op"].head(LOOKED_AT), *pairs["first_op"].head(LOOKED_AT)])
    return tell(facts, pairs, lambda row: _contradiction(row, calls))


def _with_end(facts: Facts, pairs: pl.DataFrame) -> pl.DataFrame:
    """Adds `ended`: whether a complete, or a fail that moved it away, may have ended the first message before."""
    ends = (
        facts.frees.filter(pl.col("verb") != "release")
        .group_by("m")
        .agg(end_inv=pl.col("inv").min(), doms=pl.col("dom"))
    )
    pairs = pairs.join(ends, left_on="first_m", right_on="m", how="left")
    elsewhere = pl.col("doms").list.eval(pl.element()).list.n_unique() > 1
    ended = (pl.col("end_inv") <= pl.col("ret")) | elsewhere | (pl.col("doms").list.first() != pl.col("dom"))
    return pairs.with_columns(ended=ended.fill_null(False)).drop("doms")


def _contradiction(row: Row, calls: dict[int, Row]) -> Finding:
    call, first = calls[row["op"]], calls[row["first_op"]]
    zero = min(row["inv"], row["first_inv"])
    racing = row["inv"] <= row["first_ret"]
    requirement = "IDEM-8" if row["ended"] else "IDEM-7" if racing else "IDEM-3" if row["other_body"] else "IDEM-1"
    if row["other_body"]:
        what = f"took two different bodies, {first['body']} and {call['body']}"
    else:
        what = f"made two messages of one body, {first['message']} and {call['message']}"
    return Finding(
        check=CHECK,
        requirement=requirement,
        summary=f"idempotency key {call['key']} {what}",
        operations=(row["first_op"], row["op"]),
        proof=(
            f"the first publish was answered ok at {second(row['first_ret'], zero)}, the other was invoked at "
            f"{second(row['inv'], zero)} and answered ok at {second(row['ret'], zero)}"
        ),
        assumes=(KEYS_LIVE, SAME_ELSE),
        weight="note" if row["ended"] else "violation",
        message=call["message"],
        queue=call["queue"],
    )


# ── two messages ──────────────────────────────────────────────────────────────────────────────────────────────────


def _two_messages(facts: Facts) -> list[Finding]:
    """One token under two ids although every publish of it bore one key.

    Both messages had been made by the time that both were delivered: that bounds an unknown publish too.
    """
    one_register = (pl.struct("q", "k", "dom").n_unique() == 1) & pl.col("k").is_not_null().all()
    tokens = (
        facts.publishes.filter(pl.col("t").is_not_null() & pl.col("t").is_in(_keyed_again(facts).implode()))
        .group_by("t")
        .agg(
            publishes=pl.col("op").sort(),
            sent=pl.col("inv").min(),
            last_ret=pl.col("ret").max(),
            q=pl.col("q").first(),
            one=one_register & ~pl.col("untimed").any() & (pl.len() > 1),
        )
    )
    tokens = tokens.filter("one")
    if tokens.height == 0:
        return []
    seen = facts.deliveries.join(tokens.select("t", "q"), on=["t", "q"], how="semi").sort("ret", "row")
    firsts = seen.unique(["t", "m"], keep="first", maintain_order=True)
    twice = firsts.filter(pl.col("t").is_duplicated())
    first = twice.unique("t", keep="first", maintain_order=True).select(
        "t", first_row="row", first_op="op", first_m="m"
    )
    pairs = twice.join(first, on="t").filter(pl.col("m") != pl.col("first_m")).join(tokens, on="t")
    pairs = pairs.filter(pl.col("ret") - pl.col("sent") <= KEY_LIFETIME_NS)
    ends = facts.frees.filter(pl.col("verb") != "release").select("m", "inv")
    ids = facts.deliveries.select("t", "m").unique().join(ends, on="m").group_by("t").agg(end=pl.col("inv").min())
    pairs = pairs.join(ids, on="t", how="left").sort("inv", "row")
    return tell(facts, pairs, _duplicate)


def _keyed_again(facts: Facts) -> pl.Series:
    """Tokens published more than once under a key; one publish that made two messages is a ghost (loss.py)."""
    keyed = facts.publishes.filter(pl.col("t").is_not_null() & pl.col("k").is_not_null()).select("t")
    return keyed.filter(pl.col("t").is_duplicated())["t"].unique()


def _duplicate(row: Row) -> Finding:
    delivery, first = row["row"], row["first_row"]
    ended = row["end"] is not None and row["end"] <= row["last_ret"]
    return Finding(
        check=CHECK,
        requirement="IDEM-8" if ended else "IDEM-2",
        summary=f"messages {first['message']} and {delivery['message']} were both made by publishes with one key",
        operations=tuple(dict.fromkeys((*row["publishes"], row["first_op"], row["op"]))),
        proof=f"one token, published {len(row['publishes'])} times with one key, was delivered under two ids",
        assumes=(KEYS_LIVE, SAME_ELSE, ALL_RECORDED),
        weight="note" if ended else "violation",
        message=delivery["message"],
        queue=delivery["queue"],
    )


# ── a conflict with nothing ───────────────────────────────────────────────────────────────────────────────────────


def _unfounded_conflicts(facts: Facts) -> list[Finding]:
    """A conflict although no publish with the key and anything else, in any queue, may have happened before it.

    Whether type, labels or priority belong to what a key stands for is not documented: where they differ, it may.
    """
    refused = facts.history.calls.filter(
        (pl.col("verb") == "publish") & (pl.col("result") == "rejected") & (pl.col("code") == CONFLICT)
    )
    refused = refused.filter(pl.col("key").is_not_null() & (pl.col("body") != ""))
    if refused.height == 0:
        return []
    others = facts.history.calls.filter((pl.col("verb") == "publish") & HAPPENED & pl.col("key").is_not_null()).select(
        "key", other_body="body", other_rest="rest", other_inv="inv", other_ret="ret", other_domain="domain"
    )
    pairs = refused.select("op", "inv", "ret", "key", "body", "rest", "domain").join(others, on="key", how="left")
    before = (pl.col("other_inv") < pl.col("ret")) | (pl.col("other_domain") != pl.col("domain"))
    other = (pl.col("other_body") != pl.col("body")) | (pl.col("other_rest") != pl.col("rest"))
    differs = (other & before).fill_null(False)
    racing = before & (pl.col("other_ret").fill_null(FOREVER) > pl.col("inv"))
    judged = pairs.group_by("op").agg(
        founded=differs.any(),
        racing=racing.fill_null(False).any(),
        inv=pl.col("inv").first(),
        others=pl.col("other_inv").count(),
    )
    unfounded = judged.filter(~pl.col("founded")).sort("inv", "op")
    calls = names(facts, unfounded["op"].head(LOOKED_AT))
    return tell(facts, unfounded, lambda row: _unfounded(row, calls[row["op"]]))


def _unfounded(row: Row, call: Row) -> Finding:
    return Finding(
        check=CHECK,
        requirement="IDEM-7" if row["racing"] else "IDEM-1",
        summary=f"a publish with idempotency key {call['key']} was refused as a conflict with nothing",
        operations=(row["op"],),
        proof=f"no other publish with this key was invoked before ({row['others']} that were the same)",
        assumes=(ALL_RECORDED, "numbers are spelled alike in equal bodies"),
        queue=call["queue"],
    )
