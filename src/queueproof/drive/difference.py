"""Two JSON values that ought to be the same, told so that a reader sees where they are not."""

from typing import Any, Final, TypedDict

from queueproof.contract.wire import ABSENT
from queueproof.drive.case import spell
from queueproof.evidence.digest import same_json

LIMIT: Final = 300  # characters of a value
AROUND: Final = 30  # characters before and behind the place where two texts part


class Contrast(TypedDict):
    """What Case.require takes to say what was expected and what was seen instead."""

    expected: str
    seen: str


def contrast(expected: Any, seen: Any, *, name: str = "body") -> Contrast:
    """Both values whole where they are short, else the first part in which they differ."""
    if seen is ABSENT:
        return {"expected": spell(expected), "seen": f"no {name}"}
    if all(len(spell(value, LIMIT)) <= LIMIT for value in (expected, seen)):
        return {"expected": spell(expected), "seen": spell(seen)}
    place = name
    while (step := _step(expected, seen)) is not None:
        expected, seen = (_part(value, step) for value in (expected, seen))
        place += f"[{spell(step, 60)}]"
    at = place if len(place) <= 3 * AROUND else f"{place[:AROUND]}…{place[-2 * AROUND :]}"
    return {"expected": f"{at}: {_near(expected, seen)}", "seen": f"{at}: {_near(seen, expected)}"}


def _step(expected: Any, seen: Any) -> str | int | None:
    """The first member or element in which two objects or lists differ; None when they are neither."""
    names: list[str | int]
    if isinstance(expected, dict) and isinstance(seen, dict):
        names = list(dict.fromkeys((*expected, *seen)))
    elif isinstance(expected, list) and isinstance(seen, list):
        names = list(range(max(len(expected), len(seen))))
    else:
        return None
    for name in names:
        parts = [_part(value, name) for value in (expected, seen)]
        if any(part is ABSENT for part in parts) or not same_json(*parts):
            return name
    return None


def _part(value: Any, step: str | int) -> Any:
    if isinstance(value, list):
        return value[step] if isinstance(step, int) and step < len(value) else ABSENT
    return value.get(step, ABSENT) if isinstance(value, dict) else ABSENT


def _near(value: Any, other: Any) -> str:
    """A value, or the part of a long text where it begins to differ from the other one."""
    if value is ABSENT:
        return "nothing"
    if not isinstance(value, str) or not isinstance(other, str) or max(len(value), len(other)) <= LIMIT // 2:
        return spell(value, LIMIT // 2)
    pairs = zip(value, other, strict=False)
    first = next((number for number, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(value), len(other)))
    return f"{len(value)} characters, from {first} on {spell(value[first : first + AROUND])}"
