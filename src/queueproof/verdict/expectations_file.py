"""The expectations file as text: read with all its mistakes at once, and written anew with the user's words kept.

catalogue = 1

[[expectation]]
requirement = "VIS-1"
outcome = "failed"
why = "the lock is cut to whole seconds"
issue = "https://tracker.example/412"
expires = 2027-03-31
signature = ["hidden_until_its_timeout: a held message was delivered again before its visibility timeout [3fa9c2d1]"]
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from queueproof.contract.requirements import catalogue, catalogue_version
from queueproof.errors import HarnessError, UsageError
from queueproof.evidence.results import Outcome, RequirementResult
from queueproof.verdict.expectations import EXPECTED, Expectation, Expectations
from queueproof.verdict.signature import is_sign

# What a new entry says until somebody says why; it may say so for as long as its date lets it.
UNSAID: Final = "not said yet"
UNSAID_DAYS: Final = 30
MEMBERS: Final = ("requirement", "outcome", "why", "issue", "expires", "signature", "sometimes")
_HEAD: Final = re.compile(r"^\s*\[\[\s*expectation\s*\]\]\s*(#.*)?$")
_PREFACE: Final = "# Failures that are known: docs/ci-gate.md of queueproof says what each member means.\n"


def parse(text: str, name: str, *, filling: bool = False) -> Expectations:
    """The file `name` with this content; `filling`: it is about to be updated, so that a signature may be missing.

    Raises UsageError that lists every mistake, each with its entry and line.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no TOML: {error}", hint="mend it at that line") from error
    mistakes = [f"{found}: there is no such member{_near(found, ('catalogue', 'expectation'))}"
                for found in document if found not in {"catalogue", "expectation"}]  # fmt: skip
    made_with = document.get("catalogue", 1)
    if not isinstance(made_with, int) or isinstance(made_with, bool) or made_with < 1:
        mistakes.append("catalogue: write the number that --update-expectations wrote, or leave it out")
        made_with = 1
    elif made_with > catalogue_version():
        mistakes.append(f"catalogue {made_with} is of a newer queueproof than this one: update queueproof")
    tables = document.get("expectation", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        mistakes.append("expectation: write each entry under a line [[expectation]]")
        tables = []
    entries: dict[str, Expectation] = {}
    for number, (table, line) in enumerate(zip(tables, _lines(text, len(tables)), strict=True), 1):
        entry, wrong = _entry(table, line, filling)
        if entry is not None and entry.requirement in entries:
            wrong.append(f"{entry.requirement} has an entry already: one holds all its signatures")
        where = f"entry {number} ({table.get('requirement', 'without a requirement')})" + (
            f", line {line}" * bool(line)
        )
        mistakes += [f"{where}: {what}" for what in wrong]
        if entry is not None:
            entries.setdefault(entry.requirement, entry)
    if mistakes:
        listed = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise UsageError(f"{name} cannot be used:{listed}", hint="mend them all; nothing was sent to the server")
    return Expectations(name=name, catalogue=made_with, entries=entries)


def _lines(text: str, number: int) -> list[int]:
    """The lines of the entries' heads, zeros where they cannot be told (inline tables)."""
    found = [line for line, content in enumerate(text.splitlines(), 1) if _HEAD.match(content)]
    return found if len(found) == number else [0] * number


def _entry(table: Mapping[str, Any], line: int, filling: bool) -> tuple[Expectation | None, list[str]]:
    """An entry, and what is wrong with it."""
    wrong = [f"there is no member {name}{_near(name, MEMBERS)}" for name in table if name not in MEMBERS]
    requirement = table.get("requirement")
    if not isinstance(requirement, str):
        return None, [*wrong, "it names no requirement"]
    if requirement not in catalogue():
        wrong.append(f"there is no requirement {requirement}{_near(requirement, catalogue())}")
    outcome = table.get("outcome", Outcome.FAILED.value)
    if outcome not in set(EXPECTED):
        wrong.append(f"outcome {outcome!r} cannot be expected: one of {', '.join(EXPECTED)} can")
        outcome = Outcome.FAILED
    texts = {name: table.get(name, "") for name in ("why", "issue")}
    wrong += [f"{name} is no text" for name, value in texts.items() if not isinstance(value, str)]
    expires = table.get("expires")
    if expires is not None and (not isinstance(expires, date) or isinstance(expires, datetime)):
        wrong.append("expires is no date: write it like 2027-03-31, without quotes")
        expires = None
    sometimes = table.get("sometimes", False)
    if not isinstance(sometimes, bool):
        wrong.append("sometimes is true or false")
    why = str(texts["why"]).strip()
    if not why:
        wrong.append("why is missing: say what is broken and why that can wait")
    if (why == UNSAID or sometimes is True) and table.get("expires") is None:
        unsaid = f'its why is still "{UNSAID}"'
        wrong.append(f"it needs an expires, since {unsaid if why == UNSAID else 'it may pass without being mended'}")
    signs, unreadable = _signs(table.get("signature", []), Outcome(outcome), filling)
    return (
        Expectation(
            requirement=requirement,
            outcome=Outcome(outcome),
            why=why,
            issue=str(texts["issue"]),
            expires=expires,
            signature=signs,
            sometimes=sometimes is True,
            line=line,
        ),
        wrong + unreadable,
    )


def _signs(value: Any, outcome: Outcome, filling: bool) -> tuple[tuple[str, ...], list[str]]:
    signs = (value,) if isinstance(value, str) else value
    if not isinstance(signs, list | tuple) or not all(isinstance(sign, str) and is_sign(sign) for sign in signs):
        return (), ["signature is not as --update-expectations writes it, or as results.json tells it"]
    if signs and outcome is not Outcome.FAILED:
        return (), [f"what is {outcome} has no signature: take it away"]
    if not signs and outcome is Outcome.FAILED and not filling:
        return (), ["signature is missing: --update-expectations writes it"]
    return tuple(signs), []


def _near(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=2, cutoff=0.5)
    return f": did you mean {' or '.join(near)}?" if near else ""


# ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, kw_only=True)
class Update:
    """The file's new content, and which requirements' entries were added, changed and taken out."""

    text: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


def updated(text: str, old: Expectations, results: Sequence[RequirementResult], *, today: date) -> Update:
    """The file after a run: what is new is added, what fails differently is changed, what passes is taken out.

    Entries that this run did not try, or could not tell, stay as they are, and so does an expired one: how long a
    failure may last is the user's to say. `results`: compared with `old`. Raises UsageError where the file is not
    written in blocks.
    """
    wanted = {name: _after(entry, results, today) for name, entry in old.entries.items()}
    fresh = {
        one.id: Expectation(
            requirement=one.id, why=UNSAID, expires=today + timedelta(days=UNSAID_DAYS), signature=one.signature
        )
        for one in results
        if one.id not in old.entries and one.outcome is Outcome.FAILED and one.expectation in {"new", "provisional"}
    }
    preface, blocks = _blocks(text, list(old.entries), old.name)
    parts = [_numbered(preface or [_PREFACE, "\n"])]
    for name, block in blocks.items():
        entry = wanted[name]
        parts.append(
            _tail(block) if entry is None else block if entry == old.entries[name] else _rewritten(block, entry)
        )
    parts += [["\n", *_written(entry)] for entry in fresh.values()]
    new = "".join(line for part in parts for line in part)
    _check(new, old.name, [*(entry for entry in wanted.values() if entry), *fresh.values()])
    return Update(
        text=new,
        added=tuple(fresh),
        changed=tuple(name for name, entry in wanted.items() if entry and entry != old.entries[name]),
        removed=tuple(name for name, entry in wanted.items() if entry is None),
    )


def _after(entry: Expectation, results: Sequence[RequirementResult], today: date) -> Expectation | None:
    """An entry after a run; None: it is to be taken out."""
    result = next((one for one in results if one.id == entry.requirement), None)
    if result is None or result.expectation in {"known", "untold"}:
        return entry
    if result.expectation == "stale" or result.outcome is Outcome.NOT_SUPPORTED:
        return None
    if result.outcome is not Outcome.FAILED:
        return entry
    if entry.outcome is Outcome.FAILED and set(result.signature) <= set(entry.signature):
        return entry  # only its date is over
    kept = entry.signature if entry.sometimes else ()
    return replace(entry, outcome=Outcome.FAILED, signature=tuple(sorted({*kept, *result.signature})))


def _check(text: str, name: str, wanted: Sequence[Expectation]) -> None:
    """The new text says what it should; anything else would be a mistake of ours in the user's file."""
    found = parse(text, name, filling=True).entries.values()
    if [replace(entry, line=0) for entry in found] != [replace(entry, line=0) for entry in wanted]:
        raise HarnessError(f"{name} could not be updated", hint="it was left as it is: change it by hand")


def _blocks(text: str, names: list[str], file: str) -> tuple[list[str], dict[str, list[str]]]:
    """The lines before the first entry, and each entry's lines with the comment that stands right above it."""
    lines = [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(keepends=True)]
    heads = [number for number, line in enumerate(lines) if _HEAD.match(line)]
    if len(heads) != len(names):
        raise UsageError(f"{file} cannot be updated", hint="write each entry under a line [[expectation]] of its own")
    starts = []
    for head in heads:
        start = head
        while start and lines[start - 1].lstrip().startswith("#"):
            start -= 1
        starts.append(start)
    ends = [*starts[1:], len(lines)] if starts else []
    preface = lines[: starts[0]] if starts else lines
    return preface, {name: lines[start:end] for name, start, end in zip(names, starts, ends, strict=True)}


def _numbered(preface: list[str]) -> list[str]:
    """The preface with the number of this catalogue."""
    wanted = f"catalogue = {catalogue_version()}\n"
    for number, line in enumerate(preface):
        if re.match(r"\s*catalogue\s*=", line):
            comment = re.search(r"#.*$", line.rstrip())
            preface[number] = f"{wanted.rstrip()}  {comment[0]}\n" if comment else wanted
            return preface
    while preface and not preface[-1].strip():
        preface.pop()
    return [*preface, *(["\n"] if preface else []), wanted]


def _last(block: list[str]) -> int:
    """The number of the lines up to the last that says something."""
    return max(n for n, line in enumerate(block, 1) if line.strip() and not line.lstrip().startswith("#"))


def _tail(block: list[str]) -> list[str]:
    """What is left when an entry is taken out: comments that stand apart from it."""
    rest = block[_last(block) :]
    while rest and rest[0].strip():
        rest = rest[1:]
    return rest if any(line.strip() for line in rest) else []


def _rewritten(block: list[str], entry: Expectation) -> list[str]:
    for name in ("outcome", "signature"):
        block = _without(block, name)
    at = _last(block)
    return [*block[:at], *_member("outcome", entry), *_member("signature", entry), *block[at:]]


def _without(block: list[str], name: str) -> list[str]:
    """The block without a member, which may go over several lines."""
    for start, line in enumerate(block):
        if re.match(rf"\s*{name}\s*=", line):
            for end in range(start + 1, len(block) + 1):
                rest = [*block[:start], *block[end:]]
                try:
                    if name not in tomllib.loads("".join(rest))["expectation"][0]:
                        return rest
                except tomllib.TOMLDecodeError:
                    continue
    return block


def _written(entry: Expectation) -> list[str]:
    lines = ["[[expectation]]\n", f"requirement = {_quoted(entry.requirement)}\n", *_member("outcome", entry)]
    lines.append(f"why = {_quoted(entry.why)}\n")
    lines += [f"expires = {entry.expires.isoformat()}\n"] if entry.expires else []
    return [*lines, *_member("signature", entry)]


def _member(name: str, entry: Expectation) -> list[str]:
    if name == "outcome":
        return [f"outcome = {_quoted(entry.outcome.value)}\n"]
    return ["signature = [\n", *(f"  {_quoted(sign)},\n" for sign in entry.signature), "]\n"] if entry.signature else []


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
