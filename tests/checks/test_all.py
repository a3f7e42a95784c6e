"""All checks together."""

import pytest
from benchmarks.checks import history
from checks_story import Story, got

from queueproof.checks import all as everything
from queueproof.checks.all import run_all
from queueproof.evidence.history import tabulate


def test_an_empty_history_has_no_findings() -> None:
    assert run_all(tabulate([])) == []


def test_the_history_that_is_measured_has_all_columns_and_no_findings() -> None:
    assert run_all(history(2_000), orderings={"queue-0": "fifo"}) == []


def test_every_check_is_asked() -> None:
    story = Story()
    story.publish("a", 0, 0.1)
    story.publish("b", 0.2, 0.3)
    story.claim(1.0, 1.1, [got("b", 1, body="changed")])
    story.claim(2.0, 2.1, [got("a", 1)], limit=1)
    story.claim(2.0, 2.1, [got("a", 1), got("b", 4)], limit=1)
    story.complete("a", 3.0, 3.1)
    story.claim(4.0, 4.1, [got("a", 2)])
    found = {finding.check for finding in run_all(story.history(), orderings={"tasks": "fifo"})}
    assert found == {"exclusivity", "terminality", "attempts", "batch", "integrity", "order"}


def test_a_crash_inside_a_check_accuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(everything, "check_order", crash)
    story = Story()
    story.publish("a", 0, 0.1)
    (finding,) = run_all(story.history())
    assert finding.check == "harness"
    assert finding.weight == "note"
    assert "order" in finding.summary
    assert "ZeroDivisionError" in finding.proof
