"""What a server may have or not have, by the names under which `--require` demands it.

A capability is there when one of its verbs works. The requirements that are about it carry its name in
requirements.toml: with the capability declared, a 404, 405 or 501 fails them; otherwise it is not supported.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from queueproof.contract.requirements import Requirement, catalogue
from queueproof.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Capability:
    """`verbs`: those of wire.py whose absence is its absence."""

    name: str
    words: str
    verbs: frozenset[str]

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """Those that are about it, in the catalogue's order."""
        return tuple(one for one in catalogue().values() if one.capability == self.name)


def _table(*rows: tuple[str, str, str]) -> Mapping[str, Capability]:
    return {name: Capability(name=name, words=words, verbs=frozenset(verbs.split())) for name, words, verbs in rows}


CAPABILITIES: Final[Mapping[str, Capability]] = _table(
    ("fail", "a consumer can fail what it claimed", "fail"),
    ("release", "a consumer can give back what it claimed", "release"),
    ("extend", "a consumer can hold longer what it claimed", "extend"),
    ("dead-letter", "`_dead_letter` is in the list of a scope's queues", "dead-letter list-queues"),
    ("pause", "queues and scopes can be paused and resumed", "pause-queue pause-scope resume-queue resume-scope"),
    ("archive", "queues or scopes can be archived", "archive-queue archive-scope unarchive-scope"),
    ("read-message", "a message's row can be read", "read-message"),
    ("list-queues", "a scope's queues can be listed", "list-queues"),
    ("trace", "messages can be found by their correlation_id", "trace-messages"),
    ("counters", "a queue's row can be read, and shows its depth", "read-queue"),
    ("audit", "the audit log can be read", "audit audit-trace"),
    ("schemas", "schemas can be registered", "add-schema"),
    ("hitl", "review patterns can be registered", "add-hitl-pattern"),
)


def declared(values: Iterable[str]) -> tuple[str, ...]:
    """The capabilities in `values`, each one or several with commas between; in CAPABILITIES' order.

    Raises UsageError for a name that there is not, with the nearest that there is.
    """
    names = {part.strip().lower().replace("_", "-") for value in values for part in value.split(",")} - {""}
    for name in sorted(names):
        if name not in CAPABILITIES:
            near = difflib.get_close_matches(name, CAPABILITIES, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(CAPABILITIES)}"
            raise UsageError(f"--require: there is no capability {name}", hint=hint)
    return tuple(name for name in CAPABILITIES if name in names)


def with_declared(selected: Iterable[Requirement], names: Iterable[str]) -> tuple[Requirement, ...]:
    """What is selected and what is about the named capabilities, in the catalogue's order."""
    wanted = {one.id for one in selected} | {one.id for name in names for one in CAPABILITIES[name].requirements}
    return tuple(one for one in catalogue().values() if one.id in wanted)
