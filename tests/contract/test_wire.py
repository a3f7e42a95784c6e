"""The wire form: strict in what it sends, lenient in what it reads, and never surprised."""

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueproof.contract import wire


@given(st.text(min_size=1))
def test_an_id_stays_one_path_segment(identity: str) -> None:
    """Whatever an id holds, it neither ends its segment nor leaves it, and comes out as it went in."""
    try:
        segment = wire.segment(identity)
    except UnicodeEncodeError:  # a lone surrogate is no text that a URL can carry
        return
    assert not set(segment) & set("/?# \\")
    assert segment not in {"", ".", ".."}
    assert unquote(segment) == identity


@given(st.binary(max_size=200), st.integers(100, 599))
def test_reading_never_raises(content: bytes, status: int) -> None:
    answer = wire.read_answer(status, {"Content-Type": "application/json"}, content)
    wire.rows(answer.data)
    wire.identity(answer.data)
    wire.state(answer.data)
    wire.next_cursor(answer.document)
    assert isinstance(answer.code, str)
    assert isinstance(answer.request_id, str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_what_is_sent_is_the_same_json(value: Any) -> None:
    assert json.loads(wire.encode(value)) == value


def test_a_lone_surrogate_is_escaped() -> None:
    assert json.loads(wire.encode({"v": "\ud800"})) == {"v": "\ud800"}


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        ([1], [1]),
        ({"items": [1]}, [1]),
        ({"messages": [1], "total": 1}, [1]),
        ({"items": [], "other": [1]}, []),
        ({"id": "x"}, None),
        ("text", None),
        (None, None),
    ],
)
def test_lists_come_bare_or_under_items(data: Any, rows: list[Any] | None) -> None:
    assert wire.rows(data) == rows


@pytest.mark.parametrize(
    ("resource", "identity"),
    [({"id": "a/b"}, "a/b"), ({"id": 7}, "7"), ({"id": True}, ""), ({"id": None}, ""), ({}, ""), ([], "")],
)
def test_ids_are_any_text(resource: Any, identity: str) -> None:
    assert wire.identity(resource) == identity


def test_type_and_priority_in_both_forms() -> None:
    assert wire.message_type({"type": "a"}) == wire.message_type({"message_type": "a"}) == "a"
    assert wire.priority({"priority": {"tier": "high", "score": 3}}) == ("high", 3)
    assert wire.priority({"priority_tier": "high", "priority_score": 3}) == ("high", 3)


def test_rank_goes_by_tier_then_score() -> None:
    ordered = [("critical", 0), ("high", 1000), ("high", 0), ("background", 1000), ("background", 0)]
    ranks = [wire.rank(tier, score) for tier, score in ordered]
    assert ranks == sorted(set(ranks))


@pytest.mark.parametrize(
    ("headers", "error", "seconds"),
    [
        ({"Retry-After": "3"}, {}, 3.0),
        ({"retry-after": "0.5"}, {}, 0.5),
        ({"Retry-After": "-1"}, {}, 0.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:12 GMT"}, {}, 2.0),
        ({"Retry-After": "soon"}, {"retry_after": 4}, 4.0),
        ({}, {"retry_after": 4}, 4.0),
        ({}, {"retry_after": True}, None),
        ({}, {}, None),
    ],
)
def test_retry_after_in_every_form(headers: dict[str, str], error: dict[str, Any], seconds: float | None) -> None:
    answer = wire.read_answer(429, headers, wire.encode({"error": error}))
    assert wire.retry_after_s(answer, now_s=10.0) == seconds


def test_a_token_is_found_where_it_was_put() -> None:
    for body in ({"qp": "qp.r.1"}, ["qp.r.1", 2], "qp.r.1"):
        assert wire.token(body) == "qp.r.1"
    for body in ({"qp": 1}, {"other": "qp.r.1"}, [], None, "text", {"qp": "x"}):
        assert wire.token(body) == ""


def test_a_null_under_data_is_not_absent() -> None:
    assert wire.read_answer(200, {}, b'{"data": null}').data is None
    assert wire.read_answer(200, {}, b"{}").data is wire.ABSENT
    assert not wire.read_answer(204, {}, b"").json
