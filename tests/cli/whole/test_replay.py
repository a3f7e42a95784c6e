"""`queueproof replay`: one failure once more, also from a run of another machine's."""

import json
import shutil
from pathlib import Path

import pytest
from cli_run import Done, Serving, queueproof, requirement, serving

CHOSEN = ("SCOPE-1", "PUB-1", "PUB-2")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A run that found PUB-1 broken; its server is gone."""
    with serving("publish_without_state") as server:
        words = [*requirement(*CHOSEN), "--slack", "4", "--out", "run"]
        assert queueproof("conformance", *words, cwd=tmp_path, env=server.env).code == 1
    return tmp_path


def replayed(folder: Path, name: str = "PUB-1", *words: str | Path, key: str = "sgk_x", run: str = "run") -> Done:
    words = (run, "--requirement", name, "--out", folder / "again", *words)
    return queueproof("replay", *words, cwd=folder, env={"SCAIGRID_API_KEY": key} if key else {})


def against(server: Serving, folder: Path, name: str = "PUB-1", run: str = "run") -> Done:
    return replayed(folder, name, "--url", server.url, key=server.key, run=run)


def test_it_still_fails_as_it_did(broken: Path) -> None:
    with serving("publish_without_state") as server:
        done = against(server, broken)
    assert done.code == 1, done.out
    assert done.out.startswith("FAILED  PUB-1 fails as it did then: ")
    manifest = json.loads((broken / "again" / "manifest.json").read_bytes())
    assert manifest["options"]["slack_s"] == 4
    assert manifest["options"]["replays"] == json.loads((broken / "run" / "manifest.json").read_bytes())["run"]


def test_it_fails_otherwise(broken: Path) -> None:
    with serving("publish_state_queued") as server:
        done = against(server, broken)
    assert (done.code, done.out.split(":")[0]) == (1, "FAILED  PUB-1 fails in another way than it did then")


def test_it_is_fixed(broken: Path, pocket: Serving) -> None:
    done = against(pocket, broken)
    assert (done.code, done.out.splitlines()[0]) == (0, "FIXED  PUB-1 failed then, and passes now")
    assert (broken / "again" / "report.html").is_file()


def test_a_run_of_another_machine(broken: Path, pocket: Serving) -> None:
    """Its directory alone, without the reports and the histories, is enough."""
    for name in ("manifest.json", "results.json"):
        (broken / "sent").mkdir(exist_ok=True)
        shutil.copy(broken / "run" / name, broken / "sent" / name)
    assert against(pocket, broken, run="sent").code == 0


@pytest.mark.parametrize(
    ("name", "key", "said", "code"),
    [
        ("PUB-1", "sgk_x", "the target cannot be used", 3),
        ("PUB-1", "", "there is no API key", 4),
        ("PUB-2", "sgk_x", "PUB-2 was passed in that run", 4),
        ("VIS-1", "sgk_x", "that run did not try VIS-1", 4),
    ],
)
def test_it_cannot_be_told(broken: Path, name: str, key: str, said: str, code: int) -> None:
    done = replayed(broken, name, key=key)
    assert done.code == code, done.out + done.err
    assert done.out.startswith("CANNOT  ")
    assert said in done.out


def test_wrong_usage(broken: Path) -> None:
    assert replayed(broken, "PUB1").code == 2
    assert replayed(broken, run="nowhere").code == 2
    before = (broken / "run" / "results.json").read_bytes()
    done = queueproof("replay", "run", "--requirement", "PUB-1", "--out", "run", cwd=broken)
    assert (done.code, "is the run itself" in done.err) == (2, True)
    assert (broken / "run" / "results.json").read_bytes() == before


def test_the_newest_run_stays_the_newest(tmp_path: Path) -> None:
    with serving("publish_without_state") as server:
        queueproof("conformance", *requirement("PUB-1"), cwd=tmp_path, env=server.env)
        for _ in range(2):
            words = "replay", "reports/latest", "--requirement", "pub-1"
            assert queueproof(*words, cwd=tmp_path, env=server.env).code == 1
    assert len(list((tmp_path / "reports").glob("*-replay-PUB-1-*/results.json"))) == 2


def test_what_only_the_history_showed(tmp_path: Path) -> None:
    """A finding over the whole history: the cases whose calls it names are run again."""
    with serving("key_includes_body") as server:
        queueproof("conformance", *requirement("IDEM-3"), "--out", "run", cwd=tmp_path, env=server.env)
        found = json.loads((tmp_path / "run" / "results.json").read_bytes())["requirements"]
        [told] = [one for one in found if one["id"] == "IDEM-2"]
        assert {case["name"] for case in told["cases"]} == {"check idempotency, over the whole history"}
        assert against(server, tmp_path, "IDEM-2").code == 1
    with serving("pocket") as server:
        assert against(server, tmp_path, "IDEM-2").code == 0
