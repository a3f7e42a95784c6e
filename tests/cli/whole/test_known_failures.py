"""The gate as a user meets it: a broken server, its known failures, its mending, and everything in between."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cli_run import ROOT, Done, Serving, environment, queueproof, requirement, serving

CHOSEN = ("SCOPE-1", "PUB-1", "PUB-2")
BROKEN = "publish_without_state"  # PUB-1
BROKEN_TOO = "publish_state_queued"  # PUB-1, in another way


def run(
    server: Serving,
    folder: Path,
    *words: str,
    expected: str = "known.toml",
    chosen: tuple[str, ...] = CHOSEN,
    **more: str,
) -> Done:
    """`more`: variables of the run's environment."""
    words = (*requirement(*chosen), "--expectations", expected, "--out", "run", "--junit", "junit.xml", *words)
    return queueproof("conformance", *words, cwd=folder, env={**server.env, **more})


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run" / "results.json").read_bytes()))


def standings(folder: Path) -> dict[str, str]:
    return {one["id"]: one["expectation"] for one in results(folder)["requirements"] if one["expectation"]}


def junit(folder: Path) -> dict[str, int]:
    root = ElementTree.parse(folder / "junit.xml").getroot()
    return {name: sum(int(suite.get(name, "")) for suite in root) for name in ("failures", "errors", "skipped")}


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """A folder with the file that the update wrote against the broken server."""
    with serving(BROKEN) as server:
        ended = run(server, tmp_path, "--update-expectations")
    assert ended.code == 0, ended.out + ended.err
    return tmp_path


class TestWorkflow:
    """Broken, known, otherwise broken, mended, cleared."""

    def test_a_known_failure_does_not_gate(self, known: Path) -> None:
        assert results(known)["expectations"]["update"] == {"added": ["PUB-1"], "changed": [], "removed": []}
        with serving(BROKEN) as server:
            ended = run(server, known)
        assert ended.code == 0, ended.out
        assert standings(known) == {"PUB-1": "known"}
        assert "Known failures (1)" in ended.out
        assert "not said yet" in ended.out
        assert junit(known) == {"failures": 0, "errors": 0, "skipped": 1}
        assert "known failure: not said yet" in (known / "junit.xml").read_text()
        assert results(known)["expectations"]["counts"] == {"known": 1}

    def test_another_failure_of_the_same_requirement_gates(self, known: Path) -> None:
        with serving(BROKEN_TOO) as server:
            ended = run(server, known)
            assert (ended.code, standings(known)) == (1, {"PUB-1": "unmatched"})
            assert "fails in another way than its entry says" in " ".join(ended.out.split())
            assert junit(known)["failures"] == 1
            assert run(server, known, "--update-expectations").code == 0
            assert run(server, known).code == 0

    def test_a_new_failure_gates_beside_a_known_one(self, known: Path) -> None:
        text = (known / "known.toml").read_text()
        with serving(BROKEN) as server:
            (known / "known.toml").write_text("catalogue = 1\n")
            ended = run(server, known)
        assert (ended.code, standings(known)) == (1, {"PUB-1": "new"})
        assert "New failures (1)" in ended.out
        assert text.count("[[expectation]]") == 1

    def test_a_mended_failure_fails_until_its_entry_is_gone(self, known: Path, pocket: Serving) -> None:
        ended = run(pocket, known)
        assert (ended.code, standings(known)) == (1, {"PUB-1": "stale"})
        assert "What was expected of PUB-1 no longer holds" in ended.out
        assert "Expectations that no longer hold (1)" in ended.out
        assert junit(known)["failures"] == 1
        page = (known / "run" / "report.html").read_text()
        assert "Stale: it passed" in page or "it passes now: take its entry away" in page
        assert run(pocket, known, "--update-expectations").code == 0
        assert standings(known) == {"PUB-1": "fixed"}
        assert "[[expectation]]" not in (known / "known.toml").read_text()
        assert run(pocket, known).code == 0

    def test_an_expired_entry_gates(self, known: Path) -> None:
        path = known / "known.toml"
        words = path.read_text().splitlines(keepends=True)
        path.write_text("".join("expires = 2020-02-29\n" if line.startswith("expires") else line for line in words))
        with serving(BROKEN) as server:
            ended = run(server, known)
            assert (ended.code, standings(known)) == (1, {"PUB-1": "expired"})
            assert "expired on 2020-02-29" in ended.out
            assert run(server, known, "--update-expectations").code == 1  # how long is the user's to say

    def test_annotations_and_the_summary_of_a_step(self, known: Path) -> None:
        """Only what is new annotates."""
        github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(known / "summary.md")}
        with serving(BROKEN) as server:
            ended = run(server, known, **github)
            assert "::error" not in ended.err
            (known / "known.toml").write_text("catalogue = 1\n")
            assert "::error title=PUB-1::" in run(server, known, **github).err
        first, second = (known / "summary.md").read_text().split("\n## ")
        assert "known failures (1)" in first and "New failures" not in first
        assert "New failures (1)" in second

    def test_pytest_knows_the_same_options(self, known: Path) -> None:
        with serving(BROKEN) as server:
            words = [f"--qp-requirement={name}" for name in CHOSEN]
            words += [f"--qp-expectations={known / 'known.toml'}", f"--qp-out={known / 'run'}"]
            command = [sys.executable, "-m", "pytest", str(ROOT / "conformance"), *words, f"--qp-url={server.url}"]
            env = environment({"SCAIGRID_API_KEY": server.key})
            ended = subprocess.run(command, cwd=known, env=env, capture_output=True, timeout=120)
            assert ended.returncode == 0, ended.stdout
            assert standings(known) == {"PUB-1": "known"}
            (known / "known.toml").unlink()
            ended = subprocess.run(command, cwd=known, env=env, capture_output=True, timeout=120)
            assert ended.returncode == 4
            assert b"cannot be read" in ended.stderr
            ended = subprocess.run([*command, "--qp-update-expectations"], cwd=known, env=env, capture_output=True)
            assert ended.returncode == 0, ended.stdout
            assert "PUB-1" in (known / "known.toml").read_text()


