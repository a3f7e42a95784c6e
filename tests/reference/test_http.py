"""The API over a real server process: envelopes, keys, places, messages."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

SYSTEM = ["_dead_letter", "_events", "_audit", "_integrity", "_corrections"]


def _error(response: httpx.Response, status: int, code: str, field: str = "") -> None:
    assert response.status_code == status, response.text
    body = response.json()
    assert (body["status"], body["error"]["code"]) == ("error", code)
    assert body["error"]["message"]
    assert body["meta"]["request_id"].startswith("req_")
    if field:
        assert [detail["field"] for detail in body["error"]["details"]] == [field], response.text


# -- keys


def test_no_key_and_a_wrong_key_are_told_apart(api: Any) -> None:
    """401 both, with their codes."""
    plain = httpx.Client(base_url=api.http.base_url)
    with plain:
        path = "/v1/modules/scaiqueue/scopes"
        _error(plain.get(path), 401, "AUTH_TOKEN_MISSING")
        _error(plain.get(path, headers={"Authorization": "Bearer sgk_x"}), 401, "AUTH_TOKEN_INVALID")
        assert plain.get("/health").status_code == 200
        assert "scaiqueue_requests_total" in plain.get("/metrics").text


def test_each_endpoint_asks_for_exactly_one_key(api: Any) -> None:
    """The right key passes, each other single key is refused, and nothing happened."""
    message = api.publish()["id"]
    scope, queue, one = f"/scopes/{api.scope}", api.at(), f"/scopes/{api.scope}/messages/{message}"
    draft = {"type": "t", "body": 1}
    calls = [
        ("view", "GET", "/scopes", None),
        ("view", "GET", scope, None),
        ("view", "GET", f"{scope}/queues", None),
        ("view", "GET", queue, None),
        ("view", "GET", f"{queue}/messages", None),
        ("view", "GET", f"{scope}/messages", None),
        ("view", "GET", one, None),
        ("publish", "POST", f"{queue}/messages", draft),
        ("consume", "POST", f"{queue}/messages/claim", {}),
        ("consume", "POST", f"{one}/complete", {}),
        ("manage", "POST", f"{scope}/queues", {"slug": "mine"}),
        ("manage", "POST", f"{queue}/pause", {}),
        ("manage", "POST", f"{queue}/resume", {}),
        ("manage", "PATCH", queue, {"max_depth": 5}),
        ("manage", "DELETE", queue, None),
    ]
    for right, method, path, body in calls:
        for other in {"view", "publish", "consume", "manage"} - {right}:
            _error(api.call(method, path, body, key=other), 403, "AUTHZ_PERMISSION_DENIED")
        assert api.call(method, path, body, key=right).status_code in (200, 201), (method, path)


def test_another_tenants_scope_is_not_found(api: Any) -> None:
    """Reading, publishing, claiming, managing: 404, and its list does not show it; slugs are its own."""
    message = api.publish()["id"]
    for method, path in (
        ("GET", f"/scopes/{api.scope}"),
        ("GET", api.at()),
        ("GET", f"/queues/{api.queue}"),
        ("POST", f"{api.at()}/messages/claim"),
        ("POST", f"/scopes/{api.scope}/messages/{message}/complete"),
        ("DELETE", f"/scopes/{api.scope}"),
    ):
        assert api.call(method, path, key="foreign").status_code == 404
    listed = api.call("GET", "/scopes", key="foreign").json()["data"]
    assert api.scope not in [scope["id"] for scope in listed]
    slug = api.ok("GET", f"/scopes/{api.scope}")["slug"]
    assert api.call("POST", "/scopes", {"slug": slug}, key="foreign").status_code == 201


# -- places


def test_a_scope_comes_with_five_system_queues(api: Any) -> None:
    """Marked, not publishable, not deletable; the dead letters are the scope's own."""
    queues = api.ok("GET", f"/scopes/{api.scope}/queues")
    assert [queue["slug"] for queue in queues if queue["system"]] == SYSTEM
    dead = api.dead_letter()
    _error(api.call("POST", f"{api.at(dead)}/messages", {"type": "t", "body": 1}), 409, "SCAIQUEUE_SYSTEM_QUEUE")
    _error(api.call("DELETE", api.at(dead)), 409, "SCAIQUEUE_SYSTEM_QUEUE")
    _error(api.call("POST", f"{api.at(dead)}/pause"), 409, "SCAIQUEUE_SYSTEM_QUEUE")
    api.new_scope()
    assert api.dead_letter() != dead


