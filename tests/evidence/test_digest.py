"""Equal digests for equal JSON, and for nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueproof.evidence.digest import digest, same_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_round_trip_changes_nothing(value: Any) -> None:
    assert digest(json.loads(json.dumps(value))) == digest(value)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (0, False),
        (1, "1"),
        (None, "null"),
        ("", None),
        ([], {}),
        ([1, 2], [2, 1]),
        ([[1], 2], [1, [2]]),
        ({"a": None}, {}),
        ({"a": {"b": 1}}, {"a": {"b": 2}}),
        ("e\u0301", "\u00e9"),
        ("a ", "a"),
        (1, 1.5),
    ],
)
def test_different_json_differs(left: Any, right: Any) -> None:
    assert not same_json(left, right)
    assert digest(left) != digest(right)


def test_order_of_members_and_spelling_of_numbers_are_free() -> None:
    assert digest({"a": 1, "b": [1.0]}) == digest({"b": [1], "a": 1.0})
    assert same_json(10**20, float(10**20))
