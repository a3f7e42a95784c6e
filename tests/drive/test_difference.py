"""A long body that came back changed is told by the place where it changed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueproof.contract.wire import ABSENT
from queueproof.drive.difference import contrast
from queueproof.evidence.digest import same_json

LONG = "x" * 400
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4),
    max_leaves=12,
)


def test_short_values_are_shown_whole() -> None:
    assert contrast({"a": 1}, {"a": 2}) == {"expected": '{"a":1}', "seen": '{"a":2}'}


def test_nothing_at_all() -> None:
    assert contrast([LONG], ABSENT, name="response")["seen"] == "no response"


@pytest.mark.parametrize(
    ("expected", "seen", "told"),
    [
        ({"l": LONG, "v": {"__proto__": 5}}, {"l": LONG, "v": {}}, ('body["v"]["__proto__"]: 5', "nothing")),
        ({"l": LONG}, {"l": LONG, "n": None}, ('body["n"]: nothing', "null")),
        ([LONG, [1, 2]], [LONG, [1, 2.5]], ("body[1][1]: 2", "2.5")),
        ([LONG, True], [LONG, 1], ("body[1]: true", "1")),
        ([LONG + "é"], [LONG + "e"], ('body[0]: 401 characters, from 400 on "é"', '401 characters, from 400 on "e"')),
        (LONG, LONG[:-1], ('body: 400 characters, from 399 on "x"', '399 characters, from 399 on ""')),
        ({"v": LONG}, [LONG], ('body: {"v":', '["xxx')),
    ],
)
def test_long_values_are_told_by_their_first_difference(expected: Any, seen: Any, told: tuple[str, str]) -> None:
    found = contrast(expected, seen)
    assert found["expected"].startswith(told[0])
    assert told[1] in found["seen"]


@given(JSON, JSON)
def test_what_differs_is_told_apart(left: Any, right: Any) -> None:
    found = contrast([LONG, left], [LONG, right])
    assert same_json(left, right) or found["expected"] != found["seen"] or len(found["seen"]) > 100
