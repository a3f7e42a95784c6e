"""What a load makes on its target is written down first, and what is left of it is told for what it is."""

import contextlib
import time
from datetime import datetime
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from queueproof.contract import wire
from queueproof.errors import TargetError
from queueproof.evidence.created import LEDGER, Ledger
from queueproof.evidence.operation import Result
from queueproof.swarm import preparation
from queueproof.swarm.flows import Producer
from queueproof.swarm.preparation import Ground, clean_up, preload, prepare
from queueproof.swarm.scenario import parse

GROUND = Ground(slug="qp-load-r", scope="s", queues=("q",), dead_letter="")


class Scripted:
    """Answers each call with the next status that is written for its verb; the last one goes on."""

    date = ""

    def __init__(self, **statuses: list[int]) -> None:
        self.statuses = {verb.replace("_", "-"): answers for verb, answers in statuses.items()}
        self.asked: list[str] = []

    def perform(self, request: wire.Request) -> Any:
        self.asked.append(request.verb)
        answers = self.statuses.get(request.verb, [404])
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        ok = 200 <= status < 300
        result = Result.OK if ok else Result.REJECTED if 400 <= status < 500 else Result.UNKNOWN
        now_ns = time.monotonic_ns()
        times = {"sent_ns": now_ns, "ended_ns": now_ns}
        told = {"ok": ok, "status": status, "why": f"status {status}", "result": result, "data": {"id": "s"}}
        return SimpleNamespace(header={"Date": self.date}.__getitem__, **told, **times)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation.gevent, "sleep", lambda _seconds: None)


@pytest.mark.parametrize(
    ("target", "left", "note"),
    [
        (Scripted(delete_scope=[204]), False, ""),
        (Scripted(delete_scope=[503, 204]), False, ""),
        (Scripted(delete_scope=[502, 404]), False, ""),
        (Scripted(delete_scope=[0, 204]), False, ""),
        (Scripted(delete_scope=[0, 404]), False, ""),
        (Scripted(delete_scope=[404]), True, "does not delete scopes"),
        (Scripted(delete_scope=[405]), True, "does not delete scopes"),
        (Scripted(delete_scope=[0]), True, "the server did not answer: when it does, run `queueproof clean RUN`"),
        (Scripted(delete_scope=[503]), True, "did not delete it: status 503"),
        (Scripted(delete_scope=[403]), True, "did not delete it: status 403"),
    ],
    ids=[
        "deleted",
        "at the second try",
        "gone",
        "answer lost",
        "answer lost and gone",
        "no such path",
        "no such method",
        "dead",
        "busy",
        "denied",
    ],
)
def test_what_is_left_is_told(target: Any, left: bool, note: str, tmp_path: Path) -> None:
    created = Ledger(tmp_path / LEDGER)
    created.intend(GROUND.slug)
    created.created(GROUND.slug, GROUND.scope)
    told = clean_up(target, GROUND, created)
    assert told["left"] == ([GROUND.slug] if left else [])
    assert told["scopes_deleted"] == (not left)
    assert note in told["note"] and bool(note) == bool(told["note"])
    assert list(Ledger.read(tmp_path / LEDGER).scopes) == told["left"]


def test_a_scope_whose_creation_was_not_answered_is_looked_for_later(tmp_path: Path) -> None:
    """The first try has no answer, the second is refused, the third is taken: two may be there."""
    created = Ledger(tmp_path / LEDGER)
    target: Any = Scripted(create_scope=[503, 429, 201], create_queue=[201], list_queues=[200], delete_scope=[204])
    scenario = parse({"name": "test", "stages": [{"rate": 1, "duration": 1}]})
    ground = prepare(target, scenario, created, run="r")
    assert ground.slug == "qp-load-r-3"
    assert {scope.slug: scope.id for scope in created.scopes.values()} == {"qp-load-r": "", "qp-load-r-3": "s"}
    told = clean_up(target, ground, created)
    assert (told["scopes_deleted"], told["left"]) == (1, ["qp-load-r"])
    assert "never answered" in told["note"]


def test_an_answer_that_was_lost_ends_no_load(tmp_path: Path) -> None:
    created = Ledger(tmp_path / LEDGER)
    target: Any = Scripted(create_scope=[0, 201], create_queue=[0, 201], list_queues=[200])
    scenario = parse({"name": "test", "stages": [{"rate": 1, "duration": 1}]})
    assert prepare(target, scenario, created, run="r").slug == "qp-load-r-2"
    assert {scope.slug for scope in created.scopes.values()} == {"qp-load-r", "qp-load-r-2"}


def test_a_server_that_hangs_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "LOST_WITHIN_NS", 0)
    target: Any = Scripted(create_scope=[0])
    scenario = parse({"name": "test", "stages": [{"rate": 1, "duration": 1}]})
    with pytest.raises(TargetError, match="could not be asked to create scope"):
        prepare(target, scenario, Ledger(tmp_path / LEDGER), run="r")
    assert target.asked == ["create-scope"]


@pytest.mark.parametrize(("ahead_s", "told_s"), [(0.0, 0.0), (3600.0, 3600.0), (-3600.0, -3600.0), (None, 0.0)])
def test_delays_and_deadlines_go_by_the_target_s_clock(
    ahead_s: float | None, told_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target: Any = Scripted(create_scope=[201], create_queue=[201], list_queues=[200])
    target.date = "" if ahead_s is None else formatdate(time.time() + ahead_s, usegmt=True)
    messages = {"deadline": 1.0, "deadline_in_s": "1h", "delay": 1.0, "delay_s": "5s"}
    stages = [{"rate": 1, "duration": 1}]
    scenario = parse({"name": "test", "stages": stages, "messages": messages, "producers": {"preload": 1}})
    ground = prepare(target, scenario, Ledger(tmp_path / LEDGER), run="r")
    assert ground.ahead_s == pytest.approx(told_s, abs=2)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(Producer, "publish_and_wait", lambda self, number: sent.append(fields(self, number)))
    target.sender = SimpleNamespace(framer=lambda *_: lambda body: body)
    with contextlib.suppress(TargetError):  # it was not answered
        preload(target, scenario, ground, run="r")
    delayed_s = datetime.fromisoformat(sent[0]["delay_until"]).timestamp() - time.time()
    assert delayed_s == pytest.approx(5 + told_s, abs=3)
    due_s = datetime.fromisoformat(sent[0]["deadline"]).timestamp() - time.time()
    assert 3597 + told_s < due_s < 7203 + told_s


def fields(producer: Producer, number: int) -> dict[str, Any]:
    """What a producer adds to its message of that number."""
    return dict(msgspec.json.decode(b"{" + producer._extras(f"t{number}")[0].lstrip(b",") + b"}"))
