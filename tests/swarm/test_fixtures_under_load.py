"""A bug in one of three hundred operations is found and proved under load; odd but legal servers are left in peace."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fixtures.registry import rares

from queueproof import conduct_load
from queueproof.drive.load_runner import LoadOptions
from queueproof.evidence.history import read_history

ROOT = Path(__file__).parents[2]
SCENARIO = """
[consumers]
count = 6
visibility_timeout_s = {timeout}
abandon = 0.01
[drain]
cadence_s = "1s"
slack_s = "1s"
[[stages]]
rate = {rate}
duration = {duration}
"""
# What the finding of each must be.
CHECKS = {
    "double_delivery": "exclusivity",
    "lost_publish": "loss",
    "ghost": "ghosts",
    "revived_completion": "terminality",
    "swapped_body": "integrity",
}
# Those whose oddity is nearest to a fault, seen from a load, or that refuse what is asked by nature.
ODD = (
    "effects_held_back",
    "lapse_two_seconds_late",
    "late_complete_accepted",
    "one_delivery_more",
    "rate_limited",
    "resets_after_effect",
    "sometimes_503",
)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Runs a load against a server of fixtures/; gives its results."""
    with ExitStack() as stack:

        def go(name: str, out: str = "run", **numbers: float) -> Any:
            command = [sys.executable, "-m", "fixtures.serve", name]
            server = stack.enter_context(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
            stack.callback(server.kill)
            assert server.stdout is not None
            ready = json.loads(server.stdout.readline())
            path = tmp_path / "own.toml"
            path.write_text(SCENARIO.format(**{"timeout": 1.5, "rate": 60, "duration": 1, **numbers}))
            options = LoadOptions(scenario=str(path), out=tmp_path / out)
            return conduct_load.load(options, url=ready["url"], key=ready["keys"]["all"]).results

        yield go


def test_every_rare_fault_has_its_check() -> None:
    assert {entry.name for entry in rares()} == set(CHECKS)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_rare_bug_is_found_and_proved(name: str, run: Callable[..., Any], tmp_path: Path) -> None:
    """Enough messages for the bug to show several times; the proof's operations are in the history."""
    for out in ("first", "second", "third"):  # what was answered while the next call was under way proves nothing
        results = run(name, out, rate=400, duration=3)
        if results.exit_code == 1:
            break
    assert results.exit_code == 1, results.summary
    violations = [finding for finding in results.findings if finding.weight == "violation"]
    assert CHECKS[name] in {finding.check for finding in violations}
    known = set(read_history(tmp_path / out).calls["op"])
    for finding in violations:
        assert finding.operations
        assert set(finding.operations) <= known
        assert finding.proof


@pytest.mark.parametrize("name", ODD)
def test_an_odd_server_is_left_in_peace(name: str, run: Callable[..., Any]) -> None:
    results = run(name)
    crowded = results.exit_code == 4 and results.load["invalid"]  # the machine was too crowded for a generator
    assert results.exit_code == 0 or crowded, results.summary
    assert [finding for finding in results.findings if finding.weight == "violation"] == []


def test_a_target_that_limits_requests_is_drained_at_its_pace(run: Callable[..., Any]) -> None:
    """What the limit let in is all completed: a refusal is waited out, and no lock lapses for want of a completion."""
    drained = run("rate_limited", rate=150, duration=2).load["drain"]
    assert (drained["complete"], drained["missing"]) == (True, 0)
    assert drained["delivered"] > 0
