"""The command line: the right exit code, one clear line, and never a traceback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SHORT = ("--requirement", "SCOPE-1", "--requirement", "PUB-1")


def test_a_right_server_conforms(queueproof: Any) -> None:
    """Exit 0, a whole run directory, and what stands in it has the documented form."""
    ended = queueproof("conformance", *SHORT, "--out", "run", "--junit", "copy/junit.xml")
    assert ended.code == 0, ended.text
    assert "Conforms" in ended.out
    names = {path.name for path in (queueproof.folder / "run").iterdir()}
    assert names >= {"manifest.json", "history-0.ndjson", "results.json", "report.html", "junit.xml", "created.ndjson"}
    results = queueproof.results("run")
    assert [r["outcome"] for r in results["requirements"]] == ["passed", "passed"]
    assert results["clean_up"]["left"] == []
    assert (queueproof.folder / "copy" / "junit.xml").is_file()


def test_a_wrong_server_does_not_and_says_why(queueproof: Any, serving: Any) -> None:
    with serving("publish_state_queued") as served:
        ended = queueproof("conformance", "--url", served.url, "--api-key", served.keys["all"], *SHORT, "--out", "run")
    assert ended.code == 1, ended.text
    assert "PUB-1" in ended.out
    assert "--requirement PUB-1" in ended.out  # how to run it again
    results = queueproof.results("run")
    assert (results["verdict"], results["exit_code"]) == ("does-not-conform", 1)
    failed = next(r for r in results["requirements"] if r["id"] == "PUB-1")
    assert failed["evidence"]


def test_no_secret_is_kept_or_shown(queueproof: Any, serving: Any) -> None:
    """No key of the target is in any file of the run, on the terminal, or on a command line."""
    with serving("pocket") as served:
        process = queueproof.start(
            "conformance", "--url", served.url, *SHORT, "--out", "run",
            SCAIGRID_API_KEY=served.keys["all"], QUEUEPROOF_VIEW_KEY=served.keys["view"],
        )  # fmt: skip
        lines: set[str] = set()
        while process.poll() is None:
            lines |= {command_line(pid) for pid in (process.pid, *descendants(process.pid))}
            time.sleep(0.05)
        out, err = process.communicate()
    texts = [out, err, *lines]
    texts += [path.read_text(errors="replace") for path in (queueproof.folder / "run").iterdir()]
    assert process.returncode == 0, out + err
    for key in (served.keys["all"], served.keys["view"]):
        assert not [text for text in texts if key in text]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("conformance", "--no-such-option"), "No such option"),
        (("conformance", "--requirment", "VIS-1"), "--requirement"),
        (("conformance", "--requirement", "NO-SUCH-1"), "no requirement NO-SUCH-1"),
        (("conformance", "--requirement", "VIS-22"), "did you mean VIS-2"),
        (("conformance", "--profile", "cor"), "did you mean core"),
        (("conformance", "--fail-on", "never"), "must, should"),
        (("conformance", "--slack", "0"), "--slack"),
        (("conformance", "--slack", "soon"), "--slack"),
        (("conformance", "--target", "moon"), "embedded, services, stack"),
        (("conformance", "--url", "127.0.0.1:80", "--api-key", "k"), "http://"),
        (("conformance", "--url", "http://127.0.0.1:99999", "--api-key", "k"), "no address"),
        (("conformance", "--url", "http://u:p@127.0.0.1", "--api-key", "k"), "--api-key"),
        (("conformance", "--url", "http://127.0.0.1:9"), "SCAIGRID_API_KEY"),
        (("conformance", "somewhere"), "unexpected"),
        (("conformance", "--out", "/proc/nothing"), "--out"),
        (("conformance", "--out", "/dev/null"), "name a folder"),
        (("report", "nowhere"), "reports/latest"),
        (("report", "/proc"), "no run directory"),
        (("load", "no-such-scenario"), "shipped are"),
        (("load", "smoke", "--duration", "soon"), "duration"),
        (("load", "smoke", "--objective", "speed > 1"), "speed"),
        (("load", "smoke", "--url", "http://127.0.0.1:9"), "SCAIGRID_API_KEY"),
        (("nonsense",), "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_two_and_says_what_to_do(queueproof: Any, words: tuple[str, ...], says: str) -> None:
    ended = queueproof(*words)
    assert ended.code == 2, ended.text
    assert says in ended.text


@pytest.mark.parametrize(
    ("server", "says"),
    [("always_html", "web page"), ("always_404_html", "web page"), ("redirect", "redirects")],
)
def test_what_is_no_such_server_is_three(queueproof: Any, serving: Any, server: str, says: str) -> None:
    with serving(server) as served:
        ended = queueproof("conformance", "--url", served.url, "--api-key", "k", "--out", "run")
    assert ended.code == 3, ended.text
    assert says in ended.text
    assert {r["outcome"] for r in queueproof.results("run")["requirements"]} == {"not-run"}


def test_nobody_and_a_refused_key_are_three(queueproof: Any, serving: Any) -> None:
    ended = queueproof("conformance", "--url", "http://127.0.0.1:9", "--api-key", "x")
    assert ended.code == 3
    assert "is the server running" in ended.text
    with serving("pocket") as served:
        ended = queueproof("conformance", "--url", served.url, "--api-key", "sgk_wrong")
        assert ended.code == 3
        assert "refused the key" in ended.text
        ended = queueproof("conformance", "--url", served.url, "--api-key", served.keys["view"])
        assert ended.code == 3
        assert "scaiqueue:manage" in ended.text
        ended = queueproof("conformance", "--url", served.url.replace("http", "https"), "--api-key", "k")
        assert ended.code == 3


def test_what_speaks_no_http_is_three(queueproof: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = queueproof.start("conformance", "--url", url, "--api-key", "x")
        for _ in range(4):
            connection, _ = listener.accept()
            connection.recv(100)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "server" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_the_report_and_cleans_the_server(
    queueproof: Any, serving: Any, number: signal.Signals
) -> None:
    """Exit 130 half-way: what was gathered is kept and said to be incomplete, and no scope is left on the server."""
    with serving("pocket") as served:
        words = ("--url", served.url, "--api-key", served.keys["all"], "--requirement", "VIS-1", "--out", "run")
        process = queueproof.start("conformance", *words)
        until(lambda: len(served.server.scopes) > 0)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, out + err
        assert not served.server.scopes
    results = queueproof.results("run")
    assert (results["complete"], results["exit_code"]) == (False, 130)
    assert "nterrupted" in out
    assert (queueproof.folder / "run" / "report.html").is_file()


def test_what_a_killed_run_left_can_be_cleaned(queueproof: Any, serving: Any) -> None:
    """After kill -9 the run directory can be read, and `clean` takes the scopes away."""
    with serving("pocket") as served:
        words = ("--url", served.url, "--api-key", served.keys["all"], "--requirement", "VIS-1", "--out", "run")
        process = queueproof.start("conformance", *words)
        until(lambda: len(served.server.scopes) > 0)
        for pid in (*children_of(process.pid), process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()
        assert served.server.scopes
        report = queueproof("report", "run")
        assert report.code == 0, report.text
        assert "cut off" in report.text or "interrupted" in report.text
        cleaned = queueproof("clean", "run", "--url", served.url, "--api-key", served.keys["all"])
        assert cleaned.code == 0, cleaned.text
        assert not served.server.scopes


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def until(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def test_the_suite_is_a_pytest_suite_too(queueproof: Any, serving: Any) -> None:
    """`pytest conformance --qp-url …` gives the outcomes of the command."""
    with serving("publish_state_queued") as served:
        target = ("--qp-url", served.url, "--qp-api-key", served.keys["all"])
        chosen = [word.replace("--requirement", "--qp-requirement") for word in SHORT]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "conformance", *target, *chosen, "--qp-out", queueproof.folder / "one"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 1, ended.stdout + ended.stderr
        other = queueproof("conformance", "--url", served.url, "--api-key", served.keys["all"], *SHORT, "--out", "two")
        assert other.code == 1
    one, two = (queueproof.results(run)["requirements"] for run in ("one", "two"))
    assert [(r["id"], r["outcome"]) for r in one] == [(r["id"], r["outcome"]) for r in two]


def test_options_after_dashes_go_to_pytest(queueproof: Any) -> None:
    ended = queueproof("conformance", *SHORT, "--", "-v", "-k", "creating_a_scope")
    assert ended.code in {0, 4}
    assert "test_creating_a_scope_gives_its_id PASSED" in ended.out
    assert "1 deselected" in ended.out or "deselected" in ended.out


def test_a_hostile_folder_changes_nothing(queueproof: Any) -> None:
    """Neither a conftest.py nor a pytest.ini of the caller's folder, nor PYTEST_ADDOPTS, reaches the suite."""
    (queueproof.folder / "conftest.py").write_text("raise SystemExit('hostile')")
    (queueproof.folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (queueproof.folder / "queueproof.py").write_text("raise SystemExit('hostile')")
    process = queueproof.start("conformance", *SHORT[:2], PYTEST_ADDOPTS="--no-such-option", PYTHONSAFEPATH="1")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, out + err


@pytest.mark.parametrize("form", ["text", "html", "junit", "markdown", "json"])
def test_a_report_is_made_again(queueproof: Any, form: str) -> None:
    queueproof("conformance", *SHORT[:2], "--out", "run")
    ended = queueproof("report", "run", "--format", form)
    assert ended.code == 0, ended.text
    assert "SCOPE-1" in ended.out or form == "text"


def test_a_damaged_run_is_said(queueproof: Any) -> None:
    queueproof("conformance", *SHORT[:2], "--out", "run")
    (queueproof.folder / "run" / "results.json").write_text('{"schema": 1')
    ended = queueproof("report", "run")
    assert ended.code == 2
    assert "cannot be read" in ended.text
    assert queueproof("report", "run", "--format", "pdf").code == 2


def test_serve_says_where_and_stops(queueproof: Any) -> None:
    process = queueproof.start("serve", "--port", "0")
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert ready["ready"] is True
    assert set(ready["keys"]) == {"all", "view", "publish", "consume", "manage", "foreign"}
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_a_run_whose_command_was_killed_cleans_up(queueproof: Any, serving: Any) -> None:
    """The suite's process hears of its parent's end, and leaves the server as it was."""
    with serving("pocket") as served:
        words = ("--url", served.url, "--api-key", served.keys["all"], "--requirement", "VIS-1", "--out", "run")
        process = queueproof.start("conformance", *words)
        until(lambda: len(served.server.scopes) > 0)
        process.kill()
        process.communicate()
        until(lambda: not served.server.scopes)


def test_the_embedded_server_ends_with_a_killed_run(queueproof: Any) -> None:
    process = queueproof.start("conformance", "--requirement", "VIS-1", "--out", "run")
    until(lambda: (queueproof.folder / "run" / "created.ndjson").exists())
    family = descendants(process.pid)
    assert len(family) >= 2
    process.kill()
    process.communicate()
    for pid in family:
        until(lambda pid=pid: not alive(pid))


def descendants(pid: int) -> list[int]:
    found = children_of(pid)
    return found + [below for child in found for below in descendants(child)]
