"""Every check over one history, each shielded from the others: a crash of ours becomes a note, never an accusation."""

from collections.abc import Callable, Collection, Mapping, Sequence

import polars as pl

from queueproof.checks.attempts import check_attempts
from queueproof.checks.batch import check_batch
from queueproof.checks.counters import check_counters
from queueproof.checks.depth import check_depth
from queueproof.checks.empty import check_empty
from queueproof.checks.exclusivity import check_exclusivity
from queueproof.checks.facts import Facts, facts_of
from queueproof.checks.finding import Finding
from queueproof.checks.ghosts import check_ghosts
from queueproof.checks.idempotency import check_idempotency
from queueproof.checks.integrity import check_integrity
from queueproof.checks.loss import Drain, check_loss
from queueproof.checks.order import Ordering, check_order
from queueproof.checks.pause import check_pause
from queueproof.checks.redelivery import CADENCE_S, SLACK_S, check_redelivery
from queueproof.checks.terminality import check_terminality
from queueproof.evidence.history import History

HARNESS = "harness"


def run_all(
    history: History,
    *,
    orderings: Mapping[str, Ordering] | None = None,
    dead_letter: Collection[str] | None = None,
    max_retries: Mapping[str, int] | None = None,
    limits: Mapping[str, int] | None = None,
    readings: pl.DataFrame | None = None,
    drains: Sequence[Drain] = (),
    rows: pl.DataFrame | None = None,
    token_prefix: str | None = None,
    disturbed: Sequence[tuple[int, int]] = (),
    slack_s: float = SLACK_S,
    cadence_s: float = CADENCE_S,
    unmodelled: Collection[str] = (),
) -> list[Finding]:
    """The findings of all checks; the options are those of the checks, by the same names.

    A check that crashes is reported as a note of check "harness"; the others still run.
    """
    tables: list[Facts] = []
    findings = shielded("facts", lambda: tables.append(facts_of(history, unmodelled=unmodelled)))
    if not tables:
        return findings
    facts = tables[0]
    checks: dict[str, Callable[[], list[Finding]]] = {
        "exclusivity": lambda: check_exclusivity(facts),
        "terminality": lambda: check_terminality(facts),
        "attempts": lambda: check_attempts(facts),
        "batch": lambda: check_batch(facts),
        "integrity": lambda: check_integrity(facts, dead_letter=dead_letter),
        "idempotency": lambda: check_idempotency(facts),
        "order": lambda: check_order(facts, orderings or {}, disturbed=disturbed),
        "redelivery": lambda: check_redelivery(
            facts, slack_s=slack_s, cadence_s=cadence_s, max_retries=max_retries, disturbed=disturbed
        ),
        "loss": lambda: check_loss(facts, drains, rows),
        "ghosts": lambda: check_ghosts(facts, token_prefix=token_prefix),
        "depth": lambda: check_depth(facts, limits or {}),
        "pause": lambda: check_pause(facts),
        "counters": lambda: [] if readings is None else check_counters(facts, readings),
        "empty": lambda: check_empty(facts),
    }
    return [finding for name, check in checks.items() for finding in shielded(name, check)]


def shielded(name: str, check: Callable[[], list[Finding] | None]) -> list[Finding]:
    """What a check finds, or a note that says how it crashed."""
    try:
        return check() or []
    except Exception as error:  # whatever it is, it is our own fault and no server's
        return [
            Finding(
                check=HARNESS,
                requirement="",
                summary=f"the check {name} crashed and says nothing about this history",
                operations=(),
                proof=f"{type(error).__name__}: {error}",
                weight="note",
            )
        ]