class TestTheFile:
    """What cannot be used is told before anything is sent."""

    @pytest.mark.parametrize(
        ("text", "words", "said"),
        [
            (None, [], "cannot be read"),
            ("catalogue = ", [], "is no TOML"),
            ("[[expectation]]\nrequirement = 'VIS1'\n", [], "did you mean VIS-1"),
            ("\xff", [], "UTF-8"),
            ("expectation = []", ["--update-expectations"], ""),
        ],
    )
    def test_a_mistake(self, tmp_path: Path, text: str | None, words: list[str], said: str) -> None:
        if text is not None:
            (tmp_path / "known.toml").write_bytes(text.encode("latin-1"))
        server = Serving(url="http://127.0.0.1:9", server=None)  # type: ignore[arg-type]
        ended = run(server, tmp_path, *words)
        assert ended.code == (2 if said else 3), ended.err
        assert said in ended.err
        assert (tmp_path / "run").exists() is not bool(said)

    def test_an_update_needs_a_file(self, tmp_path: Path) -> None:
        ended = queueproof("conformance", "--update-expectations", cwd=tmp_path)
        assert ended.code == 2
        assert "--expectations expectations.toml" in ended.err

    def test_a_server_that_is_away_leaves_the_file_alone(self, known: Path) -> None:
        before = (known / "known.toml").read_text()
        server = Serving(url="http://127.0.0.1:9", server=None)  # type: ignore[arg-type]
        assert run(server, known, "--update-expectations").code == 3
        assert (known / "known.toml").read_text() == before


