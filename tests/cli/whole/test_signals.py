"""Ctrl-C and SIGTERM half-way: what was gathered is kept, the server is left clean, and no process is left."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from cli_run import Serving, Started, alive, outcomes, queueproof, requirement, serving, wait_until

from queueproof.evidence.history import read_history

# Its cases wait for locks to lapse, so that there is a half-way.
SLOW = requirement("SCOPE-1", "VIS-1", "VIS-2")


def half_way(started: Started, run: Path) -> list[int]:
    """Waits until claims are under way; the ids of all processes of the run."""

    def claimed() -> bool:
        history = run / "history-0.ndjson"
        return history.is_file() and b'"verb":"claim","case":"VIS-' in history.read_bytes()

    wait_until(lambda: claimed() or started.process.poll() is not None, "a claim")
    assert started.process.poll() is None, started.ended()
    return started.family()


def interrupted(run: Path) -> dict[str, str]:
    """Checks that the directory is whole, and says itself that it is not complete; its outcomes."""
    results = json.loads((run / "results.json").read_bytes())
    assert (results["exit_code"], results["complete"], results["verdict"]) == (130, False, "no-verdict")
    assert "Interrupted" in results["summary"]
    assert "nterrupted" in (run / "report.html").read_text()
    assert (run / "junit.xml").is_file()
    assert read_history(run).calls.height
    return outcomes(results)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_half_way(tmp_path: Path, pocket: Serving, number: signal.Signals) -> None:
    run = tmp_path / "run"
    with Started("conformance", *SLOW, "--out", run, cwd=tmp_path, env=pocket.env) as started:
        family = half_way(started, run)
        assert pocket.slugs
        started.signal(number)
        ended = started.ended()
    assert ended.code == 130, ended.out + ended.err
    assert interrupted(run)["SCOPE-1"] in {"passed", "inconclusive"}
    assert pocket.slugs == []
    assert not any(map(alive, family))


def test_the_whole_group_as_a_terminal_does_it(tmp_path: Path) -> None:
    """Ctrl-C reaches every process of the terminal's group; the embedded server must not go before its clean-up."""
    run = tmp_path / "run"
    with Started("conformance", *SLOW, "--out", run, cwd=tmp_path) as started:
        family = half_way(started, run)
        assert len(family) >= 3
        os.killpg(started.process.pid, signal.SIGINT)
        ended = started.ended()
    assert ended.code == 130, ended.out + ended.err
    interrupted(run)
    results = json.loads((run / "results.json").read_bytes())
    assert results["clean_up"]["left"] == []
    assert not any(map(alive, family))


def test_a_second_ctrl_c_ends_a_clean_up_that_hangs(tmp_path: Path) -> None:
    with serving("pocket") as server:
        run = tmp_path / "run"
        with Started("conformance", *SLOW, "--out", run, cwd=tmp_path, env=server.env) as started:
            family = half_way(started, run)
            asked = hang_on_delete(server)
            started.signal(signal.SIGINT)
            wait_until(lambda: asked, "the clean-up's DELETE")
            started.signal(signal.SIGINT)
            ended = started.ended()
        assert ended.code == 130, ended.out + ended.err
        interrupted(run)
        assert json.loads((run / "results.json").read_bytes())["clean_up"]["left"]
        assert not any(map(alive, family))


def hang_on_delete(server: Serving) -> list[str]:
    """From now on a DELETE is never answered; the list of those that came."""
    asked: list[str] = []

    async def delete_scope(_request: object) -> None:
        asked.append("delete")
        await asyncio.Event().wait()

    server.server.delete_scope = delete_scope  # type: ignore[attr-defined]
    return asked


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_before_anything_was_sent(tmp_path: Path, pocket: Serving, number: signal.Signals) -> None:
    """While the suite is still being loaded there is nothing to keep, and nothing to clean up."""
    with Started("conformance", *SLOW, "--out", "run", cwd=tmp_path, env=pocket.env) as started:
        wait_until(lambda: len(started.family()) > 1 or started.process.poll() is not None, "the suite's process")
        started.signal(number)
        ended = started.ended()
    assert ended.code == 130, ended.out + ended.err
    assert pocket.slugs == []


