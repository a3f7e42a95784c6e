"""The first delivery of a message may not overtake one that should have gone first and was certainly waiting.

Under fifo, b overtakes a if a's publish was answered before b's was invoked, and a's first claim was invoked only after
the claim C that returned b had come back. Under priority and deadline a must have a smaller rank instead, and be
published SIGHT_NS before C was invoked (an index of ranks may trail).

That a was waiting has to be certain. A claim whose answer was lost may have held it and given it back uncounted (a
server may undo what it could not deliver), so an unknown claim of the queue invoked before C came back turns the
violation into a note, and the note needs `attempts == 1` on both sides. A message that is
never claimed at all is a note too: it may have been lost, which is another matter (loss.py).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import polars as pl

from queueproof.checks.facts import FOREVER, Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.telling import ALL_RECORDED, LOOKED_AT, Row, names, second, tell
from queueproof.evidence.history import History
from queueproof.evidence.margins import FIFO_GATE_NS, FRESH_NS, SIGHT_NS

CHECK = "order"
Ordering = Literal["fifo", "priority", "deadline"]

# So many messages at a time need a few hundred megabytes.
BATCH = 1_000_000

# Ranks of one priority tier lie within one multiple of this (contract/wire.py, rank).
TIER = 1001


def check_order(
    history: History | Facts,
    orderings: Mapping[str, Ordering],
    *,
    disturbed: Sequence[tuple[int, int]] = (),
    unmodelled: Collection[str] = (),
) -> list[Finding]:
    """ORD-1 (fifo), ORD-2 (deadline), ORD-3 and ORD-4 (priority, within a tier and across).

    `orderings`: queue id → its ordering; other queues are not judged. A message published with a delay or a ttl must
    have no rank. `disturbed`: times [from, to] in ns in which a fault was injected: claims then are not judged.
    """
    facts = facts_of(history, unmodelled=unmodelled)
    findings = []
    for ordering in ("fifo", "priority", "deadline"):
        found = []
        for queues in _batches(facts, [queue for queue, kind in orderings.items() if kind == ordering]):
            found += _judged(facts, queues, ordering, disturbed)
        if found:
            findings += _told(facts, pl.concat(found), ordering)
    return findings


def _judged(
    facts: Facts, queues: list[int], ordering: Ordering, disturbed: Sequence[tuple[int, int]]
) -> list[pl.DataFrame]:
    """The pairs of one batch of queues, overtaken and within one answer; its tables end with it, for memory's sake."""
    messages = _messages(facts, queues, ranked=ordering != "fifo", deadlines=ordering == "deadline")
    if messages.height == 0:
        return []
    claimed = _undisturbed(messages.filter("first_one"), disturbed).drop("waited", "first_one")
    waiting = messages.filter("waited").drop("waited", "first_one").sort("sure")
    del messages
    found = _fifo(waiting, claimed) if ordering == "fifo" else _ranked(waiting, claimed, ordering)
    return [found, _within_answers(claimed, ordering)]


