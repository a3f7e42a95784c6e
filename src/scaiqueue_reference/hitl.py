"""HITL patterns: review forms with `{{name}}` placeholders, and what they become with parameters. Pure."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

SECTIONS = ("context", "decision", "input")
_HOLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class Spec(Struct, frozen=True):
    """`sections` are objects with `type`; `timeout_s` is how long a reviewer has."""

    sections: tuple[dict[str, Any], ...]
    timeout_s: Annotated[float, Meta(gt=0)] | None = None


def problems(spec: Spec) -> list[tuple[str, str]]:
    """What is wrong with a spec: pairs of field and reason."""
    needed = {"context": ("title", "content"), "decision": ("field", "options"), "input": ("field", "kind")}
    found = []
    for place, section in enumerate(spec.sections):
        kind = section.get("type")
        if kind not in needed:
            found.append((f"spec.sections[{place}].type", f"must be one of {', '.join(SECTIONS)}"))
            continue
        found += [(f"spec.sections[{place}].{name}", "is required") for name in needed[kind] if name not in section]
    return found


def expand(value: Any, parameters: Mapping[str, Any]) -> Any:
    """`value` with each `{{name}}` replaced; a text that is one placeholder alone becomes the parameter itself."""
    if isinstance(value, str):
        whole = _HOLE.fullmatch(value)
        if whole:
            return parameters.get(whole[1], value)
        return _HOLE.sub(lambda hole: str(parameters.get(hole[1], hole[0])), value)
    if isinstance(value, list):
        return [expand(part, parameters) for part in value]
    if isinstance(value, dict):
        return {name: expand(part, parameters) for name, part in value.items()}
    return value


def holes(value: Any) -> set[str]:
    """The names of the placeholders in `value`."""
    if isinstance(value, str):
        return set(_HOLE.findall(value))
    parts = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    return {name for part in parts for name in holes(part)}