def test_a_slug_is_taken_once(api: Any) -> None:
    """SLUG_CONFLICT for scopes and queues; exact, so another case is another slug; free again after DELETE."""
    slug = api.ok("GET", f"/scopes/{api.scope}")["slug"]
    _error(api.call("POST", "/scopes", {"slug": slug}), 409, "SLUG_CONFLICT")
    api.ok("POST", "/scopes", {"slug": slug.upper()})
    first = api.ok("POST", f"/scopes/{api.scope}/queues", {"slug": "a"})
    assert (first["ordering"], first["consumer_mode"], first["max_depth"]) == ("fifo", "competing", 0)
    _error(api.call("POST", f"/scopes/{api.scope}/queues", {"slug": "a"}), 409, "SLUG_CONFLICT")
    api.ok("DELETE", f"/queues/{first['id']}")
    _error(api.call("GET", f"/queues/{first['id']}"), 404, "SCAIQUEUE_QUEUE_NOT_FOUND")
    api.ok("POST", f"/scopes/{api.scope}/queues", {"slug": "a"})


@pytest.mark.parametrize("place", ["scope", "queue"])
def test_a_stopped_place_refuses_publishes_and_serves_nothing(api: Any, place: str) -> None:
    """Paused, archived: claims are empty, no error; draining still serves; what waited is there after resume."""
    kept = api.publish()["id"]
    path = f"/scopes/{api.scope}" if place == "scope" else api.at()
    code = f"SCAIQUEUE_{place.upper()}_PAUSED"
    for step, served in (("pause", False), ("archive", False)):
        api.ok("POST", f"{path}/{step}")
        _error(api.try_publish(), 409, code)
        assert api.claim() == []
        assert served is False
    _error(api.call("POST", f"{path}/resume"), 409, "SCAIQUEUE_INVALID_STATE")
    assert api.ok("POST", f"{path}/unarchive")["state"] == "paused"
    api.ok("POST", f"{path}/resume")
    api.ok("POST", f"{path}/drain")
    _error(api.try_publish(), 409, code)
    (held,) = api.claim()
    assert held["id"] == kept
    api.ok("POST", f"{path}/pause")
    assert api.act("complete", kept).status_code == 200
    assert api.ok("POST", f"{path}/resume")["state"] == "active"
    api.publish()


def test_a_queue_is_updated_but_not_reordered(api: Any) -> None:
    """max_depth rises; ordering stays as it was made."""
    api.ok("PATCH", api.at(), {"max_depth": 1, "description": "x"})
    api.publish()
    _error(api.try_publish(), 409, "SCAIQUEUE_QUEUE_FULL")
    assert api.ok("PUT", f"/queues/{api.queue}", {"max_depth": 2})["description"] == "x"
    api.publish()
    _error(api.call("PATCH", api.at(), {"ordering": "priority"}), 422, "VALIDATION_ERROR", "ordering")


def test_a_deleted_scope_takes_everything_with_it(api: Any) -> None:
    """Its queues and messages are not found any more."""
    message = api.publish()["id"]
    api.ok("DELETE", f"/scopes/{api.scope}")
    for path in (f"/scopes/{api.scope}", f"/queues/{api.queue}", f"/scopes/{api.scope}/messages/{message}"):
        assert api.call("GET", path).status_code == 404


# -- messages


