"""What an acknowledged message came to: lost, stranded or stuck, once everything has been drained.

A drain proves absence by waiting: its claims must have come back empty, from every queue that a message may be in, for
longer than all unknown claims one after another could hold it. What was completed, by whatever id, is settled.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import polars as pl

from queueproof.checks.closed import changes, may_be_closed
from queueproof.checks.facts import FOREVER, Facts, facts_of
from queueproof.checks.finding import CLOCK_DRIFT, CLOCK_STEP_NS, Finding
from queueproof.checks.redelivery import CADENCE_S, SLACK_S, empty_claims
from queueproof.checks.telling import ALL_RECORDED, LOOKED_AT, Row, names, second, span, tell
from queueproof.evidence.history import History

CHECK = "loss"

# Rows read at the end: what the server says of each message. `state` is its own word in lower case, "absent" for a 404.
ROWS: dict[str, Any] = {"scope": pl.String, "message": pl.String, "state": pl.String, "inv": pl.Int64, "ret": pl.Int64}


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """How a run was emptied: publishers stopped, everything resumed, claimed and completed until nothing came.

    Times are of the history's clock, in ns. What is claimed here is checked against the history: a drain that was cut
    short gives no verdict.
    """

    queues: tuple[str, ...]  # ids of the queues that were claimed from until empty
    quiet_from_ns: int  # the last claim that returned anything had returned, and its messages were completed
    dead_letter: bool = True  # `queues` holds the dead-letter queue of each scope too
    outstanding: int | None = None  # unknown claims that may still act; None: all of the history's on these queues
    longest_timeout_ns: int | None = None  # of claims that asked for none; None: not known
    longest_wait_ns: int | None = None  # the server's longest backoff; None: not known
    cadence_s: float = CADENCE_S
    slack_s: float = SLACK_S


def check_loss(
    history: History | Facts,
    drains: Sequence[Drain],
    rows: pl.DataFrame | None = None,
    *,
    unmodelled: Collection[str] = (),
) -> list[Finding]:
    """LOSS-1 (lost), LOSS-2 (stranded), LOSS-3 (stuck) for messages published to the drained queues.

    `rows`: columns ROWS, read after the drain; None or a missing message means that it could not be read.
    """
    facts = facts_of(history, unmodelled=unmodelled)
    if not facts.one_clock:
        return []
    read = _read(facts, rows)
    judged = [_judge(facts, drain, read) for drain in drains]
    if not judged:
        return []
    found = pl.concat(judged).sort("inv", "op").unique("op", keep="first", maintain_order=True)
    calls = names(facts, found["op"].head(LOOKED_AT))
    return tell(facts, found, lambda row: _finding(row, calls[row["op"]]))


def _read(facts: Facts, rows: pl.DataFrame | None) -> pl.DataFrame:
    """The last row read of each message: m, state, read_inv."""
    if rows is None or rows.height == 0:
        return pl.DataFrame(schema={"m": pl.UInt64, "state": pl.String, "read_inv": pl.Int64})
    coded = rows.select(facts.coding.message(), "state", read_inv="inv").drop_nulls("m").sort("read_inv")
    return coded.unique("m", keep="last", maintain_order=True)


# ── the messages that are not accounted for ───────────────────────────────────────────────────────────────────────


def _judge(facts: Facts, drain: Drain, read: pl.DataFrame) -> pl.DataFrame:
    """One row a violation: op (of the publish), verdict, and the numbers of its proof."""
    queues = facts.codes(drain.queues)
    mine = facts.publishes.select("op", "inv", "ret", "ok", "q", "m", "t").filter(
        pl.col("ok") & pl.col("q").is_in(queues)
    )
    mine = facts.timed(mine.drop("ok").drop_nulls(["m", "t"]))
    open_ones = _unsettled(facts, mine).sort("inv").unique("m", keep="first").join(read, on="m", how="left")
    if open_ones.height == 0:
        return _verdict(open_ones.with_columns(need=pl.lit(0, pl.Int64), quiet=pl.lit(0, pl.Int64)), "")
    open_ones = open_ones.with_columns(quiet=pl.lit(drain.quiet_from_ns, pl.Int64), need=_needed(facts, drain, queues))
    done = _verdict(open_ones.filter(pl.col("state") == "completed"), "completed by nobody")
    waited = _waited(facts, drain, queues, open_ones.filter((pl.col("state") != "completed").fill_null(True)))
    return pl.concat([done, waited])


def _verdict(rows: pl.DataFrame, verdict: str) -> pl.DataFrame:
    return rows.select("op", "inv", "ret", "read_inv", "quiet", "need", verdict=pl.lit(verdict))


def _unsettled(facts: Facts, mine: pl.DataFrame) -> pl.DataFrame:
    """Published messages that nobody ever tried to complete, under any id of their token.

    Adds `handled`: may have been claimed, failed or released; `moved`: seen in another queue; `seen`: delivered at all.
    """
    done = facts.frees.filter(pl.col("verb") == "complete").select("m").unique()
    mine = mine.join(done, on="m", how="anti")  # nearly all, before anything costly
    own = mine.select("t").unique()
    ids = pl.concat([t.select("t", "m").join(own, on="t", how="semi") for t in (facts.publishes, facts.deliveries)])
    settled = ids.drop_nulls().join(done, on="m", how="semi").select("t").unique()
    mine = mine.join(settled, on="t", how="anti")
    if mine.height == 0:
        mine = mine.with_columns(seen=False, moved=False, handled=False, more=pl.lit(0, pl.Int64))
        return mine.with_columns(state=pl.lit(None, pl.String)).drop("state")
    homes = mine.select("t", "q")
    seen = facts.deliveries.join(homes.select("t"), on="t", how="semi")
    moved = seen.join(homes, on=["t", "q"], how="anti").select("t").unique()
    touched = pl.concat([facts.frees.select("m"), facts.extends.select("m")]).unique()
    unknown = facts.unknown_claims.select("q").unique()
    extends = facts.extends.group_by("m").agg(
        more=pl.col("timeout").fill_null(FOREVER >> 8).sum(), sure=pl.col("ok").all()
    )
    mine = mine.join(extends, on="m", how="left").filter(pl.col("sure").fill_null(True))
    return mine.with_columns(
        seen=pl.col("t").is_in(seen["t"].unique().implode()),
        moved=pl.col("t").is_in(moved["t"].implode()),
        handled=pl.col("m").is_in(touched["m"].implode()) | pl.col("q").is_in(unknown["q"].implode()),
        more=pl.col("more").fill_null(0),
    ).with_columns(handled=pl.col("handled") | pl.col("seen"))


def _needed(facts: Facts, drain: Drain, queues: list[int]) -> pl.Expr:
    """How long nothing may have come, so that no unknown claim after another can still hold a message."""
    claims = facts.claims.filter(pl.col("q").is_in(queues))
    if claims["timeout"].null_count() and drain.longest_timeout_ns is None:
        return pl.lit(FOREVER, pl.Int64)
    longest = max(_whole(claims["timeout"].max()), drain.longest_timeout_ns or 0)
    unknown = claims.filter(~pl.col("ok")).height if drain.outstanding is None else drain.outstanding
    spare_ns = round((drain.cadence_s + drain.slack_s) * 1e9)
    once = pl.lit(longest, pl.Int64) + 2 * pl.col("more")
    slow = (once * (1 + CLOCK_DRIFT)).ceil().cast(pl.Int64) + CLOCK_STEP_NS
    return (unknown + 1) * (slow + spare_ns) + (drain.longest_wait_ns or 0)


def _waited(facts: Facts, drain: Drain, queues: list[int], rows: pl.DataFrame) -> pl.DataFrame:
    """Verdicts that rest on the quiet time: every queue of the drain answered empty long enough."""
    empty, unknown = empty_claims(facts), _unknown_queues(facts)
    quiet = pl.col("need") <= _quiet_ns(facts, drain, queues, empty)
    gone = pl.col("q").is_in(_gone(empty, unknown, drain)) & (pl.col("state") == "absent")
    gone &= pl.col("need") <= _quiet_ns(facts, drain, queues, pl.concat([empty, unknown]))
    rows = rows.filter(quiet | gone.fill_null(False)).with_columns(gone=~quiet)
    if not drain.dead_letter:
        rows = rows.filter(~pl.col("handled"))
    rows = rows.filter(~pl.col("moved")).with_columns(until=pl.col("quiet") + pl.col("need"))
    if rows.height == 0:
        return _verdict(rows, "")
    rows = rows.join(may_be_closed(facts, rows, "quiet", "until").select("op"), on="op", how="anti")
    deleted = changes(facts, ["delete"]).select("q").unique()
    rows = rows.join(deleted, on="q", how="anti")
    # a row that was read too early says nothing, and neither does the message's absence then
    rows = rows.filter(pl.col("read_inv").is_null() | (pl.col("read_inv") >= pl.col("until")))
    backed_off = pl.col("handled") & pl.lit(drain.longest_wait_ns is None)
    return pl.concat(
        [
            _verdict(rows.filter((pl.col("state") == "absent") & ~pl.col("gone")), "absent"),
            _verdict(rows.filter("gone"), "gone with its queue"),
            _verdict(rows.filter((pl.col("state") == "pending") & ~backed_off), "stranded"),
            _verdict(rows.filter(pl.col("state") == "claimed"), "stuck"),
            _verdict(rows.filter(pl.col("state").is_null() & ~pl.col("seen") & ~backed_off), "never delivered"),
        ]
    )


def _unknown_queues(facts: Facts) -> pl.DataFrame:
    """Claims that were refused because the server knows no such queue, or no such scope: columns of `empty_claims`."""
    refused = pl.col("code").str.to_uppercase().str.contains("(QUEUE|SCOPE)_NOT_FOUND")
    claims = facts.history.calls.filter((pl.col("verb") == "claim") & (pl.col("result") == "rejected") & refused)
    return claims.select("op", facts.coding.queue(), facts.coding.name("domain").alias("dom"), "inv", "ret")


def _gone(empty: pl.DataFrame, unknown: pl.DataFrame, drain: Drain) -> list[int]:
    """Queues that answered claims once, and that the server, while it is drained, no longer knows.

    What lay in such a queue is gone when its row is, though no claim of it comes back empty.
    """
    quiet = pl.col("inv") >= drain.quiet_from_ns
    known, lost = empty.filter(~quiet)["q"], unknown.filter(quiet)["q"]
    still = empty.filter(quiet)["q"]
    return [queue for queue in lost.unique().to_list() if queue in set(known) - set(still)]


def _quiet_ns(facts: Facts, drain: Drain, queues: list[int], nothing: pl.DataFrame) -> int:
    """How long after `quiet_from_ns` all queues gave nothing, with no gap above the slack; 0 if any did not.

    `nothing`: the claims that say so, columns of `empty_claims`.
    """
    empty = nothing.filter(pl.col("q").is_in(queues) & (pl.col("inv") >= drain.quiet_from_ns))
    late = facts.deliveries.filter(pl.col("q").is_in(queues) & (pl.col("ret") > drain.quiet_from_ns))
    if late.height or not queues or len(queues) < len(set(drain.queues)):
        return 0  # something was still there, or a queue of the drain was never called
    gap_ns = round(drain.slack_s * 1e9)
    empty = empty.sort("q", "inv").with_columns(
        gap=pl.col("inv") - pl.col("inv").shift(1).over("q").fill_null(drain.quiet_from_ns)
    )
    dense = empty.with_columns(broken=(pl.col("gap") > gap_ns).cum_sum().over("q")).filter(pl.col("broken") == 0)
    last = dense.group_by("q").agg(pl.col("inv").max())
    return _whole(last["inv"].min()) - drain.quiet_from_ns if last.height == len(queues) else 0


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


# ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_EMPTY, _NO_QUEUE = "came back empty", "came back empty or found no such queue"
_TOLD = {
    "completed by nobody": ("LOSS-1", "is completed, though nobody ever tried to complete it"),
    "absent": ("LOSS-1", "was acknowledged and is gone"),
    "gone with its queue": ("LOSS-1", "was acknowledged and is gone, and so is its queue"),
    "never delivered": ("LOSS-1", "was acknowledged and never delivered"),
    "stranded": ("LOSS-2", "is pending, and no claim can reach it"),
    "stuck": ("LOSS-3", "is claimed beyond every lock that was ever given for it"),
}


def _finding(row: Row, call: Row) -> Finding:
    requirement, what = _TOLD[row["verdict"]]
    zero = row["inv"]
    proof = f"its publish was answered ok at {second(row['ret'], zero)}"
    if row["verdict"] != "completed by nobody":
        came = _NO_QUEUE if row["verdict"] == "gone with its queue" else _EMPTY
        proof += (
            f"; from {second(row['quiet'], zero)} every claim of the drained queues {came} for at least the "
            f"{span(row['need'])} in which the last possible lock ends"
        )
    if row["read_inv"] is not None:
        proof += f"; its row was read at {second(row['read_inv'], zero)}"
    return Finding(
        check=CHECK,
        requirement=requirement,
        summary=f"message {call['message']} {what}",
        operations=(row["op"],),
        proof=proof,
        assumes=(ALL_RECORDED, "nothing but a call of this history removes or expires a message of these queues"),
        message=call["message"],
        queue=call["queue"],
    )
