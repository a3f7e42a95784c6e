"""What a failure looks like, in words that are the same in every run: how a known failure is known again.

A sign is one failing case: its name, what it said, and a digest of what it expected and saw, all without what varies
between two runs (ids, numbers, times, names that carry the run's id). A requirement's signature is all its signs.

    "a_long_hold_is_held_to_its_end: a held message was delivered again before its visibility timeout [3fa9c2d1]"

Status codes after "answered" and the like stay: they tell one bug from another. Where the suite's own cases fail, what
the checks over the whole history found besides is left out, since how much of it there is depends on the hour.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from queueproof.evidence.results import CaseResult, Outcome, RequirementResult

_LONGEST: Final = 140
_CHECK: Final = "check "
# What the engine says of a repeat, and how the suite names what it makes (a run's id may be letters only).
_REPEAT: Final = re.compile(r" \(seen \d+ times in \d+ tries\)$")
_NAMES: Final = re.compile(r"(?<=queueproof )[a-z0-9]{8}\b|\bqp[.]?[a-z0-9]{8}[\w.-]*")
_WORD: Final = re.compile(r"[^\s,;:(){}\[\]\"'`<>/=]+")
_REQUIREMENT: Final = re.compile(r"[A-Z]+-\d+")
_STATUS: Final = re.compile(r"[1-5]\d\d")
_TELLS_STATUS: Final = re.compile(r"(?:^|answered |answers |gives |status )$")
# Numbers and their units run together: "0.9 s" and "12 s" are both "#".
_NUMBERS: Final = re.compile(r"#(?:[\s#.,:/+-]*#)*(?: (?:s|ms|tries|times|messages?)\b)?")
_WHOLE: Final = re.compile(r"(?<![\w.-])\d{1,9}(?![\w.])")
_SIGN: Final = re.compile(r"^(?P<place>[^:\s]+): .* \[(?P<digest>[0-9a-f]{8})\]$")
# As many numbers are values, and more a list.
_FEW: Final = 2
# A text that a case cut may have been cut inside an id.
_CUT: Final = 200


def signature(result: RequirementResult) -> tuple[str, ...]:
    """The signs of a failed requirement, sorted; empty for any other outcome."""
    failed = [case for case in result.cases if case.outcome is Outcome.FAILED]
    if result.outcome is not Outcome.FAILED:
        return ()
    own = [case for case in failed if not case.name.startswith(_CHECK)]
    return tuple(sorted({_sign(case) for case in own or failed} or {_sign_of(result.id, result.summary, "")}))


def is_sign(text: str) -> bool:
    """Whether this is a sign as it is written here."""
    return _SIGN.match(text) is not None


def matches(seen: Iterable[str], known: Iterable[str]) -> bool:
    """Whether a failure is the known one.

    It shows in a place where it has shown before, and nowhere in a way that is new. A race shows in changing places,
    and a bug that was only half mended in fewer of them: both are the same failure still.
    """
    ours, theirs = [[_parts(sign) for sign in signs] for signs in (seen, known)]
    ways = {digest for _, digest in theirs}
    return bool(set(ours) & set(theirs)) and all(digest in ways for _, digest in ours)


def _parts(sign: str) -> tuple[str, str]:
    found = _SIGN.match(sign)
    return (found["place"], found["digest"]) if found else (sign, sign)


def _sign(case: CaseResult) -> str:
    place = case.name.rpartition("::")[2].removeprefix("test_")
    if case.name.startswith(_CHECK):
        return _sign_of(f"check_{case.name.removeprefix(_CHECK).partition(',')[0]}", case.summary, "")
    return _sign_of(place, case.summary, "\n".join((*map(_told, (case.expected, case.seen)), _off(case))))


def _off(case: CaseResult) -> str:
    """Whether the numbers seen are too small or too large, where the words are those that were expected."""
    if steady(case.expected) != steady(case.seen):
        return ""
    pairs = list(zip(_WHOLE.findall(case.expected), _WHOLE.findall(case.seen), strict=False))
    if len(pairs) > _FEW:  # a list, whose order may be another in every run
        return ""
    return "".join("=" if ours == theirs else "<" if int(theirs) < int(ours) else ">" for ours, theirs in pairs)


def _sign_of(place: str, summary: str, more: str) -> str:
    said = steady(summary)
    digest = hashlib.sha256(f"{said}\n{more}".encode()).hexdigest()[:8]
    shown = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    return f"{place.replace(' ', '_')}: {shown or 'failed'} [{digest}]"


def _told(text: str) -> str:
    if len(text) < _CUT:
        return steady(text)
    return steady(text).rpartition(" ")[0][: _CUT // 2]


def steady(text: str) -> str:
    """The text without what varies between two runs of the same failure."""
    text = " ".join(_NAMES.sub("#", _REPEAT.sub("", text)).split())
    return _NUMBERS.sub("#", _WORD.sub(lambda word: _steady(word[0], text[: word.start()]), text))


def _steady(word: str, before: str) -> str:
    if not any(character.isdigit() for character in word) or _REQUIREMENT.fullmatch(word):
        return word
    if _STATUS.fullmatch(word) and _TELLS_STATUS.search(before):
        return word
    return "#"
