"""Settings from the command line and the environment."""

from pathlib import Path

import pytest

from scaiqueue_reference.settings import Settings, SettingsError, parse
from scaiqueue_reference.store.mariadb_link import Link


def test_nothing_given_is_the_defaults() -> None:
    """A loopback address and a temporary database."""
    assert parse([], {}) == Settings()


def test_the_command_line_wins_over_the_environment() -> None:
    """Both are read."""
    settings = parse(["--port", "1"], {"SCAIQUEUE_PORT": "2", "SCAIQUEUE_KEYS": "k.toml"})
    assert (settings.port, settings.keys_file) == (1, Path("k.toml"))


@pytest.mark.parametrize("password", ["plain", "p@ss:w/o#rd?%40 é[]", "$ecret&=+;"])
def test_a_password_may_be_given_by_itself(password: str) -> None:
    """Whatever it holds; as it comes from the environment it does not stand on a command line."""
    for given in ("mariadb://me@db:3307/rows", "mariadb://me:other@db:3307/rows"):
        url = parse(["--database", given], {"SCAIQUEUE_DATABASE_PASSWORD": password}).database
        assert Link(str(url)).options == {
            "host": "db",
            "port": 3307,
            "user": "me",
            "password": password,
            "database": "rows",
        }


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
