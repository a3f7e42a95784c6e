"""Settings from the command line and the environment."""

from pathlib import Path

import pytest

from scaiqueue_reference.settings import Settings, SettingsError, parse


def test_nothing_given_is_the_defaults() -> None:
    """A loopback address and a temporary database."""
    assert parse([], {}) == Settings()


def test_the_command_line_wins_over_the_environment() -> None:
    """Both are read."""
    settings = parse(["--port", "1"], {"SCAIQUEUE_PORT": "2", "SCAIQUEUE_KEYS": "k.toml"})
    assert (settings.port, settings.keys_file) == (1, Path("k.toml"))


def test_all_errors_are_reported_at_once() -> None:
    """One line each, each naming its option."""
    with pytest.raises(SettingsError) as caught:
        parse(["--port", "99999", "--database", "postgres://x/y", "--log-level", "loud", "--with-parent", "-1"], {})
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["--port", "--database", "--with-parent", "--log-level"]


def test_an_unknown_option_is_an_error() -> None:
    """Not an exit in the middle of a library."""
    with pytest.raises(SettingsError, match="no-such"):
        parse(["--no-such"], {})
