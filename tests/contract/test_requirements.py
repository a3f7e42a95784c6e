"""The catalogue loads, holds together, and a wrong name is answered with the nearest right one."""

import pytest

from queueproof.contract.requirements import PROFILES, catalogue, select
from queueproof.errors import UsageError


def test_the_catalogue_loads_and_is_whole() -> None:
    for name, requirement in catalogue().items():
        assert requirement.id == name
        assert requirement.statement
        assert requirement.evidence or requirement.known == "inferred", name
        assert requirement.area
        assert name not in requirement.prerequisites


def test_prerequisites_never_run_in_a_circle() -> None:
    known = catalogue()
    settled: set[str] = set()
    while len(settled) < len(known):
        more = {name for name in known if set(known[name].prerequisites) <= settled} - settled
        assert more, f"in a circle: {sorted(set(known) - settled)}"
        settled |= more


def test_a_core_requirement_rests_on_core_requirements() -> None:
    known = catalogue()
    for requirement in select("core"):
        assert {known[name].profile for name in requirement.prerequisites} <= {"core"}, requirement.id


def test_profiles_grow() -> None:
    sizes = [len(select(profile)) for profile in ("core", "extended", "all")]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == len(catalogue())
    assert set(PROFILES) == {"core", "extended", "all"}


def test_named_requirements_win_over_the_profile_and_keep_the_catalogues_order() -> None:
    chosen = select("core", ["vis-1", "SCOPE-1", "VIS-1"])
    order = [name for name in catalogue() if name in {"SCOPE-1", "VIS-1"}]
    assert [requirement.id for requirement in chosen] == order


def test_what_is_only_inferred_or_advisory_never_gates() -> None:
    for requirement in catalogue().values():
        if requirement.known == "inferred" or requirement.profile == "advisory" or requirement.level == "SHOULD":
            assert not requirement.gates


@pytest.mark.parametrize(("name", "nearest"), [("VIS1", "VIS-1"), ("vis-99", "VIS-"), ("SCPOE-1", "SCOPE-1")])
def test_did_you_mean(name: str, nearest: str) -> None:
    with pytest.raises(UsageError) as caught:
        select("core", [name])
    assert caught.value.hint.startswith("did you mean ")
    assert nearest in caught.value.hint


def test_a_name_like_nothing_lists_the_choices() -> None:
    with pytest.raises(UsageError) as caught:
        select("core", ["!!!"])
    assert "SCOPE-1" in caught.value.hint


def test_an_unknown_profile() -> None:
    with pytest.raises(UsageError) as caught:
        select("cor")
    assert "core" in caught.value.hint
