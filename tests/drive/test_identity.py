"""What a target says of itself is kept, and which optional verbs it was seen to have."""

from types import SimpleNamespace
from typing import Any

import pytest
from drive_server import client_of, http, scripted

from queueproof.drive.identity import ask, capabilities
from queueproof.evidence.results import CaseResult, Outcome


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ('{"status": "ok", "version": "2.4.1", "uptime": 3}', {"version": "2.4.1"}),
        ('{"data": {"version": 7, "build": {"id": 1}}}', {"version": "7"}),
        ('["2.4.1"]', {}),
        ("<html>", {}),
    ],
)
async def test_the_version_at_health(answer: str, told: dict[str, str]) -> None:
    async with (
        scripted(http(content=answer.encode(), server="queue/9")) as server,
        client_of(server.url) as (client, _),
    ):
        assert await ask(client) == told
    assert server.requests[0][0].startswith("GET /health ")
    assert "authorization" not in server.requests[0][1]


async def test_nothing_answers() -> None:
    async with client_of("http://127.0.0.1:9") as (client, _):
        assert await ask(client) == {}


def case(requirement: str, outcome: str, *lacks: str) -> CaseResult:
    return CaseResult(name="t.py::test_x", requirement=requirement, outcome=Outcome(outcome), lacks=lacks)


def test_what_was_seen_and_what_was_found_absent() -> None:
    client: Any = SimpleNamespace(worked={"publish", "release", "list-queues"})
    cases = [case("VIS-5", "not-supported", "extend"), case("VIS-6", "passed")]
    assert capabilities(client, cases) == {"release": True, "extend": False, "list-queues": True}


def test_dead_letters_are_no_verb() -> None:
    client: Any = SimpleNamespace(worked={"list-queues"})
    assert capabilities(client, [case("DLQ-2", "passed")])["dead-letter"] is True
    assert capabilities(client, [case("DLQ-2", "not-supported", "dead-letter")])["dead-letter"] is False
    assert "dead-letter" not in capabilities(client, [])
