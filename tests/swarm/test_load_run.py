"""A load as the command line starts it: Locust in a child, with workers, signals, and a verdict at the end."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from queueproof import conduct_load
from queueproof.drive import load_runner
from queueproof.drive.load_runner import Ended, LoadOptions, run_load
from queueproof.errors import UsageError
from queueproof.evidence.history import read_history
from queueproof.evidence.latency import merged, read_logs
from queueproof.evidence.results import Results
from queueproof.swarm.plan import HEAD_START_S
from queueproof.verdict import load_judge, objectives

Make = Callable[..., Any]
SCENARIO = """
[consumers]
count = 4
visibility_timeout_s = "300ms"
idle_s = "10ms"
[sending]
timeout_s = 2
connect_timeout_s = 1
[drain]
cadence_s = 0
slack_s = "600ms"
backoff_s = 0
limit_s = 20
[[stages]]
rate = 60
duration = {duration}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[[float], str]:
    def write(duration: float) -> str:
        path = tmp_path / "own.toml"
        path.write_text(SCENARIO.format(duration=duration))
        return str(path)

    return write


def judge(directory: Path, ended: Ended, *expressions: str) -> Results:
    ending = load_judge.Ending(interrupted=ended.interrupted, failure=ended.failure, aborted=ended.aborted)
    wanted = objectives.parse_all(["errors < 1%", "backlog.end == 0", *expressions])
    return load_judge.judge(directory, objectives=wanted, ending=ending)


