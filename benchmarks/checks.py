"""How long all checks take together, and how much memory, over histories of ten thousand to ten million operations.

    python benchmarks/checks.py [OPERATIONS …]

Each size is made in one process and checked in another. A history is that of a load run on several queues: about a
third each of publishes, claims and completes; 2 % of the messages are released and claimed again, 20 % carry a key.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import polars as pl

from queueproof.checks import all as everything
from queueproof.checks.all import run_all
from queueproof.checks.loss import Drain
from queueproof.evidence.history import CALLS, DELIVERIES, History

SIZES = (10_000, 1_000_000, 10_000_000)
QUEUES = 4
RATE = 10_000  # operations a second of virtual time
ROUND_TRIP_NS = 5_000_000
TIMEOUT_NS = 30_000_000_000

# A history of millions is kept with its few repeated names as categories, as a columnar store would hand it over.
FEW = ("verb", "result", "code", "case", "scope", "queue", "domain")


def history(operations: int, seed: int = 1) -> History:
    """A correct run: every message is claimed once (2 % twice, after a release), and completed."""
    count = operations // 3
    pl.set_random_seed(seed)
    step = 3_000_000_000 // RATE
    messages = pl.select(number=pl.int_range(count, dtype=pl.Int64))
    wobble = pl.col("number").hash(seed).cast(pl.UInt64) % ROUND_TRIP_NS
    messages = messages.with_columns(
        at=pl.col("number") * step,
        trip=(wobble.cast(pl.Int64) + 500_000),
        queue=pl.format("queue-{}", pl.col("number") % QUEUES).cast(pl.Categorical),
        message=pl.format("0190a1b2-7c3d-7e4f-8a5b-{}", pl.col("number").cast(pl.String).str.zfill(12)),
        token=pl.format("run7-0-{}", "number"),
        body=pl.col("number").hash(3).cast(pl.String).str.slice(0, 16),
        rank=pl.col("number") * 500 // max(count, 1),  # never overtaken: a correct run under priority too
        again=pl.col("number").hash(5) % 50 == 0,
        key=pl.when(pl.col("number").hash(6) % 5 == 0).then(pl.format("key-{}", "number")),
    )
    wait = 50_000_000
    publishes = messages.select(
        "queue", "message", "token", "body", "key", "rank", verb=_name("publish"), inv="at", trip="trip"
    )
    first = messages.select(
        "queue", "message", "again", "token", "body", inv=pl.col("at") + wait, trip="trip", attempts=pl.lit(1, pl.Int64)
    )
    second = first.filter("again").with_columns(inv=pl.col("inv") + 4 * wait, attempts=pl.lit(2, pl.Int64))
    releases = first.filter("again").select("message", verb=_name("release"), inv=pl.col("inv") + wait, trip="trip")
    completes = messages.select(
        "message",
        verb=_name("complete"),
        inv=pl.col("at") + pl.when("again").then(6 * wait).otherwise(2 * wait),
        trip="trip",
    )
    deliveries = pl.concat([first, second])
    claims = deliveries.select("queue", "inv", "trip", "message", "attempts", verb=_name("claim")).with_columns(
        claimed="message"
    )
    calls = pl.concat([publishes, claims.drop("message", "attempts"), releases, completes], how="diagonal_relaxed")
    del publishes, claims, releases, completes, messages
    calls = calls.sort("inv").with_columns(op=pl.int_range(1, pl.len() + 1, dtype=pl.Int64))
    ops = calls.filter(pl.col("claimed").is_not_null()).select("op", "inv", message="claimed")
    deliveries = deliveries.join(ops, on=["inv", "message"]).sort("inv", "op")
    return History(calls=_calls(calls), deliveries=_deliveries(deliveries))


def _name(verb: str) -> pl.Expr:
    return pl.lit(verb, pl.Categorical)


def _calls(calls: pl.DataFrame) -> pl.DataFrame:
    claim = pl.col("verb") == "claim"
    table = calls.select(
        "op",
        "verb",
        "inv",
        ret=pl.col("inv") + pl.col("trip"),
        result=_name("ok"),
        code=_name(""),
        case=_name("flow"),
        scope=_name("scope"),
        queue=pl.col("queue").fill_null(""),
        message=pl.col("message").fill_null(""),
        token=pl.col("token").fill_null(""),
        key="key",
        body=pl.col("body").fill_null(""),
        rest=_name(""),
        timeout=pl.when(claim).then(TIMEOUT_NS),
        limit=pl.when(claim).then(10),
        rank="rank",
        untimed=pl.lit(False),
        domain=_name("3f0c9a52-0000-4000-8000-000000000000"),
    )
    return table.cast({name: kind for name, kind in CALLS.items() if name not in FEW}).select(list(CALLS))


def _deliveries(deliveries: pl.DataFrame) -> pl.DataFrame:
    table = deliveries.select(
        "op",
        position=pl.lit(0),
        message="message",
        token="token",
        attempts="attempts",
        body="body",
        inv="inv",
        ret=pl.col("inv") + pl.col("trip"),
        timeout=pl.lit(TIMEOUT_NS),
        scope=_name("scope"),
        queue="queue",
        domain=_name("3f0c9a52-0000-4000-8000-000000000000"),
    )
    return table.cast({name: kind for name, kind in DELIVERIES.items() if name not in FEW}).select(list(DELIVERIES))


# ── measuring ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Peak(threading.Thread):
    """The largest resident size seen while it watched, in MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mb = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        page_mb = os.sysconf("SC_PAGE_SIZE") / 1e6
        while not self._over.wait(0.01):
            with open("/proc/self/statm") as statm:  # noqa: PTH123 -- a thousand times a second
                self.mb = max(self.mb, int(statm.read().split()[1]) * page_mb)

    def stop(self) -> float:
        self._over.set()
        self.join()
        return self.mb


