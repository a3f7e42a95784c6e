"""What a run is aimed at: a URL that is there already, or a server to start and, whatever happens, to stop."""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
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
        _ = parts.port, httpx.URL(text)
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
    with _server(log, arguments) as process:
        yield await asyncio.to_thread(_started, process, log)


@contextlib.contextmanager
def embedded_blocking(log: Path | None = None, *, arguments: tuple[str, ...] = ()) -> Iterator[Target]:
    """The same for a caller without an event loop."""
    with _server(log, arguments) as process:
        yield _started(process, log)


@contextlib.contextmanager
def _server(log: Path | None, arguments: tuple[str, ...]) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-P", "-m", "scaiqueue_reference", "--port", "0", *arguments]
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(log.open("wb")) if log is not None else subprocess.DEVNULL
        process = start(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        try:
            yield process
        finally:
            _stop(process)


def _started(process: "subprocess.Popen[bytes]", log: Path | None) -> Target:
    """The target, once the server has said that it is ready."""
    line = _read_line(process)
    try:
        ready = json.loads(line)
        keys = dict(ready["keys"])
        return Target(url=ready["url"], key=keys.pop("all"), keys=keys, kind="embedded")
    except (ValueError, KeyError, TypeError) as error:
        raise HarnessError("the embedded server did not start", hint=_see(log)) from error


def _see(log: Path | None) -> str:
    return f"see {log}" if log else "run `queueproof serve` to see why"


def _read_line(process: "subprocess.Popen[bytes]") -> bytes:
    """The first line of the server's output; empty when it ended, or said nothing in time."""
    assert process.stdout is not None
    found: list[bytes] = []

    def read(stream: IO[bytes]) -> None:
        found.append(stream.readline())
        said.set()
        stream.read()  # nobody reads the rest: keep its pipe from filling up

    said = threading.Event()
    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    said.wait(READY_WITHIN_S)
    return found[0] if found else b""


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
    """A server that is there already and goes on after the run.

    Raises UsageError without a key.
    """
    if not key:
        raise UsageError("there is no API key", hint="give --api-key, or set SCAIGRID_API_KEY")
    for name, value in {"api": key, **keys}.items():
        if not value.isascii() or not value.isprintable():
            raise UsageError(f"the {name} key holds characters that a header cannot carry", hint=f"check --{name}-key")
    yield Target(url=base_url(url), key=key, keys=dict(keys))


def open_target(
    *, url: str, kind: str, key: str, keys: Mapping[str, str], log: Path | None
) -> "contextlib.AbstractAsyncContextManager[Target]":
    """The target that the options name: `url` wins, else `kind` is started.

    Raises TargetError for a kind that cannot be started here, UsageError for one that does not exist.
    """
    if url:
        return at_url(url, key, keys)
    if kind in {"", "embedded"}:
        return embedded(log)
    if kind in {"services", "stack"}:
        raise TargetError(
            f"--target {kind} is not built into this version", hint="start the server yourself and give its --url"
        )
    raise UsageError(f"there is no target {kind!r}", hint="choose one of embedded, services, stack")
