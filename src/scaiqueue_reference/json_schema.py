"""A subset of JSON Schema, enough to check message bodies: what it does not know it refuses when a schema is kept."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int, float),
    "number": (int, float),
}
_NOTES = {"$schema", "$id", "title", "description", "default", "examples", "$comment", "format", "deprecated"}
_PARTS = {"items", "additionalProperties", "not"}
_LISTS = {"allOf", "anyOf", "oneOf"}
_COUNTS = {"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"}
_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_OTHERS = {"type", "properties", "required", "enum", "const", "pattern", "uniqueItems"}


def faults(schema: Any, path: str = "schema") -> Iterator[tuple[str, str]]:
    """What is wrong with a schema, or unknown to us: pairs of field and reason."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield path, "must be an object or a boolean"
        return
    for word, value in schema.items():
        here = f"{path}.{word}"
        if word in _LISTS:
            if not isinstance(value, list) or not value:
                yield here, "must be a list of schemas"
                continue
            for place, part in enumerate(value):
                yield from faults(part, f"{here}[{place}]")
        elif word in _PARTS:
            yield from faults(value, here)
        elif word == "properties":
            if not isinstance(value, dict):
                yield here, "must be an object"
                continue
            for name, part in value.items():
                yield from faults(part, f"{here}.{name}")
        elif reason := _word_fault(word, value):
            yield here, reason


def _word_fault(word: str, value: Any) -> str:
    names = value if isinstance(value, list) else [value]
    if word == "type" and not all(isinstance(name, str) and name in _TYPES for name in names):
        return f"must be of {', '.join(_TYPES)}"
    if word == "required" and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        return "must be a list of names"
    if word in _COUNTS and not (type(value) is int and value >= 0):
        return "must be a whole number from 0 on"
    if word in _BOUNDS and (isinstance(value, bool) or not isinstance(value, int | float)):
        return "must be a number"
    if word == "enum" and not isinstance(value, list):
        return "must be a list"
    if word == "pattern":
        try:
            re.compile(value)
        except (TypeError, re.error):
            return "must be a regular expression"
    known = _NOTES | _COUNTS | _BOUNDS | _OTHERS
    return "" if word in known else "is no keyword that this server knows"


def violations(schema: Any, value: Any, path: str = "body") -> Iterator[tuple[str, str]]:
    """Where `value` does not fit the schema: pairs of field and reason."""
    if isinstance(schema, bool):
        if not schema:
            yield path, "is not allowed"
        return
    names = schema.get("type", list(_TYPES))
    if not any(_is(name, value) for name in (names if isinstance(names, list) else [names])):
        yield path, f"must be {names if isinstance(names, str) else ' or '.join(names)}"
        return
    if "enum" in schema and not any(_equal(value, one) for one in schema["enum"]):
        yield path, "is none of the allowed values"
    if "const" in schema and not _equal(value, schema["const"]):
        yield path, "is not the allowed value"
    yield from _combined(schema, value, path)
    if isinstance(value, dict):
        yield from _in_object(schema, value, path)
    elif isinstance(value, list):
        yield from _in_list(schema, value, path)
    elif isinstance(value, str):
        yield from _between(schema, len(value), "Length", path)
        if "pattern" in schema and re.search(schema["pattern"], value) is None:
            yield path, "does not match the pattern"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _in_bounds(schema, value, path)


def _is(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, _TYPES[name])


def _equal(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _combined(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[tuple[str, str]]:
    for part in schema.get("allOf", ()):
        yield from violations(part, value, path)
    for word, most in (("anyOf", None), ("oneOf", 1)):
        fitting = sum(not any(violations(part, value, path)) for part in schema.get(word, ()))
        if word in schema and (fitting == 0 or (most is not None and fitting > most)):
            yield path, f"does not fit {word}"
    if "not" in schema and not any(violations(schema["not"], value, path)):
        yield path, "is what it must not be"


def _in_object(schema: Mapping[str, Any], value: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    yield from ((f"{path}.{name}", "is required") for name in schema.get("required", ()) if name not in value)
    yield from _between(schema, len(value), "Properties", path)
    properties = schema.get("properties", {})
    for name, part in value.items():
        yield from violations(properties.get(name, schema.get("additionalProperties", True)), part, f"{path}.{name}")


def _in_list(schema: Mapping[str, Any], value: list[Any], path: str) -> Iterator[tuple[str, str]]:
    yield from _between(schema, len(value), "Items", path)
    if schema.get("uniqueItems") and any(_equal(one, other) for n, one in enumerate(value) for other in value[:n]):
        yield path, "must not repeat an item"
    for place, part in enumerate(value):
        yield from violations(schema.get("items", True), part, f"{path}[{place}]")


def _between(schema: Mapping[str, Any], count: int, what: str, path: str) -> Iterator[tuple[str, str]]:
    if count < schema.get(f"min{what}", 0):
        yield path, f"is shorter than min{what}"
    if count > schema.get(f"max{what}", count):
        yield path, f"is longer than max{what}"


def _in_bounds(schema: Mapping[str, Any], value: float, path: str) -> Iterator[tuple[str, str]]:
    if value < schema.get("minimum", value) or ("exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]):
        yield path, "is too small"
    if value > schema.get("maximum", value) or ("exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]):
        yield path, "is too large"
    if "multipleOf" in schema and schema["multipleOf"] and value % schema["multipleOf"]:
        yield path, "is no multiple"
