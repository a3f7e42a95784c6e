"""The subset of JSON Schema."""

from typing import Any

import pytest

from scaiqueue_reference.json_schema import faults, violations


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [1, 1.0, -3], [1.5, True, "1", None]),
        ({"type": ["string", "null"]}, ["", None], [0, [], {}]),
        ({"type": "boolean"}, [True], [1, "true"]),
        ({"enum": [1, "a", None]}, [1, "a", None], [True, "A", 0]),
        ({"const": False}, [False], [0, None]),
        ({"minimum": 1, "exclusiveMaximum": 3}, [1, 2.9, "text"], [0.9, 3]),
        ({"multipleOf": 5}, [10, 0], [11]),
        ({"minLength": 2, "maxLength": 3}, ["ab", "abc", 7], ["a", "abcd"]),
        ({"pattern": "^a"}, ["ab"], ["ba"]),
        ({"items": {"type": "number"}, "minItems": 1, "uniqueItems": True}, [[1, 2]], [[], ["a"], [1, 1]]),
        (
            {"required": ["a"], "additionalProperties": False, "properties": {"a": True}},
            [{"a": 1}],
            [{}, {"a": 1, "b": 1}],
        ),
        ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, ["x", 6], [4]),
        ({"oneOf": [{"minimum": 1}, {"maximum": 5}]}, [0, 6], [3]),
        ({"allOf": [{"minimum": 1}, {"maximum": 5}]}, [3], [0, 6]),
        ({"not": {"type": "null"}}, [1], [None]),
        (True, [1, None], []),
        (False, [], [1, None]),
    ],
)
def test_a_schema_tells_good_from_bad(schema: Any, good: list[Any], bad: list[Any]) -> None:
    """Each keyword applies to values of its kind alone."""
    assert list(faults(schema)) == []
    assert [value for value in good if list(violations(schema, value))] == []
    assert [value for value in bad if not list(violations(schema, value))] == []


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "objekt"}, "schema.type"),
        ({"$ref": "#/x"}, "schema.$ref"),
        ({"properties": {"a": {"required": "b"}}}, "schema.properties.a.required"),
        ({"pattern": "("}, "schema.pattern"),
        ({"minLength": -1}, "schema.minLength"),
        ({"anyOf": []}, "schema.anyOf"),
        ({"items": 5}, "schema.items"),
        ([], "schema"),
    ],
)
def test_what_it_does_not_know_is_refused_and_named(schema: Any, field: str) -> None:
    """A keyword that would be ignored is no promise that can be kept."""
    assert [place for place, _ in faults(schema)] == [field]
