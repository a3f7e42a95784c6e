"""Scopes, queues, settings and records in SQLite, and the two connections: one writes, one reads."""

import asyncio
import fcntl
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path
from typing import IO, Any

from scaiqueue_reference.errors import SlugTaken, Unavailable
from scaiqueue_reference.message import Queue, Record, Scope
from scaiqueue_reference.store import R, schema
from scaiqueue_reference.store.group_commit import GroupCommit, Transaction

Row = tuple[Any, ...]

_TABLE = "mod_scaiqueue_messages"
_BUSY_MS = 10_000  # another process (a backup, a shell) may hold the file this long


# Statements are built from the names of our own columns only; every value is a parameter.
def insert_into(table: str, columns: str) -> str:
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"  # noqa: S608


class SQLitePlaces:
    """The part of the store that is not about messages."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._scopes: dict[str, Scope] = {}  # few and read by every call: kept in the process as well
        self._queues: dict[str, Queue] = {}

    # -- life

    async def open(self) -> int:
        self._lock = _lock(self._path)
        try:
            connection = _connect(self._path)
            _migrate(connection)
        except sqlite3.Error as error:
            raise Unavailable(f"{self._path} cannot be used as the database: {error}") from error
        self._reading = _connect(self._path)
        self._readers = ThreadPoolExecutor(1, "rows-reader")
        self._writer = GroupCommit(connection)
        self._connections = (connection, self._reading)
        self._scopes = {row[0]: _scope(row) for row in connection.execute(f"SELECT {schema.SCOPE_COLUMNS} FROM scopes")}  # noqa: S608
        self._queues = {row[0]: _queue(row) for row in connection.execute(f"SELECT {schema.QUEUE_COLUMNS} FROM queues")}  # noqa: S608
        newest = connection.execute(f"SELECT created_us FROM {_TABLE} ORDER BY id DESC LIMIT 1").fetchone()  # noqa: S608
        return int(newest[0]) if newest else 0

    async def close(self) -> None:
        await self._writer.close()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        self._lock.close()

    async def ping(self) -> None:
        await self._read("SELECT 1", ())

    async def setting(self, name: str, default: str) -> str:
        def keep(transaction: Transaction) -> str:
            cursor = transaction.cursor
            cursor.execute("INSERT INTO settings VALUES (?, ?) ON CONFLICT DO NOTHING", (name, default))
            value: str = cursor.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()[0]
            return value

        return await self._writer.submit(keep)

    # -- scopes and queues

    async def scope(self, scope_id: str) -> Scope | None:
        return self._scopes.get(scope_id)

    async def scopes(self, tenant_id: str) -> list[Scope]:
        return sorted(
            (s for s in self._scopes.values() if s.tenant_id == tenant_id), key=attrgetter("created_us", "id")
        )

    async def add_scope(self, scope: Scope, queues: Sequence[Queue]) -> None:
        def add(transaction: Transaction) -> None:
            with transaction.savepoint():
                _add(transaction.cursor, "scopes", scope)
                for queue in queues:
                    _add(transaction.cursor, "queues", queue)

        await self._writer.submit(add)
        self._scopes[scope.id] = scope
        self._queues.update({queue.id: queue for queue in queues})

    async def save_scope(self, scope: Scope) -> None:
        await self._writer.submit(lambda transaction: _save(transaction.cursor, "scopes", scope))
        self._scopes[scope.id] = scope

    async def delete_scope(self, scope_id: str) -> None:
        def delete(transaction: Transaction) -> None:
            with transaction.savepoint():
                for table in (_TABLE, "queues", "documents"):
                    transaction.cursor.execute(f"DELETE FROM {table} WHERE scope_id = ?", (scope_id,))  # noqa: S608
                transaction.cursor.execute("DELETE FROM scopes WHERE id = ?", (scope_id,))

        await self._writer.submit(delete, slow=True)
        self._scopes.pop(scope_id, None)
        self._queues = {key: queue for key, queue in self._queues.items() if queue.scope_id != scope_id}

    async def queue(self, queue_id: str) -> Queue | None:
        return self._queues.get(queue_id)

    async def place(self, queue_id: str) -> tuple[Scope, Queue] | None:
        queue = self._queues.get(queue_id)
        return None if queue is None else (self._scopes[queue.scope_id], queue)

    async def tenant(self, scope_id: str) -> str | None:
        scope = self._scopes.get(scope_id)
        return None if scope is None else scope.tenant_id

    async def queues(self, scope_id: str) -> list[Queue]:
        return sorted((q for q in self._queues.values() if q.scope_id == scope_id), key=attrgetter("created_us", "id"))

    async def add_queue(self, queue: Queue) -> None:
        await self._writer.submit(lambda transaction: _add(transaction.cursor, "queues", queue))
        self._queues[queue.id] = queue

    async def save_queue(self, queue: Queue) -> None:
        await self._writer.submit(lambda transaction: _save(transaction.cursor, "queues", queue))
        self._queues[queue.id] = queue

    async def delete_queue(self, queue_id: str) -> None:
        def delete(transaction: Transaction) -> None:
            with transaction.savepoint():
                transaction.cursor.execute(f"DELETE FROM {_TABLE} WHERE queue_id = ?", (queue_id,))  # noqa: S608
                transaction.cursor.execute("DELETE FROM queues WHERE id = ?", (queue_id,))

        await self._writer.submit(delete, slow=True)
        self._queues.pop(queue_id, None)

    async def records(self, table: type[R], /, **where: object) -> list[R]:
        statement = f"SELECT {', '.join(table.__struct_fields__)} FROM {schema.TABLES[table]} {_all(where)} ORDER BY id"  # noqa: S608
        rows = await self._read(statement, tuple(where.values()))
        return [table(**dict(zip(table.__struct_fields__, row, strict=True))) for row in rows]

    async def add_record(self, record: Record) -> None:
        await self._writer.submit(lambda transaction: _add(transaction.cursor, schema.TABLES[type(record)], record))

    async def save_record(self, record: Record, /, **where: object) -> bool:
        table = schema.TABLES[type(record)]
        return await self._writer.submit(lambda transaction: _save(transaction.cursor, table, record, where))

    async def remove_records(self, table: type[Record], /, **where: object) -> None:
        statement = f"DELETE FROM {schema.TABLES[table]} {_all(where)}"  # noqa: S608

        def remove(transaction: Transaction) -> None:
            transaction.cursor.execute(statement, tuple(where.values()))

        await self._writer.submit(remove, slow=True)

    async def _read(self, statement: str, parameters: Sequence[object]) -> list[Row]:
        def read() -> list[Row]:
            return self._reading.execute(statement, parameters).fetchall()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, read)
        except sqlite3.Error as error:
            raise Unavailable(f"The rows could not be read: {error}") from error


def _lock(path: str) -> IO[bytes]:
    """Held while the file is in use, gone with the process however that ends: two servers would each have an order."""
    try:
        lock = Path(f"{path}.lock").open("ab")  # noqa: SIM115 -- it stays open as long as the store
    except OSError as error:
        raise Unavailable(f"{path} cannot be used as the database: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise Unavailable(f"{path} is in use by another server.") from error
    return lock


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _migrate(connection: sqlite3.Connection) -> None:
    """Runs the steps that this file has not seen; each is one transaction with its number."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(schema.SQLITE):
        raise sqlite3.DatabaseError(f"it was written by a newer version (schema {version})")
    for number, statements in enumerate(schema.SQLITE[version:], version + 1):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")


