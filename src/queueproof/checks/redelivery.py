"""A message whose lock has lapsed comes back: bounded liveness, never judged from one late message alone.

L is when the last lock had certainly lapsed (timeouts that add up, a clock that runs slow), E = L + cadence + slack.
A message that never came back violates only if until E nothing can explain its absence (no complete, fail, release,
unknown extend or unknown claim, no closed queue, no fault, retries left), claims that returned nothing were sent at
least twice a second from L to E and once after, and a control message of the same timeout lapsed and came back
meanwhile. One that came back late is a note, and a violation when the same message was late twice.

Only empty answers count as room for the message: a server may answer with fewer messages than it was asked for, and may
hand out only so many messages of a queue at a time (room.py).
"""

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from queueproof.checks.closed import may_be_closed
from queueproof.checks.facts import FOREVER, Facts, facts_of
from queueproof.checks.finding import CLOCK_DRIFT, CLOCK_STEP_NS, Finding
from queueproof.checks.room import with_room
from queueproof.checks.telling import ALL_RECORDED, Row, second, tell
from queueproof.evidence.history import History

CHECK = "redelivery"

CADENCE_S = 1.0  # the visibility-timeout enforcer's, as documented
SLACK_S = 5.0  # the upper end of what a healthy worker needs (contract.md, 5.4)
LONGEST_GAP_NS = 500_000_000  # twice a second, or the absence was not looked at


def check_redelivery(
    history: History | Facts,
    *,
    slack_s: float = SLACK_S,
    cadence_s: float = CADENCE_S,
    max_retries: Mapping[str, int] | None = None,
    control: bool = True,
    disturbed: Sequence[tuple[int, int]] = (),
    unmodelled: Collection[str] = (),
) -> list[Finding]:
    """VIS-2. `max_retries`: queue id → its limit; of other queues only first deliveries are judged, because a later
    lapse may move the message away. `control=False` does without a control message: for a case that repeats itself.
    `disturbed`: times [from, to] in ns in which a fault was injected.
    """
    facts = facts_of(history, unmodelled=unmodelled)
    bound_ns = round((cadence_s + slack_s) * 1e9)
    lapses = _lapses(facts, bound_ns, dict(max_retries or {}))
    for start, end in disturbed:
        lapses = lapses.filter((pl.col("latest") < start) | (pl.col("lapsed") > end))
    lapses = with_room(facts, _looked_for(facts, _unexplained(facts, lapses)))
    if control:
        lapses = _controlled(facts, lapses)
    lapses = lapses.with_columns(late=pl.col("next_inv") < FOREVER).with_columns(
        guilty=~pl.col("late") | (pl.col("late").sum().over("m") > 1)
    )
    return tell(facts, lapses.sort(pl.col("guilty").not_(), "inv", "row"), _finding)


