"""A completed message never comes back: no delivery may be asked for after a complete was answered ok.

No timeout and no margin is needed: the complete had acted before its answer came, the claim was not yet sent.
"""

from collections.abc import Collection

import polars as pl

from queueproof.checks.facts import Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.telling import ONE_NAME_ONE_MESSAGE, Row, second, tell
from queueproof.evidence.history import History

CHECK = "terminality"


def check_terminality(history: History | Facts, *, unmodelled: Collection[str] = ()) -> list[Finding]:
    """DONE-4; one finding a delivery. Calls timed by different clocks are not compared."""
    facts = facts_of(history, unmodelled=unmodelled)
    key = ["m"] if facts.one_clock else ["m", "dom"]
    done = facts.frees.filter((pl.col("verb") == "complete") & pl.col("ok"))
    done = done.select(*key, done_ret="ret", done="op")
    back = facts.deliveries.select("row", "op", "inv", *key).join(done, on=key, how="inner")
    back = back.filter(pl.col("inv") > pl.col("done_ret")).sort("inv", "row", "done_ret")
    return tell(facts, back.unique("row", keep="first", maintain_order=True), _finding)


def _finding(row: Row) -> Finding:
    delivery = row["row"]
    zero = min(row["inv"], row["done_ret"])
    return Finding(
        check=CHECK,
        requirement="DONE-4",
        summary=f"message {delivery['message']} was delivered again after it had been completed",
        operations=(row["done"], row["op"]),
        proof=(
            f"the complete returned at {second(row['done_ret'], zero)} < {second(row['inv'], zero)}, when the claim "
            "that returned the message was invoked"
        ),
        assumes=(ONE_NAME_ONE_MESSAGE,),
        message=delivery["message"],
        queue=delivery["queue"],
    )
