"""Several server processes behind one listening socket: starts them, replaces those that die, stops them together."""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress

_log = logging.getLogger(__name__)

# A child that cannot start (the database is away) is tried again after this long.
_PAUSE_S = 0.5


class StartFailed(Exception):  # noqa: N818 -- the child has said why on standard error
    """A child ended before it was ready, at the first start; `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"a server process ended with exit code {code} before it was ready")
        self.code = code


class Supervisor:
    """`arguments` are this process's own; a child gets them with the socket in place of the port."""

    def __init__(self, arguments: Sequence[str], listener: socket.socket, count: int) -> None:
        inherited = ["--processes", "1", "--inherited", str(listener.fileno()), "--with-parent", str(os.getpid())]
        self._command = [sys.executable, "-m", "scaiqueue_reference", *arguments, *inherited]
        self._listener = listener
        self._count = count
        self._children: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT; raises StartFailed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        first = await asyncio.gather(*(self._start() for _ in range(self._count)))
        try:
            ready = [line for _, line in first if line]
            if len(ready) < self._count:
                codes = [await child.wait() for child, line in first if not line]
                raise StartFailed(codes[0])
            pids = [child.pid for child, _ in first]
            sys.stdout.write(json.dumps({**json.loads(ready[0]), "pids": pids}) + "\n")
            sys.stdout.flush()
            keepers = [asyncio.create_task(self._keep(child)) for child, _ in first]
            await self._stopping.wait()
        finally:
            self._stopping.set()
            for child in tuple(self._children):
                with suppress(ProcessLookupError):
                    child.terminate()
            for child in tuple(self._children):
                await child.wait()
        await asyncio.gather(*keepers)

    async def _start(self) -> tuple[asyncio.subprocess.Process, bytes]:
        child = await asyncio.create_subprocess_exec(
            *self._command, stdout=asyncio.subprocess.PIPE, pass_fds=[self._listener.fileno()]
        )
        self._children.add(child)
        assert child.stdout is not None
        return child, await child.stdout.readline()

    async def _keep(self, child: asyncio.subprocess.Process) -> None:
        while True:
            code = await child.wait()
            self._children.discard(child)
            if self._stopping.is_set():
                return
            _log.warning("process %d ended with %d: starting another", child.pid, code)
            child, ready = await self._start()
            if not ready:
                await asyncio.sleep(_PAUSE_S)