def _batches(facts: Facts, queues: list[str]) -> list[list[int]]:
    """The queues' codes, a few at a time: as many as have BATCH publishes together, for memory's sake."""
    sizes = facts.publishes.group_by("q").len().filter(pl.col("q").is_in(facts.codes(queues))).sort("q")
    batches: dict[int, list[int]] = {}
    for queue, batch in sizes.select("q", pl.col("len").cum_sum() // BATCH).iter_rows():
        batches.setdefault(batch, []).append(queue)
    return list(batches.values())


# ── what is known of each message ─────────────────────────────────────────────────────────────────────────────────


def _messages(facts: Facts, queues: list[int], *, ranked: bool, deadlines: bool) -> pl.DataFrame:
    """One row a token of the queues: when it was made, and when it was first claimed.

    `born`: it was not there before; `sure`: it was there from then on (FOREVER if never acknowledged); `inv`, `ret`:
    the claim that first returned it; `waited`: nothing but that claim can have taken it before.
    """
    publishes = facts.publishes.drop("k", "body").filter(pl.col("q").is_in(queues) & pl.col("t").is_not_null())
    if publishes.height == 0:
        return publishes
    table = _born(_one_clock_queues(facts, publishes), facts, ranked=ranked, deadlines=deadlines)
    table = table.join(_first_deliveries(facts, queues), on="t", how="left")
    table = table.with_columns(inv=pl.col("inv").fill_null(FOREVER), ret=pl.col("ret").fill_null(FOREVER))
    table = _first_touch(facts, table)
    unknown = facts.unknown_claims.group_by("q").agg(unknown=pl.col("inv").min(), unknown_dom=pl.col("dom").unique())
    table = table.join(unknown, on="q", how="left").with_columns(
        unknown=pl.when(pl.col("unknown_dom").list.set_difference(pl.concat_list("dom")).list.len() > 0)
        .then(-1)
        .otherwise(pl.col("unknown"))
        .fill_null(FOREVER)
    )
    one = (pl.col("attempts") == 1).fill_null(False)
    first = pl.col("attempts").is_null() | (pl.col("attempts") == 1)
    return table.with_columns(
        one=one,
        waited=(pl.col("sure") < FOREVER) & first & (pl.col("touched") > pl.col("ret")),
        first_one=(pl.col("inv") < FOREVER) & first & pl.col("at_home") & (pl.col("touched") > pl.col("ret")),
    ).select(_COLUMNS)


_COLUMNS = ["t", "q", "publish", "born", "sure", "rank", "row", "op", "position", "inv", "ret", "one", "unknown"]
_COLUMNS += ["waited", "first_one"]


def _born(publishes: pl.DataFrame, facts: Facts, *, ranked: bool, deadlines: bool) -> pl.DataFrame:
    twice = facts.publishes.filter(pl.col("t").is_not_null()).select("t", "q").filter(pl.col("t").is_duplicated())
    roaming = twice.group_by("t").agg(places=pl.col("q").n_unique()).filter(pl.col("places") > 1)
    sole = publishes.join(roaming, on="t", how="anti") if roaming.height else publishes
    if ranked:
        sole = sole.filter(pl.col("rank").is_not_null())
    if not deadlines:
        sole = sole.join(facts.untimed.select("t").drop_nulls().unique(), on="t", how="anti")
    again = sole.filter(pl.col("t").is_duplicated())
    once = sole.filter(~pl.col("t").is_duplicated()).select(
        "t", "q", "m", "dom", publish="op", born="inv", sure=pl.when("ok").then("ret").otherwise(FOREVER), rank="rank"
    )
    several = again.group_by("t").agg(
        q=pl.col("q").first(),
        m=pl.col("m").drop_nulls().first(),
        dom=pl.col("dom").first(),
        publish=pl.col("op").first(),
        born=pl.col("inv").min(),
        sure=pl.when("ok").then("ret").otherwise(FOREVER).min(),
        rank=pl.col("rank").first(),
        ranks=pl.col("rank").n_unique(),
    )
    return pl.concat([once, several.filter(pl.col("ranks") == 1).select(once.columns)])


def _one_clock_queues(facts: Facts, publishes: pl.DataFrame) -> pl.DataFrame:
    if facts.one_clock:
        return publishes
    doms = pl.concat([publishes.select("q", "dom"), facts.claims.select("q", "dom")]).unique()
    return publishes.join(doms.filter(pl.col("q").is_duplicated()).select("q"), on="q", how="anti")


def _first_deliveries(facts: Facts, queues: list[int]) -> pl.DataFrame:
    """Each token's first delivery from any queue; `at_home` if it came from its own one."""
    mine = facts.deliveries.drop("timeout", "body", "dom", "born")
    mine = mine.filter(pl.col("t").is_not_null() & pl.col("home").is_in(queues)).select(
        "t", "row", "op", "position", "inv", "ret", "attempts", taken="m", at_home=pl.col("q") == pl.col("home")
    )
    again = mine["t"].is_duplicated()
    return pl.concat([mine.filter(~again), mine.filter(again).unique("t", keep="first", maintain_order=True)])


def _first_touch(facts: Facts, table: pl.DataFrame) -> pl.DataFrame:
    """Adds `touched`: when a complete, fail, release or extend of the token's message was first invoked."""
    extended = facts.extends.group_by("m").agg(freed=pl.col("inv").min())
    touched = pl.concat([facts.first_free, extended])
    if extended.height:
        touched = touched.group_by("m").agg(pl.col("freed").min())
    table = table.join(touched.rename({"freed": "as_published"}), on="m", how="left")
    differs = pl.col("taken").is_not_null() & pl.col("m").ne_missing(pl.col("taken"))
    if table.select(differs.any()).item():  # published and delivered under different ids: both count
        table = table.join(touched.rename({"m": "taken", "freed": "as_taken"}), on="taken", how="left")
        table = table.with_columns(as_published=pl.min_horizontal("as_published", "as_taken"))
    return table.with_columns(touched=pl.col("as_published").fill_null(FOREVER + 1))


def _undisturbed(claimed: pl.DataFrame, disturbed: Sequence[tuple[int, int]]) -> pl.DataFrame:
    for start, end in disturbed:
        claimed = claimed.filter((pl.col("ret") < start) | (pl.col("inv") > end))
    return claimed


# ── overtaking ────────────────────────────────────────────────────────────────────────────────────────────────────


def _fifo(waiting: pl.DataFrame, claimed: pl.DataFrame) -> pl.DataFrame:
    found = _overtaken(waiting, claimed.with_columns(at=pl.col("born")), ["q"])
    gated = claimed.join(found, on="t", how="semi").with_columns(at=pl.col("born") - FIFO_GATE_NS)
    judged = _overtaken(waiting, gated, ["q"])
    close = found.join(judged, on="t", how="anti").with_columns(sound=pl.lit(False))
    return pl.concat([judged, close])


def _ranked(waiting: pl.DataFrame, claimed: pl.DataFrame, ordering: str) -> pl.DataFrame:
    """Pairs with a smaller rank, by halving the ranks: two ranks differ first in one bit, and there one is smaller.

    For each bit: those with it clear against those with it set, among equals in all higher bits. One pass over time a
    bit, so O(n log K) for K ranks.
    """
    if ordering == "priority":
        claimed = claimed.filter(pl.col("ret") - pl.col("born") <= FRESH_NS)
    ranks = pl.concat([waiting["rank"], claimed["rank"]]).unique().sort()
    dense = pl.DataFrame({"rank": ranks}).with_row_index("place")
    waiting = waiting.join(dense, on="rank", how="left", maintain_order="left")
    claimed = claimed.join(dense, on="rank", how="left").with_columns(at=pl.col("inv") - SIGHT_NS)
    found = []
    for bit in range(max(1, (len(ranks) - 1).bit_length())):
        node, half = (pl.col("place") // (2 << bit)).alias("node"), (pl.col("place") // (1 << bit)) % 2
        better = waiting.filter(half == 0).with_columns(node)
        worse = claimed.filter(half == 1).with_columns(node)
        found.append(_overtaken(better, worse, ["q", "node"]))
    return pl.concat(found).unique("t", keep="first", maintain_order=True)


def _overtaken(waiting: pl.DataFrame, claimed: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """The claimed for which one that was there before `at` was first claimed only after they had come back."""
    longest = waiting.select(*by, there="sure", longest=pl.col("inv").cum_max().over(by))
    # only the columns that decide are sorted and joined: the others would be copied for nothing
    joined = (
        claimed.select("t", *by, "at", "ret")
        .sort("at")
        .join_asof(longest, left_on="at", right_on="there", by=by, allow_exact_matches=False, check_sortedness=False)
    )
    late = joined.filter(pl.col("longest") > pl.col("ret")).select("t", "longest")
    if late.height == 0:
        return claimed.clear().with_columns(**_nobody()).select(_PAIR)
    over = claimed.join(late, on="t", how="inner", maintain_order="right")
    names_of = [pl.col(name).alias(f"other_{name}") for name in ("t", "publish", "op", "sure", "one", "rank")]
    other = waiting.select(*by, *names_of, longest="inv")
    over = over.join(other, on=[*by, "longest"], how="inner").filter(pl.col("other_sure") < pl.col("at"))
    over = over.unique("t", keep="first", maintain_order=True)
    sound = pl.col("ret") < pl.col("unknown")
    counted = pl.col("one") & (pl.col("other_one") | (pl.col("longest") == FOREVER))
    over = over.filter(sound | counted).with_columns(sound=sound & (pl.col("longest") < FOREVER))
    return over.select(_PAIR)


def _nobody() -> dict[str, pl.Expr]:
    """The columns of an overtaken message, for rows that have none."""
    missing = {name: pl.lit(None, pl.Int64) for name in ("other_publish", "other_op", "other_sure", "other_rank")}
    return missing | {"longest": pl.lit(0, pl.Int64), "sound": pl.lit(False)}


_PAIR = ["t", "row", "op", "inv", "ret", "born", "publish", "rank", "longest", "sound"]
_PAIR += ["other_publish", "other_op", "other_sure", "other_rank"]


def _within_answers(claimed: pl.DataFrame, ordering: str) -> pl.DataFrame:
    """Within one answer: a later position holds one that should have stood earlier. Told as a note."""
    several = claimed.filter(pl.col("op").is_duplicated()).sort("op", "position")
    key = "sure" if ordering == "fifo" else "rank"
    best = pl.col(key).reverse().cum_min().shift(1).reverse().over("op")
    several = several.with_columns(best=best)
    worse = pl.col("best") < (pl.col("born") - FIFO_GATE_NS if ordering == "fifo" else pl.col("rank"))
    several = several.filter(worse)
    return several.with_columns(**_nobody()).select(_PAIR)


# ── words ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _told(facts: Facts, found: pl.DataFrame, ordering: str) -> list[Finding]:
    found = found.sort(pl.col("sound").not_(), "inv", "row")
    told = found.head(LOOKED_AT)
    calls = names(facts, [*told["publish"], *told["other_publish"].drop_nulls()])
    return tell(facts, found, lambda row: _finding(row, calls, ordering))


def _finding(row: Row, calls: dict[int, Row], ordering: str) -> Finding:
    delivery = row["row"]
    within = row["other_publish"] is None
    across = ordering == "priority" and not within and row["rank"] // TIER != row["other_rank"] // TIER
    requirement = {"fifo": "ORD-1", "deadline": "ORD-2", "priority": "ORD-4" if across else "ORD-3"}[ordering]
    operations = [row["publish"], row["op"]] if within else [row["other_publish"], row["publish"], row["op"]]
    if row["other_op"] is not None:
        operations.append(row["other_op"])
    first = "a message of the same answer" if within else f"message {calls[row['other_publish']]['message']}"
    passed = "stands before" if within else "overtook"
    return Finding(
        check=CHECK,
        requirement=requirement,
        summary=f"message {delivery['message']} {passed} {first} in a {ordering} queue",
        operations=tuple(operations),
        proof=_within_proof(ordering) if within else _proof(row, calls, ordering),
        assumes=() if within else (ALL_RECORDED, "no rule moves or ages messages of this queue"),
        weight="violation" if row["sound"] else "note",
        message=delivery["message"],
        queue=delivery["queue"],
    )


def _within_proof(ordering: str) -> str:
    key = "was published before it" if ordering == "fifo" else "has a better rank"
    return f"a later position of one answer holds a message that {key}"


def _proof(row: Row, calls: dict[int, Row], ordering: str) -> str:
    zero = calls[row["other_publish"]]["inv"]
    if ordering == "fifo":
        sure, born = second(row["other_sure"], zero), second(row["born"], zero)
        before = f"its publish returned at {sure} < {born}, when the other was sent"
    else:
        before = (
            f"rank {row['other_rank']} < {row['rank']}, published by {second(row['other_sure'], zero)} < "
            f"{second(row['inv'], zero)}, when the claim was sent"
        )
    return (
        f"{before}; the claim that returned the other came back at {second(row['ret'], zero)} < "
        f"{second(row['longest'], zero)}, when the first claim of the overtaken message was sent"
    )
