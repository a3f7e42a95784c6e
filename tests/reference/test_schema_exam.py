"""Schemathesis over the server's own OpenAPI document: whatever its schemas allow, and what they do not, is no 500."""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

# Of each operation and each kind; the same ones every time. More for a long look: SCHEMA_EXAMPLES=300.
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "6"))
BASE = "/v1/modules/scaiqueue"
NOT_HERE = {"disable_module"}  # it would shut the door for all that follow; test_features.py has it
STATUSES = {200, 201, 401, 404, 405, 409, 413, 415, 422}


@pytest.fixture(scope="module", params=["embedded", "stack"])
def target(request: pytest.FixtureRequest, running: Callable[..., Any]) -> Iterator[Any]:
    """A server of this module's own over either kind of store, and a client of it."""
    options: list[str] = []
    if request.param == "stack":
        services = request.getfixturevalue("services")
        options = ["--database", services.database_url, "--redis", services.redis_url]
    with running(*options) as server:
        headers = {"Authorization": f"Bearer {server.keys['all']}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=30) as http:
            yield http


def _places(http: httpx.Client) -> dict[str, str]:
    """A scope with one of everything that a path can name, so that requests reach what is behind the look-ups."""
    scope = http.post(f"{BASE}/scopes", json={"slug": uuid.uuid4().hex}).json()["data"]["id"]
    place = f"{BASE}/scopes/{scope}"
    queue = http.post(f"{place}/queues", json={"slug": "q"}).json()["data"]["id"]
    messages = f"{place}/queues/{queue}/messages"
    made = http.post(messages, json={"type": "t", "body": 1, "correlation_id": "c"}).json()["data"]["id"]
    assert http.post(f"{messages}/claim", json={}).json()["data"][0]["id"] == made
    hook = {"url": "http://127.0.0.1:9/", "events": ["scaiqueue.message.claimed"], "secret": "s", "status": "inactive"}
    webhook = http.post("/v1/webhooks", json=hook).json()["data"]["id"]
    return {
        "scope_id": scope,
        "queue_id": queue,
        "message_id": made,
        "correlation_id": "c",
        "webhook_id": webhook,
    }


def _document(http: httpx.Client, operation: str, place: str) -> dict[str, str]:
    """A document of the kind that the operation is about: its id, name and version."""
    spec = {"sections": [{"type": "context", "title": "{{a}}", "content": ""}]}
    for word, path, fields in (
        ("schema", "schemas", {"version": "1", "schema": {}}),
        ("rule", "routing-rules", {"action": {"kind": "transform"}}),
        ("", "hitl-patterns", {"version": "1", "spec": spec}),
    ):
        if word in operation:
            made = http.post(f"{place}/{path}", json={"name": uuid.uuid4().hex, **fields}).json()["data"]
            return {"document_id": made["id"], "name": made["name"], "version": made.get("version", "")}
    raise AssertionError("unreachable")


def test_no_request_is_a_500(target: httpx.Client) -> None:
    """Every operation, with requests that fit its schema and that do not, at places that there are and are not."""
    schema = schemathesis.openapi.from_dict(target.get("/openapi.json").json())
    seen: dict[str, set[int]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        name = operation.definition.raw.get("operationId", operation.path)
        if name in NOT_HERE:
            continue
        raw = operation.definition.raw
        wrong = "requestBody" in raw or any(one["in"] == "query" for one in raw.get("parameters", ()))
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if wrong else (GenerationMode.POSITIVE,):
            _examine(target, operation, name, mode, seen.setdefault(name, set()))
    assert len(seen) > 60
    assert sum(bool({200, 201} & answers) for answers in seen.values()) > 30, "the requests reach what they are for"
    assert sum(422 in answers for answers in seen.values()) > 15


def _examine(http: httpx.Client, operation: Any, name: str, mode: GenerationMode, seen: set[int]) -> None:
    places = _places(http)
    if "{document_id}" in operation.path or "{name}" in operation.path:
        places |= _document(http, name, f"{BASE}/scopes/{places['scope_id']}")

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    def one(case: Any, there: bool) -> None:
        if there:
            case.path_parameters = {key: places[key] for key in case.path_parameters or {}}
        request = case.as_transport_kwargs(base_url=str(http.base_url).rstrip("/"))
        answer = _sent(http, request)
        if answer is not None:
            assert answer.status_code in STATUSES, (request, answer.status_code, answer.text)
            _check_envelope(operation.path, answer)
            seen.add(answer.status_code)

    one()


def _sent(http: httpx.Client, request: dict[str, Any]) -> httpx.Response | None:
    """The answer; None for what no client can send."""
    headers = {name: value for name, value in (request.get("headers") or {}).items() if name != "Authorization"}
    kept = {name: request[name] for name in ("json", "data", "params") if request.get(name) is not None}
    if "data" in kept:
        kept["content"] = kept.pop("data")
    try:
        return http.request(request["method"], request["url"], headers=headers, **kept)
    except (UnicodeError, ValueError, TypeError, httpx.InvalidURL, httpx.LocalProtocolError):
        return None


def _check_envelope(path: str, answer: httpx.Response) -> None:
    if not path.startswith("/v1/"):
        return
    envelope = answer.json()
    assert envelope["status"] == ("ok" if answer.is_success else "error")
    if answer.status_code == 422:
        assert all(detail["field"] and detail["message"] for detail in envelope["error"]["details"])
