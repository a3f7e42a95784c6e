"""Bad input: stored exactly, or a 4xx that names the field; never a 500, never something cut."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaiqueue_reference.api.documents import PatternRequest, RuleRequest, SchemaRequest
from scaiqueue_reference.api.requests import PublishRequest, QueueRequest, QueueUpdate, ScopeRequest
from scaiqueue_reference.api.webhooks import WebhookRequest

JSON = {"Content-Type": "application/json"}


def _fields(response: Any) -> list[str]:
    assert response.status_code == 422, response.text
    return [detail["field"] for detail in response.json()["error"]["details"]]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"type": 5}, "type"),
        ({"type": ""}, "type"),
        ({"type": "x" * 256}, "type"),
        ({"type": None}, "type"),
        ({"message_type": "other"}, "message_type"),
        ({"priority": {"score": 1001}}, "priority.score"),
        ({"priority": {"score": -1}}, "priority.score"),
        ({"priority": {"score": 1.5}}, "priority.score"),
        ({"priority": {"score": True}}, "priority.score"),
        ({"priority": {"tier": "NORMAL"}}, "priority.tier"),
        ({"priority": "high"}, "priority"),
        ({"priority_score": 10**30}, "priority_score"),
        ({"priority": {"score": 1}, "priority_score": 2}, "priority_score"),
        ({"labels": ["a"]}, "labels"),
        ({"labels": {"a": {"b": 1}}}, "labels"),
        ({"labels": {str(n): n for n in range(100_000)}}, "labels"),
        ({"idempotency_key": 7}, "idempotency_key"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "k" * 256}, "idempotency_key"),
        ({"correlation_id": ["c"]}, "correlation_id"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": -1.5}, "ttl_seconds"),
        ({"ttl_seconds": 10**40}, "ttl_seconds"),
        ({"ttl_seconds": "60"}, "ttl_seconds"),
        ({"delay_until": "soon"}, "delay_until"),
        ({"delay_until": 1e300}, "delay_until"),
        ({"delay_until": 10**400}, "delay_until"),
        ({"delay_until": True}, "delay_until"),
        ({"deadline": "2026-13-01T00:00:00Z"}, "deadline"),
        ({"deadline": "9999-12-31T23:59:59-23:59"}, "deadline"),
        ({"deadline": "0001-01-01T00:00:00+23:59"}, "deadline"),
        ({"hitl_spec": []}, "hitl_spec"),
        ({"content_type": ""}, "content_type"),
    ],
)
def test_a_wrong_field_of_a_publish_is_named(api: Any, fields: dict[str, Any], named: str) -> None:
    """422 with exactly that field; nothing was stored."""
    assert _fields(api.try_publish(**fields)) == [named]
    assert api.depth() == (0, 0)


def test_body_and_type_are_required_and_null_is_a_body(api: Any) -> None:
    """An absent body is an error, an explicit null is a value."""
    path = f"{api.at()}/messages"
    assert _fields(api.call("POST", path, {"type": "t"})) == ["body"]
    assert _fields(api.call("POST", path, {"body": 1})) == ["type"]
    assert api.publish(None)["body"] is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"", "body"),
        (b"nonsense", "$"),
        (b"[]", "$"),
        (b'"text"', "$"),
        (b"null", "$"),
        (b'{"type":"t","body":"\\ud800"}', "body"),
        (b'{"type":"t","body":1,"idempotency_key":"\\udc00"}', "idempotency_key"),
        (b'{"type":"t","body":"\xff\xfe"}', "body"),
        (b'{"type":"t","body":NaN}', "body"),
        (b'{"type":"t","body":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "body"),
        (b'{"type":"t","body":{"a":1}', "$"),
        (b'{"type":"t","body":1} {"type":"t","body":2}', "$"),
        (b'\xef\xbb\xbf{"type":"t","body":1}', "$"),
    ],
)
def test_what_is_no_json_is_refused_where_it_is_none(api: Any, text: bytes, named: str) -> None:
    """Lone surrogates, wrong UTF-8, NaN, depth, two values, a byte order mark."""
    response = api.call("POST", f"{api.at()}/messages", content=text, headers=JSON)
    assert _fields(response) == [named]
    assert api.depth() == (0, 0)


@pytest.mark.parametrize(
    ("request_body", "named"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 501}, "batch_size"),
        ({"batch_size": 1.5}, "batch_size"),
        ({"batch_size": "1"}, "batch_size"),
        ({"batch_size": 10**50}, "batch_size"),
        ({"visibility_timeout_s": 0}, "visibility_timeout_s"),
        ({"visibility_timeout_s": -5}, "visibility_timeout_s"),
        ({"visibility_timeout_s": 0.01}, "visibility_timeout_s"),
        ({"visibility_timeout_s": 43_201}, "visibility_timeout_s"),
        ({"visibility_timeout_s": 1e300}, "visibility_timeout_s"),
        ({"visibility_timeout_s": None}, "visibility_timeout_s"),
        ({"visibility_timeout_s": True}, "visibility_timeout_s"),
    ],
)
def test_a_claim_out_of_bounds_claims_nothing(api: Any, request_body: dict[str, Any], named: str) -> None:
    """422 with the field; the message still waits."""
    api.publish()
    assert _fields(api.call("POST", f"{api.at()}/messages/claim", request_body)) == [named]
    assert api.depth() == (1, 0)


@pytest.mark.parametrize("timeout_s", [0, -5, -0.5, 0.01, 43_201, 1e300, 10**50, None, True, "60"])
def test_an_extension_out_of_bounds_changes_nothing(api: Any, timeout_s: Any) -> None:
    """422 with the field; the lock ends when it would have."""
    made = api.publish()["id"]
    [held] = api.claim(1)
    assert _fields(api.act("extend", made, {"visibility_timeout_s": timeout_s})) == ["visibility_timeout_s"]
    assert api.read(made)["claim_expires_at"] == held["claim_expires_at"]


@pytest.mark.parametrize("slug", ["", "_mine", "a b", "a\n", "-a", "é", "a/b", "x" * 129, "a\u0000", 5, None])
def test_a_slug_is_plain(api: Any, slug: Any) -> None:
    """For scopes and queues alike; a leading underscore is the server's own."""
    assert _fields(api.call("POST", "/scopes", {"slug": slug})) == ["slug"]
    assert _fields(api.call("POST", f"/scopes/{api.scope}/queues", {"slug": slug})) == ["slug"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"ordering": "lifo"}, "ordering"),
        ({"consumer_mode": "fifo"}, "consumer_mode"),
        ({"overflow_policy": "burst"}, "overflow_policy"),
        ({"max_depth": -1}, "max_depth"),
        ({"max_depth": 2**63}, "max_depth"),
        ({"max_retries": 101}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"display_name": 1}, "display_name"),
    ],
)
def test_a_wrong_field_of_a_queue_is_named(api: Any, fields: dict[str, Any], named: str) -> None:
    """At creation and at update."""
    assert _fields(api.call("POST", f"/scopes/{api.scope}/queues", {"slug": "x", **fields})) == [named]
    assert _fields(api.call("PATCH", api.at(), fields)) == [named]


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "1e1"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"cursor": "%"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"state": "gone"}, "state"),
    ],
)
def test_a_wrong_parameter_is_named(api: Any, params: dict[str, str], named: str) -> None:
    """Of a list."""
    assert _fields(api.call("GET", f"{api.at()}/messages", params=params)) == [named]


