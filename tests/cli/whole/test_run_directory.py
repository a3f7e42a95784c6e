"""What a run leaves behind: everything that a report needs, in one form, and never a key."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_run import Done, Serving, Started, outcomes, queueproof, requirement, serving, wait_until

from queueproof.contract.requirements import select
from queueproof.evidence.results import Outcome, Verdict


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of one run that found something: requirements passed and failed."""
    folder = tmp_path_factory.mktemp("run")
    with serving("publish_without_state") as server:
        words = "--out", "run", *requirement("SCOPE-1", "PUB-1", "PUB-2")
        assert queueproof("conformance", *words, cwd=folder, env=server.env).code == 1
    return folder / "run"


def results_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "results.json").read_bytes()))


def corrupted(run: Path, folder: Path, name: str, content: bytes | None) -> Path:
    """A copy of the run in which one file has another content, or is missing."""
    copy = shutil.copytree(run, folder / "copy")
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    return copy


class TestWhole:
    """Files and forms."""

    def test_files(self, run: Path) -> None:
        names = {path.name for path in run.iterdir()}
        expected = {"manifest.json", "history-0.ndjson", "results.json", "created.ndjson"}
        expected |= {"report.html", "contract.html", "junit.xml"}
        assert names == expected

    def test_results(self, run: Path) -> None:
        results = results_of(run)
        assert (results["schema"], results["exit_code"], results["complete"]) == (1, 1, True)
        assert results["verdict"] in {verdict.value for verdict in Verdict}
        parts = {"requirements", "findings", "verbs", "load", "objectives", "observations", "noise", "clean_up"}
        assert parts <= set(results)
        ids = [requirement["id"] for requirement in results["requirements"]]
        assert {"SCOPE-1", "PUB-1", "PUB-2"} <= set(ids)
        for result in results["requirements"]:
            assert {"id", "level", "profile", "outcome", "summary", "evidence"} <= set(result)
            assert result["outcome"] in {outcome.value for outcome in Outcome}
        assert results["clean_up"]["left"] == []

    def test_the_evidence_is_in_the_history(self, run: Path) -> None:
        told = [json.loads(line) for line in (run / "history-0.ndjson").read_text().splitlines()]
        known = {record["op"] for record in told if record["record"] == "invoke"}
        for result in results_of(run)["requirements"]:
            assert set(result["evidence"]) <= known
            assert result["evidence"] or result["outcome"] != "failed"

    def test_the_manifest(self, run: Path) -> None:
        manifest = json.loads((run / "manifest.json").read_bytes())
        assert manifest["kind"] == "conformance"
        assert manifest["target"]["url"].startswith("http://127.0.0.1:")
        assert "--requirement PUB-1" in manifest["command"]


class TestReports:
    """Made again from the directory alone."""

    @pytest.mark.parametrize(
        ("format", "said"),
        [
            ("text", "Does not conform"),
            ("html", "<!"),
            ("junit", "<testsuite"),
            ("markdown", "PUB-"),
            ("json", "schema"),
        ],
    )
    def test_formats(self, tmp_path: Path, run: Path, format: str, said: str) -> None:  # noqa: A002
        report = queueproof("report", run, "--format", format, cwd=tmp_path)
        assert (report.code, report.err) == (0, "")
        assert said.lower() in report.out.lower()

    @pytest.mark.parametrize(("name", "content"), [("manifest.json", None), ("history-0.ndjson", b"no record\n")])
    def test_what_is_missing_beside_the_results_is_said(
        self, tmp_path: Path, run: Path, name: str, content: bytes | None
    ) -> None:
        report = queueproof("report", corrupted(run, tmp_path, name, content), cwd=tmp_path)
        assert report.code == 0, report.err
        told = " ".join(report.out.split())  # wherever its lines are broken
        assert f"{name} is missing" in told or "is no history record" in told

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("manifest.json", b"{"),
            ("results.json", b"{"),
            ("results.json", b"\xff"),
            ("results.json", b'{"schema": 99}'),
        ],
    )
    def test_corrupt_directories(self, tmp_path: Path, run: Path, name: str, content: bytes) -> None:
        report = queueproof("report", corrupted(run, tmp_path, name, content), cwd=tmp_path)
        assert report.code == 2, report.out
        assert name in report.err
        assert len(report.err.strip().splitlines()) == 2

    def test_clean_on_a_corrupt_ledger(self, tmp_path: Path, run: Path) -> None:
        copy = shutil.copytree(run, tmp_path / "copy")
        (copy / "created.ndjson").write_bytes(b"\xff\n")
        clean = queueproof("clean", copy, "--api-key", "sgk_test_0123456789", cwd=tmp_path)
        assert clean.code == 2
        assert "created.ndjson" in clean.err

    def test_clean_of_a_run_that_is_clean(self, tmp_path: Path, run: Path) -> None:
        clean = queueproof("clean", run, "--api-key", "sgk_test_0123456789", cwd=tmp_path)
        assert (clean.code, clean.err) == (0, "")


