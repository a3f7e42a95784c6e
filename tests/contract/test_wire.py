"""Requests are written strictly, answers are read leniently, and nothing that a server sends makes reading raise."""

import json
import time
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueproof.contract import paging, wire
from queueproof.contract.wire import ABSENT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4),
    max_leaves=12,
)
# Members that are read somewhere, so that drawn documents reach every branch.
NAMES = st.sampled_from(
    [
        "data",
        "error",
        "meta",
        "id",
        "state",
        "status",
        "items",
        "attempts",
        "priority",
        "tier",
        "score",
        "qp",
        "request_id",
        "code",
        "retry_after",
        "next_cursor",
        "page",
        "offset",
        "limit",
        "total",
        "has_more",
        "pagination",
        "next",
        "cursor",
        "message_type",
        "type",
    ]
)
DOCUMENTS = st.recursive(
    JSON,
    lambda children: st.dictionaries(NAMES, children, max_size=5) | st.lists(children, max_size=3),
    max_leaves=20,
)
HEADERS = st.dictionaries(st.sampled_from(["Retry-After", "X-Request-Id", "Location"]), st.text(max_size=40))


def repr_short(value: object) -> str:
    return repr(value)[:12]


def answer(document: Any = ABSENT, *, status: int = 200, **headers: str) -> wire.Answer:
    content = b"" if document is ABSENT else json.dumps(document).encode()
    return wire.read_answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def read_everything(given_answer: wire.Answer) -> None:
    """Every reader on everything that it may be given."""
    _ = given_answer.data, given_answer.error, given_answer.code, given_answer.request_id, given_answer.success
    paging.next_page(given_answer, {})
    wire.retry_after_s(given_answer, now_s=0.0)
    parts = [given_answer.document, given_answer.data, *(wire.rows(given_answer.data) or [])]
    for part in parts:
        wire.identity(part)
        wire.rows(part)
        wire.state(part)
        wire.token(part)
        if isinstance(part, dict):
            wire.message_type(part)
            wire.priority(part)
            wire.attempts(part)


class TestNeverRaises:
    """Whatever bytes come, reading them gives an Answer."""

    @given(st.integers(100, 599), HEADERS, st.binary(max_size=200))
    def test_any_bytes(self, status: int, headers: dict[str, str], content: bytes) -> None:
        read_everything(wire.read_answer(status, headers, content))

    @given(st.integers(100, 599), HEADERS, DOCUMENTS)
    def test_any_json(self, status: int, headers: dict[str, str], document: Any) -> None:
        read_everything(wire.read_answer(status, headers, json.dumps(document).encode()))

    @pytest.mark.parametrize(
        "content",
        [
            b"[" * 100_000,
            b'{"a":' * 50_000,
            b"9" * 5_000,
            b"\xff\xfe",
            b"\x00",
            b"NaN",
            b'"\\ud800"',
            b"1e999",
            b"{}{}",
        ],
    )
    def test_hostile_bytes(self, content: bytes) -> None:
        read_everything(wire.read_answer(200, {}, content))

    @pytest.mark.parametrize(
        "value", [10**400, float("nan"), float("inf"), -5, True, "soon", None, [1]], ids=repr_short
    )
    def test_hostile_retry_after_in_the_body(self, value: Any) -> None:
        content = json.dumps({"error": {"retry_after": value}}).encode()
        found = wire.retry_after_s(wire.read_answer(429, {}, content), now_s=0.0)
        assert found is None or found >= 0