def test_the_wrong_media_type_is_415(api: Any) -> None:
    """With the header's name; an absent one is taken as JSON."""
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "é"):
        content = b'{"type":"t","body":1}'
        response = api.call("POST", f"{api.at()}/messages", content=content, headers={"Content-Type": media.encode()})
        assert response.status_code == 415, media
        assert response.json()["error"]["details"][0]["field"] == "Content-Type"
    assert api.call("POST", f"{api.at()}/messages", content=b'{"type":"t","body":1}').status_code == 201


def test_a_body_up_to_the_limit_is_stored_whole_and_one_beyond_is_413(api: Any) -> None:
    """The limit counts the whole request; the refusal arrives also when much more was sent."""
    almost = "x" * (4 * 1024 * 1024 - 100)
    made = api.publish(almost)
    assert api.read(made["id"])["body"] == almost
    for size in (4 * 1024 * 1024, 20 * 1024 * 1024):
        response = api.try_publish(body="x" * size)
        assert response.status_code == 413
        assert response.json()["error"]["details"][0]["field"] == "body"
    assert api.depth() == (1, 0)


@pytest.mark.parametrize(
    "path",
    [
        "/scopes/..%2f..%2fetc",
        "/scopes/%00",
        "/scopes/a%2Fb/queues",
        "/scopes/' OR 1=1 --",
        "/scopes/" + "x" * 5000,
        "/scopes//queues",
        "/scopes/%ff%fe",
        "/queues/%F0%9F%98%80/messages",
        "/nothing",
    ],
)
def test_path_tricks_are_404(api: Any, path: str) -> None:
    """In the error envelope."""
    response = api.call("GET", path)
    assert response.status_code == 404
    assert response.json()["status"] == "error"


