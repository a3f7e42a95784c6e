"""What the server is told at its start: command line and environment, all errors reported at once."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit

DEFAULT_LARGEST_BODY = 4 * 1024 * 1024

_VARIABLES = {
    "host": "SCAIQUEUE_HOST",
    "port": "SCAIQUEUE_PORT",
    "database": "SCAIQUEUE_DATABASE",
    "database_password": "SCAIQUEUE_DATABASE_PASSWORD",  # no option: command lines can be read by others
    "redis": "SCAIQUEUE_REDIS",
    "keys": "SCAIQUEUE_KEYS",
    "log_level": "SCAIQUEUE_LOG_LEVEL",
    "largest_body": "SCAIQUEUE_LARGEST_BODY",
    "role": "SCAIQUEUE_ROLE",
    "processes": "SCAIQUEUE_PROCESSES",
    "rate_limit": "SCAIQUEUE_RATE_LIMIT",
    "tenant_rate_limit": "SCAIQUEUE_TENANT_RATE_LIMIT",
    "rate_window": "SCAIQUEUE_RATE_WINDOW",
    "aging": "SCAIQUEUE_AGING",
    "archive_after": "SCAIQUEUE_ARCHIVE_AFTER",
    "keep_messages": "SCAIQUEUE_KEEP_MESSAGES",
    "keep_journal": "SCAIQUEUE_KEEP_JOURNAL",
    "heartbeat": "SCAIQUEUE_HEARTBEAT",
}
_LONGEST_S = 10**9
_ROLES = ("all", "api", "worker")
_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(ValueError):
    """The settings are wrong; the message has a line for each error."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings; `database` None is a temporary file, removed at the end."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any free one
    database: str | None = None  # sqlite:///FILE or mariadb://USER:PASSWORD@HOST:PORT/NAME
    redis: str | None = None  # redis://HOST:PORT/DB
    role: str = "all"  # api: calls only; worker: the agents only; all: both
    processes: int = 1  # API processes behind the one port
    rate_limit: int = 0  # calls a key may make in a window, over all processes where there is Redis; 0: no limit
    tenant_rate_limit: int = 0  # calls all keys of a tenant may make in a window; 0: no limit
    rate_window: int = 60  # seconds
    aging: int = 3600  # seconds after which a waiting message rises by a tier of priority; 0: never
    archive_after: int = 7 * 86_400  # seconds that a message which ended stays what it was; 0: for ever
    keep_messages: int = 30 * 86_400  # seconds from a message's end to its deletion, once archived; 0: for ever
    keep_journal: int = 30 * 86_400  # the same for the lines of audit and events, and for deliveries
    heartbeat: Path | None = None  # touched after every pass over the expired claims that succeeded
    keys_file: Path | None = None
    with_parent: int | None = None  # stop when this process ends
    inherited: int | None = None  # a listening socket's descriptor, from the process that supervises this one
    log_level: str = "warning"
    largest_body: int = DEFAULT_LARGEST_BODY  # bytes of a request


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from the command line, then the environment, then the defaults; raises SettingsError."""
    parser = _Parser(prog="scaiqueue_reference", description="The reference server of the ScaiQueue API.")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", help="port to listen on, 0 for a free one (default 8000)")
    parser.add_argument(
        "--database",
        help="sqlite:///FILE or mariadb://USER:PASSWORD@HOST:PORT/NAME (the password may be in the environment's "
        "SCAIQUEUE_DATABASE_PASSWORD instead); without it a temporary file",
    )
    parser.add_argument("--redis", help="redis://HOST:PORT/DB, with a mariadb:// database")
    parser.add_argument("--role", help=f"one of {', '.join(_ROLES)} (default all)")
    parser.add_argument("--processes", help="API processes behind the port (default 1), with a mariadb:// database")
    parser.add_argument("--rate-limit", metavar="N", help="calls a key may make in a window (default 0: no limit)")
    parser.add_argument("--tenant-rate-limit", metavar="N", help="the same for all keys of a tenant together")
    parser.add_argument("--rate-window", metavar="SECONDS", help="length of the window (default 60)")
    for name, what in (
        ("aging", "a waiting message rises by a tier of priority (default an hour)"),
        ("archive-after", "a message that ended is archived (default a week)"),
        ("keep-messages", "an archived message, and its idempotency key, is deleted (default 30 days)"),
        ("keep-journal", "the lines of audit and events, and deliveries, are deleted (default 30 days)"),
    ):
        parser.add_argument(f"--{name}", metavar="SECONDS", help=f"after how long {what}; 0: never")
    parser.add_argument("--heartbeat", metavar="FILE", help="touched after every pass of the agents that succeeded")
    parser.add_argument("--inherited", help=argparse.SUPPRESS)
    parser.add_argument("--keys", help="TOML file of keys, in place of the default ones")
    parser.add_argument("--with-parent", metavar="PID", help="stop when this process ends")
    parser.add_argument("--log-level", help=f"one of {', '.join(_LEVELS)} (default warning)")
    parser.add_argument("--largest-body", metavar="BYTES", help="of a request (default 4 MiB)")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    from_environment = {name: environment[key] for name, key in _VARIABLES.items() if environment.get(key)}
    return _Check({**from_environment, **given}).settings()


class _Check:
    """Turns texts into values and gathers what is wrong with them."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self._errors: list[str] = []

    def settings(self) -> Settings:
        defaults = Settings()
        result = Settings(
            host=self._given.get("host", defaults.host),
            port=self._whole("port", defaults.port, 0, 65_535),
            database=self._database(),
            redis=self._url("redis", ("redis",)),
            role=self._one_of("role", defaults.role, _ROLES),
            processes=self._whole("processes", defaults.processes, 1, 64),
            rate_limit=self._whole("rate_limit", defaults.rate_limit, 0, 10**9),
            tenant_rate_limit=self._whole("tenant_rate_limit", defaults.tenant_rate_limit, 0, 10**9),
            rate_window=self._whole("rate_window", defaults.rate_window, 1, 86_400),
            aging=self._whole("aging", defaults.aging, 0, _LONGEST_S),
            archive_after=self._whole("archive_after", defaults.archive_after, 0, _LONGEST_S),
            keep_messages=self._whole("keep_messages", defaults.keep_messages, 0, _LONGEST_S),
            keep_journal=self._whole("keep_journal", defaults.keep_journal, 0, _LONGEST_S),
            inherited=self._whole("inherited", 0, 3, 2**20) or None,
            heartbeat=Path(self._given["heartbeat"]) if "heartbeat" in self._given else None,
            keys_file=Path(self._given["keys"]) if "keys" in self._given else None,
            with_parent=self._whole("with_parent", 0, 1, 2**31) or None,
            log_level=self._one_of("log_level", defaults.log_level, _LEVELS),
            largest_body=self._whole("largest_body", defaults.largest_body, 1024, 2**30),
        )
        self._check_stack(result)
        if self._errors:
            raise SettingsError("\n".join(self._errors))
        return result

    def _whole(self, name: str, default: int, least: int, most: int) -> int:
        text = self._given.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            self._errors.append(f"--{name.replace('_', '-')}: {text!r} is no whole number from {least} to {most}")
            return default
        return int(text)

    def _database(self) -> str | None:
        """With the password, whatever it holds, where that is given by itself."""
        text, password = self._url("database", ("sqlite", "mariadb")), self._given.get("database_password")
        if text is None or password is None:
            return text
        parts = urlsplit(text)
        user, _, place = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user.partition(':')[0]}:{quote(password, safe='')}@{place}").geturl()

    def _url(self, name: str, schemes: tuple[str, ...]) -> str | None:
        text = self._given.get(name)
        if text is not None and (urlsplit(text).scheme not in schemes or not urlsplit(text).path.strip("/")):
            self._errors.append(f"--{name}: {text!r} is no URL like {schemes[0]}://…")
        return text

    def _one_of(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        text = self._given.get(name, default).lower()
        if text not in allowed:
            self._errors.append(f"--{name.replace('_', '-')}: {text!r} is none of {', '.join(allowed)}")
        return text

    def _check_stack(self, settings: Settings) -> None:
        stack = settings.database is not None and settings.database.startswith("mariadb")
        for option, asked in (
            ("redis", settings.redis is not None),
            ("role", settings.role != "all"),
            ("processes", settings.processes > 1),
        ):
            if asked and not stack:
                self._errors.append(
                    f"--{option}: needs --database mariadb://… (one process alone writes a SQLite file)"
                )
