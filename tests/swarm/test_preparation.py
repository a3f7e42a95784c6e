"""What a load makes on its target is written down first, and what is left of it is told for what it is."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from queueproof.contract import wire
from queueproof.evidence.created import LEDGER, Ledger
from queueproof.evidence.operation import Result
from queueproof.swarm import preparation
from queueproof.swarm.preparation import Ground, clean_up, prepare
from queueproof.swarm.scenario import parse

GROUND = Ground(slug="qp-load-r", scope="s", queues=("q",), dead_letter="")


class Scripted:
    """Answers each call with the next status that is written for its verb; the last one goes on."""

    def __init__(self, **statuses: list[int]) -> None:
        self.statuses = {verb.replace("_", "-"): answers for verb, answers in statuses.items()}
        self.asked: list[str] = []

    def perform(self, request: wire.Request) -> Any:
        self.asked.append(request.verb)
        answers = self.statuses.get(request.verb, [404])
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        ok = 200 <= status < 300
        result = Result.OK if ok else Result.REJECTED if 400 <= status < 500 else Result.UNKNOWN
        return SimpleNamespace(ok=ok, status=status, why=f"status {status}", result=result, data={"id": "s"})


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation.gevent, "sleep", lambda _seconds: None)


@pytest.mark.parametrize(
    ("target", "left", "note"),
    [
        (Scripted(delete_scope=[204]), False, ""),
        (Scripted(delete_scope=[503, 204]), False, ""),
        (Scripted(delete_scope=[502, 404]), False, ""),
        (Scripted(delete_scope=[404]), True, "does not delete scopes"),
        (Scripted(delete_scope=[405]), True, "does not delete scopes"),
        (Scripted(delete_scope=[0]), True, "the server did not answer: when it does, run `queueproof clean RUN`"),
        (Scripted(delete_scope=[503]), True, "did not delete it: status 503"),
        (Scripted(delete_scope=[403]), True, "did not delete it: status 403"),
    ],
    ids=["deleted", "at the second try", "gone", "no such path", "no such method", "dead", "busy", "denied"],
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
