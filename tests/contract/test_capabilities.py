"""Each capability is about something, and a wrong name is answered with the nearest right one."""

import inspect

import pytest

from queueproof.contract import wire
from queueproof.contract.capabilities import CAPABILITIES, declared, with_declared
from queueproof.contract.requirements import catalogue, select
from queueproof.errors import UsageError


def test_each_is_about_a_requirement_and_each_requirement_about_one_that_there_is() -> None:
    assert all(capability.requirements for capability in CAPABILITIES.values())
    assert {one.capability for one in catalogue().values()} - {""} == set(CAPABILITIES)


def test_each_verb_is_one_that_is_sent() -> None:
    """But for `dead-letter`, which a list shows and no verb has."""
    source = inspect.getsource(wire)
    for capability in CAPABILITIES.values():
        for verb in capability.verbs - {"dead-letter"}:
            level = verb.partition("-")[2]
            assert f'"{verb}"' in source or (level in {"queue", "scope"} and f'f"{{verb}}-{level}"' in source), verb


def test_names_come_apart_or_with_commas() -> None:
    assert declared(["release,extend", " Dead_Letter "]) == ("release", "extend", "dead-letter")
    assert declared([]) == declared(["", ","]) == ()


@pytest.mark.parametrize(("name", "hint"), [("extned", "did you mean extend"), ("zzz", "choose from fail, release")])
def test_a_name_that_there_is_not(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"there is no capability {name}") as caught:
        declared(["extend", name])
    assert caught.value.hint.startswith(hint)


def test_what_is_declared_is_tried() -> None:
    core = select("core")
    more = with_declared(core, ["extend"])
    assert {one.id for one in more} - {one.id for one in core} == {"VIS-5"}
    assert with_declared(core, []) == core