class TestAnswers:
    """The envelope, whole or in part."""

    def test_whole_envelope(self) -> None:
        read = answer({"status": "ok", "data": {"id": "m1", "state": "PENDING"}, "meta": {"request_id": "r1"}})
        assert (read.success, read.json, read.request_id) == (True, True, "r1")
        assert (wire.identity(read.data), wire.state(read.data)) == ("m1", "pending")

    def test_an_error_says_its_code(self) -> None:
        read = answer({"status": "error", "error": {"code": "NOT_FOUND", "message": "x"}}, status=404)
        assert (read.success, read.code) == (False, "NOT_FOUND")

    @pytest.mark.parametrize("document", [{}, [], "ok", 1, None, {"error": "text"}, {"error": {"code": 5}}])
    def test_what_is_no_error_envelope_has_no_code(self, document: Any) -> None:
        assert answer(document, status=400).code == ""

    def test_null_data_is_not_absent_data(self) -> None:
        assert answer({"data": None}).data is None
        assert answer({}).data is ABSENT

    def test_an_empty_body_is_no_json(self) -> None:
        assert not answer().json
        assert not wire.read_answer(200, {}, b" \r\n").json

    def test_null_is_json(self) -> None:
        assert wire.read_answer(200, {}, b"null").json

    def test_the_request_id_falls_back_to_the_header(self) -> None:
        assert answer({}, X_Request_Id="r9").request_id == "r9"

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            ([1, 2], [1, 2]),
            ({"items": [1]}, [1]),
            ({"messages": [1], "total": 1}, [1]),
            ({"items": [], "other": [1]}, []),
            ({"a": [1], "b": [2]}, None),
            ({}, None),
            (None, None),
            ("x", None),
            (ABSENT, None),
        ],
    )
    def test_rows(self, data: Any, expected: list[Any] | None) -> None:
        assert wire.rows(data) == expected

    @pytest.mark.parametrize(
        ("value", "expected"),
        [({"id": "a"}, "a"), ({"id": 7}, "7"), ({"id": True}, ""), ({"id": None}, ""), ({}, ""), ([], ""), (None, "")],
    )
    def test_identity(self, value: Any, expected: str) -> None:
        assert wire.identity(value) == expected

    @pytest.mark.parametrize(
        ("message", "expected"),
        [
            ({"priority": {"tier": "high", "score": 7}}, ("high", 7)),
            ({"priority_tier": "low", "priority_score": 1}, ("low", 1)),
            ({"priority": "high", "priority_score": 1}, (ABSENT, 1)),
            ({"priority": {}}, (ABSENT, ABSENT)),
            ({}, (ABSENT, ABSENT)),
        ],
    )
    def test_priority(self, message: dict[str, Any], expected: tuple[Any, Any]) -> None:
        assert wire.priority(message) == expected

    def test_type_under_either_name(self) -> None:
        assert wire.message_type({"type": "t"}) == wire.message_type({"message_type": "t"}) == "t"
        assert wire.message_type({}) is ABSENT

    @pytest.mark.parametrize(
        ("value", "expected"), [(1, 1), (0, 0), ("1", None), (True, None), (1.0, 1), (1.5, None), (None, None)]
    )
    def test_attempts(self, value: Any, expected: int | None) -> None:
        assert wire.attempts({"attempts": value}) == expected

    @pytest.mark.parametrize(
        ("document", "query"),
        [
            ({"data": [], "meta": {"pagination": {"next_cursor": "c"}}}, {"cursor": "c"}),
            ({"data": [], "meta": {"next_cursor": "c"}}, {"cursor": "c"}),
            ({"data": {"items": [], "next_cursor": 50}}, {"cursor": "50"}),
            ({"data": [], "pagination": {"next": "c"}}, {"cursor": "c"}),
            ({"cursor": "c"}, {"cursor": "c"}),
            ({"links": {"next": "/v1/q?limit=5&after=a%20b"}}, {"limit": "5", "after": "a b"}),
            ({"next": "https://host/q?page=2#top"}, {"page": "2"}),
            ({"meta": {"page": 1, "total_pages": 2}}, {"page": "2"}),
            ({"data": {"items": [], "page": 0, "has_more": True}}, {"page": "1"}),
            ({"data": {"offset": 0, "limit": 20, "total": 21}}, {"offset": "20"}),
            ({"data": [], "has_more": True}, {}),
            ({"data": [], "meta": {"total": 4}}, {}),
        ],
    )
    def test_the_next_page_however_it_is_told(self, document: Any, query: dict[str, str]) -> None:
        assert paging.next_page(answer(document), {}, seen=3) == query

    def test_the_next_page_in_a_header(self) -> None:
        link = '<https://host/q?page=1>; rel="first", <https://host/q?page=3>; rel="next"'
        assert paging.next_page(answer({"data": []}, link=link), {"page": "2"}) == {"page": "3"}

    @pytest.mark.parametrize(
        "document",
        [
            {},
            [],
            None,
            {"next_cursor": None},
            {"next_cursor": ""},
            {"meta": []},
            {"cursor": "here", "next_cursor": None},
            {"cursor": "asked"},
            {"meta": {"page": 2, "total_pages": 2}},
            {"data": {"offset": 20, "limit": 20, "total": 3}},
            {"data": [], "has_more": False, "total": True},
        ],
    )
    def test_the_last_page(self, document: Any) -> None:
        assert paging.next_page(answer(document), {"cursor": "asked"}, seen=3) is None


class TestTokens:
    """A token is found wherever a body can carry one, and nothing else is taken for it."""

    @pytest.mark.parametrize("body", [{"qp": "qp.r.1"}, ["qp.r.1", 2], "qp.r.1"])
    def test_found(self, body: Any) -> None:
        assert wire.token(body) == "qp.r.1"

    @pytest.mark.parametrize("body", [{}, {"qp": 1}, [], [1], "other", None, 1, {"qp": ["qp.r.1"]}, ABSENT])
    def test_none(self, body: Any) -> None:
        assert wire.token(body) == ""


