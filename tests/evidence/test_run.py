"""The run directory: whole files or none, never somebody else's, and a clear word where it cannot be read."""

import errno
import json
from pathlib import Path

import pytest

from queueproof.errors import CorruptRunError, ExitCode, HarnessError, UsageError
from queueproof.evidence.results import SCHEMA, Outcome, RequirementResult, Results, Verdict
from queueproof.evidence.run import RunDirectory, manifest_of, new_run_id

RESULTS = Results(
    schema=SCHEMA,
    verdict=Verdict.CONFORMS,
    exit_code=0,
    summary="Conforms ü \ud800",
    requirements=(RequirementResult(id="VIS-1", level="MUST", profile="core", outcome=Outcome.PASSED),),
)


def run_in(path: Path) -> RunDirectory:
    directory = RunDirectory.create(path, "conformance", "abcdefgh")
    manifest = manifest_of(run="abcdefgh", kind="conformance", target={"url": "u"}, options={}, command="queueproof")
    directory.write_manifest(manifest)
    return directory


class TestFiles:
    """Written whole, read with types."""

    def test_round_trip(self, tmp_path: Path) -> None:
        directory = run_in(tmp_path / "a" / "b")
        directory.write_results(RESULTS)
        again = RunDirectory.open(tmp_path / "a" / "b")
        assert again.results().requirements == RESULTS.requirements
        assert again.results().summary == "Conforms ü \ufffd"
        assert again.manifest().run == "abcdefgh"
        assert json.loads((directory.path / "results.json").read_bytes())["schema"] == 1

    def test_a_write_that_fails_leaves_what_was_there(self, tmp_path: Path) -> None:
        directory = run_in(tmp_path)
        directory.write("x", "first")
        (tmp_path / ".x.partial").mkdir()
        with pytest.raises(HarnessError, match="directory"):
            directory.write("x", "second")
        assert (tmp_path / "x").read_text() == "first"

    def test_nothing_partial_is_left(self, tmp_path: Path) -> None:
        run_in(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]

    def test_run_ids_are_short_and_unlike(self) -> None:
        names = {new_run_id() for _ in range(100)}
        assert len(names) == 100
        assert all(len(name) == 8 and name.isalnum() and name == name.lower() for name in names)


class TestPlace:
    """Where a run may be kept."""

    def test_latest_points_to_the_newest(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for run in ("aaaaaaaa", "bbbbbbbb"):
            made = RunDirectory.create(None, "conformance", run)
            assert (tmp_path / "reports" / "latest").resolve() == made.path.resolve()
        assert len(list((tmp_path / "reports").iterdir())) == 3

    def test_latest_that_is_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "reports").mkdir()
        (tmp_path / "reports" / "latest").write_text("x")
        made = RunDirectory.create(None, "load", "aaaaaaaa")
        assert (tmp_path / "reports" / "latest").resolve() == made.path.resolve()

    def test_latest_that_is_a_folder_of_the_users_is_left_alone(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "reports" / "latest").mkdir(parents=True)
        (tmp_path / "reports" / "latest" / "precious").write_text("x")
        made = RunDirectory.create(None, "load", "aaaaaaaa")
        assert (tmp_path / "reports" / "latest" / "precious").read_text() == "x"
        assert (tmp_path / "reports" / "latest.txt").read_text() == str(made.path)

    def test_a_named_folder_gets_no_link(self, tmp_path: Path) -> None:
        RunDirectory.create(tmp_path / "out", "conformance", "aaaaaaaa")
        assert [path.name for path in tmp_path.iterdir()] == ["out"]

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(UsageError, match="is a file"):
            run_in(tmp_path / "file")
        assert (tmp_path / "file").read_text() == "x"

    def test_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(UsageError, match="cannot write"):
            run_in(tmp_path / "file" / "out")

    def test_where_nothing_can_be_made(self) -> None:
        with pytest.raises(UsageError, match="cannot write") as caught:
            run_in(Path("/proc/queueproof"))
        assert "--out" in caught.value.hint

    def test_a_link_to_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(UsageError):
            run_in(tmp_path / "link")

    def test_foreign_files_are_never_touched(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.txt").write_text("x")
        with pytest.raises(UsageError, match="other files"):
            run_in(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_an_earlier_run_is_replaced_whole_and_its_neighbours_are_not(self, tmp_path: Path) -> None:
        directory = run_in(tmp_path)
        directory.write_results(RESULTS)
        for name in ("history-0.ndjson", "latency-0.hlog", "report.html", "junit.xml", "created.ndjson", "server.log"):
            (tmp_path / name).write_text("old")
        (tmp_path / ".results.json.partial").write_text("old")
        (tmp_path / "notes.md").write_text("mine")
        RunDirectory.create(tmp_path, "conformance", "bbbbbbbb")
        assert [path.name for path in tmp_path.iterdir()] == ["notes.md"]


class TestCorrupt:
    """A directory that cannot be read is named, with what to do."""

    def test_no_directory(self, tmp_path: Path) -> None:
        with pytest.raises(CorruptRunError, match="no run directory"):
            RunDirectory.open(tmp_path / "none")

    def test_no_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(CorruptRunError, match=r"manifest\.json"):
            RunDirectory.open(tmp_path)

    @pytest.mark.parametrize("name", ["manifest.json", "results.json"])
    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b'{"schema": "one"}', b"null"])
    def test_content(self, tmp_path: Path, name: str, content: bytes) -> None:
        directory = run_in(tmp_path)
        directory.write_results(RESULTS)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorruptRunError, match=name.replace(".", r"\.")) as caught:
            _ = directory.manifest() if name == "manifest.json" else directory.results()
        assert caught.value.hint
        assert caught.value.exit_code == ExitCode.USAGE

    def test_cut_off_before_its_results(self, tmp_path: Path) -> None:
        directory = run_in(tmp_path)
        assert not directory.has_results()
        with pytest.raises(CorruptRunError, match="has no results"):
            directory.results()

    def test_results_of_a_newer_version(self, tmp_path: Path) -> None:
        directory = run_in(tmp_path)
        directory.write_results(RESULTS)
        content = json.loads((tmp_path / "results.json").read_bytes())
        (tmp_path / "results.json").write_text(json.dumps(content | {"schema": SCHEMA + 1}))
        with pytest.raises(CorruptRunError, match="newer"):
            directory.results()


def test_a_full_disk_leaves_whole_files_and_a_clear_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = RunDirectory.create(tmp_path / "run", "load", "abcd1234")
    directory.write("report.html", "whole")

    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HarnessError, match=r"cannot write .*report\.html: No space left on device"):
        directory.write("report.html", "cut")
    assert [(path.name, path.read_text()) for path in directory.path.iterdir()] == [("report.html", "whole")]
