"""A comparison from the command line: two directories in, a directory with both beside each other out."""

from pathlib import Path
from typing import Any

import pytest

from queueproof import conduct_compare
from queueproof.errors import CorruptRunError, UsageError
from queueproof.evidence.latency import Interval, IntervalLog, bucket, log_name
from queueproof.evidence.results import Results, Verdict
from queueproof.evidence.run import RunDirectory, manifest_of
from queueproof.report.write import render


def load_run(path: Path, *, claim_ms: float = 20.0, kind: str = "load", **load: Any) -> Path:
    """A run of twelve seconds whose times vary a little from second to second."""
    directory = RunDirectory.create(path, "load", "abcd1234")
    directory.write_manifest(
        manifest_of(run="abcd1234", kind=kind, target={"url": "http://127.0.0.1:9"}, options={}, command="")
    )
    told = {"scenario": "steady", "model": "open", "scheduled": 2400, "sent": 2400, "throughput": 200.0, "invalid": []}
    verbs = {name: {"count": 2400, "errors": 0, "service": {}} for name in ("publish", "claim", "complete")}
    directory.write_results(
        Results(schema=1, verdict=Verdict.OBJECTIVES_MET, exit_code=0, load={**told, **load}, verbs=verbs)
    )
    (path / "history-0.ndjson").write_text("")
    times = {("publish", "response"): 3.0, ("claim", "response"): claim_ms, ("complete", "response"): 3.0}
    times |= {("e2e", "response"): 6.0 + claim_ms, ("dispatch", "lateness"): 0.05}
    for key, middle_ms in times.items():
        log = IntervalLog(path / log_name(*key), start_s=0.0)
        for second in range(12):
            counts: dict[int, int] = {}
            for number in range(200):
                at = bucket(int(1000 * middle_ms * (1 + 0.02 * (second % 3)) * (0.8 + 0.002 * number)))
                counts[at] = counts.get(at, 0) + 1
            log.write(Interval(start_s=float(second), length_s=1.0, counts=counts))
        log.close()
    return path


def compared(tmp_path: Path, baseline: Path | str, run: Path, *fail_on: str) -> RunDirectory:
    return conduct_compare.compared(str(baseline), run, fail_on=fail_on, out=tmp_path / "out", command="queueproof")


def test_two_equal_runs(tmp_path: Path) -> None:
    run = compared(tmp_path, load_run(tmp_path / "a"), load_run(tmp_path / "b"))
    found = run.results()
    assert (found.exit_code, found.verdict) == (0, Verdict.OBJECTIVES_MET)
    assert found.summary == "No regression in 8 of 8 metrics."
    assert run.manifest().kind == "compare"


def test_a_slower_run_is_told_in_every_format(tmp_path: Path) -> None:
    run = compared(tmp_path, load_run(tmp_path / "a"), load_run(tmp_path / "b", claim_ms=24.0))
    found = run.results()
    assert found.exit_code == 1
    for form in ("html", "text", "markdown", "json", "junit"):
        assert "claim.response.p50" in render(run.path, form)
    page = (run.path / "report.html").read_text()
    assert page == render(run.path, "html")
    assert "✗ slower" in page
    assert 'class="slower"' in page
    assert "<failure" in render(run.path, "junit")


def test_other_conditions_are_not_compared(tmp_path: Path) -> None:
    run = compared(tmp_path, load_run(tmp_path / "a"), load_run(tmp_path / "b", scheduled=10))
    assert run.results().exit_code == 4
    assert "Not comparable" in render(run.path, "text")
    assert "The two runs" in render(run.path, "html")


def test_a_baseline_is_kept_small_and_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = conduct_compare.save("main", load_run(tmp_path / "a"))
    assert place == Path("reports/baselines/main")
    names = {path.name for path in place.iterdir()}
    assert "history-0.ndjson" not in names
    assert {"manifest.json", "results.json", "latency-e2e-response.hlog"} <= names
    assert compared(tmp_path, "main", load_run(tmp_path / "b")).results().exit_code == 0
    assert conduct_compare.save("main", tmp_path / "b") == place


def test_what_there_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = load_run(tmp_path / "a")
    with pytest.raises(UsageError, match="no baseline nothing"):
        compared(tmp_path, "nothing", run)
    with pytest.raises(CorruptRunError):
        compared(tmp_path, run, tmp_path / "none")
    with pytest.raises(UsageError, match="--fail-on"):
        compared(tmp_path, run, run, "claim.p99")
    for name in ("", "../x", ".hidden"):
        with pytest.raises(UsageError, match="--save"):
            conduct_compare.save(name, run)
