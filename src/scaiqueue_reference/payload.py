"""JSON payloads as bytes: whether two mean the same, and which member of a request cannot be read."""

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

_ANY = msgspec.json.Decoder(msgspec.Raw)


def same_json(left: bytes, right: bytes) -> bool:
    """Whether both are the same JSON value: types count, the order of members and the spelling of numbers do not."""
    if left == right:
        return True
    try:
        return _same(_parse(left), _parse(right))
    except (RecursionError, ValueError):  # deeper or larger than can be compared: only equal bytes are the same
        return False


def _parse(text: bytes) -> Any:
    return json.loads(text, parse_int=_number, parse_float=_number)


def _number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond Decimal's: equal only when spelled equally
        return text


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def blame(text: bytes) -> str:
    """The first member of the object `text` whose value cannot be read, `$` when it is the object itself."""
    start = text.find(b"{")
    if start < 0 or text[:start].strip():
        return "$"
    for key, value in _members(text, start + 1):
        try:
            value.decode()
            _ANY.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            try:
                return msgspec.json.decode(key, type=str)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                return "$"
    return "$"


def _members(text: bytes, position: int) -> list[tuple[bytes, bytes]]:
    """The object's members as raw key and value: cut at colons and commas outside strings and brackets."""
    members: list[tuple[bytes, bytes]] = []
    depth, quoted, key, begin = 0, False, b"", position
    while position < len(text):
        character = text[position]
        if quoted:
            if character == 0x5C:  # a backslash takes the next character with it
                position += 1
            quoted = character != 0x22
        elif character == 0x22:
            quoted = True
        elif character in b"[{":
            depth += 1
        elif character in b"]}" and depth:
            depth -= 1
        elif depth == 0 and character == 0x3A and not key:
            key, begin = text[begin:position].strip(), position + 1
        elif depth == 0 and character in b",}":
            members.append((key, text[begin:position].strip()))
            key, begin = b"", position + 1
        position += 1
    if key:
        members.append((key, text[begin:].strip()))
    return members