def left_over(run: str) -> list[str]:
    """Command lines of processes that still work on this run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if run in line and "locust" in line:
            found.append(line)
    return found


def test_two_processes_count_what_the_server_counted(serve: Make, scenario: Make, tmp_path: Path) -> None:
    lines: list[Any] = []
    options = LoadOptions(scenario=scenario(1.5), processes=2, out=tmp_path / "run")
    done = run_load(options, url=serve(), api_key="k", judge=judge, live=lines.append)
    results = done.results
    assert (results.exit_code, results.verdict.value) == (0, "objectives-met"), results.load.get("problems")
    assert results.verbs["publish"]["count"] == results.load["sent"] == 90
    assert read_history(done.directory.path).calls.filter(_publishes()).height == 90
    assert len(results.load["workers"]) == 2
    assert results.complete
    assert done.directory.results().verdict == results.verdict
    assert done.directory.manifest().kind == "load"
    assert lines[-1]["published"] == 90
    names = {path.name for path in done.directory.path.iterdir()}
    assert {"manifest.json", "results.json", "history-0.ndjson", "history-1.ndjson", "history-2.ndjson"} <= names
    assert not {"load.json", "locust.log", ".proof"} & names
    assert left_over(done.directory.manifest().run) == []


def _publishes() -> Any:
    return pl.col("verb") == "publish"


def test_a_closed_load_runs_on_locusts_users(serve: Make, scenario: Make, tmp_path: Path) -> None:
    options = LoadOptions(scenario=scenario(1), users=3, out=tmp_path / "run")
    results = run_load(options, url=serve("slow"), api_key="", judge=judge).results
    assert results.load["model"] == "closed"
    assert 10 < results.load["sent"] < 90
    assert results.exit_code == 0, load_judge.told(results)


@pytest.mark.parametrize("fault", ["lost", "sealed"])
def test_a_fault_is_found(fault: str, serve: Make, scenario: Make, tmp_path: Path) -> None:
    """One published message in seven is forgotten: exit 1, and the finding names it, whatever the dead letters do."""
    options = LoadOptions(scenario=scenario(0.6), out=tmp_path / "run")
    results = run_load(options, url=serve(fault), api_key="", judge=judge).results
    assert results.exit_code == 1
    assert results.verdict.value == "does-not-conform"
    assert {"loss"} <= {finding.check for finding in results.findings if finding.weight == "violation"}


def test_a_target_that_is_not_there(scenario: Make, tmp_path: Path) -> None:
    options = LoadOptions(scenario=scenario(1), out=tmp_path / "run")
    results = run_load(options, url="http://127.0.0.1:9", api_key="", judge=judge).results
    assert results.exit_code == 3
    assert "could not be asked to create scope" in results.summary


def test_a_hopeless_run_is_ended_early(serve: Make, scenario: Make, tmp_path: Path) -> None:
    options = LoadOptions(scenario=scenario(60), out=tmp_path / "run")
    done = run_load(
        options, url=serve(), api_key="", judge=judge, abort=lambda line: "enough" if line["published"] > 20 else ""
    )
    assert 20 < done.results.load["sent"] < done.results.load["scheduled"]
    assert (done.results.exit_code, done.results.summary) == (1, "Ended early: enough")


def test_abort_on_ends_a_load_and_keeps_what_it_gathered(serve: Make, scenario: Make, tmp_path: Path) -> None:
    options = LoadOptions(scenario=scenario(60), abort_on=("errors > 5%",), out=tmp_path / "run")
    results = conduct_load.load(options, url=serve("broken"), key="k").results
    assert (results.exit_code, results.complete, results.summary) == (1, False, "Ended early: errors > 5%")
    assert results.verbs["publish"]["count"] > 0
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_locust_that_fails_is_told_with_its_last_words(
    serve: Make, scenario: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "locustfile.py"
    broken.write_text("raise SystemExit('no such thing')\n")
    monkeypatch.setattr(load_runner, "locustfile", lambda: broken)
    options = LoadOptions(scenario=scenario(1), out=tmp_path / "run")
    results = run_load(options, url=serve(), api_key="", judge=judge).results
    assert results.exit_code == 5
    assert "no such thing" in results.summary


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    options = LoadOptions(
        scenario="stedy",
        processes=10_000,
        objectives=("errors < 1", "claim.p99 < 5ms", "e2e.p99 < 5"),
        abort_on=("throughput < 5/s",),
        nemesis=("kill",),
        restart_cmd="true",
        out=tmp_path / "run",
    )
    with pytest.raises(UsageError, match="8 mistakes:") as caught:
        conduct_load.load(options, url="localhost:8000", key="k")
    for part in (
        'no scenario "stedy"',
        "`claim.p99 < 5ms`: claim.p99 is no metric",
        "`e2e.p99 < 5`: e2e.p99 is measured in",
        "throughput is known only when the load is over",
        "--processes 10000",
        "--url 'localhost:8000'",
        "no nemesis 'kill'",
        "--restart-cmd has nothing to do",
    ):
        assert part in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_closed_load_lasts_as_long_as_its_stages(serve: Make, scenario: Make, tmp_path: Path) -> None:
    """What producers send before the consumers begin would wait for them, and count for a rate that there was not."""
    done = run_load(
        LoadOptions(scenario=scenario(0.5), users=2, out=tmp_path / "run"), url=serve(), api_key="", judge=judge
    )
    history = read_history(done.directory.path)
    sent = history.calls.filter(_publishes())["inv"]
    begun = next(mark.at_ns for mark in history.marks if mark.name == "load")
    assert done.results.load["sent"] == len(sent) > 0
    assert int(sent.min()) >= begun + int(HEAD_START_S * 1e9)  # type: ignore[arg-type]
    assert int(sent.max()) - int(sent.min()) <= 0.7e9  # type: ignore[arg-type]


def test_wrong_options_are_refused_before_anything_starts(scenario: Make, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    for options in (
        LoadOptions(scenario=scenario(1), processes=0, out=tmp_path / "run"),
        LoadOptions(scenario=scenario(1), out=tmp_path / "other"),
    ):
        with pytest.raises(UsageError):
            run_load(options, url="http://127.0.0.1:9", api_key="", judge=judge)


PROGRAM = """
import sys
from pathlib import Path
from test_load_run import judge
from queueproof.drive.load_runner import LoadOptions, run_load

def live(line):
    print(line["phase"], line["published"], flush=True)

done = run_load(LoadOptions(scenario=sys.argv[1], processes=2, out=Path(sys.argv[2])), url=sys.argv[3], api_key="",
                judge=judge, live=live)
