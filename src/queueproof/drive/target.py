"""What a run is aimed at: a URL that is there already, or a server to start and, whatever happens, to stop."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from queueproof.contract import wire
from queueproof.drive.processes import start
from queueproof.errors import HarnessError, TargetError, UsageError

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0
SERVER_LOG = "server.log"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server that answers at `url`, and the keys for it. Keys never go into a file."""

    url: str  # scheme://host[:port][/prefix], without a path of the API and without a trailing slash
    key: str
    keys: Mapping[str, str] = field(default_factory=dict)  # "view", "publish", "consume", "manage", "foreign"
    kind: str = "url"

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
async def embedded(log: Path | None = None, *, arguments: tuple[str, ...] = ()) -> AsyncIterator[Target]:
    """The reference server on a free port, in a process of its own that ends with this one, whatever happens.

    `log`: where its standard error goes. Raises HarnessError when it does not come up.
    """
    command = [sys.executable, "-P", "-m", "scaiqueue_reference", "--port", "0", *arguments]
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(log.open("wb")) if log is not None else subprocess.DEVNULL
        process = start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        try:
            ready = await asyncio.wait_for(asyncio.to_thread(_read_line, process), READY_WITHIN_S)
            yield _started(ready, "embedded")
        except TimeoutError as error:
            raise HarnessError("the embedded server did not come up in time", hint=_see(log)) from error
        except ValueError as error:
            raise HarnessError(f"the embedded server did not start: {error}", hint=_see(log)) from error
        finally:
            await asyncio.to_thread(_stop, process)


def _see(log: Path | None) -> str:
    return f"see {log}" if log else "run `queueproof serve` to see why"


def _started(line: bytes, kind: str) -> Target:
    ready = json.loads(line)
    keys = dict(ready["keys"])
    return Target(url=ready["url"], key=keys.pop("all"), keys=keys, kind=kind)


def _read_line(process: "subprocess.Popen[bytes]") -> bytes:
    assert process.stdout is not None
    line = process.stdout.readline()
    if line:  # nobody reads the rest: keep its pipe from filling up
        threading.Thread(target=process.stdout.read, daemon=True).start()
    return line


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


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


KINDS = ("embedded", "services", "stack")


def known_kind(kind: str) -> None:
    """Raises UsageError for a kind of target that does not exist, TargetError for one that is not built in."""
    if kind not in {"", *KINDS}:
        raise UsageError(f"there is no target {kind!r}", hint=f"choose one of {', '.join(KINDS)}")
    if kind not in {"", "embedded"}:
        raise TargetError(
            f"--target {kind} is not built into this version", hint="start the server yourself and give its --url"
        )


def open_target(
    *, url: str, kind: str, key: str, keys: Mapping[str, str], log: Path | None
) -> "contextlib.AbstractAsyncContextManager[Target]":
    """The target that the options name: `url` wins, else `kind` is started (errors: `known_kind`)."""
    if url:
        return at_url(url, key, keys)
    known_kind(kind)
    return embedded(log)
