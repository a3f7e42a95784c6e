"""The words and signs that every format uses for the same thing."""

from collections.abc import Mapping
from typing import Final

from queueproof.evidence.results import Outcome, Verdict

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


def sources(tags: tuple[str, ...]) -> str:
    """ "Quickstart, Troubleshooting"."""
    return ", ".join(SOURCES.get(tag, tag) for tag in tags)


def enumerate_words(words: list[str], most: int = 12) -> str:
    """ "a, b and c", or the first of them and how many more."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
