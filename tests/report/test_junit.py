"""JUnit as its readers expect it: valid whatever the server said, and as red as the exit code."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import msgspec
import pytest
from tests.report import conftest as stories
from tests.report import measured_stories as measured

from queueproof.evidence.run import RunDirectory
from queueproof.report.junit import junit
from queueproof.report.story import load_story


def parsed(path: Path) -> ElementTree.Element:
    text = junit(load_story(path))
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>')
    return ElementTree.fromstring(text)


def case(root: ElementTree.Element, name: str) -> ElementTree.Element:
    return next(found for found in root.iter("testcase") if found.get("name", "").startswith(f"{name} "))


def counts(root: ElementTree.Element) -> dict[str, int]:
    """As the suites have them."""
    return {name: sum(int(suite.get(name, "")) for suite in root) for name in COUNTS}


COUNTS: Final = ("tests", "failures", "errors", "skipped")
# Of junit-10.xsd, by which Jenkins' xUnit plugin reads: each element's attributes (those that must be there marked with
# an asterisk) and the elements inside it.
SCHEMA: Final = {
    "testsuites": ("name time tests failures errors", "testsuite"),
    "testsuite": (
        "name* tests* failures* errors* time skipped timestamp hostname id package file log url group",
        "testsuite properties testcase system-out system-err",
    ),
    "properties": ("", "property"),
    "property": ("name* value*", ""),
    "testcase": ("name* time classname group", "skipped error failure system-out system-err"),
    "failure": ("type message", ""),
    "error": ("type message", ""),
    "skipped": ("type message", ""),
    "system-out": ("", ""),
}
# What it does not know of a test case, and its readers do: GitLab's link, and the properties that Jenkins' JUnit step,
# GitLab and pytest's own users expect.
MORE: Final = {"testcase": ("file", "properties")}
TIME: Final = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


@pytest.mark.parametrize(
    "write", [stories.passing, stories.failing, stories.hostile, stories.load, stories.interrupted, measured.capacity]
)
def test_every_element_is_one_that_jenkins_knows(write: Callable[[Path], Path], tmp_path: Path) -> None:
    for element in parsed(write(tmp_path / "run")).iter():
        attributes, inside = SCHEMA[element.tag]
        more, nested = MORE.get(element.tag, ("", ""))
        assert set(element.keys()) <= {name.rstrip("*") for name in f"{attributes} {more}".split()}, element.tag
        assert {name[:-1] for name in attributes.split() if name.endswith("*")} <= set(element.keys())
        assert {child.tag for child in element} <= set(f"{inside} {nested}".split())
        assert TIME.fullmatch(element.get("time", ""))
        if element.tag == "testcase":
            assert len([child for child in element if child.tag in {"failure", "error", "skipped"}]) <= 1
            assert re.fullmatch(r"queueproof\.\S+", element.get("classname", ""))  # package and class, to Jenkins


def test_a_name_is_the_same_whatever_was_seen(passing_run: Path, failing_run: Path) -> None:
    """By class and name a CI server knows an old failure again."""
    once, again = (
        {(found.get("classname"), found.get("name")) for found in parsed(path).iter("testcase")}
        for path in (passing_run, failing_run)
    )
    assert once < again
    assert not any("given to two holders" in str(name) for _, name in again)


def test_a_file_is_a_path_from_the_root_of_the_repository(failing_run: Path) -> None:
    """What a CI server can open; of an installed suite there is none in the user's repository."""
    assert case(parsed(failing_run), "CLAIM-6").get("file") == "conformance/test_area.py"
    directory = RunDirectory(failing_run)
    directory.write_manifest(msgspec.structs.replace(directory.manifest(), suite=""))
    assert case(parsed(failing_run), "CLAIM-6").get("file") is None


def test_a_passing_run_has_only_passes(passing_run: Path) -> None:
    root = parsed(passing_run)
    assert counts(root) == {"tests": 7, "failures": 0, "errors": 0, "skipped": 0}
    assert [suite.get("name") for suite in root][:2] == ["ENV Envelopes", "SCOPE Scopes"]


def test_only_what_gates_is_a_failure(failing_run: Path) -> None:
    root = parsed(failing_run)
    assert counts(root) == {"tests": 17, "failures": 1, "errors": 1, "skipped": 7}
    failure = case(root, "CLAIM-6").find("failure")
    assert failure is not None and failure.text is not None
    assert "--requirement CLAIM-6" in failure.text and "surely held" in failure.text
    assert case(root, "CLAIM-6").get("classname") == "queueproof.CLAIM"
    assert case(root, "CLAIM-6").get("file") == "conformance/test_area.py"


def test_every_skip_says_why(failing_run: Path) -> None:
    root = parsed(failing_run)
    reasons = {
        name: case(root, name).find("skipped") for name in ("VIS-2", "ORD-1", "AUTH-3", "LIFE-1", "IDEM-3", "ENV-4")
    }
    said = {name: reason.get("message", "") for name, reason in reasons.items() if reason is not None}
    assert said == {
        "VIS-2": "blocked by CLAIM-6: CLAIM-6 failed",
        "ORD-1": "inconclusive: 429 came between three times",
        "AUTH-3": "not run: no --view-key was given",
        "LIFE-1": "not supported: extend answers 404",
        "IDEM-3": "known failure: conflicts are not told apart yet (#41)",
        "ENV-4": "failed, but does not gate: meta.request_id is absent",
    }


def test_a_crash_of_ours_is_an_error(failing_run: Path) -> None:
    assert case(parsed(failing_run), "PUB-2").find("error") is not None


def test_the_suites_add_up(failing_run: Path) -> None:
    root = parsed(failing_run)
    added = counts(root)
    assert {name: int(root.get(name, "")) for name in COUNTS[:3]} == {name: added[name] for name in COUNTS[:3]}


def test_hostile_bytes_stay_text(hostile_run: Path) -> None:
    root = parsed(hostile_run)
    assert not list(root.iter("script"))
    assert len(junit(load_story(hostile_run))) < 100_000


def test_objectives_and_findings_fail_a_load_run(load_run: Path) -> None:
    root = parsed(load_run)
    names = {found.get("name"): found.find("failure") is not None for found in root.iter("testcase")}
    assert names["e2e.p99 < 40ms"] and not names["publish.response.p99 < 50ms"]
    assert int(root.get("failures", "0")) == 21


def test_a_cut_off_run_is_an_error_not_an_empty_pass(interrupted_run: Path) -> None:
    assert parsed(interrupted_run).get("errors") == "1"
