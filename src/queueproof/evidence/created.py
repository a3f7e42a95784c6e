"""What a run makes on its target, written down before it is asked for: a killed run can still be cleaned."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from queueproof.errors import CorruptRunError

LEDGER: Final = "created.ndjson"


@dataclass(kw_only=True)
class CreatedScope:
    """A scope of ours; `id` is "" while (or when) its creation was not answered."""

    slug: str
    id: str = ""
    queues: list[str] = field(default_factory=list)


class Ledger:
    """The scopes and queues of a run, in memory and (with a path) on disk before they are created."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.scopes: dict[str, CreatedScope] = {}

    def intend(self, slug: str) -> None:
        self.scopes[slug] = CreatedScope(slug=slug)
        self._write({"slug": slug})

    def created(self, slug: str, scope: str) -> None:
        self.scopes[slug].id = scope
        self._write({"slug": slug, "id": scope})

    def queue(self, scope: str, queue: str) -> None:
        for created in self.scopes.values():
            if created.id == scope:
                created.queues.append(queue)
        self._write({"scope": scope, "queue": queue})

    def refused(self, slug: str) -> None:
        """The server said no: there is nothing to take away."""
        self.scopes.pop(slug, None)
        self._write({"slug": slug, "refused": True})

    def gone(self, slug: str) -> None:
        """It was taken away."""
        self.scopes.pop(slug, None)
        self._write({"slug": slug, "gone": True})

    def _write(self, entry: dict[str, object]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """What a run's ledger says is left to take away; goes on in the same file. A torn last line is dropped.

        Raises CorruptRunError, naming the line, for anything else that is no entry.
        """
        ledger = cls()
        lines = path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines, 1):
            try:
                ledger._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                if not line.endswith(b"\n"):
                    path.write_bytes(b"".join(lines[:-1]))  # what follows starts a line of its own
                    break
                raise CorruptRunError(
                    f"{path}, line {number}, is no entry of what was created", hint="take an unchanged copy"
                ) from error
        ledger._path = path
        return ledger

    def _take(self, entry: dict[str, Any]) -> None:
        """One line, as `_write` wrote it."""
        if "queue" in entry:
            for created in self.scopes.values():
                if created.id == entry["scope"]:
                    created.queues.append(entry["queue"])
        elif entry.get("refused") or entry.get("gone"):
            self.scopes.pop(entry["slug"], None)
        else:
            self.scopes.setdefault(entry["slug"], CreatedScope(slug=entry["slug"])).id = entry.get("id", "")
