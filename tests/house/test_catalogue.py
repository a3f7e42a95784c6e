"""The catalogue, the cases and the faults hold each other up."""

import re

import pytest
from fixtures.registry import faults

from queueproof.contract.requirements import catalogue
from queueproof.drive.engine import CaseSpec
from queueproof.drive.suite import load_cases

CASES = load_cases()
# Words that make a case negative: it could pass on a server that does nothing, were it not for a control.
NEGATIVE = re.compile(r"MUST NOT|MUST never|MUST fail|MUST refuse|MUST be empty|nothing claimable")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_quotes_its_requirement(case: CaseSpec) -> None:
    """The docstring begins with the id and the statement, word for word, and goes on to say what is probed."""
    quoted = f"{case.requirement}: {catalogue()[case.requirement].statement}"
    told = " ".join((case.function.__doc__ or "").split())
    assert told.startswith(" ".join(quoted.split()))
    assert len(told) > len(quoted) + 20


def test_every_core_must_has_a_case_and_a_fault() -> None:
    core = {name for name, requirement in catalogue().items() if requirement.profile == "core"}
    assert core <= {case.requirement for case in CASES}
    assert core <= {name for fault in faults() for name in fault.violates}


def test_a_negative_requirement_names_its_control() -> None:
    lacking = [
        r.id
        for r in catalogue().values()
        if r.profile == "core" and NEGATIVE.search(r.statement) and not r.control and r.id != "CLAIM-2"
    ]
    assert not lacking


def test_case_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