@pytest.mark.parametrize("name", ["é", "\u20ac\U0001f600", "\u0000", "x" * 300])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/modules/scaiqueue/scopes/{scope}/messages/{name}",
        "/v1/modules/scaiqueue/scopes/{scope}/schemas/{name}",
        "/v1/modules/scaiqueue/scopes/{scope}/schemas/{name}/{name}",
        "/v1/modules/scaiqueue/scopes/{scope}/hitl-patterns/{name}",
        "/v1/modules/scaiqueue/scopes/{scope}/routing-rules/{name}",
        "/v1/webhooks/{name}",
        "/v1/webhooks/{name}/deliveries",
    ],
)
def test_an_id_that_no_id_can_be_is_404(api: Any, path: str, name: str) -> None:
    """Of every kind of resource, to be read and to be deleted."""
    at = path.format(scope=api.scope, name=quote(name, safe=""))
    assert api.http.get(at).status_code == 404
    assert api.http.delete(at).status_code in (404, 405)


def test_a_filter_that_fits_nothing_finds_nothing(api: Any) -> None:
    """Whatever it is."""
    api.publish(correlation_id="c")
    for name in ("event_type", "actor_id", "correlation_id"):
        assert api.ok("GET", f"/scopes/{api.scope}/audit", params={name: "é\u0000\U0001f600"}) == []
    assert api.ok("GET", f"/scopes/{api.scope}/messages", params={"correlation_id": "é\u0000"}) == []
    assert api.ok("GET", f"/scopes/{api.scope}/audit/trace/%C3%A9%00") == []


def test_a_wrong_method_is_405(api: Any) -> None:
    """In the error envelope."""
    response = api.call("DELETE", f"{api.at()}/messages")
    assert (response.status_code, response.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")


texts = st.text(max_size=40)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
names = st.sampled_from(
    [*PublishRequest.__struct_fields__, "batch_size", "visibility_timeout_s", "response", "reason", "failure_reason"]
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(names, anything, max_size=6), st.sampled_from(["", "/claim", "complete", "fail", "extend"]))
def test_whatever_is_sent_there_is_no_500(api: Any, body: dict[str, Any], verb: str) -> None:
    """Also not from numbers, texts and types that only JSON knows."""
    path = f"{api.at()}/messages{verb}" if verb in ("", "/claim") else f"/scopes/{api.scope}/messages/x/{verb}"
    text = json.dumps({"type": "t", "body": 1, **body}).encode("utf-8", "surrogatepass")
    response = api.call("POST", path, content=text, headers=JSON)
    assert response.status_code in (200, 201, 404, 409, 422), response.text
    if response.status_code == 201 and "body" in body:
        assert response.json()["data"]["body"] == body["body"]


shapes = [ScopeRequest, QueueRequest, QueueUpdate, SchemaRequest, PatternRequest, RuleRequest, WebhookRequest]
other_names = st.sampled_from(sorted({name for shape in shapes for name in shape.__struct_fields__} - {"secret"}))
pieces = st.sampled_from(
    [
        {"sections": [{"type": "context"}]},
        {"kind": "route", "queue": "x"},
        [{"field": "labels.a", "op": "<"}],
        ["x"],
        "1",
    ]
)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(other_names, anything | pieces, max_size=6),
    st.sampled_from(["/scopes", "{scope}", "{scope}/queues", "{queue}", "{scope}/schemas", "{scope}/hitl-patterns"])
    | st.sampled_from(["{scope}/routing-rules", "{scope}/hitl-patterns/x/preview"]),
)
def test_nor_is_there_one_from_the_other_endpoints(api: Any, body: dict[str, Any], path: str) -> None:
    """Scopes, queues, schemas, patterns, rules."""
    method = "PATCH" if path in ("{scope}", "{queue}") else "POST"
    filled = path.format(scope=f"/scopes/{api.scope}", queue=api.at())
    response = api.call(method, filled, content=json.dumps(body).encode("utf-8", "surrogatepass"), headers=JSON)
    assert response.status_code in (200, 201, 404, 409, 422), response.text


def test_webhooks_take_no_nonsense(api: Any) -> None:
    """Of any type, anywhere."""
    good = {"url": "http://127.0.0.1:9/", "events": ["scaiqueue.message.claimed"], "secret": "s", "status": "inactive"}
    for name in (*good, "max_retries"):
        for value in (None, 5.5, {}, [{}], "\u0000", "http://[::1", ["x"], -1, 10**30):
            response = api.http.post("/v1/webhooks", json={**good, name: value})
            assert response.status_code in (201, 422), response.text
