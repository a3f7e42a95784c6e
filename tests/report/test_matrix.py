"""Several implementations side by side: told apart, compared, and refused where they are no results."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from tests.report.conftest import EVIL, Run, passing, requirement
from tests.report.test_html import Page
from typer.testing import CliRunner

from queueproof.cli import app
from queueproof.errors import QueueproofError
from queueproof.evidence.results import Observation, Verdict
from queueproof.report.badge import badge
from queueproof.report.matrix import as_json, build
from queueproof.report.matrix_page import markdown, page, sentence, write_matrix


def refused(*sources: str) -> str:
    with pytest.raises(QueueproofError) as caught:
        build(sources)
    assert caught.value.exit_code == 2 and caught.value.hint
    return caught.value.message


def test_outcomes_stand_side_by_side(passing_run: Path, failing_run: Path) -> None:
    matrix = build([str(passing_run), f"other={failing_run}"])
    assert [each.name for each in matrix.implementations] == ["passing", "other"]
    rows = {row.id: row for row in matrix.rows}
    assert [cell.outcome if cell else None for cell in rows["CLAIM-6"].cells] == [None, "failed"]
    assert not rows["VIS-1"].differs
    assert sentence(matrix) == "1 of 2 conform; they differ on 0 of 17 requirements."


def test_what_differs_is_marked(tmp_path: Path) -> None:
    bad = Run(tmp_path / "bad").finish(Verdict.DOES_NOT_CONFORM, 1, requirement("VIS-1", "failed", summary="too early"))
    matrix = build([str(passing(tmp_path / "good")), str(bad)])
    assert [row.id for row in matrix.rows if row.differs] == ["VIS-1"]
    assert 'data-differs="yes"' in page(matrix) and "too early" in page(matrix)


def test_what_could_not_be_told_is_no_difference(tmp_path: Path) -> None:
    bare = Run(tmp_path / "bare").finish(Verdict.CONFORMS, 0, requirement("VIS-1", "not-run", summary="no key"))
    (row,) = [row for row in build([str(passing(tmp_path / "good")), str(bare)]).rows if row.id == "VIS-1"]
    assert not row.differs


def test_observations_are_compared_by_their_number(tmp_path: Path) -> None:
    def run(name: str, *observations: Observation) -> str:
        path = tmp_path / name
        return str(Run(path).finish(Verdict.CONFORMS, 0, requirement("VIS-1"), observations=observations))

    a = run("a", Observation(id="Q10", statement="s", value=1), Observation(id="Q2", statement="s", value=True))
    b = run("b", Observation(id="Q2", statement="s", value=False))
    matrix = build([a, b])
    assert [(seen.id, seen.values, seen.differs) for seen in matrix.observations] == [
        ("Q2", ("yes", "no"), True),
        ("Q10", ("1", ""), False),
    ]
    assert "· not seen" in page(matrix) and "· not seen" in markdown(matrix)


def test_a_part_of_the_contract_is_told_as_one(passing_run: Path, tmp_path: Path) -> None:
    cut = Run(tmp_path / "cut").finish(Verdict.NO_VERDICT, 130, requirement("VIS-1"), complete=False)
    matrix = build([str(passing_run), str(cut)])
    assert [each.partial.partition(" of ")[0] for each in matrix.implementations] == [
        "7",
        "cut off: only what had finished by then",
    ]
    assert page(matrix).count('class="partly"') == 2
    assert "(in part)" in badge(matrix.implementations[0]) and "no verdict" in badge(matrix.implementations[1])


def test_an_implementation_is_named_as_it_names_itself(new_run: Callable[[], Run]) -> None:
    run = new_run()
    manifest = run.directory.manifest()
    manifest.target.update(name="mini-queue", version="1.4.2", revision="a1b2c3d", url="http://u:p@127.0.0.1:1")
    run.directory.write_manifest(manifest)
    path = run.finish(Verdict.CONFORMS, 0, requirement("VIS-1"))
    (each,) = build([str(path / "results.json")]).implementations
    assert (each.name, each.identity, each.url) == ("mini-queue", "mini-queue 1.4.2 a1b2c3d", "http://127.0.0.1:1")


def test_a_lone_file_is_enough(passing_run: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_bytes((passing_run / "results.json").read_bytes())
    (each,) = build([str(tmp_path / "theirs.json")]).implementations
    assert (each.name, each.manifest, each.date) == ("theirs", None, "")


def test_bad_input_is_refused(passing_run: Path, load_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    assert "there is no" in refused(str(tmp_path / "nowhere"))
    assert "holds no results.json" in refused(str(tmp_path))
    other.write_text("[1, 2]")
    assert "cannot be read" in refused(str(other))
    text = (passing_run / "results.json").read_text()
    other.write_text(text.replace('"schema": 1', '"schema": 99'))
    assert "form 99" in refused(str(other))
    assert "not of a conformance run" in refused(str(load_run))
    assert "both named 'passing'" in refused(str(passing_run), str(passing_run / "results.json"))
    assert "both named 'x'" in refused(f"x={passing_run}", f"x={passing_run}")


def test_the_pages_are_whole_and_ask_for_nothing(passing_run: Path, failing_run: Path, tmp_path: Path) -> None:
    files = write_matrix(build([str(passing_run), str(failing_run)]), tmp_path / "out")
    names = {str(file.relative_to(tmp_path / "out")) for file in files}
    assert names == {"index.html", "matrix.md"} | {
        name.format(slug) for name in ("badges/{}.svg", "contract-{}.html") for slug in ("passing", "failing")
    }
    for file in files:
        if file.suffix == ".html":
            found = Page(file.read_text())
            assert found.open == [] and found.all("src") == []
            ids = found.all("id")
            assert len(ids) == len(set(ids))
            for target in found.all("href"):
                place, _, fragment = target.partition("#")
                assert place in {"", "data:,"} or place in names, target
                assert place or not fragment or fragment in ids, target


def test_a_badge_has_a_title_and_a_sign(passing_run: Path, failing_run: Path) -> None:
    good, bad = build([str(passing_run), str(failing_run)]).implementations
    for each, sign in ((good, "✓ conforms, 7 of 7"), (bad, "✗ breaks CLAIM-6")):
        root = ElementTree.fromstring(badge(each))
        title = root.find("{http://www.w3.org/2000/svg}title")
        assert title is not None and root.get("role") == "img"
        assert title.text == root.get("aria-label") and sign in str(title.text)


def test_hostile_names_and_words_stay_text(hostile_run: Path) -> None:
    matrix = build([f"{EVIL.replace(chr(47), chr(32))}={hostile_run}"])
    for document in (page(matrix), badge(matrix.implementations[0])):
        assert "<script>alert" not in document and "\x1b" not in document and "\u202e" not in document
    ElementTree.fromstring(badge(matrix.implementations[0]))
    assert "\n" not in matrix.implementations[0].name


def test_the_command_writes_prints_and_refuses(passing_run: Path, failing_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["matrix", str(passing_run), str(failing_run), "--out", str(out), "--json"])
    assert done.exit_code == 0 and "1 of 2 conform" in done.stderr
    told = json.loads(done.stdout)
    assert told["requirements"]["CLAIM-6"] == {"failing": "failed"}
    assert told == json.loads(as_json(build([str(passing_run), str(failing_run)])))
    assert (out / "index.html").is_file()
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(app, ["matrix", str(passing_run), "--out", str(tmp_path / "file")])
    assert isinstance(done.exception, QueueproofError) and done.exception.exit_code == 2


def test_a_known_failure_is_told_as_one(failing_run: Path) -> None:
    matrix = build([str(failing_run)])
    assert matrix.implementations[0].broken == ["CLAIM-6"]  # IDEM-3 is known, ENV-4 does not gate
    assert "</b> known failure</span>" in page(matrix) and "✗ failed (known)" in markdown(matrix)
