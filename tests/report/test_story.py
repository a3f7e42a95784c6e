"""The story of a run: its sentence, its groups, and what it says of what is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from queueproof.errors import CorruptRunError
from queueproof.evidence.results import CaseResult, FindingResult, Outcome, RequirementResult, Verdict
from queueproof.report.cards import Group
from queueproof.report.story import load_story

Builder = Callable[[], Any]


def test_a_passing_run_says_so(passing_run: Path) -> None:
    story = load_story(passing_run)
    assert (story.tone, story.verdict, story.sentence) == ("good", "Conforms", "All 7 requirements passed.")
    assert {card.group for card in story.cards} == {Group.PASSED}
    assert story.notes == ()


def test_each_requirement_stands_in_its_group(failing_run: Path) -> None:
    story = load_story(failing_run)
    found = {group: [card.id for card in story.group(group)] for group in Group}
    assert found[Group.NEW] == ["CLAIM-6"]
    assert found[Group.KNOWN] == ["IDEM-3"]
    assert found[Group.TOLD] == ["ENV-4"]
    assert found[Group.FIXED] == ["PUB-3"]
    assert found[Group.HARNESS] == ["PUB-2"]
    assert found[Group.INCONCLUSIVE] == ["ORD-1"]
    assert {root: [card.id for card in cards] for root, cards in story.blocked_by_root().items()} == {
        "CLAIM-6": ["DONE-4", "VIS-2"]
    }
    assert story.sentence == "CLAIM-6 failed; 8 of 17 requirements passed."


def test_a_failure_comes_with_its_words_its_operations_and_its_command(failing_run: Path) -> None:
    (card,) = load_story(failing_run).group(Group.NEW)
    (part,) = card.failing
    assert "MUST never both return the same message" in card.statement
    assert card.blocks == ("VIS-2", "DONE-4")
    assert card.again == "queueproof conformance --url http://127.0.0.1:8080 --requirement CLAIM-6"
    assert [exchange.verb for exchange in part.picked.exchanges] == ["publish", "claim", "claim", "claim", "complete"]
    assert part.layout is not None and part.layout.ringed
    assert part.layout.lanes[1].marks[1].label == "T + slack"


def test_what_others_wait_for_comes_first(new_run: Builder) -> None:
    """CLAIM-1 stands after ENV-1 in the catalogue, and before it in the report."""

    def result(name: str, outcome: Outcome, root: str = "") -> RequirementResult:
        return RequirementResult(id=name, level="MUST", profile="core", outcome=outcome, root=root)

    results = [result("ENV-1", Outcome.FAILED), result("CLAIM-1", Outcome.FAILED)]
    results.append(result("VIS-2", Outcome.BLOCKED, root="CLAIM-1"))
    story = load_story(new_run().finish(Verdict.DOES_NOT_CONFORM, 1, *results))
    assert [card.id for card in story.group(Group.NEW)] == ["CLAIM-1", "ENV-1"]


def test_a_finding_that_its_case_told_already_is_not_told_twice(new_run: Builder) -> None:
    run = new_run()
    a = run.claim(0.0, 0.1, "m")
    finding = FindingResult(check="exclusivity", requirement="CLAIM-6", summary="s", operations=(a,), proof="1 < 2")
    case = CaseResult(name="f::test_c", requirement="CLAIM-6", outcome=Outcome.FAILED, proof="1 < 2", evidence=(a,))
    result = RequirementResult(id="CLAIM-6", level="MUST", profile="core", outcome=Outcome.FAILED, cases=(case,))
    other = FindingResult(check="attempts", requirement="CLAIM-6", summary="s", operations=(a,), proof="3 > 2")
    story = load_story(run.finish(Verdict.DOES_NOT_CONFORM, 1, result, findings=(finding, other)))
    assert [part.title for part in story.cards[0].parts] == ["c", "attempts"]
    assert story.findings == ()


def test_a_cut_off_run_tells_what_was_recorded(interrupted_run: Path) -> None:
    story = load_story(interrupted_run)
    assert story.sentence == "The run was cut off before a verdict; 2 calls of 2 cases were recorded."
    assert (story.tone, story.complete) == ("unsure", False)
    assert any("results.json is missing" in note for note in story.notes)


def test_an_interrupted_run_says_that_it_is_incomplete(new_run: Builder) -> None:
    story = load_story(new_run().finish(Verdict.NO_VERDICT, 130, complete=False))
    assert story.tone == "unsure" and any("interrupted" in note for note in story.notes)


@pytest.mark.parametrize("gone", ["manifest.json", "history-0.ndjson"])
def test_a_missing_file_is_a_note(failing_run: Path, gone: str) -> None:
    (failing_run / gone).unlink()
    story = load_story(failing_run)
    assert len(story.notes) == 1
    assert [card.id for card in story.group(Group.NEW)] == ["CLAIM-6"]


@pytest.mark.parametrize("name", ["manifest.json", "results.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 1}', b"\xff\xfe"])
def test_a_file_that_cannot_be_trusted_is_an_error_with_a_hint(failing_run: Path, name: str, content: bytes) -> None:
    (failing_run / name).write_bytes(content)
    with pytest.raises(CorruptRunError) as caught:
        load_story(failing_run)
    assert caught.value.hint and name in caught.value.message


def test_a_folder_that_is_no_run_is_an_error_with_a_hint(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CorruptRunError) as caught:
            load_story(path)
        assert "reports/latest" in caught.value.hint


def test_a_torn_history_is_a_note(failing_run: Path) -> None:
    history = failing_run / "history-0.ndjson"
    lines = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join([*lines[:4], b"garbage\n", *lines[4:]]))
    story = load_story(failing_run)
    assert any("line 5" in note for note in story.notes)
    picked = story.group(Group.NEW)[0].parts[0].picked
    assert (len(picked.exchanges), picked.missing) == (1, 1)


def test_a_load_run_tells_objectives_and_the_first_findings(load_run: Path) -> None:
    story = load_story(load_run)
    assert story.sentence == "1 of 2 objectives met, 25 findings."
    assert (len(story.findings), story.more_findings) == (20, (("exclusivity", 5),))
    assert story.command == "queueproof load steady --rate 100 --url http://host"


def test_a_requirement_that_this_version_does_not_know_is_shown_all_the_same(new_run: Builder) -> None:
    result = RequirementResult(id="NEW-1", level="MUST", profile="core", outcome=Outcome.FAILED, summary="odd")
    (card,) = load_story(new_run().finish(Verdict.DOES_NOT_CONFORM, 1, result)).group(Group.NEW)
    assert (card.statement, card.summary) == ("", "odd")


def test_no_secret_is_told_whoever_wrote_it_into_the_manifest(new_run: Builder) -> None:
    run = new_run()
    manifest = msgspec.structs.replace(
        run.directory.manifest(),
        target={"url": "https://user:pass@host/x", "kind": "url"},
        options={"api_key": "sgk_1", "view_key": "sgk_2", "slack_s": 2, "out": None},
    )
    run.directory.write_manifest(manifest)
    story = load_story(run.finish(Verdict.CONFORMS, 0))
    assert story.target == "https://host/x"
    assert story.facts == [("Target: kind", "url"), ("Option: slack s", 2)]
