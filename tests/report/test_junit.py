"""JUnit as its readers expect it: valid whatever the server said, and as red as the exit code."""

from pathlib import Path
from xml.etree import ElementTree

from queueproof.report.junit import junit
from queueproof.report.story import load_story


def parsed(path: Path) -> ElementTree.Element:
    text = junit(load_story(path))
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>')
    return ElementTree.fromstring(text)


def case(root: ElementTree.Element, name: str) -> ElementTree.Element:
    return next(found for found in root.iter("testcase") if found.get("name", "").startswith(f"{name} "))


def test_a_passing_run_has_only_passes(passing_run: Path) -> None:
    root = parsed(passing_run)
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == ("7", "0", "0", "0")
    assert [suite.get("name") for suite in root][:2] == ["ENV Envelopes", "SCOPE Scopes"]


def test_only_what_gates_is_a_failure(failing_run: Path) -> None:
    root = parsed(failing_run)
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == ("17", "1", "1", "7")
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
    for count in ("tests", "failures", "errors", "skipped"):
        assert sum(int(suite.get(count, "0")) for suite in root) == int(root.get(count, "0"))


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