def measure(folder: Path, *, detailed: bool) -> None:
    """Reads a history that another process made, so that its making is neither timed nor held in memory."""
    made = History(calls=pl.read_parquet(folder / "calls"), deliveries=pl.read_parquet(folder / "deliveries"))
    held_mb = (made.calls.estimated_size() + made.deliveries.estimated_size()) / 1e6
    orderings = {f"queue-{number}": "priority" if number == 1 else "fifo" for number in range(QUEUES)}
    end = int(made.calls["inv"].max() or 0)  # type: ignore[arg-type]
    drain = Drain(queues=tuple(orderings), quiet_from_ns=end)
    if detailed:
        _time_each()
    peak = Peak()
    peak.start()
    start, busy = time.perf_counter(), time.process_time()
    findings = run_all(
        made,
        orderings=orderings,  # type: ignore[arg-type]
        dead_letter=(),
        drains=[drain],
        token_prefix="run7-",
    )
    seconds = time.perf_counter() - start
    busy = time.process_time() - busy
    most_mb = peak.stop()
    print(
        f"{made.calls.height:>12,} operations {made.deliveries.height:>12,} deliveries {seconds:8.2f} s "
        f"({busy:.1f} s of CPU) {most_mb:8,.0f} MB at most, the history's own {held_mb:,.0f} MB among them; "
        f"{_told(findings)}"
    )


def _told(findings: list[object]) -> str:
    kinds = sorted({f"{f.check}/{f.requirement}/{f.weight}" for f in findings})  # type: ignore[attr-defined]
    return ", ".join(kinds) or "nothing found"


def _time_each() -> None:
    """Has every check print its own time."""
    plain = everything.shielded

    def timed(name: str, check: object) -> list[object]:
        start, busy = time.perf_counter(), time.process_time()
        found = plain(name, check)  # type: ignore[arg-type]
        used = time.process_time() - busy
        print(f"    {name:<14} {time.perf_counter() - start:8.2f} s ({used:.1f} s of CPU)")
        return found  # type: ignore[return-value]

    everything.shielded = timed  # type: ignore[assignment]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("operations", nargs="*", type=int, default=SIZES)
    parser.add_argument("--each", action="store_true", help="print every check's own time")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        made = history(options.operations[0])
        made.calls.write_parquet(options.make / "calls")
        made.deliveries.write_parquet(options.make / "deliveries")
    elif options.measure:
        measure(options.measure, detailed=options.each)
    else:
        for size in options.operations:
            with tempfile.TemporaryDirectory() as folder:
                _myself(str(size), "--make", folder)
                _myself("--measure", folder, *(["--each"] if options.each else []))


def _myself(*arguments: str) -> None:
    subprocess.run([sys.executable, __file__, *arguments], check=True)


if __name__ == "__main__":
    main()
