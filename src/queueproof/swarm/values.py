"""One value of a scenario at a time, as TOML gives it: read as what is wanted, or told what is wrong with it.

A duration is a number of seconds or text such as "250ms", "10s", "2m", "1h"; a share lies between 0 and 1.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from queueproof.errors import UsageError

_UNITS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Wrong:
    """What a reader gives instead of a value: which one is wanted."""

    why: str


def seconds(value: Any) -> float | None:
    """A duration, s: a number, or text with a unit; None when it is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h)\s*", value) if isinstance(value, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else None


def duration(text: str, option: str) -> float:
    """Seconds that a command line means by "30", "30s", "500ms" or "2m"; raises UsageError that names the option."""
    found = seconds(float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else text)
    if found is None:
        raise UsageError(f"{option} {text!r} is no duration", hint="write it like 30, 30s, 500ms or 2m")
    return found


def meant(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def _int(value: Any, _: Any) -> Any:
    return value if isinstance(value, int) and not isinstance(value, bool) else Wrong("a whole number is wanted")


def _bool(value: Any, _: Any) -> Any:
    return value if isinstance(value, bool) else Wrong("true or false is wanted")


def _text(value: Any, _: Any) -> Any:
    return value if isinstance(value, str) else Wrong("text is wanted")


def _share(value: Any, _: Any) -> Any:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if good else Wrong("a share between 0 and 1 is wanted")


def _duration(value: Any, _: Any) -> Any:
    found = seconds(value)
    return Wrong('seconds or text such as "250ms", "10s", "2m" is wanted') if found is None else found


def _choice(value: Any, choices: tuple[str, ...]) -> Any:
    good = isinstance(value, str) and value in choices
    return value if good else Wrong(f"one of {', '.join(choices)} is wanted{meant(str(value), choices)}")


def _weights(value: Any, choices: tuple[str, ...]) -> Any:
    if not isinstance(value, Mapping) or not all(_positive(weight) for weight in value.values()):
        return Wrong("a table of weights above zero is wanted")
    strange = [name for name in value if name not in choices]
    return Wrong(f"weights of {', '.join(choices)} are wanted{meant(strange[0], choices)}") if strange else dict(value)


def _sizes(value: Any, _: Any) -> Any:
    wrong = Wrong("a size in bytes, or a list of [bytes, weight] is wanted")
    if isinstance(value, int) and not isinstance(value, bool):
        value = [[value, 1]]
    if not isinstance(value, list | tuple) or not value:
        return wrong
    pairs = []
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return wrong
        size, weight = pair
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= 16 << 20 or not _positive(weight):
            return wrong
        pairs.append((size, float(weight)))
    return tuple(pairs)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


# Kind of value → (value, choices) → the value as it is used, or Wrong.
READERS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "int": _int,
    "bool": _bool,
    "text": _text,
    "share": _share,
    "duration": _duration,
    "choice": _choice,
    "weights": _weights,
    "sizes": _sizes,
}