def test_a_message_goes_its_way_with_everything_it_carries(api: Any) -> None:
    """201, claim with attempts 1, extend, complete; counters follow; reads show the response."""
    fields = {
        "message_type": "order.new",
        "body": {"n": [1, 2.5, None, "é\u0000\U0001f600"]},
        "priority": {"tier": "high", "score": 7},
        "labels": {"region": "eu", "n": 1, "on": True, "nothing": None},
        "idempotency_key": "k",
        "correlation_id": "chain 1/é",
        "content_type": "application/vnd.x+json",
        "ttl_seconds": 90.5,
        "deadline": "2199-01-01T00:00:00+02:00",
        "hitl_spec": {"sections": []},
    }
    response = api.call("POST", f"{api.at()}/messages", fields)
    assert response.status_code == 201
    made = response.json()["data"]
    assert (made["state"], made["attempts"], made["type"]) == ("pending", 0, "order.new")
    assert api.depth() == (1, 0)
    (held,) = api.claim()
    for name in ("message_type", "body", "labels", "idempotency_key", "correlation_id", "content_type", "hitl_spec"):
        assert held[name] == fields[name], name
    assert (held["priority_tier"], held["priority_score"], held["ttl_seconds"]) == ("high", 7, 90.5)
    assert held["deadline"] == "2198-12-31T22:00:00.000000Z"
    assert (held["state"], held["attempts"], held["claimed_by_id"]) == ("claimed", 1, "usr_all")
    assert api.depth() == (0, 1)
    extended = api.act("extend", held["id"], {"visibility_timeout_s": 600}).json()["data"]
    assert extended["claim_expires_at"] > held["claim_expires_at"]
    done = api.act("complete", held["id"], {"response": {"ok": [1]}}).json()["data"]
    assert (done["state"], done["response"]) == ("completed", {"ok": [1]})
    assert api.depth() == (0, 0)
    assert api.read(held["id"])["response"] == {"ok": [1]}
    chain = api.ok("GET", f"/scopes/{api.scope}/messages", params={"correlation_id": "chain 1/é"})
    assert [message["id"] for message in chain] == [held["id"]]


def test_payloads_travel_byte_by_byte(api: Any) -> None:
    """What no parser keeps: huge and long numbers, repeated members, spaces, escapes."""
    body = b'{"a" : 1e999, "a":  123456789012345678901234567890.10, "\\u0041\\/": "\\u0000\\ud83d\\ude00" }'
    text = b'{"type": "t", "body": ' + body + b', "labels": {"x":1.0}}'
    json_type = {"Content-Type": "application/json; charset=utf-8"}
    made = api.call("POST", f"{api.at()}/messages", content=text, headers=json_type)
    assert made.status_code == 201
    claimed = api.call("POST", f"{api.at()}/messages/claim", content=b"")
    for answer in (made.content, claimed.content):
        assert b'"body":' + body in answer
        assert b'"labels":{"x":1.0}' in answer


def test_a_replay_is_200_with_the_original_and_a_conflict_changes_nothing(api: Any) -> None:
    """Same id while pending, claimed and completed."""
    made = api.publish({"a": 1, "b": 2}, idempotency_key="k")
    replay = api.try_publish(body={"b": 2, "a": 1}, idempotency_key="k")
    assert (replay.status_code, replay.json()["data"]["id"]) == (200, made["id"])
    for look_alike in ({"a": True, "b": 2}, {"a": "1", "b": 2}, {"a": 1, "b": 2, "c": None}):
        conflict = api.try_publish(body=look_alike, idempotency_key="k")
        _error(conflict, 409, "SCAIQUEUE_IDEMPOTENCY_CONFLICT")
    assert api.depth() == (1, 0)
    api.claim()
    api.act("complete", made["id"])
    assert api.publish({"a": 1, "b": 2}, idempotency_key="k")["state"] == "completed"
    assert api.claim() == []


