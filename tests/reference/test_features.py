"""Audit and events, schemas, HITL patterns, routing rules, webhooks, the module gate: over the API."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

MESSAGE = "scaiqueue.message."


# -- audit and events


def test_the_audit_log_has_every_step_and_every_call(api: Any) -> None:
    """A chain in order; calls of managers and refusals with their outcome; filters."""
    made = api.publish(1, correlation_id="c/1")["id"]
    api.claim()
    api.act("complete", made, {"response": {"r": 1}})
    api.call("POST", f"{api.at()}/pause", key="view")
    scope = f"/scopes/{api.scope}"
    trace = api.ok("GET", f"{scope}/audit", params={"correlation_id": "c/1"})
    assert api.ok("GET", f"{scope}/audit/trace/c%2F1") == trace
    assert [line["event_type"] for line in trace] == [MESSAGE + step for step in ("published", "claimed", "completed")]
    while not (mine := api.ok("GET", f"{scope}/audit", params={"actor_id": "usr_view"})):
        continue  # a refusal is written in the background
    assert {line["actor_id"] for line in mine} == {"usr_view"}
    assert (mine[0]["event_type"], mine[0]["outcome"]) == ("scaiqueue.call.pause_queue", "AUTHZ_PERMISSION_DENIED")
    made_queue = api.ok("GET", f"{scope}/audit", params={"event_type": "scaiqueue.call.create_queue"})
    assert [line["outcome"] for line in made_queue] == ["ok"]


def test_a_trace_is_the_whole_chain(api: Any) -> None:
    """Over queues, by the path that the page names; another tenant sees nothing."""
    api.publish(1, correlation_id="chain")
    api.new_queue()
    api.publish(2, correlation_id="chain")
    path = f"/scopes/{api.scope}/audit/trace/chain"
    assert len(api.ok("GET", path)) == 2
    assert api.call("GET", path, key="foreign").status_code == 404


def test_events_are_readable_in_their_envelope(api: Any) -> None:
    """The four types, in order, the response in the last; pages by cursor."""
    made = api.publish(1, correlation_id="c")["id"]
    api.claim()
    api.act("complete", made, {"response": {"r": [1]}})
    path = f"/scopes/{api.scope}/events"
    events = api.ok("GET", path)
    assert [event["event_type"] for event in events] == [MESSAGE + s for s in ("published", "claimed", "completed")]
    last = events[-1]
    assert last["payload"]["response"] == {"r": [1]}
    assert (last["payload"]["message_id"], last["payload"]["correlation_id"]) == (made, "c")
    assert last["event_id"].startswith("evt_")
    page = api.call("GET", path, params={"limit": 1}).json()
    rest = api.ok("GET", path, params={"cursor": page["meta"]["next_cursor"]})
    assert [event["event_id"] for event in page["data"] + rest] == [event["event_id"] for event in events]


# -- schemas, patterns, rules


def test_a_schema_checks_the_bodies_of_its_type(api: Any) -> None:
    """Only of its type; 422 names the member; the newest version counts; a wrong schema is refused."""
    path = f"/scopes/{api.scope}/schemas"
    schema = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer", "minimum": 1}}}
    kept = api.ok("POST", path, {"name": "order", "version": "1", "schema": schema})
    assert api.ok("GET", f"{path}/{kept['id']}")["schema"] == schema
    assert api.ok("GET", f"{path}/order/1")["id"] == kept["id"]
    for other in ("order/2", "Order/1", "order/1%20"):
        assert api.call("GET", f"{path}/{other}").status_code == 404
    api.publish({"id": 1}, type="order")
    api.publish({"nothing": 1}, type="other")
    for body, field in (({}, "body.id"), ({"id": 0}, "body.id"), ({"id": True}, "body.id"), ([], "body")):
        refused = api.try_publish(type="order", body=body)
        assert refused.status_code == 422
        assert refused.json()["error"]["details"][0]["field"] == field
    assert api.call("POST", path, {"name": "order", "version": "1", "schema": {}}).status_code == 409
    api.ok("POST", path, {"name": "order", "version": 2, "schema": True})
    api.publish({}, type="order")
    wrong = api.call("POST", path, {"name": "x", "version": 1, "schema": {"type": "objekt", "frob": 1}})
    assert [detail["field"] for detail in wrong.json()["error"]["details"]] == ["schema.type", "schema.frob"]
    assert len(api.ok("GET", path)) == 2


def test_a_pattern_is_previewed_and_filled_in_at_publish(api: Any) -> None:
    """Placeholders become parameters; a missing one is named; a spec without a pattern is kept as it came."""
    path = f"/scopes/{api.scope}/hitl-patterns"
    sections = [
        {"type": "context", "title": "Order {{id}}", "content": "{{ order }}"},
        {"type": "decision", "field": "ok", "options": ["yes", "no"]},
        {"type": "input", "field": "why", "kind": "text", "required": False},
    ]
    spec = {"sections": sections, "timeout_s": 3600, "own": 1}
    kept = api.ok("POST", path, {"name": "review", "version": "1", "spec": spec})
    assert kept["spec"] == spec
    assert api.ok("GET", f"{path}/review/1")["id"] == kept["id"]
    shown = api.ok("POST", f"{path}/{kept['id']}/preview", {"params": {"id": 7, "order": {"n": 1}}})["spec"]
    assert shown["sections"][0] == {"type": "context", "title": "Order 7", "content": {"n": 1}}
    missing = api.call("POST", f"{path}/{kept['id']}/preview", {"params": {"id": 7}})
    assert missing.json()["error"]["details"][0]["field"] == "params.order"
    made = api.publish(1, hitl_spec={"pattern": "review", "params": {"id": 1, "order": "o"}})
    assert made["hitl_spec"]["sections"][0]["title"] == "Order 1"
    assert api.publish(1, hitl_spec={"sections": []})["hitl_spec"] == {"sections": []}
    assert api.try_publish(hitl_spec={"pattern": "none"}).status_code == 422
    wrong = api.call("POST", path, {"name": "x", "version": 1, "spec": {"sections": [{"type": "form"}]}})
    assert wrong.json()["error"]["details"][0]["field"] == "spec.sections[0].type"


def _slug(api: Any, queue: str) -> str:
    return str(api.ok("GET", api.at(queue))["slug"])


def test_the_first_rule_that_matches_moves_the_message(api: Any) -> None:
    """By label to another queue, in the order of the rules; without a match it stays; the key stays with its queue."""
    plain, premium = api.queue, api.new_queue(ordering="priority")
    rules = f"/scopes/{api.scope}/routing-rules"
    to_premium = {"kind": "route", "queue": _slug(api, premium)}
    condition = {"field": "labels.customer_tier", "op": "==", "value": "premium"}
    api.ok("POST", rules, {"name": "never", "order": 5, "action": {"kind": "archive"}, "conditions": [condition]})
    first = api.ok("POST", rules, {"name": "first", "order": 1, "action": to_premium, "conditions": [condition]})
    api.queue = plain
    moved = api.publish(1, labels={"customer_tier": "premium"}, idempotency_key="k")
    assert (moved["queue_id"], moved["origin_queue_id"]) == (premium, plain)
    assert api.publish(1, labels={"customer_tier": "premium"}, idempotency_key="k")["id"] == moved["id"]
    assert api.publish(2, labels={"customer_tier": "basic"})["queue_id"] == plain
    assert [message["id"] for message in api.claim(5, queue=premium)] == [moved["id"]]
    api.ok("DELETE", f"{rules}/{first['id']}")
    archived = api.publish(3, labels={"customer_tier": "premium"})
    assert archived["state"] == "archived"
    assert len(api.claim(5)) == 1


def test_rules_transform_and_escalate(api: Any) -> None:
    """Priority and labels change before the message gets its place."""
    api.new_queue(ordering="priority")
    rules = f"/scopes/{api.scope}/routing-rules"
    change = {"kind": "transform", "set": {"labels.seen": True, "priority.score": 900}}
    api.ok("POST", rules, {"name": "t", "action": change, "conditions": [{"field": "type", "value": "a"}]})
    urgent = [{"field": "priority.score", "op": ">=", "value": 990}]
    api.ok("POST", rules, {"name": "e", "action": {"kind": "escalate"}, "conditions": urgent})
    api.publish(1, type="b")
    changed = api.publish(2, type="a", labels={"x": 1})
    assert (changed["priority_score"], changed["labels"]) == (900, {"x": 1, "seen": True})
    escalated = api.publish(3, type="b", priority={"score": 999})
    assert escalated["priority_tier"] == "high"
    assert [message["body"] for message in api.claim(3)] == [3, 2, 1]


def test_rules_in_a_circle_lead_to_the_dead_letters(api: Any) -> None:
    """The breaker ends it, and says why."""
    one, two = api.queue, api.new_queue()
    rules = f"/scopes/{api.scope}/routing-rules"
    for here, there in ((one, two), (two, one)):
        action = {"kind": "route", "queue": _slug(api, there)}
        api.ok("POST", rules, {"name": here, "queue": _slug(api, here), "action": action})
    made = api.publish(1)
    assert (made["state"], made["queue_id"]) == ("dead_lettered", api.dead_letter())
    assert made["failure_reason"] == "routing loop"
    wrong = api.call(
        "POST", rules, {"name": "w", "action": {"kind": "copy"}, "conditions": [{"field": "x", "op": "~"}]}
    )
    fields = [detail["field"] for detail in wrong.json()["error"]["details"]]
    assert fields == ["action.kind", "conditions[0].op", "conditions[0].field"]


# -- broadcast


def test_every_consumer_of_a_broadcast_queue_gets_every_message(api: Any) -> None:
    """In order, also what came before its first claim; each completes its own copy; a retry is the consumer's alone."""
    api.new_queue(consumer_mode="broadcast")
    made = [api.publish(n)["id"] for n in range(3)]

    def claim(key: str) -> list[Any]:
        path = f"{api.at()}/messages/claim"
        return list(api.ok("POST", path, {"batch_size": 10, "visibility_timeout_s": 60}, key=key))

    mine = claim("all")
    assert [message["body"] for message in mine] == [0, 1, 2]
    assert [message["parent_id"] for message in mine] == made
    assert claim("all") == []
    theirs = claim("consume")
    assert [message["parent_id"] for message in theirs] == made
    assert api.act("complete", theirs[0]["id"]).status_code == 409
    assert api.act("complete", mine[0]["id"]).status_code == 200
    assert api.act("release", mine[1]["id"]).status_code == 200
    assert [message["id"] for message in claim("all")] == [mine[1]["id"]]
    assert claim("consume") == []
    late = api.publish(3)["id"]
    assert [[message["parent_id"] for message in claim(key)] for key in ("all", "consume")] == [[late], [late]]


