"""The command that repeats a requirement names the same target and holds no key."""

import pytest

from queueproof.evidence.run import Manifest, manifest_of
from queueproof.report.again import command_for, command_of


def manifest(command: str, **target: object) -> Manifest:
    return manifest_of(run="r", kind="conformance", target=target, options={}, command=command)


@pytest.mark.parametrize(
    ("command", "again"),
    [
        ("queueproof conformance --profile all", "queueproof conformance --requirement VIS-1"),
        ("queueproof conformance --url http://h --out d", "queueproof conformance --url http://h --requirement VIS-1"),
        (
            "queueproof conformance --requirement=VIS-1 --slack 2",
            "queueproof conformance --slack 2 --requirement VIS-1",
        ),
        ("queueproof conformance --api-key sgk_s -- -x", "queueproof conformance --requirement VIS-1"),
        ("queueproof conformance --view-key=sgk_s", "queueproof conformance --requirement VIS-1"),
        ("queueproof conformance --update-expectations", "queueproof conformance --requirement VIS-1"),
        ("queueproof conformance 'open", "queueproof conformance ''\"'\"'open' --requirement VIS-1"),
    ],
)
def test_a_requirement_is_run_again_alone(command: str, again: str) -> None:
    assert command_for(manifest(command), "VIS-1") == again


def test_without_a_command_the_target_gives_one() -> None:
    outside, own = manifest("", url="http://h:1"), manifest("", url="http://127.0.0.1:9", kind="embedded")
    assert command_for(outside, "VIS-1") == "queueproof conformance --url http://h:1 --requirement VIS-1"
    assert command_for(own, "VIS-1") == "queueproof conformance --requirement VIS-1"
    assert command_for(None, "VIS-1") == "queueproof conformance"


def test_credentials_in_an_address_are_taken_out() -> None:
    assert (
        command_of(manifest("queueproof conformance --url https://u:p@h/x"))
        == "queueproof conformance --url https://h/x"
    )
