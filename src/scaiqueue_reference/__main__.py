"""`python -m scaiqueue_reference`: serves until it is told to stop, then finishes what is in flight and exits 0."""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
import uvloop

from scaiqueue_reference.api.connection import Connection
from scaiqueue_reference.app import Server
from scaiqueue_reference.auth import KeysFileError
from scaiqueue_reference.errors import ApiError
from scaiqueue_reference.logs import configure
from scaiqueue_reference.settings import Settings, SettingsError, parse
from scaiqueue_reference.supervisor import StartFailed, Supervisor

# What is in flight at a stop gets this long; a commit takes milliseconds.
_GRACE_S = 10
_PARENT_POLL_S = 0.5


class _Uvicorn(uvicorn.Server):
    """Says when it is ready, and ends with exit code 0 on SIGTERM and SIGINT."""

    def __init__(self, config: uvicorn.Config, ready_line: str) -> None:
        super().__init__(config)
        self._ready_line = ready_line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # what lives as long as the server is never walked again
        _say(self._ready_line)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        yield

    def stop(self) -> None:
        self.should_exit = True


def main() -> int:
    """Exit codes: 0 stopped, 2 wrong usage, 3 the port or the database cannot be used."""
    try:
        settings = parse(sys.argv[1:], os.environ)
    except SettingsError as error:
        sys.stderr.write(f"scaiqueue_reference: {error}\n")
        return 2
    configure(settings.log_level)
    try:
        listener = socket.socket() if settings.role == "worker" else _listen(settings)
    except OSError as error:
        sys.stderr.write(f"scaiqueue_reference: {settings.host}:{settings.port} cannot be used: {error.strerror}\n")
        return 3
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(settings, listener))
    except KeysFileError as error:
        sys.stderr.write(f"scaiqueue_reference: {error}\n")
        return 2
    except StartFailed as error:
        return error.code
    except ApiError as error:
        sys.stderr.write(f"scaiqueue_reference: {error.message}\n")
        return 3
    return 0


async def _run(settings: Settings, listener: socket.socket) -> None:
    if settings.role == "worker":
        await _work(settings)
    elif settings.processes > 1:
        await Supervisor(sys.argv[1:], listener, settings.processes).run()
    else:
        await _serve(settings, listener)


async def _work(settings: Settings) -> None:
    """The agents alone, until SIGTERM or SIGINT."""
    server, stop = Server(settings), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if settings.with_parent is not None:
        _watch_parent(settings.with_parent, stop.set)
    await server.open()
    try:
        _say(json.dumps({"ready": True, "role": "worker"}))
        await stop.wait()
    finally:
        await server.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _listen(settings: Settings) -> socket.socket:
    if settings.inherited is not None:
        return socket.socket(fileno=settings.inherited)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    listener.listen(2048)
    return listener


async def _serve(settings: Settings, listener: socket.socket) -> None:
    server = Server(settings)
    await server.open()
    try:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"http://{host}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            server.app,
            http=Connection,
            ws="none",
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
        web = _Uvicorn(config, json.dumps({"ready": True, "url": url, "keys": dict(server.keys)}))
        if settings.with_parent is not None:
            _watch_parent(settings.with_parent, web.stop)
        await web.serve(sockets=[listener])
    finally:
        await server.close()


def _watch_parent(parent: int, stop: Callable[[], None]) -> None:
    """Stops the server when `parent` ends: a harness that was killed leaves no server behind."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(parent)  # readable once the process has ended, also while it is a zombie
    except ProcessLookupError:
        stop()
    except (AttributeError, OSError):  # no pidfd here
        _poll_parent(parent, stop, loop)
    else:
        loop.add_reader(descriptor, stop)


def _poll_parent(parent: int, stop: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        stop()
    except PermissionError:
        pass
    loop.call_later(_PARENT_POLL_S, _poll_parent, parent, stop, loop)


if __name__ == "__main__":
    sys.exit(main())