class TestSecrets:
    """Keys reach no file, no output and no command line, not even when the server says them back."""

    def test_nowhere(self, tmp_path: Path) -> None:
        with serving("pocket") as server:
            echo_keys(server)
            env = server.env | {f"QUEUEPROOF_{n.upper()}_KEY": key for n, key in server.keys.items() if n != "all"}
            words = "--out", "run", *requirement("SCOPE-1", "ENV-1", "VIS-1")
            seen: set[bytes] = set()
            with Started("conformance", *words, cwd=tmp_path, env=env) as started:

                def looked() -> bool:
                    seen.update(Path(f"/proc/{p}/cmdline").read_bytes() for p in started.family() if _there(p))
                    return len(seen) > 1 and b"VIS-1" in _content(tmp_path / "run" / "history-0.ndjson")

                wait_until(lambda: looked() or started.process.poll() is not None, "the suite at work")
                done = started.ended()
            assert outcomes(results_of(tmp_path / "run"))["VIS-1"] == "passed"
            kept = [path.read_bytes() for path in (tmp_path / "run").iterdir()]
            for key in server.keys.values():
                assert not any(key.encode() in content for content in [*kept, *seen])
                assert key not in done.out + done.err
            assert any(b"[secret]" in content for content in kept)

    def test_an_address_with_a_password_reaches_no_file_either(self, tmp_path: Path) -> None:
        done = queueproof(
            "conformance", "--url", "http://u:hunter2@127.0.0.1:9", "--api-key", "x" * 20, "--out", "run", cwd=tmp_path
        )
        assert done.code == 2
        assert not (tmp_path / "run").exists()


def _there(process: int) -> bool:
    return Path(f"/proc/{process}/cmdline").exists()


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def echo_keys(server: Serving) -> None:
    """From now on every answer says the caller's key back."""
    from fixtures.pocket import Reply, Request

    original = server.server.handle

    async def handle(request: Request) -> Reply:
        reply = await original(request)
        document = json.loads(reply.body) if reply.body else {}
        if isinstance(document, dict):
            document["you_said"] = request.headers.get("authorization", "")
            if isinstance(document.get("error"), dict):
                document["error"]["message"] = f"not with {document['you_said']}"
        reply.body = json.dumps(document).encode()
        return reply

    server.server.handle = handle  # type: ignore[method-assign]


class TestHostileFolder:
    """Nothing of the caller's folder or environment changes what is run."""

    def test_changes_nothing(self, tmp_path: Path, pocket: Serving) -> None:
        (tmp_path / "conftest.py").write_text("raise SystemExit('hostile')")
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\nxfail_strict = true\n")
        (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '--collect-only'\n")
        (tmp_path / "tox.ini").write_text("[pytest]\naddopts = --collect-only\n")
        for module in (
            "pytest",
            "httpx",
            "queueproof",
            "msgspec",
            "typing",
            "queue",
            "scaiqueue_reference",
            "fixtures",
        ):
            (tmp_path / f"{module}.py").write_text(f"raise SystemExit('hostile {module}')")
        env = pocket.env | {"PYTEST_ADDOPTS": "--collect-only", "PYTEST_PLUGINS": "no_such_plugin"}
        done = queueproof("conformance", *requirement("SCOPE-1"), "--out", "run", cwd=tmp_path, env=env)
        assert done.code == 0, done.out + done.err
        embedded = queueproof("conformance", *requirement("SCOPE-1"), "--out", "run", cwd=tmp_path)
        assert embedded.code == 0, embedded.out + embedded.err

    def test_the_suites_folder_stays_as_it_was(self, tmp_path: Path, pocket: Serving) -> None:
        suite = Path(__file__).parents[3] / "conformance"
        before = sorted(path.name for path in suite.iterdir())
        queueproof("conformance", *requirement("SCOPE-1"), "--out", "run", cwd=tmp_path, env=pocket.env)
        assert sorted(path.name for path in suite.iterdir()) == before


class TestAgain:
    """An --out folder can be used again."""

    def test_the_second_run_replaces_the_first(self, tmp_path: Path, pocket: Serving) -> None:
        def once(name: str) -> Done:
            return queueproof("conformance", *requirement(name), "--out", "run", cwd=tmp_path, env=pocket.env)

        assert once("SCOPE-1").code == 0
        first = json.loads((tmp_path / "run" / "manifest.json").read_bytes())["run"]
        assert once("QUEUE-1").code == 0
        assert outcomes(results_of(tmp_path / "run")) == {"QUEUE-1": "passed"}
        assert not any(first.encode() in path.read_bytes() for path in (tmp_path / "run").iterdir())


def test_select_is_what_was_asked_for() -> None:
    """The names that these tests use are in the catalogue."""
    assert len(select("all", ["SCOPE-1", "PUB-1", "PUB-2", "ENV-1", "VIS-1", "QUEUE-1"])) == 6
