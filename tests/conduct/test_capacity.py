"""A capacity search around its windows: conformance first, a directory a window, one sentence and one exit code."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from queueproof import conduct_capacity
from queueproof.conduct_capacity import CapacityOptions, Told, capacity
from queueproof.drive.load_runner import LoadOptions, LoadRun
from queueproof.drive.target import Target
from queueproof.errors import ExitCode, TargetError, UsageError
from queueproof.evidence.results import Results, Verdict
from queueproof.evidence.run import RunDirectory, manifest_of
from queueproof.report.write import render

OBJECTIVE = ("e2e.p99 < 200ms",)
Came = Callable[[LoadOptions], dict[str, Any]]


def results(**changes: Any) -> Results:
    load = {"sent": 100, "duration_s": 5.0, "series": [], "invalid": [], **changes.pop("load", {})}
    held = ({"expression": OBJECTIVE[0], "value_us": 90_000, "met": changes.pop("met", True)},)
    fields: dict[str, Any] = {"verdict": Verdict.OBJECTIVES_MET, "exit_code": 0, "objectives": held, **changes}
    return Results(schema=1, load=load, verbs={"publish": {"count": 100, "errors": 0}}, **fields)


class AtRest:
    """Asks nobody."""

    def __init__(self, url: str, key: str) -> None: ...

    def read(self) -> float | None:
        return 0.001

    def limited_s(self) -> float:
        return 0.0

    def close(self) -> None: ...


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Callable[[Came], list[LoadOptions]]:
    """Windows that come to what a function says of their options, against a target that is never asked."""
    asked: list[LoadOptions] = []

    def plant(came: Came) -> list[LoadOptions]:
        def run_load(options: LoadOptions, **given: Any) -> LoadRun:
            asked.append(options)
            directory = RunDirectory.create(options.out, "load", "abcd1234")
            directory.write_manifest(
                manifest_of(run="abcd1234", kind="load", target={"url": given["url"]}, options={}, command="")
            )
            found = results(**came(options))
            directory.write_results(found)
            return LoadRun(directory=directory, results=found)

        monkeypatch.setattr(conduct_capacity, "run_load", run_load)
        return asked

    @contextmanager
    def opened(**_: Any) -> Iterator[Target]:
        yield Target(url="http://127.0.0.1:9", key="k")

    monkeypatch.setattr(conduct_capacity, "open_target_blocking", opened)
    monkeypatch.setattr(conduct_capacity, "Reader", AtRest)
    return plant


def carried(limit: float) -> Came:
    return lambda options: {"met": (options.rate or 0) <= limit}


def search(tmp_path: Path, **changes: Any) -> Results:
    given: dict[str, Any] = {"scenario": "steady", "objectives": OBJECTIVE, "skip_conformance": True}
    run = capacity(CapacityOptions(**{**given, "out": tmp_path / "run", **changes}))
    return run.results()


def test_the_answer_stands_in_its_directory(windows: Any, tmp_path: Path) -> None:
    asked = windows(carried(400))
    told: list[Told] = []
    options = CapacityOptions(
        scenario="steady", objectives=OBJECTIVE, skip_conformance=True, users=16, out=tmp_path / "run"
    )
    run = capacity(options, command="queueproof capacity steady", tell=told.append)
    found = run.results()
    assert (found.exit_code, found.verdict) == (0, Verdict.OBJECTIVES_MET)
    assert found.capacity["rate"] == pytest.approx(400, rel=0.05)
    assert found.capacity["low"] <= 400 <= found.capacity["high"]
    assert (found.capacity["bound"], found.capacity["proven"]) == ("interval", False)
    assert "Not proven" in found.summary
    assert {one.users for one in asked} == {16}
    assert {one.settle_s for one in asked} == {conduct_capacity.SETTLE_S}
    assert [one.kind for one in told[:2]] == ["window", "probe"]
    for probe in found.capacity["probes"]:
        assert (tmp_path / "run" / probe["directory"] / "report.html").is_file()
    for form in ("html", "text", "markdown", "json", "junit"):
        assert "400" in render(run.path, form) or form == "junit"
    assert (tmp_path / "run" / "report.html").read_text() == render(run.path, "html")
    assert "windows/01-100/report.html" in render(run.path, "html")


def test_a_second_search_in_one_place_leaves_nothing_of_the_first(windows: Any, tmp_path: Path) -> None:
    windows(carried(400))
    first = search(tmp_path)
    windows(carried(30))
    second = search(tmp_path)
    kept = {path.name for path in (tmp_path / "run" / "windows").iterdir()}
    assert kept == {Path(probe["directory"]).name for probe in second.capacity["probes"]}
    assert first.capacity["rate"] != second.capacity["rate"]


def test_several_processes_give_a_law(windows: Any, tmp_path: Path) -> None:
    windows(lambda options: {"met": (options.rate or 0) <= {1: 400, 2: 600, 4: 700}[options.processes]})
    found = search(tmp_path, processes=(1, 2, 4))
    law = found.capacity["scaling"]
    assert (law["over"], [round(one["count"]) for one in law["points"]]) == ("generator processes", [1, 2, 4])
    assert law["contention"] > 0.1
    assert "What more of them bring" in (tmp_path / "run" / "report.html").read_text()


def test_replicas_are_laid_beside_each_other(windows: Any, tmp_path: Path) -> None:
    for count, limit in ((1, 300), (2, 560)):
        windows(carried(limit))
        search(tmp_path, replicas=count, out=tmp_path / f"r{count}")
    windows(carried(900))
    found = search(tmp_path, replicas=4, beside=(tmp_path / "r1", tmp_path / "r2"))
    law = found.capacity["scaling"]
    assert (law["over"], [one["count"] for one in law["points"]]) == ("replicas", [1, 2, 4])
    with pytest.raises(UsageError, match="--beside"):
        windows(carried(400))
        search(tmp_path, out=tmp_path / "none")
        search(tmp_path, beside=(tmp_path / "none",))


def test_a_red_server_gets_no_number(windows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = windows(carried(400))

    def run_suite(words: list[str], **_: Any) -> int:
        place = Path(words[0].partition("=")[2])
        directory = RunDirectory.create(place, "conformance", "abcd1234")
        directory.write_manifest(manifest_of(run="a", kind="conformance", target={}, options={}, command=""))
        directory.write_results(
            Results(schema=1, verdict=Verdict.DOES_NOT_CONFORM, exit_code=1, summary="It breaks VIS-1.")
        )
        return 1

    monkeypatch.setattr(conduct_capacity, "run_suite", run_suite)
    found = search(tmp_path, skip_conformance=False)
    assert (found.exit_code, found.verdict, asked) == (1, Verdict.DOES_NOT_CONFORM, [])
    assert "No capacity is named" in found.summary
    assert "VIS-1" in found.summary


def core_run(path: Path, url: str = "http://127.0.0.1:9", **changes: Any) -> Path:
    directory = RunDirectory.create(path, "conformance", "abcd1234")
    given = {"run": "a", "kind": "conformance", "target": {"url": url, "kind": "url"}, "options": {}, "command": ""}
    directory.write_manifest(manifest_of(**{**given, **changes}))
    directory.write_results(Results(schema=1, verdict=Verdict.CONFORMS, exit_code=0, summary="All passed."))
    return path


def test_an_earlier_core_run_is_enough(windows: Any, tmp_path: Path) -> None:
    windows(carried(400))
    found = search(tmp_path, skip_conformance=False, conformance=core_run(tmp_path / "core"))
    assert (found.exit_code, found.capacity["proven"]) == (0, True)
    assert "Not proven" not in found.summary


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"url": "http://127.0.0.1:10"}, "it is of http"),
        ({"kind": "load"}, "it is a load run"),
        ({"options": {"requirement": ["VIS-1"]}}, "single requirements"),
    ],
)
def test_another_run_proves_nothing(changes: dict[str, Any], word: str, windows: Any, tmp_path: Path) -> None:
    windows(carried(400))
    found = search(tmp_path, skip_conformance=False, conformance=core_run(tmp_path / "core", **changes))
    assert found.exit_code == 2
    assert word in found.summary


@pytest.mark.parametrize(
    ("came", "code", "word"),
    [
        ({"met": False}, 1, "Even 1/s is too much"),
        ({"exit_code": 3, "summary": "it does not answer", "complete": False}, 3, "went away at 100/s"),
        ({"exit_code": 130, "complete": False}, 130, "Interrupted at 100/s"),
        ({"exit_code": 5, "summary": "Locust failed"}, 4, "Locust failed"),
        ({"load": {"invalid": ["worker 0 used 95% of a core"]}}, 4, "the generator was the bottleneck"),
    ],
)
def test_how_a_search_ends_without_a_number(
    came: dict[str, Any], code: int, word: str, windows: Any, tmp_path: Path
) -> None:
    windows(lambda options: dict(came))
    found = search(tmp_path)
    assert found.exit_code == code
    assert word in found.summary
    assert not found.capacity.get("rate")
    assert (tmp_path / "run" / "report.html").is_file()


def test_the_generators_end_is_a_lower_bound(windows: Any, tmp_path: Path) -> None:
    windows(lambda options: {"load": {"invalid": ["worker 0 used 95% of a core"] if options.rate > 500 else []}})
    found = search(tmp_path)
    assert (found.exit_code, found.capacity["bound"], found.capacity["high"]) == (0, "at-least", None)
    assert "at least" in found.summary
    assert "worker 0" in found.summary


def test_a_target_that_does_not_come_back(windows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows(carried(400))

    class Never:
        def __init__(self, **_: Any) -> None: ...

        def wait(self) -> str:
            raise TargetError("the target did not answer")

    monkeypatch.setattr(conduct_capacity, "Calm", Never)
    assert search(tmp_path).exit_code == ExitCode.TARGET


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"scenario": "ramp"}, "of one rate"),
        ({"scenario": "nothing"}, "no scenario"),
        ({"objectives": ("e2e.p99",)}, "no objective"),
        ({"processes": (0,)}, "--processes"),
        ({"precision": 2.0}, "--precision"),
        ({"rate": -1.0}, "--rate"),
        ({"conformance": Path("x")}, "exclude each other"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(changes: dict[str, Any], word: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=word):
        search(tmp_path, **changes)
    assert not (tmp_path / "run").exists()


@pytest.mark.xdist_group("load")
def test_a_real_search_over_a_server_that_refuses_everything(tmp_path: Path) -> None:
    """Two real windows through the command line: even one a second is too much, exit 1."""
    toy = Path(__file__).parents[1] / "swarm" / "toy_queue.py"
    with subprocess.Popen([sys.executable, str(toy), "broken"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            words = ["capacity", "smoke", "--url", url, "--api-key", "k", "--rate", "3", "--window", "1s"]
            words += ["--skip-conformance", "--out", str(tmp_path / "run")]
            ended = subprocess.run(
                [sys.executable, "-m", "queueproof.cli", *words], capture_output=True, text=True, check=False
            )
        finally:
            server.kill()
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Even 1/s is too much" in ended.stdout
    assert "window 2: 1/s (fall)" in ended.stderr
