"""Two values have one digest exactly when they are the same JSON: types count, order of members does not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueproof.evidence.digest import digest, same_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=4), children, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        (1, "1"),
        (None, False),
        (None, "None"),
        ("", []),
        ([], {}),
        ([1, 2], [2, 1]),
        ([1, 2], [[1, 2]]),
        (["a", "b"], ["ab"]),
        (["a,", "b"], ["a", ",b"]),
        ({"a": "b=c"}, {"a=b": "c"}),
        ({"a": 1}, {"a": 1, "b": None}),
        (1.5, 1),
        ("a", "A"),
        ("é", "e\u0301"),
        (2**53, 2**53 + 1),
        (0.1, 0.10000000000000002),
        ([[], []], [[[]]]),
    ],
)
def test_different(left: Any, right: Any) -> None:
    assert digest(left) != digest(right)
    assert not same_json(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), (100, 1e2), (0, -0.0), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ((1, 2), [1, 2]), ("\ud800", "\ud800")],
)
def test_same(left: Any, right: Any) -> None:
    assert digest(left) == digest(right)
    assert same_json(left, right)


@given(JSON)
def test_a_round_trip_keeps_it(value: Any) -> None:
    assert digest(json.loads(json.dumps(value))) == digest(value)


@given(JSON, JSON)
def test_digest_and_comparison_agree(left: Any, right: Any) -> None:
    assert (digest(left) == digest(right)) == same_json(left, right)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5))
def test_the_order_of_members_is_free(value: dict[str, Any]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)


def test_the_deepest_value_that_json_can_read_has_a_digest() -> None:
    """A server may nest as it likes: what the decoder takes, the digest takes."""
    deep: Any = 1
    for depth in range(50_000):
        deep = [deep] if depth % 2 else {"a": deep}
    assert len(digest(deep)) == 16


def test_numbers_that_are_none() -> None:
    assert len({digest(float("nan")), digest(float("inf")), digest(float("-inf"))}) == 3
