"""Options that contradict each other are refused before anything is started, everything at once."""

import sys

import pytest

from queueproof.cli import app
from queueproof.errors import UsageError


@pytest.mark.parametrize("command", [["load", "smoke"], ["capacity", "smoke"], ["conformance"], ["doctor"]])
def test_one_server_at_a_time(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    both = [*command, "--url", "http://127.0.0.1:9", "--target", "embedded", "--api-key", "k"]
    with pytest.raises(UsageError, match="--url and --target embedded are two servers"):
        app(both, standalone_mode=False)
    monkeypatch.setenv("SCAIGRID_HOST", "http://127.0.0.1:9")  # a default that --target replaces
    with pytest.raises(UsageError, match="there is no target 'none'"):
        app([*command, "--target", "none"], standalone_mode=False)


def test_every_mistake_of_a_load_is_told() -> None:
    words = ["load", "stedy", "--duration", "soon", "--url", "x", "--target", "embedded", "--objective", "errors"]
    with pytest.raises(UsageError, match="5 mistakes:") as caught:
        app([*words, "--processes", "0"], standalone_mode=False)
    for part in ("stedy", "--duration 'soon'", "two servers", "`errors` is no objective", "--processes 0"):
        assert part in str(caught.value)


def test_every_mistake_of_a_search_is_told() -> None:
    words = ["capacity", "ramp", "--window", "soon", "--processes", "1,x", "--precision", "2", "--beside", "none"]
    with pytest.raises(UsageError, match="6 mistakes:") as caught:
        app(words, standalone_mode=False)
    for part in ("--window", "1,x is no list", "--precision", "--replicas", "none", "one rate"):
        assert part in str(caught.value)


def test_saving_compares_nothing() -> None:
    with pytest.raises(UsageError, match="--fail-on has nothing to do"):
        app(["compare", "--save", "x", "run", "--fail-on", "e2e.p99 > 5%"], standalone_mode=False)


def test_a_crash_of_ours_is_never_the_targets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python's own exit code for it is 1, which would say that the server does not conform."""

    def crash(**_: object) -> int:
        raise ZeroDivisionError("ours")

    frame = sys.modules["queueproof.cli.app"]  # the package has an `app` of its own
    monkeypatch.setattr(frame, "app", crash)
    monkeypatch.setattr(frame.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        frame.main()
    assert ended.value.code == 5
    assert "ZeroDivisionError: ours" in capsys.readouterr().err
