"""What a run is aimed at: a URL that is there already, or a server to start and, whatever happens, to stop."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from queueproof.contract import wire
from queueproof.drive.local import Server, known_kind, started, struck
from queueproof.errors import UsageError

__all__ = ["SERVER_LOG", "Target", "at_url", "base_url", "given", "known_kind", "open_target", "open_target_blocking"]

SERVER_LOG = "server.log"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server that answers at `url`, and the keys for it. Keys never go into a file."""

    url: str  # scheme://host[:port][/prefix], without a path of the API and without a trailing slash
    key: str
    keys: Mapping[str, str] = field(default_factory=dict)  # "view", "publish", "consume", "manage", "foreign"
    kind: str = "url"
    server: Server | None = None  # with handles on its parts, when it was opened to be struck

    def described(self) -> dict[str, Any]:
        return {"url": self.url, "kind": self.kind, "keys": sorted(self.keys)}


def base_url(text: str) -> str:
    """The base address in `text`, as a user may have written it.

    Raises UsageError when it is none.
    """
    text = text.strip()
    shown = "--url" if "@" in text else f"--url {text!r}"  # what stands before an @ may be a password
    wrong = UsageError(f"{shown} is no address of a server", hint="write it like http://127.0.0.1:8000")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise wrong from error
    try:
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"{shown} has an impossible port", hint="ports go from 1 to 65535") from error
    try:
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise wrong from error
    labels = (parts.hostname or "").removesuffix(".").split(".")
    if parts.scheme not in {"http", "https"} or not all(0 < len(label) < 64 for label in labels):
        raise wrong
    if not text.isprintable() or " " in text:
        raise wrong
    if parts.username or parts.password:
        raise UsageError("--url holds a user name or password", hint="give the key with --api-key instead")
    path = parts.path.rstrip("/")
    path = path.removesuffix(wire.BASE)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


@contextlib.asynccontextmanager
async def at_url(url: str, key: str, keys: Mapping[str, str]) -> AsyncIterator[Target]:
    """A server that is there already and goes on after the run (errors: `given`)."""
    yield given(url, key, keys)


def given(url: str, key: str, keys: Mapping[str, str]) -> Target:
    """The target at an address, before anything is sent to it.

    Raises UsageError for what is no address, without a key, or with one that no header can carry.
    """
    address = base_url(url)
    if not key:
        raise UsageError("there is no API key", hint="give --api-key, or set SCAIGRID_API_KEY")
    for name, value in {"api": key, **keys}.items():
        if not value.isascii() or not value.isprintable():
            raise UsageError(f"the {name} key holds characters that a header cannot carry", hint=f"check --{name}-key")
    return Target(url=address, key=key, keys=dict(keys))


def open_target(
    *, url: str, kind: str, key: str, keys: Mapping[str, str], log: Path | None
) -> "contextlib.AbstractAsyncContextManager[Target]":
    """The target that the options name: `url` wins, else `kind` is started (errors: `known_kind`)."""
    if url:
        return at_url(url, key, keys)
    known_kind(kind)
    return _local(kind or "embedded", log)


@contextlib.asynccontextmanager
async def _local(kind: str, log: Path | None) -> AsyncIterator[Target]:
    """A server of ours. Starting it blocks the loop: nothing else runs there yet."""
    with started(kind, log) as server:
        yield Target(url=server.url, key=server.key, keys=server.keys, kind=kind)


@contextlib.contextmanager
def open_target_blocking(*, url: str, kind: str, key: str, log: Path | None, strike: bool = False) -> Iterator[Target]:
    """The same for a caller without an event loop; `strike`: a server of ours comes with handles on its parts."""
    if url:
        yield given(url, key, {})
        return
    open_one = struck if strike else started
    with open_one(kind or "embedded", log) as server:
        yield Target(url=server.url, key=server.key, keys=server.keys, kind=kind or "embedded", server=server)
