"""What a run came to, as `results.json` keeps it (docs/results.md): the one form that every report is made from."""

from enum import StrEnum
from typing import Any

import msgspec

SCHEMA = 1


class Outcome(StrEnum):
    """What became of one requirement: seven, never mixed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_SUPPORTED = "not-supported"  # an undeclared optional verb answers 404, 405 or 501
    NOT_RUN = "not-run"  # a key or option is missing
    INCONCLUSIVE = "inconclusive"  # network, rate limit or the harness's own noise came between
    BLOCKED = "blocked"  # its prerequisite requirement failed
    HARNESS_ERROR = "harness-error"  # a crash of ours: never the server's fault


class Verdict(StrEnum):
    """What a run says about the target."""

    CONFORMS = "conforms"
    DOES_NOT_CONFORM = "does-not-conform"
    NO_VERDICT = "no-verdict"
    OBJECTIVES_MET = "objectives-met"
    OBJECTIVES_MISSED = "objectives-missed"


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A part of results.json."""


class CaseResult(_Part, frozen=True):
    """What one case came to. A requirement may have several cases."""

    name: str  # "conformance/test_visibility.py::test_hidden_until_its_timeout"
    requirement: str
    outcome: Outcome
    summary: str = ""  # one sentence: what was seen, or why there is no verdict
    expected: str = ""  # what the requirement wanted to see here
    seen: str = ""  # what was seen instead
    proof: str = ""  # the inequality with its numbers, where there is one
    root: str = ""  # blocked: the requirement that stood in the way
    evidence: tuple[int, ...] = ()  # operation ids of the history
    duration_s: float = 0.0
    tries: int = 1  # how often it started anew because the network came between
    lacks: tuple[str, ...] = ()  # not supported: the verbs that are surely not there


class RequirementResult(_Part, frozen=True):
    """What one requirement came to, over all its cases and the findings that name it."""

    id: str
    level: str
    profile: str
    outcome: Outcome
    summary: str = ""
    evidence: tuple[int, ...] = ()
    root: str = ""
    known_failure: str = ""  # the expectation's own words: why it is known, and where it is followed up
    # How it stands to the expectations file: new, known, fixed, stale, unmatched, expired, untold or provisional
    # (docs/ci-gate.md); "" where nothing is expected and nothing gates.
    expectation: str = ""
    signature: tuple[str, ...] = ()  # failed: what it looks like, the same in every run (docs/ci-gate.md)
    remark: str = ""  # what that means for the file
    cases: tuple[CaseResult, ...] = ()


class FindingResult(_Part, frozen=True):
    """A finding of a check over the whole history."""

    check: str
    requirement: str
    summary: str
    operations: tuple[int, ...]
    proof: str
    assumes: tuple[str, ...] = ()
    weight: str = "violation"
    message: str = ""
    queue: str = ""


class Observation(_Part, frozen=True):
    """Something that the contract leaves open, as this target does it. Told, never judged."""

    id: str  # "Q2"
    statement: str
    value: Any


class Noise(_Part, frozen=True):
    """The noise certificate: how quiet the harness itself was."""

    loop_lag_p99_ms: float = 0.0  # how late the event loop woke up
    loop_lag_max_ms: float = 0.0
    round_trip_p50_ms: float = 0.0
    round_trip_p99_ms: float = 0.0
    requests: int = 0
    retried: int = 0
    rate_limited: int = 0
    quiet: bool = True  # False: timing cases that failed by lateness are inconclusive


class CleanUp(_Part, frozen=True):
    """What was created, and what is left of it on the server."""

    scopes_created: int = 0
    scopes_deleted: int = 0
    left: tuple[str, ...] = ()  # slugs that could not be deleted
    note: str = ""


class Results(_Part, frozen=True):
    """The whole of results.json. Load parts (verbs, load, objectives) are plain mappings (docs/results.md)."""

    schema: int  # SCHEMA
    verdict: Verdict
    exit_code: int
    summary: str = ""  # the sentence that answers "may I ship?"
    advice: str = ""  # what to do next, where no case could run
    complete: bool = True  # False: interrupted; what was gathered is here
    requirements: tuple[RequirementResult, ...] = ()
    findings: tuple[FindingResult, ...] = ()
    verbs: dict[str, Any] = {}
    load: dict[str, Any] = {}
    objectives: tuple[dict[str, Any], ...] = ()
    capacity: dict[str, Any] = {}  # of a capacity search
    comparison: dict[str, Any] = {}  # of a comparison of two runs
    observations: tuple[Observation, ...] = ()
    noise: Noise = Noise()
    clean_up: CleanUp = CleanUp()
    identity: dict[str, Any] = {}
    expectations: dict[str, Any] = {}
