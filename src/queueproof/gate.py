"""The expectations file on the disk: read before a run, and written after it where that was asked for."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from queueproof.contract.requirements import catalogue_version
from queueproof.errors import UsageError
from queueproof.evidence.results import RequirementResult
from queueproof.verdict.expectations import Expectations, counted
from queueproof.verdict.expectations_file import Update, parse, updated


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What is expected of a run, and the day by which dates are judged (UTC)."""

    path: Path | None = None
    text: str = ""
    expectations: Expectations | None = None
    today: date = field(default_factory=lambda: datetime.now(UTC).date())


def open_gate(path: Path | None, *, update: bool = False) -> Gate:
    """The gate that the file makes; without a file nothing is expected, and every failure is new.

    `update`: the file may be missing, and signatures in it. Raises UsageError for a file that cannot be used.
    """
    if path is None:
        if update:
            raise UsageError(
                "--update-expectations needs a file to update", hint="name it: --expectations expectations.toml"
            )
        return Gate()
    if update and not path.exists():
        _writable(path)
        return Gate(path=path, expectations=Expectations(name=path.name, catalogue=catalogue_version()))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"--expectations {path} is no text in UTF-8", hint="name the TOML file") from error
    except OSError as error:
        raise UsageError(
            f"--expectations {path} cannot be read: {error.strerror or error}",
            hint="name the file, or make it with --update-expectations",
        ) from error
    gate = Gate(path=path, text=text, expectations=(found := parse(text, path.name, filling=update)))
    if update:
        _writable(path)
        updated(text, found, [], today=gate.today)  # what cannot be rewritten is said before the run
    return gate


def _writable(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"--expectations {path} cannot be written", hint="name a file in a folder that can be written")


def write_update(gate: Gate, results: Sequence[RequirementResult]) -> tuple[Gate, Update]:
    """Writes the file as the run has found things; the gate that it makes from now on, and what has changed."""
    assert gate.path is not None
    assert gate.expectations is not None
    update = updated(gate.text, gate.expectations, results, today=gate.today)
    if update.text != gate.text:
        partial = gate.path.with_name(f".{gate.path.name}.partial")
        try:
            partial.write_text(update.text, encoding="utf-8")
            partial.replace(gate.path)
        except OSError as error:
            raise UsageError(f"--expectations {gate.path} cannot be written: {error.strerror or error}") from error
    expectations = parse(update.text, gate.path.name, filling=True)
    return Gate(path=gate.path, text=update.text, expectations=expectations, today=gate.today), update


def told(gate: Gate, results: Sequence[RequirementResult], update: Update | None) -> dict[str, Any]:
    """The member `expectations` of results.json; empty where there is no file."""
    if gate.path is None or gate.expectations is None:
        return {}
    counts: dict[str, Any] = {
        "file": gate.path.name,
        "catalogue": gate.expectations.catalogue,
        "today": gate.today.isoformat(),
        "counts": counted(results),
    }
    if update is not None:
        counts["update"] = {
            "added": list(update.added), "changed": list(update.changed), "removed": list(update.removed),
        }  # fmt: skip
    return counts
