"""One comparison: two run directories (or a baseline by its name) in, a run directory with the verdict out."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from queueproof.errors import UsageError
from queueproof.evidence.latency import read_logs
from queueproof.evidence.results import SCHEMA, Results
from queueproof.evidence.run import MANIFEST, RESULTS, RunDirectory, manifest_of, new_run_id
from queueproof.report.write import write_reports
from queueproof.verdict.compare import Side, compare, rule

BASELINES: Final = Path("reports") / "baselines"
KEPT: Final = (MANIFEST, RESULTS, "latency-*.hlog")  # what a baseline needs: no history, no page


def compared(baseline: str, run: Path, *, fail_on: Sequence[str], out: Path | None, command: str) -> RunDirectory:
    """Compares, and leaves a run directory; the exit code is in its results. Raises UsageError, CorruptRunError."""
    rules = [rule(expression) for expression in fail_on]
    base, other = _side(find(baseline)), _side(run)
    ident = new_run_id()
    directory = RunDirectory.create(out, "compare", ident)
    options = {"baseline": base.name, "run": other.name, "fail_on": list(fail_on)}
    target = {"url": other.manifest.target.get("url", "")}
    directory.write_manifest(manifest_of(run=ident, kind="compare", target=target, options=options, command=command))
    found = compare(base, other, rules)
    directory.write_results(
        Results(
            schema=SCHEMA,
            verdict=found.verdict,
            exit_code=int(found.exit_code),
            summary=found.summary,
            comparison=found.told,
            objectives=found.objectives,
        )
    )
    write_reports(directory.path)
    return directory


def find(name: str) -> Path:
    """A run directory, or the baseline of that name in reports/baselines; raises UsageError when it is neither."""
    path = Path(name)
    if path.is_dir():
        return path
    if (BASELINES / name).is_dir():
        return BASELINES / name
    known = sorted(one.name for one in BASELINES.glob("*") if one.is_dir())
    raise UsageError(
        f"there is no run directory and no baseline {name}",
        hint=f"baselines are {', '.join(known)}" if known else "save one: queueproof compare --save NAME RUN",
    )


def save(name: str, run: Path) -> Path:
    """Keeps a run as a baseline of that name; what it replaces is gone. Raises UsageError, CorruptRunError."""
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise UsageError(f"--save {name!r} is no name of a folder", hint="write it like main or release-1")
    source = RunDirectory.open(run)
    source.results()
    place = BASELINES / name
    if place.resolve() == run.resolve():
        raise UsageError(f"{run} is that baseline already", hint="name another run")
    try:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for pattern in KEPT:
            for file in run.glob(pattern):
                shutil.copyfile(file, place / file.name)
    except OSError as error:
        raise UsageError(
            f"cannot write {place}: {error.strerror}", hint="run it where reports/ can be written"
        ) from error
    return place


def _side(path: Path) -> Side:
    directory = RunDirectory.open(path)
    return Side(name=str(path), manifest=directory.manifest(), results=directory.results(), logs=read_logs(path))