class TestDeclared:
    """--require: what is declared is tried, and its absence fails."""

    @pytest.mark.parametrize(("name", "words", "code"), [
        ("undocumented_verbs_404", ["--require", "extend"], 1),
        ("undocumented_verbs_404", [], 0),
        ("pocket", ["--require", "extend,release"], 0),
    ])  # fmt: skip
    def test_a_verb(self, tmp_path: Path, name: str, words: list[str], code: int) -> None:
        with serving(name) as server:
            ended = run_required(server, tmp_path, *words)
        assert ended.code == code, ended.out + ended.err
        found = {one["id"]: one["outcome"] for one in results(tmp_path)["requirements"]}
        assert found["VIS-5"] == ("failed" if code else "passed" if words else "not-supported")
        capabilities = results(tmp_path)["identity"]["target"]["capabilities"]
        assert capabilities["extend"] is (name == "pocket")

    def test_a_target_file(self, tmp_path: Path) -> None:
        with serving("undocumented_verbs_404") as server:
            (tmp_path / "target.toml").write_text(f'url = "{server.url}"\ncapabilities = ["extend"]\n')
            words = [*requirement("SCOPE-1", "VIS-5"), "--target-file", "target.toml", "--out", "run"]
            env = {"SCAIGRID_HOST": "http://127.0.0.1:9", "SCAIGRID_API_KEY": server.key}
            assert queueproof("conformance", *words, cwd=tmp_path, env=env).code == 1
            assert results(tmp_path)["identity"]["target"]["url"] == server.url

    def test_a_wrong_name(self, tmp_path: Path) -> None:
        ended = queueproof("conformance", "--require", "extned", cwd=tmp_path)
        assert ended.code == 2
        assert "did you mean extend" in ended.err


def run_required(server: Serving, folder: Path, *words: str) -> Done:
    words = (*requirement("SCOPE-1", "VIS-5"), "--out", "run", *words)
    return queueproof("conformance", *words, cwd=folder, env=server.env)


class TestIdentity:
    """Who was judged, by what, when, and how to do it again; no secret in it."""

    def test_it_stands_in_the_results(self, tmp_path: Path, pocket: Serving) -> None:
        words = [*requirement("SCOPE-1"), "--slack", "4", "--out", "run"]
        queueproof("conformance", *words, cwd=tmp_path, env=pocket.env)
        identity = results(tmp_path)["identity"]
        assert identity["target"]["url"] == pocket.url
        assert identity["catalogue"]["version"] == 1
        assert len(identity["catalogue"]["digest"]) == 8
        assert identity["options"]["slack_s"] == 4
        assert identity["reproduce"].startswith(f"queueproof conformance --url {pocket.url} --requirement SCOPE-1")
        assert pocket.key not in json.dumps(identity)


class TestOtherExits:
    """A SHOULD that is asked for, and a crash of ours."""

    def test_a_should(self, tmp_path: Path) -> None:
        with serving("tier_ignored") as server:
            for words, code in (([], 0), (["--fail-on", "should"], 1)):
                chosen = [*requirement("SCOPE-1", "ORD-4"), "--out", "run", *words]
                ended = queueproof("conformance", *chosen, cwd=tmp_path, env=server.env)
                assert ended.code == code, ended.out
                assert {one["id"]: one["outcome"] for one in results(tmp_path)["requirements"]}["ORD-4"] == "failed"
                assert results(tmp_path)["exit_code"] == code

    def test_a_crash_of_the_harness_is_5(self, tmp_path: Path, pocket: Serving) -> None:
        """A package whose suite holds a case that fails by itself: never the server's fault."""
        package = tmp_path / "package" / "queueproof"
        package.mkdir(parents=True)
        for path in (ROOT / "src" / "queueproof").iterdir():
            (package / path.name).symlink_to(path)
        suite = package / "_bundled" / "conformance"
        suite.mkdir(parents=True)
        for name in ("conftest.py", "pytest.ini", "test_scope.py"):
            (suite / name).write_text((ROOT / "conformance" / name).read_text())
        (suite / "test_crash.py").write_text(
            '"""A case that crashes."""\n\nfrom queueproof.drive.case import Case, proves\n\n\n'
            '@proves("PUB-1")\nasync def test_crash(case: Case) -> None:\n    """PUB-1."""\n'
            "    raise ZeroDivisionError\n"
        )
        env = {**pocket.env, "PYTHONPATH": str(package.parent)}
        words = [*requirement("SCOPE-1", "PUB-1"), "--out", "run"]
        ended = queueproof("conformance", *words, cwd=tmp_path, env=env)
        assert ended.code == 5, ended.out + ended.err
        assert "The harness itself failed on PUB-1" in ended.out
        found = {one["id"]: one["outcome"] for one in results(tmp_path)["requirements"]}
        assert (found["SCOPE-1"], found["PUB-1"]) == ("passed", "harness-error")