@pytest.mark.skipif(sys.platform != "linux", reason="run it on Linux, which alone ends a child with its parent")
def test_a_killed_run_is_cleaned_afterwards(tmp_path: Path, pocket: Serving) -> None:
    """kill -9 of the suite itself: nothing could clean up, the ledger knows what is left."""
    run = tmp_path / "run"
    with Started("conformance", *SLOW, "--out", run, cwd=tmp_path, env=pocket.env) as started:
        family = half_way(started, run)
        for process in reversed(family):
            os.kill(process, signal.SIGKILL)
        started.process.wait()
    wait_until(lambda: not any(map(alive, family)), "the end of the killed processes")
    assert pocket.slugs
    for format in ("text", "html", "junit", "markdown"):  # noqa: A001
        report = queueproof("report", run, "--format", format, cwd=tmp_path)
        assert report.code in {0, 2}, report.out + report.err
    cleaned = queueproof("clean", run, cwd=tmp_path, env={"SCAIGRID_API_KEY": pocket.key})
    assert (cleaned.code, cleaned.err) == (0, "")
    assert "scopes taken away" in cleaned.out
    assert pocket.slugs == []
    again = queueproof("clean", run, cwd=tmp_path, env={"SCAIGRID_API_KEY": pocket.key})
    assert (again.code, again.err) == (0, "")
    assert "everything" in again.out
    assert len(read_history(run).calls) > 0
    assert not any(pocket.key.encode() in path.read_bytes() for path in run.iterdir())


def test_a_killed_load_is_cleaned_afterwards(tmp_path: Path, pocket: Serving) -> None:
    """kill -9 of the command and of Locust: the ledger knows the scope."""
    run = tmp_path / "run"
    with Started("load", "smoke", "--duration", "60", "--out", run, cwd=tmp_path, env=pocket.env) as started:
        history = run / "history-1.ndjson"
        wait_until(lambda: history.is_file() and b'"claim"' in history.read_bytes(), "a claim")
        family = started.family()
        for process in reversed(family):
            os.kill(process, signal.SIGKILL)
        started.process.wait()
    wait_until(lambda: not any(map(alive, family)), "the end of the killed processes")
    assert pocket.slugs
    cleaned = queueproof("clean", run, cwd=tmp_path, env={"SCAIGRID_API_KEY": pocket.key})
    assert (cleaned.code, cleaned.err, cleaned.out) == (0, "", "1 of 1 scopes taken away\n")
    assert pocket.slugs == []


@pytest.mark.skipif(sys.platform != "linux", reason="run it on Linux, which alone ends a child with its parent")
def test_kill_9_of_the_command_alone_still_cleans_up(tmp_path: Path, pocket: Serving) -> None:
    """The suite's process hears of its parent's end, cleans up and goes."""
    run = tmp_path / "run"
    with Started("conformance", *SLOW, "--out", run, cwd=tmp_path, env=pocket.env) as started:
        family = half_way(started, run)
        started.signal(signal.SIGKILL)
        started.process.wait()
        wait_until(lambda: not any(map(alive, family)), "the end of the run's processes")
    assert pocket.slugs == []
    interrupted(run)


SEARCH = ("capacity", "steady", "--objective", "e2e.p99 < 200ms", "--rate", "100", "--window", "2")


def in_the_window_that_is_run_again(started: Started, run: Path) -> list[int]:
    """Waits until the second window claims: the first one's consumers were all busy with a slow server."""

    def claimed() -> bool:
        return any(b'"claim"' in history.read_bytes() for history in run.glob("windows/02-100/history-*.ndjson"))

    wait_until(lambda: claimed() or started.process.poll() is not None, "a claim in the second window")
    assert started.process.poll() is None, started.ended()
    return started.family()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_capacity_search_in_a_window_that_is_run_again(tmp_path: Path, number: signal.Signals) -> None:
    """What was measured stays, the answer says that it was interrupted, and nothing is left on the server."""
    run = tmp_path / "run"
    with (
        serving("answers_held_back") as server,
        Started(*SEARCH, "--skip-conformance", "--out", run, cwd=tmp_path, env=server.env) as started,
    ):
        family = in_the_window_that_is_run_again(started, run)
        started.signal(number)
        ended = started.ended()
        assert ended.code == 130, ended.out + ended.err
        assert server.slugs == []
    assert not any(map(alive, family))
    results = json.loads((run / "results.json").read_bytes())
    assert (results["exit_code"], results["complete"], results["verdict"]) == (130, False, "no-verdict")
    assert [probe["came"] for probe in results["capacity"]["probes"]] == ["short", "interrupted"]
    assert "nterrupted" in (run / "report.html").read_text()


def test_a_killed_capacity_search_is_cleaned_afterwards(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with serving("answers_held_back") as server:
        with Started(*SEARCH, "--skip-conformance", "--out", run, cwd=tmp_path, env=server.env) as started:
            family = in_the_window_that_is_run_again(started, run)
            for process in reversed(family):
                os.kill(process, signal.SIGKILL)
            started.process.wait()
        wait_until(lambda: not any(map(alive, family)), "the end of the killed processes")
        assert server.slugs
        for place in (run, run / "windows" / "02-100"):
            report = queueproof("report", place, cwd=tmp_path)
            assert report.code in {0, 2}, report.out + report.err
        cleaned = queueproof("clean", run, cwd=tmp_path, env={"SCAIGRID_API_KEY": server.key})
        assert (cleaned.code, cleaned.err) == (0, "")
        assert server.slugs == []
