"""Hand-made run directories: each fixture is one run that a report has to tell."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queueproof.evidence.history import HistoryWriter
from queueproof.evidence.operation import Invoke, Item, Result, Return
from queueproof.evidence.results import (
    CaseResult,
    CleanUp,
    FindingResult,
    Noise,
    Observation,
    Outcome,
    RequirementResult,
    Results,
    Verdict,
)
from queueproof.evidence.run import Manifest, RunDirectory

URL = "http://127.0.0.1:8080"
BASE = "/v1/modules/scaiqueue/scopes/sc-1"
M = "0198f0aa-6f4e-7cc2-9a51-3f2b8d1e0c77"


class Run:
    """Builds a run directory as a story: calls with times in seconds, then what they came to."""

    def __init__(self, path: Path, *, kind: str = "conformance", command: str = "", **options: Any) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.directory = RunDirectory(path)
        self.directory.write_manifest(
            Manifest(
                run="ab12cd34",
                kind=kind,
                started="2026-11-24T12:00:00.000Z",
                started_us=1_795_521_600_000_000,
                version="0.1.0",
                python="3.11.9",
                machine="Linux x86_64, 2 cores",
                target={"url": URL},
                options=options,
                suite="conformance",
                command=command or f"queueproof conformance --url {URL} --profile core --out elsewhere",
            )
        )
        self._writer = HistoryWriter(path / "history-0.ndjson", run="ab12cd34")
        self._op = 0

    def call(self, verb: str, at: float, until: float | None, *, result: str = "ok", **fields: Any) -> int:
        """One operation; `until` None leaves it without an answer. Returns its id."""
        self._op += 1
        answered = {"status", "code", "why", "items", "state", "answer", "request_id"}
        answered |= {"message"} if verb == "publish" else set()  # the server gives a message its id
        asked = {name: value for name, value in fields.items() if name not in answered}
        said = {name: value for name, value in fields.items() if name in answered}
        asked.setdefault("method", "POST")
        asked.setdefault("path", f"{BASE}/queues/q-1/messages" + ("" if verb == "publish" else f"/{verb}"))
        self._writer.write(Invoke(op=self._op, at_ns=round(at * 1e9), verb=verb, **asked))
        if until is not None:
            said.setdefault("status", 200 if result == "ok" else 409 if result == "rejected" else None)
            self._writer.write(Return(op=self._op, at_ns=round(until * 1e9), result=Result(result), **said))
        return self._op

    def publish(self, at: float, until: float, message: str = M, **fields: Any) -> int:
        fields.setdefault("request", '{"type":"probe","body":{"token":"t-1"}}')
        fields.setdefault("answer", json.dumps({"data": {"id": message, "state": "pending"}}))
        places = {"scope": "sc-1", "queue": "q-1", "token": "t-1", "state": "pending", "status": 201} | fields
        return self.call("publish", at, until, message=message, **places)

    def claim(
        self, at: float, until: float, *messages: str, attempts: int = 1, timeout_s: float = 10, **fields: Any
    ) -> int:
        items = tuple(Item(id=message, token="t-1", attempts=attempts, queue="q-1") for message in messages)
        fields.setdefault("request", json.dumps({"batch_size": 10, "visibility_timeout_s": timeout_s}))
        fields.setdefault("answer", json.dumps({"data": [{"id": m, "attempts": attempts} for m in messages]}))
        return self.call(
            "claim", at, until, scope="sc-1", queue="q-1", timeout_s=timeout_s, limit=10, items=items, **fields
        )

    def close(self) -> None:
        self._writer.close()

    def finish(self, verdict: Verdict, exit_code: int, *requirements: RequirementResult, **parts: Any) -> Path:
        self.close()
        parts.setdefault("noise", Noise(loop_lag_p99_ms=1.2, loop_lag_max_ms=4.5, round_trip_p50_ms=2.1, requests=40))
        parts.setdefault("clean_up", CleanUp(scopes_created=3, scopes_deleted=3))
        self.directory.write_results(
            Results(schema=1, verdict=verdict, exit_code=exit_code, requirements=requirements, **parts)
        )
        return self.path


def requirement(name: str, outcome: str = "passed", **fields: Any) -> RequirementResult:
    fields.setdefault("level", "MUST")
    fields.setdefault("profile", "core")
    return RequirementResult(id=name, outcome=Outcome(outcome), **fields)


def case(name: str, title: str, outcome: str = "failed", **fields: Any) -> CaseResult:
    return CaseResult(
        name=f"test_area.py::test_{title}",
        requirement=name,
        outcome=Outcome(outcome),
        duration_s=1.5,
        **fields,
    )


def double_delivery(run: Run) -> RequirementResult:
    """The message is held until 10.196 s and given to a second consumer at 7.9 s."""
    first = run.publish(0.0, 0.004)
    a = run.claim(0.196, 0.201, M)
    run.claim(3.0, 3.004)
    b = run.claim(7.912, 7.917, M, attempts=2)
    run.call("complete", 8.2, 8.21, scope="sc-1", message=M, state="completed", path=f"{BASE}/messages/{M}/complete")
    assert first < a < b
    return requirement(
        "CLAIM-6",
        "failed",
        summary=f"{M} was given to two holders at once",
        evidence=(a, b),
        cases=(
            case(
                "CLAIM-6",
                "one_holder_at_a_time",
                expected="no second delivery before 10.196 s",
                seen="a second delivery at 7.917 s",
                summary=f"{M} was given to two holders at once",
                proof="7.917 < 0.196 + 10 and 0.201 < 7.912 + 10",
                evidence=(a, b),
            ),
        ),
    )


PASSING = ("ENV-1", "SCOPE-1", "QUEUE-1", "PUB-1", "IDEM-1", "CLAIM-1", "VIS-1")


def passing(path: Path) -> Path:
    run = Run(path)
    run.publish(0.0, 0.004)
    observation = Observation(id="Q2", statement="release refunds the attempt", value=False)
    return run.finish(Verdict.CONFORMS, 0, *map(requirement, PASSING), observations=(observation,))


def failing(path: Path) -> Path:
    run = Run(path, slack_s=1.0)
    broken = double_delivery(run)
    blocked = [requirement(name, "blocked", root="CLAIM-6", summary="CLAIM-6 failed") for name in ("VIS-2", "DONE-4")]
    return run.finish(
        Verdict.DOES_NOT_CONFORM,
        1,
        *map(requirement, PASSING),
        broken,
        *blocked,
        requirement("ORD-1", "inconclusive", summary="429 came between three times"),
        requirement("AUTH-3", "not-run", profile="extended", summary="no --view-key was given"),
        requirement("LIFE-1", "not-supported", profile="optional", summary="extend answers 404"),
        requirement("ENV-4", "failed", level="SHOULD", profile="extended", summary="meta.request_id is absent"),
        requirement(
            "IDEM-3", "failed", summary="200 instead of 409", known_failure="conflicts are not told apart yet (#41)"
        ),
        requirement("PUB-2", "harness-error", summary="KeyError in the case"),
        requirement("PUB-3", known_failure="was broken in 1.2"),
    )


EVIL = "</script><script>alert(1)</script>\x1b[31m\x00\u202egnp.exe"


def hostile(path: Path) -> Path:
    run = Run(path)
    a = run.publish(0.0, 0.004, answer=EVIL + "x" * 5_000_000, request='{"body":"\x7f\u202e"}', why=EVIL)
    b = run.claim(0.1, 0.11, EVIL, answer=EVIL, code=EVIL)
    c = run.claim(0.2, 0.21, EVIL, answer=EVIL, case=EVIL)
    broken = requirement(
        "CLAIM-6",
        "failed",
        summary=EVIL,
        evidence=(a, b, c),
        cases=(case("CLAIM-6", EVIL, summary=EVIL, expected=EVIL, seen=EVIL * 100, proof=EVIL, evidence=(a, b, c)),),
    )
    return run.finish(
        Verdict.DOES_NOT_CONFORM,
        1,
        broken,
        requirement("VIS-2", "blocked", root="CLAIM-6", summary=EVIL),
        requirement(f"X-{EVIL}", "failed", summary=EVIL),
        summary=f"CLAIM-6 failed: {EVIL}",
        observations=(Observation(id="Q1", statement=EVIL, value={EVIL: [EVIL]}),),
        clean_up=CleanUp(scopes_created=1, left=(EVIL,), note=EVIL),
        findings=(FindingResult(check=EVIL, requirement="NONE-1", summary=EVIL, operations=(b, c), proof=EVIL),),
    )


def _histogram(base: int) -> dict[str, int]:
    factors = {"p50_us": 1, "p90_us": 2, "p95_us": 3, "p99_us": 5, "p999_us": 9, "max_us": 20}
    return {name: factor * base for name, factor in factors.items()}


SERIES = [
    {"t": t, "publish": 100 - t % 7, "complete": 95, "backlog": 5 * t, "errors": t % 5, "publish_p99_us": 900 + 40 * t}
    for t in range(1, 17)
]


def load(path: Path) -> Path:
    run = Run(path, kind="load", command="queueproof load steady --rate 100 --api-key sgk_secret --url http://u:p@host")
    run.publish(0.0, 0.004)
    a = run.claim(0.196, 0.201, M, timeout_s=30)
    b = run.claim(7.912, 7.917, M, timeout_s=30)
    verbs = {
        name: {
            "count": 1600,
            "errors": 2,
            "response": _histogram(b_us),
            "service": _histogram(b_us // 2),
            "lateness": {},
        }
        for name, b_us in (("e2e", 9000), ("publish", 900), ("claim", 1500), ("complete", 700))
    }
    finding = FindingResult(
        check="exclusivity",
        requirement="CLAIM-6",
        summary=f"{M} was given to two holders at once",
        operations=(a, b),
        proof="7.917 < 0.196 + 30",
        assumes=("no unseen free of the message",),
        message=M,
    )
    return run.finish(
        Verdict.OBJECTIVES_MISSED,
        1,
        findings=(finding,) * 25,
        verbs=verbs,
        load={
            "scheduled": 1600,
            "sent": 1590,
            "dropped": 10,
            "duration_s": 16.0,
            "generator_cpu_us_per_request": 140.5,
            "series": SERIES,
        },
        objectives=(
            {"expression": "publish.response.p99 < 50ms", "value_us": 4500, "met": True},
            {"expression": "e2e.p99 < 40ms", "value_us": 45000, "met": False},
        ),
    )


def interrupted(path: Path) -> Path:
    """Killed before it could write its results; the last line of its history is torn."""
    run = Run(path)
    run.publish(0.0, 0.004, case="a")
    run.call("claim", 0.1, None, case="b")
    with (path / "history-0.ndjson").open("ab") as history:
        history.write(b'{"record":"return","op":2,"at')
    return path


@pytest.fixture
def passing_run(tmp_path: Path) -> Path:
    return passing(tmp_path / "passing")


@pytest.fixture
def failing_run(tmp_path: Path) -> Path:
    return failing(tmp_path / "failing")


@pytest.fixture
def hostile_run(tmp_path: Path) -> Path:
    return hostile(tmp_path / "hostile")


@pytest.fixture
def load_run(tmp_path: Path) -> Path:
    return load(tmp_path / "load")


@pytest.fixture
def interrupted_run(tmp_path: Path) -> Path:
    return interrupted(tmp_path / "interrupted")


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[[], Run]:
    return lambda: Run(tmp_path / "run")
