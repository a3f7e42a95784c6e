"""A peer: PostgreSQL with FOR UPDATE SKIP LOCKED, every commit flushed. A cycle is INSERT, UPDATE one, UPDATE it."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.bench.cycles import Measured, rounds
from benchmarks.bench.running import descendants

_START_S = 30
_USER = "postgres"  # it does not run as root; Debian's package makes this user

_TABLE = """
CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text NOT NULL, state smallint NOT NULL DEFAULT 0,
    body bytea NOT NULL, attempts integer NOT NULL DEFAULT 0, claimed_by text, lock_until timestamptz,
    response bytea, created_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz
);
CREATE INDEX waiting ON messages (queue, id) WHERE state = 0;
"""
_PUBLISH = "INSERT INTO messages (queue, body) VALUES ($1, $2) RETURNING id"
_CLAIM = """
UPDATE messages SET state = 1, attempts = attempts + 1, claimed_by = $2, lock_until = now() + interval '60 seconds'
WHERE id = (SELECT id FROM messages WHERE queue = $1 AND state = 0 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, body, attempts
"""
_COMPLETE = """
UPDATE messages SET state = 2, response = $3, lock_until = NULL, finished_at = now()
WHERE id = $1 AND state = 1 AND claimed_by = $2
"""


async def measure(clients: int, seconds: float) -> Measured | None:
    """None where the server or its client library is not installed."""
    try:
        import asyncpg
    except ImportError:
        return None
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        return None
    with _running(initdb, postgres) as (pid, port):
        return await _measure(asyncpg, port, pid, clients, seconds)


@contextmanager
def _running(initdb: str, postgres: str) -> Iterator[tuple[int, int]]:
    """A private cluster's process id and port."""
    with tempfile.TemporaryDirectory(prefix="bench-postgres-") as folder:
        user = _user(folder)
        data = f"{folder}/data"
        made = [initdb, "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder, **user)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", f"unix_socket_directories={folder}"]
        options += ["-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "shared_buffers=128MB"]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([postgres, "-D", data, *options], stdout=log, stderr=log, cwd=folder, **user)
        try:
            yield process.pid, port
        finally:
            process.send_signal(signal.SIGINT)  # its fast shutdown
            process.wait()


async def _measure(asyncpg: Any, port: int, pid: int, clients: int, seconds: float) -> Measured:
    first = await _connect(asyncpg, port)
    await first.execute(_TABLE)
    connections = [first, *[await _connect(asyncpg, port) for _ in range(clients - 1)]]

    def worker(connection: Any, name: str) -> Any:
        async def cycle() -> None:
            await connection.fetchval(_PUBLISH, "q", b'{"n":1}')
            row = await connection.fetchrow(_CLAIM, "q", name)
            if row is not None:
                await connection.execute(_COMPLETE, row["id"], name, b"1")

        return cycle

    work = [worker(connection, f"w{number}") for number, connection in enumerate(connections)]
    measured = await rounds(work, seconds, descendants(pid))
    for connection in connections:
        await connection.close()
    return measured


async def _connect(asyncpg: Any, port: int) -> Any:
    end = time.monotonic() + _START_S
    while True:
        try:
            return await asyncpg.connect(host="127.0.0.1", port=port, user="bench", database="postgres")
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.05)


def _program(name: str) -> str | None:
    found = [str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    return shutil.which(name) or (max(found) if found else None)


def _user(folder: str) -> dict[str, Any]:
    """For root: another user to run as, who gets the folder."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam(_USER)
    except KeyError:
        user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