def test_failures_come_back_after_a_backoff_then_end_in_the_dead_letters(api: Any) -> None:
    """Not at once; with one attempt more; the reason stays."""
    api.new_queue(max_retries=1)
    made = api.publish({"x": 1})
    api.claim()
    dead = api.act("fail", made["id"], {"reason": "no luck"}).json()["data"]
    assert (dead["id"], dead["state"], dead["queue_id"]) == (made["id"], "dead_lettered", api.dead_letter())
    assert api.claim() == []
    api.new_queue(max_retries=2)
    again = api.publish()
    api.claim()
    failed = api.act("fail", again["id"], {"failure_reason": "why"}).json()["data"]
    assert (failed["state"], failed["failure_reason"]) == ("pending", "why")
    assert failed["visible_at"] > failed["claimed_at"]
    assert api.claim() == []
    listed = api.ok("GET", f"{api.at(api.dead_letter())}/messages")
    assert [message["body"] for message in listed] == [{"x": 1}]


def test_an_expired_claim_comes_back_by_itself(api: Any) -> None:
    """Not before its time, soon after it, with the next attempt; the counters say the same."""
    made = api.publish()
    (held,) = api.claim(timeout_s=1)
    assert api.claim() == []
    while not (back := api.claim(timeout_s=60)):
        assert api.depth() in ((0, 1), (1, 0))
    assert (back[0]["id"], back[0]["attempts"]) == (made["id"], 2)
    assert back[0]["claimed_at"] >= held["claim_expires_at"]


def test_a_release_is_claimable_at_once(api: Any) -> None:
    """At its old place, with its attempt counted."""
    first, _ = api.publish()["id"], api.publish()
    api.claim()
    assert api.act("release", first).json()["data"]["state"] == "pending"
    (again,) = api.claim()
    assert (again["id"], again["attempts"]) == (first, 2)


def test_the_wrong_state_and_the_wrong_holder_are_409(api: Any) -> None:
    """With their codes; an unknown message is 404."""
    made = api.publish()["id"]
    for verb in ("complete", "fail", "release", "extend"):
        _error(api.act(verb, made), 409, "SCAIQUEUE_INVALID_STATE")
        _error(api.act(verb, "nothing"), 404, "SCAIQUEUE_MESSAGE_NOT_FOUND")
    api.claim()
    for verb in ("complete", "fail", "release", "extend"):
        _error(api.act(verb, made, key="consume"), 409, "SCAIQUEUE_NOT_CLAIM_OWNER")
    assert api.depth() == (0, 1)


def test_lists_page_by_cursor_without_gap_or_repetition(api: Any) -> None:
    """Oldest first; `next_cursor` ends with null."""
    made = [api.publish(n)["id"] for n in range(7)]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 3}
    while True:
        page = api.call("GET", f"{api.at()}/messages", params=params).json()
        seen += [message["id"] for message in page["data"]]
        if page["meta"]["next_cursor"] is None:
            break
        params["cursor"] = page["meta"]["next_cursor"]
    assert seen == made
    assert len(api.ok("GET", f"{api.at()}/messages", params={"state": "claimed"})) == 0
    queues = api.call("GET", f"/scopes/{api.scope}/queues", params={"limit": 5}).json()
    rest = api.call("GET", f"/scopes/{api.scope}/queues", params={"cursor": queues["meta"]["next_cursor"]}).json()
    assert [queue["slug"] for queue in queues["data"]] == SYSTEM
    assert [queue["id"] for queue in rest["data"]] == [api.queue]


def test_eight_consumers_share_out_every_message_once(api: Any) -> None:
    """Concurrent claims, in batches, over real connections."""
    made = {api.publish(n)["id"] for n in range(120)}
    taken: list[str] = []
    lock = threading.Lock()

    def consume() -> None:
        while batch := api.claim(5):
            with lock:
                taken.extend(message["id"] for message in batch)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(consume) for _ in range(8)]:
            future.result()
    assert sorted(taken) == sorted(made)
