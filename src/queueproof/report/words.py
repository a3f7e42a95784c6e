"""The words and signs that every format uses for the same thing."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from queueproof.evidence.results import CleanUp, Noise, Observation, Outcome, Verdict
from queueproof.report.text import count

SIGNS: Final[Mapping[Outcome, str]] = {
    Outcome.PASSED: "✓",
    Outcome.FAILED: "✗",
    Outcome.NOT_SUPPORTED: "○",
    Outcome.NOT_RUN: "–",
    Outcome.INCONCLUSIVE: "?",
    Outcome.BLOCKED: "⊘",
    Outcome.HARNESS_ERROR: "!",
}

NAMES: Final[Mapping[Outcome, str]] = {outcome: outcome.value.replace("-", " ") for outcome in Outcome}

VERDICTS: Final[Mapping[Verdict, str]] = {
    Verdict.CONFORMS: "Conforms",
    Verdict.DOES_NOT_CONFORM: "Does not conform",
    Verdict.NO_VERDICT: "No verdict",
    Verdict.OBJECTIVES_MET: "Objectives met",
    Verdict.OBJECTIVES_MISSED: "Objectives missed",
}

AREAS: Final[Mapping[str, str]] = {
    "AUTH": "Keys and permissions",
    "ENV": "Envelopes",
    "SCOPE": "Scopes",
    "SYSQ": "System queues",
    "QUEUE": "Queues",
    "PUB": "Publish",
    "IDEM": "Idempotency",
    "CLAIM": "Claim",
    "ORD": "Order",
    "DONE": "Complete",
    "FAIL": "Fail and retry",
    "DLQ": "Dead letters",
    "VIS": "Visibility timeout",
    "LIFE": "Life cycle",
    "DEPTH": "Depth",
    "AUD": "Audit",
    "HITL": "Human review",
    "SCH": "Schemas",
    "RATE": "Rate limits",
    "LOSS": "Loss",
    "GHOST": "Ghosts",
    "PHANTOM": "Phantoms",
    "SEQ": "Sequences",
    "SAME": "What changes nothing",
}

# Tags of the pages that the catalogue rests on, and the pages' names (docs/contract.md, section 1).
SOURCES: Final[Mapping[str, str]] = {
    "QS": "Quickstart",
    "OV": "Overview",
    "ARCH": "Architecture",
    "TT": "Topics, types and HITL",
    "BP": "Routed pipeline",
    "HR": "Human review",
    "PERM": "Permissions",
    "TS": "Troubleshooting",
    "ERR": "Errors",
    "CODES": "Error codes",
    "EVT": "Events and webhooks",
    "RL": "Rate limiting",
    "AUTH": "Authentication",
    "MODADM": "Module administration",
    "GQS": "ScaiGrid quickstart",
    "SCAPI": "Scopes API",
    "FQ": "ScaiFlow queues",
}

KNOWN: Final[Mapping[str, str]] = {
    "documented": "documented",
    "derived": "derived from documented facts",
    "inferred": "our reading; no page says it",
}

EXPECTATIONS: Final[Mapping[str, str]] = {
    "new": "new: no expectation covers it",
    "known": "known: it is as the expectation says",
    "fixed": "fixed: it passed, and its expectation has been taken out",
    "stale": "stale: it passed, and the expectation says that it does not",
    "unmatched": "unmatched: it is otherwise than the expectation says, so that it counts as new",
    "untold": "untold: whether the expectation still holds could not be told",
    "provisional": "provisional: it is newer than the expectations file, so that it does not gate yet",
    "expired": "expired: the expectation's last day is over, so it counts as new",
}


def sources(tags: tuple[str, ...]) -> str:
    """ "Quickstart, Troubleshooting"."""
    return ", ".join(SOURCES.get(tag, tag) for tag in tags)


def enumerate_words(words: list[str], most: int = 12) -> str:
    """ "a, b and c", or the first of them and how many more."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def noise(certificate: Noise) -> str:
    """The noise certificate in one sentence; "" when nothing was measured."""
    if not certificate.requests:
        return ""
    quiet = "quiet" if certificate.quiet else "NOISY: timing cases that were late are inconclusive"
    lag = f"{certificate.loop_lag_p99_ms:.1f} ms (p99), {certificate.loop_lag_max_ms:.1f} ms at most"
    trip = f"{certificate.round_trip_p50_ms:.1f} ms (p50), {certificate.round_trip_p99_ms:.1f} ms (p99)"
    told = f"{quiet}; event loop late by {lag}; round trip {trip}; {count(certificate.requests, 'request')}"
    again = ((certificate.retried, "retried"), (certificate.rate_limited, "rate-limited"))
    return ", ".join([told, *(f"{number} {what}" for number, what in again if number)])


def clean_up(clean: CleanUp) -> str:
    """What is left on the server, in one sentence."""
    if not clean.scopes_created and not clean.left and not clean.note:
        return ""
    told = f"{clean.scopes_deleted} of {count(clean.scopes_created, 'scope')} deleted"
    if clean.left:
        told += f"; still there: {enumerate_words(list(clean.left))}"
    elif clean.scopes_created and clean.scopes_deleted >= clean.scopes_created:
        told = f"nothing ({told})"
    return f"{told}; {clean.note}" if clean.note else told


def observed(observations: Sequence[Observation], where: str) -> str:
    """How many, and where they are told: a terminal has no room for them."""
    if not observations:
        return ""
    return f"{count(len(observations), 'thing')} that the contract leaves open, in {where} and results.json"


def value(found: Any) -> str:
    """An observation's value in words, or as JSON."""
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, list | tuple) and all(isinstance(item, str) for item in found):
        return ", ".join(found)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)