raise SystemExit(done.results.exit_code)
"""


def test_ctrl_c_while_locust_is_being_started(
    serve: Make, scenario: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.Popen

    def popen(*arguments: Any, **options: Any) -> "subprocess.Popen[bytes]":
        process = real(*arguments, **options)
        if "start_new_session" in options:  # Locust, and nothing that a library asks the system
            signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(load_runner.subprocess, "Popen", popen)
    options = LoadOptions(scenario=scenario(3), out=tmp_path / "run")
    done = run_load(options, url=serve(), api_key="", judge=judge)
    assert (done.results.exit_code, done.results.complete) == (130, False)
    assert not done.results.verbs  # it was told, and did not run to its end
    assert left_over(done.directory.manifest().run) == []


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c(times: int, serve: Make, scenario: Make, tmp_path: Path) -> None:
    """Once: stop, drain, final, and a report. Twice: at once. What was gathered is kept, and nobody is left."""
    command = [sys.executable, "-c", PROGRAM, scenario(60), str(tmp_path / "run"), serve()]
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        for line in process.stdout:
            phase, published = line.split()
            if phase == "load" and int(published) > 60:
                break
        process.send_signal(signal.SIGINT)
        if times == 2:
            time.sleep(0.05)
            process.send_signal(signal.SIGINT)
        process.stdout.read()
        watchdog.cancel()
    assert process.returncode == 130
    directory = load_runner.RunDirectory(tmp_path / "run")
    results = directory.results()
    assert (results.exit_code, results.complete) == (130, False)
    history = read_history(directory.path)
    assert history.calls.filter(_publishes()).height > 20
    assert left_over(directory.manifest().run) == []
    if times == 1:
        assert results.load["sent"] == history.calls.filter(_publishes()).height
        assert results.load["backlog_end"] == 0
    else:
        assert results.verbs["publish"]["count"] > 0


def test_a_killed_parent_leaves_no_process(serve: Make, scenario: Make, tmp_path: Path) -> None:
    """`kill -9` of the command: Locust notices, stops, drains, cleans the target, and ends."""
    command = [sys.executable, "-c", PROGRAM, scenario(60), str(tmp_path / "run"), serve()]
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("load") and int(line.split()[1]) > 20:
                break
        process.kill()
    run = load_runner.RunDirectory(tmp_path / "run").manifest().run
    until = time.monotonic() + 30
    while left_over(run) and time.monotonic() < until:
        time.sleep(0.1)
    assert left_over(run) == []
    assert load_judge.gathered(tmp_path / "run")["interrupted"]


def test_two_processes_stopped_in_the_middle_of_slow_requests_count_what_the_server_did(
    serve: Make, tmp_path: Path
) -> None:
    """Each answer takes 2 s: what is under way at the stop comes back, and is counted once, everywhere."""
    path = tmp_path / "slow.toml"
    path.write_text(SCENARIO.format(duration=60).replace("timeout_s = 2\n", "timeout_s = 10\n").replace("300ms", "4s"))
    interrupted = False

    def stop(line: Any) -> str:
        nonlocal interrupted
        interrupted = interrupted or line["published"] > 40  # with some hundred more under way
        return "in the middle" if interrupted else ""

    url = serve("slowly")
    options = LoadOptions(scenario=str(path), processes=2, out=tmp_path / "run")
    done = run_load(options, url=url, api_key="", judge=judge, abort=stop)
    results = done.results
    assert results.load.get("problems") == []
    with urllib.request.urlopen(f"{url}/count") as answer:  # what the server did
        served = json.load(answer)["data"]
    history = read_history(done.directory.path)
    mine = history.calls.filter(pl.col("op") >= 1 << 40)  # the workers', without preparation and drain
    for verb in ("publish", "claim", "complete"):
        calls = mine.filter(pl.col("verb") == verb)
        entry = results.verbs[verb]
        assert entry["count"] == calls.height == merged(read_logs(done.directory.path)[verb, "response"]).count
        assert calls.filter(pl.col("result") != "ok").height == 0
    assert results.verbs["publish"]["count"] == served["publish"] == results.load["sent"]
    own = history.calls.filter(pl.col("op") < 1 << 40)
    for verb in ("claim", "complete"):
        assert results.verbs[verb]["count"] + own.filter(pl.col("verb") == verb).height == served[verb]


def workers_of(run: str) -> list[int]:
    """Processes of this run that Locust has forked."""
    pids = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if run in _command_line(path)]
    parents = {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}
    return [pid for pid, parent in parents.items() if parent in pids]


def _command_line(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def test_a_worker_that_is_killed_fails_the_run(serve: Make, scenario: Make, tmp_path: Path) -> None:
    """Locust goes on without it; we do not: what it did last is not known."""
    killed: list[int] = []

    def kill(line: Any) -> None:
        if line["phase"] == "load" and line["published"] > 30 and not killed:
            killed.append(workers_of(str(tmp_path / "run"))[0])
            os.kill(killed[0], signal.SIGKILL)

    options = LoadOptions(scenario=scenario(60), processes=2, out=tmp_path / "run")
    done = run_load(options, url=serve(), api_key="", judge=judge, live=kill)
    assert done.results.exit_code == 5
    assert "has vanished: what it did last is not known" in done.results.summary
    assert read_history(done.directory.path).calls.filter(_publishes()).height > 30
    assert left_over(done.directory.manifest().run) == []
