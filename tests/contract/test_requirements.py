"""The catalogue: whole, and helpful to who mistypes."""

import pytest

from queueproof.contract.requirements import PROFILES, catalogue, select
from queueproof.errors import UsageError


def test_the_catalogue_holds_together() -> None:
    for requirement in catalogue().values():
        assert requirement.level in requirement.statement, f"{requirement.id} says nothing of its level"
        assert all(name in catalogue() for name in requirement.prerequisites)
        assert requirement.id not in requirement.prerequisites


def test_profiles_contain_each_other() -> None:
    core, extended, everything = ({r.id for r in select(name)} for name in PROFILES)
    assert core < extended < everything == set(catalogue())
    assert len(core) == 31


def test_an_inferred_requirement_never_gates() -> None:
    assert not [r.id for r in catalogue().values() if r.known == "inferred" and r.gates]


def test_a_selection_ignores_case_and_keeps_the_catalogues_order() -> None:
    assert [r.id for r in select("core", ["vis-1", "ENV-1"])] == [
        name for name in catalogue() if name in {"VIS-1", "ENV-1"}
    ]


@pytest.mark.parametrize(("wrong", "right"), [("VIS-11", "VIS-1"), ("VIZ-2", "VIS-2"), ("idem_3", "IDEM-3")])
def test_a_mistyped_requirement_is_recognised(wrong: str, right: str) -> None:
    with pytest.raises(UsageError, match="did you mean") as caught:
        select("core", [wrong])
    assert right in caught.value.hint


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        select("cor")
    assert "core" in caught.value.hint