class TestRetryAfter:
    """Seconds, dates and the error's own member."""

    @pytest.mark.parametrize(("text", "expected"), [("3", 3.0), ("0", 0.0), ("1.5", 1.5), ("-2", 0.0), (" 2 ", 2.0)])
    def test_seconds(self, text: str, expected: float) -> None:
        assert wire.retry_after_s(answer({}, status=429, Retry_After=text), now_s=0.0) == expected

    def test_a_date(self) -> None:
        read = answer({}, status=429, Retry_After="Thu, 01 Jan 1970 00:01:40 GMT")
        assert wire.retry_after_s(read, now_s=90.0) == 10.0
        assert wire.retry_after_s(read, now_s=time.time()) == 0.0

    def test_the_header_goes_before_the_body(self) -> None:
        read = answer({"error": {"retry_after": 9}}, status=429, Retry_After="2")
        assert wire.retry_after_s(read, now_s=0.0) == 2.0

    def test_an_unreadable_header_leaves_the_body(self) -> None:
        read = answer({"error": {"retry_after": 9}}, status=429, Retry_After="later")
        assert wire.retry_after_s(read, now_s=0.0) == 9.0

    @pytest.mark.parametrize("text", ["", "later", "99999999999999999999 Jan", "Thu, 99 Foo 1970 00:00:00 GMT", "1,5"])
    def test_unreadable(self, text: str) -> None:
        assert wire.retry_after_s(answer({}, status=429, Retry_After=text), now_s=0.0) is None


class TestPaths:
    """Whatever an id holds, it stays one segment of the path."""

    @pytest.mark.parametrize(
        "value", ["..", ".", "a/b", "%2F", "a b", "ü", "😀", "?x=1", "#x", "a;b", "\\", "...", "a.b"]
    )
    def test_odd_ids(self, value: str) -> None:
        path = wire.message_path("s", value)
        last = path.removeprefix(f"{wire.BASE}/scopes/s/messages/")
        assert not set("/?# ") & set(last)
        assert last not in {".", ".."}
        assert unquote(last) == value

    @given(st.text())
    def test_any_id(self, value: str) -> None:
        last = wire.segment(value)
        assert not set("/?#") & set(last)
        assert unquote(last) == value

    def test_a_lone_surrogate_is_replaced(self) -> None:
        assert wire.segment("a\ud800") == wire.segment("a?")

    def test_queries_are_escaped(self) -> None:
        path = wire.trace_messages("s", "a&b=c").path
        assert path.endswith("/messages?correlation_id=a%26b%3Dc")
        assert "?" not in wire.list_scopes().path


class TestRequests:
    """The quickstart's own shapes."""

    def test_publish(self) -> None:
        request = wire.publish("s", "q", {"type": "t", "body": {"a": "ü"}})
        assert (request.method, request.verb) == ("POST", "publish")
        assert request.path == "/v1/modules/scaiqueue/scopes/s/queues/q/messages"
        assert json.loads(request.body or b"") == {"type": "t", "body": {"a": "ü"}}

    def test_claim(self) -> None:
        request = wire.claim("s", "q", batch_size=5, visibility_timeout_s=30)
        assert request.path.endswith("/scopes/s/queues/q/messages/claim")
        assert json.loads(request.body or b"") == {"batch_size": 5, "visibility_timeout_s": 30}

    def test_settling_goes_to_the_message(self) -> None:
        for request in (
            wire.complete("s", "m", response={"ok": True}),
            wire.fail("s", "m", reason="why"),
            wire.release("s", "m"),
            wire.extend("s", "m", visibility_timeout_s=5),
        ):
            assert request.path.endswith(f"/scopes/s/messages/m/{request.verb}")
            assert request.message == "m"

    def test_complete_without_a_response(self) -> None:
        assert json.loads(wire.complete("s", "m").body or b"") == {}
        assert json.loads(wire.complete("s", "m", response=None).body or b"") == {"response": None}

    @given(JSON.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value)))
    def test_any_json_survives_encoding(self, value: Any) -> None:
        assert json.loads(wire.encode(value)) == value

    def test_a_lone_surrogate_is_escaped(self) -> None:
        assert wire.encode("\ud800") == b'"\\ud800"'

    def test_what_is_no_json_number_is_refused(self) -> None:
        with pytest.raises(ValueError, match="JSON"):
            wire.encode(float("nan"))


class TestRank:
    """Smaller ranks go first under priority ordering."""

    def test_order(self) -> None:
        ranked = [wire.rank(tier, score) for tier in wire.TIERS for score in (1000, 500, 0)]
        assert ranked == sorted(ranked)
        assert len(set(ranked)) == len(ranked)
