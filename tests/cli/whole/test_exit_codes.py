"""Every exit code of the command, each with one clear line that says what to do next, and never a traceback."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_run import Done, Serving, Started, outcomes, queueproof, requirement, serving

KEY = "sgk_test_0123456789"


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def one_clear_line(done: Done) -> bool:
    """What happened, and what to do next."""
    lines = done.err.strip().splitlines()
    assert len(lines) == 2, done.err
    assert lines[0].startswith("queueproof: ")
    assert lines[1].startswith("  → ")
    return True


class TestConforms:
    """0, with a whole run directory."""

    def test_the_embedded_server(self, tmp_path: Path) -> None:
        done = queueproof("conformance", *requirement("SCOPE-1", "QUEUE-1"), cwd=tmp_path)
        assert done.code == 0, done.out + done.err
        assert "Conforms" in done.out
        run = tmp_path / "reports" / "latest"
        assert outcomes(done.results(run)) == {"SCOPE-1": "passed", "QUEUE-1": "passed"}
        names = {path.name for path in run.iterdir()}
        assert {"manifest.json", "history-0.ndjson", "results.json", "report.html", "junit.xml"} <= names

    def test_a_server_that_is_there(self, tmp_path: Path, pocket: Serving) -> None:
        words = *requirement("PUB-1"), "--out", "run", "--junit", tmp_path / "a" / "b.xml"
        done = queueproof("conformance", *words, cwd=tmp_path, env=pocket.env)
        assert done.code == 0, done.out + done.err
        assert pocket.slugs == []
        assert (tmp_path / "a" / "b.xml").read_bytes() == (tmp_path / "run" / "junit.xml").read_bytes()
        assert not (tmp_path / "reports").exists()


class TestDoesNot:
    """1, naming what was broken."""

    def test_a_fault(self, tmp_path: Path) -> None:
        with serving("publish_without_state") as server:
            done = queueproof(
                "conformance", *requirement("PUB-1", "PUB-2"), "--out", "run", cwd=tmp_path, env=server.env
            )
        assert done.code == 1, done.out + done.err
        assert "Does not conform" in done.out
        results = done.results(tmp_path / "run")
        assert (results["exit_code"], results["verdict"]) == (1, "does-not-conform")
        assert "failed" in outcomes(results).values()


class TestUsage:
    """2: nothing was sent."""

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--no-such-option"], "No such option"),
            (["--requirment", "SCOPE-1"], "did you mean --requirement"),
            (["--requirement", "NO-SUCH-1"], "there is no requirement NO-SUCH-1"),
            (["--requirement", "VIS1"], "did you mean VIS-1"),
            (["--profile", "cor"], "did you mean core?"),
            (["--fail-on", "may"], "choose one of must, should"),
            (["--slack", "0"], "--slack"),
            (["--slack", "soon"], "--slack"),
            (["--slack", "nan"], "--slack"),
            (["--slack"], "--slack"),
            (["--target", "embeded"], "embeded"),
            (["--url", "127.0.0.1:9", "--api-key", KEY], "is no address of a server"),
            (["--url", "http://[::1", "--api-key", KEY], "is no address of a server"),
            (["--url", "http://u:hunter2@h", "--api-key", KEY], "user name or password"),
            (["--url", "http://127.0.0.1:9"], "there is no API key"),
            (["--url", "http://127.0.0.1:9", "--api-key", "ключ"], "a header cannot carry"),
            (["--url", "http://127.0.0.1:9", "--api-key", KEY, "--view-key", "ключ"], "view key"),
            (["visibility"], "follow after --"),
            (["visibility", "--", "-v"], "follow after --"),
            (["--", "--no-such-option-of-pytest"], "no-such-option-of-pytest"),
            (["--out", "file"], "is a file"),
            (["--out", "file/run"], "cannot write"),
            (["--out", "foreign"], "holds other files"),
            (["--out", "/proc/queueproof"], "cannot write"),
            (["--junit", "file/junit.xml"], "--junit"),
            (["--junit", "/proc/junit.xml"], "--junit"),
            (["--junit", "foreign"], "--junit"),
        ],
    )
    def test_conformance(self, tmp_path: Path, words: list[str], said: str) -> None:
        (tmp_path / "file").write_text("precious")
        (tmp_path / "foreign").mkdir()
        (tmp_path / "foreign" / "thesis.txt").write_text("precious")
        done = queueproof("conformance", *words, cwd=tmp_path)
        assert done.code == 2, done.out + done.err
        assert said in done.err
        assert "hunter2" not in done.err
        assert "--no-such-option-of-pytest" in words or one_clear_line(done)
        assert (tmp_path / "file").read_text() == "precious"
        assert [path.name for path in (tmp_path / "foreign").iterdir()] == ["thesis.txt"]
        assert not any(tmp_path.glob("reports/*/results.json"))

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["conform"], "Did you mean 'conformance'?"),
            (["report"], "Missing argument"),
            (["report", "nowhere"], "there is no run directory nowhere"),
            (["report", "nowhere", "--format", "pdf"], "no report format"),
            (["clean", "nowhere"], "there is no run directory nowhere"),
        ],
    )
    def test_others(self, tmp_path: Path, words: list[str], said: str) -> None:
        done = queueproof(*words, cwd=tmp_path)
        assert done.code == 2, done.out + done.err
        assert said in done.err

    def test_help_is_no_mistake(self, tmp_path: Path) -> None:
        for words in (["--help"], ["conformance", "-h"], ["report", "--help"], ["--version"]):
            assert queueproof(*words, cwd=tmp_path).code == 0


class TestUnreachable:
    """3: one clear line, and a run directory that says why nothing ran."""

    def against(self, url: str, cwd: Path) -> Done:
        words = "--url", url, "--api-key", KEY, "--out", "run", *requirement("SCOPE-1")
        done = queueproof("conformance", *words, cwd=cwd)
        assert done.code == 3, done.out + done.err
        one_clear_line(done)
        results = done.results(cwd / "run")
        assert (results["exit_code"], results["verdict"], results["complete"]) == (3, "no-verdict", False)
        assert set(outcomes(results).values()) == {"not-run"}
        assert (cwd / "run" / "report.html").is_file()
        assert (cwd / "run" / "junit.xml").is_file()
        return done

    def test_a_dead_port(self, tmp_path: Path) -> None:
        done = self.against("http://127.0.0.1:9", tmp_path)
        assert "no connection" in done.err
        assert "is the server running" in done.err

    def test_a_server_that_hangs(self, tmp_path: Path, silent: str) -> None:
        assert "no answer within" in self.against(silent, tmp_path).err

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("always_html", "a web page instead of JSON"),
            ("redirect", "redirects to /login"),
            ("always_401", "refused the key"),
        ],
    )
    def test_servers_that_are_no_queue(self, tmp_path: Path, name: str, said: str) -> None:
        with serving(name) as server:
            assert said in self.against(server.url, tmp_path).err

    def test_a_certificate_that_is_none(self, tmp_path: Path) -> None:
        with serving("pocket") as server:
            assert "http or https" in self.against(server.url.replace("http:", "https:"), tmp_path).err

    def test_a_wrong_key(self, tmp_path: Path, pocket: Serving) -> None:
        assert "AUTH_TOKEN_INVALID" in self.against(pocket.url, tmp_path).err


class TestNoVerdict:
    """4: nothing that ran no case exits 0."""

    def test_only_a_part_of_the_core(self, tmp_path: Path, pocket: Serving) -> None:
        words = "--", "-k", "scope and not pause and not archived"
        done = queueproof("conformance", "--out", "run", *words, cwd=tmp_path, env=pocket.env)
        assert done.code == 4, done.out + done.err
        found = outcomes(done.results(tmp_path / "run"))
        assert found["VIS-1"] == "not-run"
        assert "passed" in found.values()

    @pytest.mark.parametrize("words", [["-k", "no_such_case"], ["--collect-only", "-q"]])
    def test_no_case_was_run(self, tmp_path: Path, pocket: Serving, words: list[str]) -> None:
        done = queueproof("conformance", "--out", "run", "--", *words, cwd=tmp_path, env=pocket.env)
        assert done.code == 4, done.out + done.err
        assert "no case was run" in done.err
        assert pocket.slugs == []

    def test_unless_that_is_allowed(self, tmp_path: Path, pocket: Serving) -> None:
        words = "--allow-inconclusive", "--out", "run", "--", "-k", "scope and not pause and not archived"
        done = queueproof("conformance", *words, cwd=tmp_path, env=pocket.env)
        assert done.code == 0, done.out + done.err


def test_a_closed_pipe_ends_quietly_with_the_verdicts_own_code(tmp_path: Path) -> None:
    """`queueproof … | head -1`: the reader wants no more, and that is no verdict."""
    for words, code in ((("conformance", *requirement("SCOPE-1"), "--out", "run"), 0), (("report", "run"), 0)):
        with Started(*words, cwd=tmp_path) as started:
            assert started.process.stdout is not None
            started.process.stdout.close()
            started.process.stdout = None
            _, err = started.process.communicate(timeout=60)
        assert (started.process.returncode, err) == (code, b"")
