"""A history as the checks read it: one small table a kind of call, its strings coded as numbers, for speed alone.

Codes are 64-bit hashes that were verified to be one-to-one over this history, so that two names never meet under one
code (a collision would accuse a correct server) and a comparison costs one machine word. `FOREVER` stands for a return
that never came. All times are nanoseconds.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from queueproof.evidence.history import History

FOREVER = 1 << 62

# Codes are tried with these seeds until one is free of collisions; over ten million names one seed fails once in 10^5.
SEEDS = range(8)

HAPPENED = pl.col("result").is_in(["ok", "unknown"])  # may have had its effect: neither rejected nor not_sent


FREES = pl.Enum(["complete", "fail", "release"])  # the verbs after which nobody holds the message

_SPREAD = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: neighbouring numbers land far apart


@dataclass(frozen=True)
class Coding:
    """How names become codes: a hash with a seed, or, for columns kept as categories, the category's number."""

    seed: int
    scoped: bool  # whether a message's id needs its scope to be told apart
    categories: frozenset[str] = frozenset()  # columns of the history that are categories

    def queue(self) -> pl.Expr:
        return self._within_scope("queue").alias("q")

    def message(self) -> pl.Expr:
        return (self._within_scope("message") if self.scoped else self.name("message")).alias("m")

    def name(self, column: str) -> pl.Expr:
        """The code of a name; null for none, which "" means too."""
        return pl.when(pl.col(column) != "").then(self.text(column))

    def text(self, column: str) -> pl.Expr:
        """The code of a text in which "" means itself."""
        if column in self.categories:
            return pl.col(column).cast(pl.Categorical).to_physical().cast(pl.UInt64)
        text = pl.col(column).cast(pl.String)
        return pl.when(text.is_not_null()).then(text.hash(seed=self.seed))

    def _within_scope(self, column: str) -> pl.Expr:
        scope = self.text("scope") * _SPREAD  # so that categories' small numbers do not collide
        return self.name(column) ^ scope.fill_null(0)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The tables that the checks work on; made by `facts_of`.

    Columns named alike mean the same: `m` message, `t` token, `q` queue, `k` key, `body` digest, `dom` clock domain
    (all UInt64 codes, null when none), `inv`, `ret` (FOREVER when unknown), `ok` (Boolean), `home` the one queue that a
    token was published to, `born` the invocation of its first publish.
    """

    history: History
    coding: Coding
    queues: pl.DataFrame  # scope queue q
    publishes: pl.DataFrame  # op inv ret ok q m t k body rank untimed dom; those that may have happened
    claims: pl.DataFrame  # op inv ret ok q timeout limit dom; those that may have happened
    deliveries: pl.DataFrame  # row op position inv ret timeout q m t attempts body dom home born
    strays: pl.DataFrame  # row: deliveries that are not just what an acknowledged publish said (id, token and body)
    frees: pl.DataFrame  # op verb inv ret ok m dom; complete, fail, release that may have happened
    extends: pl.DataFrame  # op inv ret ok timeout m dom

    @cached_property
    def one_clock(self) -> bool:
        """Whether all calls were timed by one clock."""
        return self.history.calls["domain"].n_unique() <= 1

    @cached_property
    def untimed(self) -> pl.DataFrame:
        """Published with a delay, a ttl or a deadline: columns m, t."""
        return self.publishes.filter("untimed").select("m", "t")

    @cached_property
    def first_free(self) -> pl.DataFrame:
        """When a complete, fail or release of each message was first invoked: m, freed."""
        return self.frees.group_by("m").agg(freed=pl.col("inv").min())

    @cached_property
    def unknown_claims(self) -> pl.DataFrame:
        """Claims whose answer was not seen, a queue's in order of invocation: q, inv, dom, count (up to and with it).

        Each may take any one message of its queue at any time from `inv` on.
        """
        unknown = self.claims.filter(~pl.col("ok")).select("q", "inv", "dom", "limit", "timeout").sort("inv")
        return unknown.with_columns(count=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("q"))

    def codes(self, queues: Collection[str]) -> list[int]:
        """The codes of the queues with these ids (a server may use one id in several scopes)."""
        return self.queues.filter(pl.col("queue").is_in(list(queues)))["q"].to_list()

    def timed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a table with m and t that are no untimed message's."""
        untimed = self.untimed
        if untimed.height == 0:
            return frame
        return frame.join(untimed.select("m").drop_nulls().unique(), on="m", how="anti").join(
            untimed.select("t").drop_nulls().unique(), on="t", how="anti"
        )

    def of_one_clock(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of a table with m whose message was acted upon under one clock only."""
        if self.one_clock:
            return frame
        acted = pl.concat(
            [t.select("m", "dom") for t in (self.publishes, self.deliveries, self.frees, self.extends)]
        ).unique()
        several = acted.filter(pl.col("m").is_duplicated()).select("m").unique()
        return frame.join(several, on="m", how="anti")


def facts_of(source: History | Facts, *, unmodelled: Collection[str] = ()) -> Facts:
    """The tables of a history; a Facts is given back as it is, so that several checks can share one.

    `unmodelled`: queues whose messages are broadcast, routed, aged or dropped on overflow: neither they nor any message
    ever seen in them is judged.
    """
    if isinstance(source, Facts):
        return source
    facts = _tables(source, _coding(source))
    return _without(facts, unmodelled) if unmodelled else facts


def _coding(history: History) -> Coding:
    """The first coding under which no two names of the history share a code."""
    calls, deliveries = history.calls, history.deliveries
    acknowledged = calls.lazy().filter((pl.col("verb") == "publish") & (pl.col("result") == "ok"))
    ids = [table.select(pl.col("scope", "message").cast(pl.String)) for table in (acknowledged, deliveries.lazy())]
    scopes = calls["scope"].n_unique() + deliveries["scope"].n_unique()
    scoped = scopes > 2 and bool(
        pl.concat(ids)
        .filter(pl.col("message") != "")
        .unique()
        .select(pl.col("message").is_duplicated().any())
        .collect()
        .item()
    )
    categories = frozenset(name for name, kind in calls.schema.items() if kind == pl.Categorical)
    queues = calls.select("scope", "queue").unique()
    messages = pl.concat(ids).unique().collect() if scoped else pl.DataFrame(schema=dict.fromkeys(_ID, pl.String))
    for seed in SEEDS:
        coding = Coding(seed, scoped, categories)
        if (
            _one_to_one(seed, calls["message"], deliveries["message"])
            and _one_to_one(seed, calls["token"], deliveries["token"])
            and _one_to_one(seed, calls["key"])
            and _distinct(queues, coding.queue(), "queue")
            and _distinct(messages, coding.message(), "message")
        ):
            return coding
    raise ValueError("no seed gives the names of this history different codes")


_ID = ("scope", "message")


def _one_to_one(seed: int, *columns: pl.Series) -> bool:
    """Whether different names in these columns have different hashes."""
    names = pl.concat([column.cast(pl.String) for column in columns])
    return names.n_unique() - names.has_nulls() == names.drop_nulls().hash(seed=seed).n_unique()


def _distinct(table: pl.DataFrame, code: pl.Expr, column: str) -> bool:
    """Whether the rows of a table without repetitions have different codes, those that name nothing left out."""
    return table.select(code).to_series().drop_nulls().n_unique() == table.filter(pl.col(column) != "").height


def _tables(history: History, coding: Coding) -> Facts:
    ok = (pl.col("result") == "ok").alias("ok")
    when = ["op", "inv", pl.when(ok).then(pl.col("ret")).fill_null(FOREVER).alias("ret"), ok]
    q, m, t, body = coding.queue(), coding.message(), coding.name("token").alias("t"), coding.name("body").alias("body")
    dom = _domain(history, coding)

    def of(verb: str, *columns: pl.Expr | str) -> pl.DataFrame:
        return history.calls.lazy().filter(HAPPENED & (pl.col("verb") == verb)).select(*when, *columns).collect()

    publishes = of("publish", q, m, t, coding.text("key").alias("k"), body, "rank", "untimed", dom)
    found = history.deliveries.with_row_index("row").select(
        "row", "op", "position", "inv", "ret", "timeout", q, m, t, "attempts", body, dom
    )
    if found["m"].has_nulls():  # only then is a copy worth its memory
        found = found.filter(pl.col("m").is_not_null())
    deliveries, strays = _settled(publishes, found)
    ends = [of(verb, m, dom, pl.lit(verb, FREES).alias("verb")) for verb in FREES.categories]
    return Facts(
        history=history,
        coding=coding,
        queues=history.calls.select("scope", "queue")
        .unique()
        .select(pl.col("scope", "queue").cast(pl.String), q)
        .drop_nulls("q"),
        publishes=publishes,
        claims=of("claim", q, "timeout", "limit", dom),
        deliveries=deliveries,
        strays=strays,
        frees=pl.concat(ends),
        extends=of("extend", "timeout", m, dom),
    )


def _domain(history: History, coding: Coding) -> pl.Expr:
    """The clock domain's code: where there is but one a constant, which takes no memory a row."""
    code = coding.name("domain").alias("dom")
    if history.calls["domain"].n_unique() > 1:
        return code
    return pl.lit(history.calls.head(1).select(code).to_series().first(), pl.UInt64).alias("dom")


def _settled(publishes: pl.DataFrame, deliveries: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Deliveries under the token that their id was published with, whatever the delivered body says; and the strays.

    A swapped body is one violation (integrity.py); it must not make two messages seem to have changed places as well.
    """
    named = publishes.filter(pl.col("ok") & pl.col("m").is_not_null() & pl.col("t").is_not_null())
    # three codes as one number: should two of 2^64 meet, one stray is taken for right and nobody is accused
    said = (pl.col("m") ^ (pl.col("t") * _SPREAD) ^ (pl.col("body").fill_null(0) * (_SPREAD - 2))).alias("said")
    strays = deliveries.select("row", said).join(named.select(said), on="said", how="anti").select("row")
    strays = deliveries.select("row", "m", "t").join(strays, on="row", how="semi")
    odd = strays.join(named.select("m", "t"), on=["m", "t"], how="anti")
    one = named.select("m", "t").join(odd.select("m"), on="m", how="semi").unique()
    one = one.filter(~pl.col("m").is_duplicated()).rename({"t": "own"})
    right = odd.join(one, on="m").select("row", "own")
    if right.height:
        deliveries = deliveries.join(right, on="row", how="left", maintain_order="left")
        deliveries = deliveries.with_columns(t=pl.coalesce("own", "t")).drop("own")
    homes = deliveries.select("t").join(_homes(publishes), on="t", how="left", maintain_order="left").drop("t")
    return deliveries.hstack(homes), strays.select("row")


def _homes(publishes: pl.DataFrame) -> pl.DataFrame:
    """Each published token's queue and earliest publish: t, home, born; home is null when there are several queues."""
    tokens = publishes.filter(pl.col("t").is_not_null()).select("t", home="q", born="inv")
    again = tokens["t"].is_duplicated()
    several = (
        tokens.filter(again)
        .group_by("t")
        .agg(home=pl.when(pl.col("home").n_unique() == 1).then(pl.col("home").first()), born=pl.col("born").min())
    )
    return pl.concat([tokens.filter(~again), several])


def _without(facts: Facts, queues: Collection[str]) -> Facts:
    """The facts without every message that was ever published to or delivered from one of the queues."""
    there = pl.col("q").is_in(facts.codes(queues))
    seen = pl.concat([facts.publishes.filter(there).select("m", "t"), facts.deliveries.filter(there).select("m", "t")])
    ids, tokens = seen.select("m").drop_nulls().unique(), seen.select("t").drop_nulls().unique()

    def others(table: pl.DataFrame) -> pl.DataFrame:
        return table.filter(~there).join(ids, on="m", how="anti").join(tokens, on="t", how="anti")

    return Facts(
        history=facts.history,
        coding=facts.coding,
        queues=facts.queues,
        publishes=others(facts.publishes),
        deliveries=others(facts.deliveries),
        strays=facts.strays,
        claims=facts.claims,
        frees=facts.frees,
        extends=facts.extends,
    )
