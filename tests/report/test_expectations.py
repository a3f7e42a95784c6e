"""New, known, mended and out of date: each told apart in every format, and only what is new annotated."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from queueproof.evidence.results import SCHEMA, CaseResult, Outcome, RequirementResult, Results, Verdict
from queueproof.evidence.run import RunDirectory, manifest_of
from queueproof.report.cards import Group
from queueproof.report.html import html
from queueproof.report.junit import junit
from queueproof.report.markdown import annotations, markdown
from queueproof.report.story import Story, load_story
from queueproof.report.terminal import render

# Requirement → outcome, how it stands, where the report tells it, what JUnit makes of it.
TOLD = {
    "VIS-1": ("failed", "new", Group.NEW, "failure"),
    "VIS-2": ("failed", "unmatched", Group.NEW, "failure"),
    "VIS-3": ("failed", "expired", Group.NEW, "failure"),
    "PUB-1": ("failed", "known", Group.KNOWN, "skipped"),
    "PUB-2": ("inconclusive", "known", Group.KNOWN, "skipped"),
    "PUB-3": ("passed", "stale", Group.STALE, "failure"),
    "PUB-5": ("not-supported", "unmatched", Group.STALE, "failure"),
    "CLAIM-1": ("passed", "fixed", Group.FIXED, None),
    "CLAIM-2": ("passed", "known", Group.PASSED, None),
    "CLAIM-3": ("failed", "provisional", Group.PROVISIONAL, "skipped"),
    "CLAIM-4": ("inconclusive", "untold", Group.INCONCLUSIVE, "skipped"),
    "CLAIM-5": ("passed", "", Group.PASSED, None),
}


def result(name: str, outcome: str, standing: str) -> RequirementResult:
    case = CaseResult(name=f"t.py::test_{name}", requirement=name, outcome=Outcome(outcome), summary=f"seen {name}")
    more: dict[str, Any] = {"known_failure": f"words of {name}"} if standing not in {"", "new", "fixed"} else {}
    more |= {"remark": f"remark on {name}"} if standing not in {"", "new", "known"} else {}
    return RequirementResult(
        id=name,
        level="MUST",
        profile="core",
        outcome=Outcome(outcome),
        summary=f"seen {name}",
        expectation=standing,
        cases=(case,),
        **more,
    )


@pytest.fixture
def story(tmp_path: Path) -> Story:
    directory = RunDirectory(tmp_path)
    manifest = manifest_of(run="ab12cd34", kind="conformance", target={}, options={}, command="queueproof conformance")
    directory.write_manifest(manifest)
    found = tuple(result(name, outcome, standing) for name, (outcome, standing, *_) in TOLD.items())
    directory.write_results(
        Results(schema=SCHEMA, verdict=Verdict.DOES_NOT_CONFORM, exit_code=1, summary="x", requirements=found)
    )
    return load_story(tmp_path)


def test_each_has_its_group(story: Story) -> None:
    assert {card.id: card.group for card in story.cards} == {name: told[2] for name, told in TOLD.items()}


def test_junit_agrees_with_the_exit_code(story: Story) -> None:
    root = ElementTree.fromstring(junit(story))
    for case in root.iter("testcase"):
        name = str(case.get("name")).split()[0]
        [kind] = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}] or [None]
        assert kind == TOLD[name][3], name
        standing = [p.get("value") for p in case.iter("property") if p.get("name") == "expectation"]
        assert standing == ([TOLD[name][1]] if TOLD[name][1] else []), name
    text = junit(story)
    for said in ("known failure: words of PUB-1", "expected to be inconclusive: words of PUB-2", "remark on PUB-3"):
        assert said in text


def test_only_what_is_new_annotates(story: Story) -> None:
    told = annotations(story)
    assert {name for name in TOLD if f"title={name}:" in told} == {"VIS-1", "VIS-2", "VIS-3"}


@pytest.mark.parametrize("form", [render, markdown, html], ids=lambda form: form.__name__)
def test_every_format_tells_them_apart(story: Story, form: Any) -> None:
    text = form(story).lower()
    for group in (Group.STALE, Group.KNOWN, Group.FIXED):
        assert group.value in text
    assert "provisional" in text
    for name in ("PUB-3", "CLAIM-3", "VIS-2"):
        assert f"remark on {name}".lower() in text.replace("\\", "")
