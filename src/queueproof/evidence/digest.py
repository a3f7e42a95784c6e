"""A digest of a JSON value under which two values are equal exactly when they are the same JSON.

Types count: `1` is neither `true` nor `"1"`. The order of an object's members does not, nor does the spelling of a
number: a server whose language knows only doubles answers `1` for `1.0`, and is right to (RFC 8259, section 6).
"""

import hashlib
from collections.abc import Iterator
from typing import Any


def digest(value: Any) -> str:
    """Sixteen hexadecimal characters; equal for equal JSON values only (up to 64-bit collisions)."""
    return hashlib.blake2b("".join(_spell(value)).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def same_json(left: Any, right: Any) -> bool:
    """Whether two decoded JSON values are the same JSON, types included."""
    return "".join(_spell(left)) == "".join(_spell(right))


def _spell(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for key in sorted(value):
            yield f"{len(key)}:{key}="
            yield from _spell(value[key])
        yield "}"
    elif isinstance(value, list | tuple):
        yield "["
        for part in value:
            yield from _spell(part)
            yield ","
        yield "]"
    elif isinstance(value, str):
        yield f"s{len(value)}:{value}"
    elif isinstance(value, float) and value.is_integer():
        yield f"int:{int(value)!r}"
    else:  # None, True, False, int, float: their type and their exact value
        yield f"{type(value).__name__}:{value!r}"