# -- webhooks


class _Receiver(ThreadingHTTPServer):
    """Keeps what it is sent; refuses the first requests of each event."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.refusals = 1
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.arrived = threading.Condition()


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.arrived:
            self.server.got.append((dict(self.headers), body))
            seen = sum(other == body for _, other in self.server.got)
            self.server.arrived.notify_all()
        self.send_response(503 if seen <= self.server.refusals else 204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def receiver() -> Iterator[_Receiver]:
    """A server that webhooks are sent to."""
    server = _Receiver()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _post(api: Any, path: str, body: Any) -> Any:
    response = api.http.post(path, json=body)
    assert response.status_code in (200, 201), response.text
    return response.json()["data"]


def test_a_webhook_gets_its_events_signed_and_again_until_it_takes_them(api: Any, receiver: _Receiver) -> None:
    """In order, with the same id at each try; what it did not ask for is not sent."""
    url = f"http://127.0.0.1:{receiver.server_port}/hook"
    wanted = [MESSAGE + "published", MESSAGE + "completed"]
    hook = _post(api, "/v1/webhooks", {"url": url, "events": wanted, "secret": "s3"})
    assert "secret" not in hook
    made = api.publish(1)["id"]
    api.claim()
    api.act("complete", made, {"response": "done"})
    deadline = time.monotonic() + 30
    with receiver.arrived:
        while len(receiver.got) < 4:
            assert receiver.arrived.wait(deadline - time.monotonic()), receiver.got
    events = [json.loads(body) for _, body in receiver.got]
    mine = [event for event in events if event["payload"]["scope_id"] == api.scope]
    assert [event["event_type"].removeprefix(MESSAGE) for event in mine] == ["published"] * 2 + ["completed"] * 2
    assert mine[0]["event_id"] == mine[1]["event_id"] != mine[2]["event_id"]
    assert mine[3]["payload"]["response"] == "done"
    headers, body = receiver.got[0]
    assert headers["X-ScaiGrid-Signature"] == "sha256=" + hmac.new(b"s3", body, hashlib.sha256).hexdigest()
    while len(shown := api.http.get(f"/v1/webhooks/{hook['id']}/deliveries").json()["data"]) < 2:
        assert time.monotonic() < deadline
    assert {(one["status"], one["attempts"]) for one in shown} == {("success", 2)}
    assert api.http.delete(f"/v1/webhooks/{hook['id']}").json()["data"]["deleted"] is True


def test_a_webhook_is_checked_and_belongs_to_its_tenant(api: Any, receiver: _Receiver) -> None:
    """422 with the field; `webhooks:manage` is asked for; `test` sends at once."""
    for body, field in (
        ({"url": "ftp://x", "events": [MESSAGE + "claimed"], "secret": "s"}, "url"),
        ({"url": "http://[", "events": [MESSAGE + "claimed"], "secret": "s"}, "url"),
        ({"url": "http://x", "events": ["nothing"], "secret": "s"}, "events"),
        ({"url": "http://x", "events": [MESSAGE + "claimed"]}, "secret"),
        ({"url": "http://x", "events": [MESSAGE + "claimed"], "secret": "s", "status": "on"}, "status"),
    ):
        refused = api.http.post("/v1/webhooks", json=body)
        assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (422, field)
    manager = {"Authorization": f"Bearer {api.tokens['manage']}"}
    assert api.http.get("/v1/webhooks", headers=manager).status_code == 403
    receiver.refusals = 0
    url = f"http://127.0.0.1:{receiver.server_port}/"
    body = {"url": url, "events": [MESSAGE + "claimed"], "secret": "s", "status": "inactive"}
    hook = _post(api, "/v1/webhooks", body)
    assert _post(api, f"/v1/webhooks/{hook['id']}/test", {})["delivered"] is True
    foreign = {"Authorization": f"Bearer {api.tokens['foreign']}"}
    assert api.http.get(f"/v1/webhooks/{hook['id']}", headers=foreign).status_code == 404
    assert api.http.put(f"/v1/webhooks/{hook['id']}", json={"max_retries": 1}).json()["data"]["max_retries"] == 1
    api.http.delete(f"/v1/webhooks/{hook['id']}")


# -- the module


def test_a_disabled_module_answers_403_and_keeps_its_data(running: Any, client: Any) -> None:
    """For that tenant alone."""
    with running() as server:
        api = client(server)
        with api.http:
            api.new_scope()
            api.new_queue()
            made = api.publish(1)["id"]
            _post(api, "/v1/modules/scaiqueue/disable", {})
            for refused in (api.try_publish(), api.call("GET", "/scopes")):
                assert (refused.status_code, refused.json()["error"]["code"]) == (403, "MODULE_NOT_ENABLED")
            assert api.call("GET", "/scopes", key="foreign").status_code == 200
            _post(api, "/v1/modules/scaiqueue/enable", {})
            assert [message["id"] for message in api.claim(1)] == [made]
