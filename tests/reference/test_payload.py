"""JSON that is the same, and JSON that cannot be read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaiqueue_reference.payload import blame, same_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(values)
def test_spelling_does_not_matter(value: Any) -> None:
    """Spaces, escapes and the order of members are no difference."""
    compact = json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode()
    spaced = json.dumps(value, indent=2, sort_keys=True).encode()
    assert same_json(compact, spaced)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1", "true"),
        ("0", "false"),
        ("1", '"1"'),
        ("null", "false"),
        ('"a"', '"A"'),
        ('"a"', '"a "'),
        ('"\\u00e9"', '"e\\u0301"'),
        ("[1,2]", "[2,1]"),
        ('{"a":null}', "{}"),
        ("9007199254740993", "9007199254740992"),
        ("1e400", "1e401"),
        ("[]", "{}"),
    ],
)
def test_look_alikes_differ(left: str, right: str) -> None:
    """Types and exact values count."""
    assert not same_json(left.encode(), right.encode())


@pytest.mark.parametrize(("left", "right"), [("1", "1.0"), ("100", "1e2"), ("-0", "0"), ("0.10", "0.1")])
def test_numbers_are_compared_by_value(left: str, right: str) -> None:
    """RFC 8259 knows numbers, not integers and floats."""
    assert same_json(left.encode(), right.encode())


def test_what_is_too_deep_to_compare_is_the_same_only_byte_by_byte() -> None:
    """No recursion error escapes."""
    deep = b"[" * 50_000 + b"]" * 50_000
    assert same_json(deep, bytes(deep))
    assert not same_json(deep, deep + b" ")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b'{"type":"t","body":"\\ud800"}', "body"),
        (b'{"type":"\\udfff","body":1}', "type"),
        (b'{"a":1,"body":' + b"[" * 5000 + b"]" * 5000 + b"}", "body"),
        (b'{"a,b":"x\\"}","labels":{"k":"\xff"}}', "labels"),
        (b'{"a": nope}', "a"),
        (b'{"a": [1, 2', "a"),
        (b"[1]", "$"),
        (b"", "$"),
        (b"not json", "$"),
    ],
)
def test_the_member_that_cannot_be_read_is_named(text: bytes, field: str) -> None:
    """The first one, `$` when it is not a member's fault."""
    assert blame(text) == field


@given(st.binary(max_size=60))
def test_blame_never_fails(text: bytes) -> None:
    """Whatever was sent."""
    assert isinstance(blame(b"{" + text), str)
