"""The run directory: where one execution keeps its manifest, history, latencies, results and reports."""

import contextlib
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from queueproof import __version__
from queueproof.errors import CorruptRunError, HarnessError, UsageError
from queueproof.evidence.created import LEDGER
from queueproof.evidence.results import SCHEMA, Results

MANIFEST, RESULTS, REPORT, JUNIT = "manifest.json", "results.json", "report.html", "junit.xml"
CONTRACT = "contract.html"  # the annotated contract
LATEST = "latest"
LOAD_FILES = ("load.json", "locust.log", ".proof")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What ran, when, with which versions, against what. Holds no secret."""

    run: str  # id of the run, also in every name that it gives on the server
    kind: str  # "conformance", "load", "capacity", "compare"
    started: str  # RFC 3339, UTC
    started_us: int  # Unix time, µs
    version: str
    python: str
    machine: str
    target: dict[str, Any]  # url without credentials, how it was started, what it says of itself
    options: dict[str, Any]
    command: str = ""  # how to run the same again, without secrets
    suite: str = ""  # the folder of the cases from the root of the repository that holds it; "" where none does


def new_run_id() -> str:
    """Eight characters a-z0-9: short enough for a slug, and unlike any other run's."""
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(secrets.choice(alphabet) for _ in range(8))


class RunDirectory:
    """One run's files under `path`. Writing is atomic a file, so a killed run leaves whole files or none."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, out: Path | None, kind: str, run: str) -> "RunDirectory":
        """A new directory: `out` itself when given, else reports/DATE-KIND-RUN with `reports/latest` pointing to it.

        Raises UsageError when it cannot be written, or when `out` holds something that is no run.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        path = out if out is not None else Path("reports") / f"{stamp}-{kind}-{run}"
        try:
            if path.exists() and not path.is_dir():
                raise UsageError(f"--out {path} is a file", hint="name a folder")
            if path.is_dir() and any(path.iterdir()):
                if not (path / MANIFEST).exists():
                    raise UsageError(f"--out {path} holds other files", hint="name an empty or a new folder")
                _empty(path)
            path.mkdir(parents=True, exist_ok=True)
            probe = path / ".writable"
            probe.write_bytes(b"")
            probe.unlink()
            if out is None:
                _point(path.parent / LATEST, path)
        except OSError as error:
            raise UsageError(
                f"cannot write to {path}: {error.strerror or error}",
                hint="name a folder that can be written: --out DIR",
            ) from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """An existing run; raises CorruptRunError when `path` is none."""
        if not path.is_dir():
            raise CorruptRunError(f"there is no run directory {path}", hint="name one, for example reports/latest")
        if not (path / MANIFEST).is_file():
            raise CorruptRunError(
                f"{path} is no run directory: it has no {MANIFEST}", hint="name one, for example reports/latest"
            )
        return cls(path)

    def write(self, name: str, content: str | bytes) -> Path:
        """Puts a whole file in its place, or leaves what was there; raises HarnessError when it cannot be written."""
        target = self.path / name
        partial = self.path / f".{name}.partial"
        try:
            partial.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)
            partial.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise HarnessError(
                f"cannot write {target}: {error.strerror or error}",
                hint="make room there, or name another place: --out",
            ) from error
        return target

    def write_manifest(self, manifest: Manifest) -> None:
        self.write(MANIFEST, _pretty(manifest))

    def write_results(self, results: Results) -> None:
        self.write(RESULTS, _pretty(results))

    def manifest(self) -> Manifest:
        manifest: Manifest = self._read(MANIFEST, Manifest)
        return manifest

    def results(self, name: str = RESULTS) -> Results:
        """Those in the file `name`; raises CorruptRunError when it is missing, unreadable, or of a newer form."""
        results: Results = self._read(name, Results)
        if results.schema > SCHEMA:
            raise CorruptRunError(
                f"{self.path / name} has the form {results.schema} of a newer queueproof",
                hint=f"this version reads forms up to {SCHEMA}: update queueproof",
            )
        return results

    def has_results(self) -> bool:
        return (self.path / RESULTS).is_file()

    def _read(self, name: str, kind: type[Any]) -> Any:
        try:
            return msgspec.json.decode((self.path / name).read_bytes(), type=kind)
        except FileNotFoundError as error:
            raise CorruptRunError(
                f"{self.path} has no {name}", hint="the run was cut off before it could write it; run again"
            ) from error
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CorruptRunError(
                f"{self.path / name} cannot be read: {error}", hint="take an unchanged copy"
            ) from error


def claim_file(path: Path, option: str) -> None:
    """Makes sure, before a run, that a file can be written at `path`; raises UsageError, naming the option, if not."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with path.open("ab"):
            pass
        if new:
            path.unlink()
    except OSError as error:
        raise UsageError(
            f"cannot write {option} {path}: {error.strerror or error}",
            hint="name a file in a folder that can be written",
        ) from error


def manifest_of(
    *, run: str, kind: str, target: Mapping[str, Any], options: Mapping[str, Any], command: str, suite: str = ""
) -> Manifest:
    now_s = time.time()
    return Manifest(
        run=run,
        kind=kind,
        started=datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        started_us=int(now_s * 1e6),
        version=__version__,
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        target=dict(target),
        options=dict(options),
        command=command,
        suite=suite,
    )


def _pretty(value: Any) -> bytes:
    text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=1)
    return re.sub(r"[\ud800-\udfff]", "\ufffd", text).encode()


def _empty(path: Path) -> None:
    """Takes an earlier run's own files away, and nothing else."""
    names = (
        *("history-*.ndjson", "latency-*.hlog", MANIFEST, RESULTS, REPORT, JUNIT, CONTRACT, ".*.partial"),
        *(LEDGER, "server.log", *LOAD_FILES),
    )
    for pattern in names:
        for file in path.glob(pattern):
            file.unlink()


def _point(link: Path, target: Path) -> None:
    """`latest` → the newest run; where it cannot be a link (a folder of the user's is there), a file names the run."""
    try:
        if link.is_symlink() or link.is_file():
            link.unlink()
        link.symlink_to(target.name, target_is_directory=True)
    except OSError:
        link.with_suffix(".txt").write_text(str(target), encoding="utf-8")