def _lapses(facts: Facts, bound_ns: int, max_retries: dict[str, int]) -> pl.DataFrame:
    """Deliveries with retries left whose message was not delivered again by a claim sent before E.

    Adds `lapsed` (L), `latest` (E), `next_inv` (the claim that brought it back, FOREVER if none did).
    """
    table = facts.deliveries.filter(pl.col("home") == pl.col("q")).select(
        "row", "op", "inv", "ret", "timeout", "q", "m", "t", "attempts", "dom"
    )
    table = table.join(facts.first_free, on="m", how="left").with_columns(pl.col("freed").fill_null(FOREVER))
    # cheap first: messages that were completed before a lock could lapse are most of a history; of the others every
    # delivery counts, for it may be the one that an earlier lapse led to
    outlasted = pl.col("timeout").is_null() | (pl.col("freed") > pl.col("inv") + pl.col("timeout"))
    table = table.join(table.filter(outlasted).select("m").unique(), on="m", how="semi")
    table = facts.of_one_clock(facts.timed(table))
    extended = facts.extends.group_by("m").agg(more=pl.col("timeout").fill_null(FOREVER).sum(), all=pl.col("ok").all())
    table = table.join(extended, on="m", how="left").filter(pl.col("all").fill_null(True))
    slow = (pl.col("timeout") * (1 + CLOCK_DRIFT)).ceil().cast(pl.Int64) + CLOCK_STEP_NS
    table = table.sort("m", "inv", "op").with_columns(
        seen=pl.int_range(1, pl.len() + 1).over("m"),
        lapsed=(pl.col("ret") + slow.fill_null(FOREVER // 4)).cum_max().over("m") + 2 * pl.col("more").fill_null(0),
        next_inv=pl.col("inv").shift(-1).over("m").fill_null(FOREVER),
    )
    table = table.with_columns(latest=pl.col("lapsed") + bound_ns)
    limits = facts.queues.select(
        "q", limit=pl.col("queue").replace_strict(max_retries, default=None, return_dtype=pl.Int64)
    )
    count = pl.max_horizontal(pl.col("attempts").fill_null(1), "seen")
    retries_left = pl.when(pl.col("limit").is_null()).then(count == 1).otherwise(count < pl.col("limit"))
    table = table.join(limits, on="q", how="left").filter(retries_left)
    return table.filter((pl.col("next_inv") > pl.col("latest")) & (pl.col("freed") > pl.col("latest")))


def _unexplained(facts: Facts, lapses: pl.DataFrame) -> pl.DataFrame:
    """Those of queues that were open, and of which no unknown claim may have taken the message."""
    unknown = facts.unknown_claims.group_by("q").agg(unknown=pl.col("inv").min(), doms=pl.col("dom").n_unique())
    lapses = lapses.join(unknown, on="q", how="left").filter(pl.col("unknown").fill_null(FOREVER) > pl.col("latest"))
    if lapses.height == 0:
        return lapses
    if not facts.one_clock:
        lapses = lapses.filter(pl.col("unknown").is_null())
    return lapses.join(may_be_closed(facts, lapses, "inv", "latest").select("row"), on="row", how="anti")


def _looked_for(facts: Facts, lapses: pl.DataFrame) -> pl.DataFrame:
    """Those for which empty answers prove that the message was not there, densely from L to E and once after."""
    if lapses.height == 0:
        return lapses.with_columns(
            pl.lit(None, pl.Int64).alias(name) for name in ("empty_op", "empty_inv", "empty_ret")
        )
    empty = empty_claims(facts).join(lapses.select("q", "dom").unique(), on=["q", "dom"], how="semi").sort("inv")
    gap = (pl.col("inv").shift(-1) - pl.col("inv") > LONGEST_GAP_NS).fill_null(False)
    empty = empty.with_columns(gaps=gap.cum_sum().shift(1).fill_null(0).over("q", "dom"))
    by = ["q", "dom"]
    before = empty.select(*by, gaps_before="gaps", at="inv")
    after = empty.select(*by, gaps_after="gaps", empty_inv="inv", empty_ret="ret", empty_op="op", at="inv")
    lapses = lapses.sort("lapsed").join_asof(before, left_on="lapsed", right_on="at", by=by, check_sortedness=False)
    lapses = lapses.drop("at", strict=False).sort("latest")
    lapses = lapses.join_asof(
        after,
        left_on="latest",
        right_on="at",
        by=by,
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    # the answer that proves it must have been asked for before the message came back, if it did
    return lapses.filter(
        (pl.col("gaps_before") == pl.col("gaps_after")) & (pl.col("empty_inv") < pl.col("next_inv"))
    ).drop("at", strict=False)


def empty_claims(facts: Facts) -> pl.DataFrame:
    """Claims answered ok with nothing: columns op q dom inv ret."""
    claims = facts.claims.filter("ok").select("op", "q", "dom", "inv", "ret")
    return claims.join(facts.deliveries.select("op").unique(), on="op", how="anti")


def _controlled(facts: Facts, lapses: pl.DataFrame) -> pl.DataFrame:
    """Those with a control: another message of the same timeout that lapsed, and came back between L and E."""
    if lapses.height == 0:
        return lapses
    again = facts.deliveries.filter(pl.col("m").is_duplicated())
    again = again.select("m", "inv", "ret", "timeout", "dom").sort("m", "inv")
    again = again.with_columns(next_inv=pl.col("inv").shift(-1).over("m"), next_ret=pl.col("ret").shift(-1).over("m"))
    again = again.filter(pl.col("next_inv") > pl.col("ret")).join(facts.first_free, on="m", how="left")
    again = again.filter(pl.col("freed").fill_null(FOREVER) > pl.col("next_ret"))
    controls = again.select("timeout", "dom", back_inv="next_inv", back_ret="next_ret").sort("back_inv")
    joined = lapses.sort("lapsed").join_asof(
        controls,
        left_on="lapsed",
        right_on="back_inv",
        by=["timeout", "dom"],
        strategy="forward",
        check_sortedness=False,
    )
    return joined.filter((pl.col("back_ret") <= pl.col("latest")).fill_null(False))


def _finding(row: Row) -> Finding:
    delivery, zero = row["row"], row["inv"]
    back = f"was asked for successfully only at {second(row['next_inv'], zero)}" if row["late"] else "never came back"
    looked, bound = second(row["empty_inv"], zero), second(row["latest"], zero)
    did = "came back late" if row["late"] else "did not come back"
    return Finding(
        check=CHECK,
        requirement="VIS-2",
        summary=f"message {delivery['message']} {did} after its lock lapsed",
        operations=(row["op"], row["empty_op"]),
        proof=(
            f"its last lock had lapsed by {second(row['lapsed'], zero)}; it {back}; claims answered with nothing at "
            f"least every {LONGEST_GAP_NS / 1e9:g} s until {looked} > {bound}, when at most {row['held']} of its queue "
            f"were held, fewer than the {row['most']} that had been at once"
        ),
        assumes=(ALL_RECORDED, "the queue retries at least once before it gives a message up"),
        weight="violation" if row["guilty"] else "note",
        message=delivery["message"],
        queue=delivery["queue"],
    )