def _all(where: Mapping[str, object]) -> str:
    return f"WHERE {' AND '.join(f'{name} = ?' for name in where)}" if where else ""


def _scope(row: Row) -> Scope:
    return Scope(**dict(zip(Scope.__struct_fields__, row, strict=True)))


def _queue(row: Row) -> Queue:
    return Queue(**dict(zip(Queue.__struct_fields__, row, strict=True)))


def _add(cursor: sqlite3.Cursor, table: str, record: Scope | Queue | Record) -> None:
    fields = record.__struct_fields__
    try:
        cursor.execute(insert_into(table, ", ".join(fields)), [getattr(record, name) for name in fields])
    except sqlite3.IntegrityError as error:
        raise SlugTaken(schema.taken(record)) from error


def _save(
    cursor: sqlite3.Cursor, table: str, record: Scope | Queue | Record, where: Mapping[str, object] | None = None
) -> bool:
    fields, guards = record.__struct_fields__, {"id": record.id, **(where or {})}
    assignments = ", ".join(f"{name} = ?" for name in fields)
    values = [getattr(record, name) for name in fields]
    statement = f"UPDATE {table} SET {assignments} {_all(guards)}"  # noqa: S608
    try:
        return cursor.execute(statement, (*values, *guards.values())).rowcount > 0
    except sqlite3.IntegrityError as error:
        raise SlugTaken(schema.taken(record)) from error
