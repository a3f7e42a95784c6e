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
    """The value's spelling in parts. A stack instead of recursion: a server may nest deeper than Python calls may."""
    waiting: list[Any] = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, _Spelt):
            yield part
        elif isinstance(part, dict):
            yield "{"
            waiting.append(_Spelt("}"))
            for key in sorted(part, reverse=True):
                waiting += (part[key], _Spelt(f"{len(key)}:{key}="))
        elif isinstance(part, list | tuple):
            yield "["
            waiting.append(_Spelt("]"))
            for element in reversed(part):
                waiting += (_Spelt(","), element)
        else:
            yield _spell_scalar(part)


class _Spelt(str):
    """What stands between values: no value itself."""

    __slots__ = ()


def _spell_scalar(value: Any) -> str:
    if isinstance(value, str):
        return f"s{len(value)}:{value}"
    if isinstance(value, float) and value.is_integer():
        return f"int:{int(value)!r}"
    return f"{type(value).__name__}:{value!r}"  # None, True, False, int, float: their type and their exact value
