"""Rows in one SQLite file: WAL, every commit flushed to disk, one writer with group commit, reads beside it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from typing import Any

from scaiqueue_reference.clock import Clock
from scaiqueue_reference.errors import QueueFull, SlugTaken, Unavailable
from scaiqueue_reference.lifecycle import RESTING, State, Step, sources
from scaiqueue_reference.message import (
    Actor,
    Change,
    Claim,
    Depth,
    Entry,
    Inserted,
    JournalPage,
    Message,
    Page,
    Queue,
    Record,
    Scope,
    Waiting,
)
from scaiqueue_reference.store import R, schema
from scaiqueue_reference.store.group_commit import GroupCommit, Transaction

Row = tuple[Any, ...]

_TABLE = "mod_scaiqueue_messages"
_M = schema.MESSAGE_COLUMNS
_RESTING = ", ".join(f"'{state}'" for state in RESTING)
_ENDED = ", ".join(f"'{state}'" for state in sources(Step.ARCHIVE))
_BUSY_MS = 10_000  # another process (a backup, a shell) may hold the file this long
_CHUNK = 5_000  # rows a step while the order is rebuilt


# Statements are built from the names of our own columns only; every value is a parameter.
def _insert(table: str, columns: str) -> str:
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * (columns.count(',') + 1))})"  # noqa: S608


_INSERT = _insert(_TABLE, _M)
_BY_KEY = f"SELECT {_M} FROM {_TABLE} WHERE origin_queue_id = ? AND idempotency_key = ?"  # noqa: S608
_BY_ID = f"SELECT {_M} FROM {_TABLE} WHERE id = ? AND scope_id = ?"  # noqa: S608
_HELD = f"""SELECT COUNT(*) FROM (SELECT 1 FROM {_TABLE}
    WHERE queue_id = ? AND state IN ('{State.PENDING}', '{State.CLAIMED}') LIMIT ?)"""  # noqa: S608
_DEPTHS = f"""SELECT queue_id, SUM(state IN ({_RESTING})), SUM(state = '{State.CLAIMED}') FROM {_TABLE}
    WHERE queue_id IN (SELECT id FROM queues WHERE scope_id = ?)
    AND state IN ({_RESTING}, '{State.CLAIMED}') GROUP BY queue_id"""  # noqa: S608
_WAITING = f"""SELECT rowid, id, queue_id, score, visible_us FROM {_TABLE}
    WHERE rowid > ?1 AND state IN ({_RESTING}) AND (?2 IS NULL OR queue_id = ?2) ORDER BY rowid LIMIT {_CHUNK}"""  # noqa: S608
_COUNTS = f"SELECT queue_id, COUNT(*) FROM {_TABLE} WHERE state IN ({_RESTING}) GROUP BY queue_id"  # noqa: S608
_CANDIDATES = f"""SELECT id FROM {_TABLE} WHERE queue_id = ? AND state IN ({_RESTING}) AND visible_us <= ?
    AND (expires_us IS NULL OR expires_us > ?) ORDER BY score, id LIMIT ?"""  # noqa: S608
_OVERDUE = f"SELECT {_M} FROM {_TABLE} WHERE lock_until_us <= ? ORDER BY lock_until_us LIMIT ?"  # noqa: S608
_EXPIRED = f"""SELECT {_M} FROM {_TABLE} WHERE expires_us <= ? AND state IN ({_RESTING})
    ORDER BY expires_us LIMIT ?"""  # noqa: S608

_FINISHED = f"""SELECT {_M} FROM {_TABLE} WHERE finished_us < ? AND state IN ({_ENDED})
    ORDER BY finished_us LIMIT ?"""  # noqa: S608

_row = attrgetter(*Message.__struct_fields__)


class SQLiteStore:
    """The embedded server's rows; `path` is a file that this process alone writes."""

    journal_lag_us = 0  # one writer: numbers are given in the order of commits

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._scopes: dict[str, Scope] = {}  # few and read by every call: kept in the process as well
        self._queues: dict[str, Queue] = {}
        self._claims: dict[int, str] = {}
        self._changes: dict[tuple[object, ...], str] = {}

    # -- life

    async def open(self) -> int:
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

    async def depths(self, scope_id: str) -> Mapping[str, Depth]:
        rows = await self._read(_DEPTHS, (scope_id,))
        return {queue_id: Depth(pending, claimed) for queue_id, pending, claimed in rows}

    # -- messages

    async def insert(self, message: Message, event_type: str, *, capacity: int) -> Inserted:
        def insert(transaction: Transaction) -> Inserted:
            cursor = transaction.cursor
            if message.idempotency_key is not None:
                found = cursor.execute(_BY_KEY, (message.origin_queue_id, message.idempotency_key)).fetchone()
                if found:
                    return Inserted(Message(*found), created=False)
            if capacity:
                held = cursor.execute(_HELD, (message.queue_id, capacity)).fetchone()[0]
                if held >= capacity:
                    raise QueueFull
            cursor.execute(_INSERT, _row(message))
            actor = Actor(message.source_type, message.source_id)
            transaction.journal.append(Entry.of(event_type, message, actor, message.created_us))
            return Inserted(message, created=True)

        return await self._writer.submit(insert)

    async def claim(self, ids: Sequence[str], claim: Claim) -> list[Message]:
        statement = self._claims.get(len(ids)) or self._claim_statement(len(ids))

        def take(transaction: Transaction) -> list[Message]:
            now_us = self._clock.now_us()  # as late as possible: the lock is never shorter than promised
            actor, until_us = claim.actor, now_us + claim.visibility_us
            parameters = (actor.type, actor.id, now_us, until_us, *ids, claim.queue_id, now_us, now_us)
            rows = transaction.cursor.execute(statement, parameters).fetchall()
            found = {row[0]: Message(*row) for row in rows}
            taken = [found[key] for key in ids if key in found]
            transaction.journal += [Entry.of(claim.event_type, message, actor, now_us) for message in taken]
            return taken

        return await self._writer.submit(take)

    def _claim_statement(self, count: int) -> str:
        statement = f"""UPDATE {_TABLE} SET state = '{State.CLAIMED}', attempts = attempts + 1, claimed_by_type = ?,
            claimed_by_id = ?, claimed_us = ?, lock_until_us = ?
            WHERE id IN ({", ".join("?" * count)}) AND queue_id = ? AND state IN ({_RESTING}) AND visible_us <= ?
            AND (expires_us IS NULL OR expires_us > ?) RETURNING {_M}"""  # noqa: S608
        self._claims[count] = statement
        return statement

    async def change(self, change: Change) -> Message | None:
        optional = (change.owner, change.attempts, change.overdue_us)
        guards = [change.message, change.scope_id, *change.states, *(guard for guard in optional if guard is not None)]
        statement = self._change_statement(change)

        def alter(transaction: Transaction) -> Message | None:
            row = transaction.cursor.execute(statement, (*change.values.values(), *guards)).fetchone()
            if row is None:
                return None
            message = Message(*row)
            transaction.journal.append(Entry.of(change.event_type, message, change.actor, self._clock.now_us()))
            return message

        return await self._writer.submit(alter)

    def _change_statement(self, change: Change) -> str:
        optional = tuple(guard is not None for guard in (change.owner, change.attempts, change.overdue_us))
        shape = (tuple(change.values), len(change.states), optional)
        statement = self._changes.get(shape)
        if statement is None:
            texts = ("claimed_by_id = ?", "attempts = ?", "lock_until_us <= ?")
            where = ["id = ?", "scope_id = ?", f"state IN ({', '.join('?' * len(change.states))})"]
            where += [text for text, present in zip(texts, optional, strict=True) if present]
            assignments = ", ".join(f"{name} = ?" for name in change.values)
            statement = f"UPDATE {_TABLE} SET {assignments} WHERE {' AND '.join(where)} RETURNING {_M}"  # noqa: S608
            self._changes[shape] = statement
        return statement

    async def message(self, scope_id: str, message_id: str) -> Message | None:
        rows = await self._read(_BY_ID, (message_id, scope_id))
        return Message(*rows[0]) if rows else None

    async def messages(self, page: Page) -> list[Message]:
        wanted = {"scope_id": page.scope_id, "queue_id": page.queue_id, "correlation_id": page.correlation_id}
        wanted["state"] = page.state
        present = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join([*(f"{name} = ?" for name in present), "id > ?"])
        statement = f"SELECT {_M} FROM {_TABLE} WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608
        rows = await self._read(statement, (*present.values(), page.after, page.limit))
        return [Message(*row) for row in rows]

    async def waiting(self, queue_id: str | None = None) -> AsyncIterator[Sequence[Waiting]]:
        last = 0
        while rows := await self._read(_WAITING, (last, queue_id)):
            last = rows[-1][0]
            yield [Waiting(*row[1:]) for row in rows]

    async def waiting_counts(self) -> Mapping[str, int]:
        return dict(await self._read(_COUNTS, ()))

    async def candidates(self, queue_id: str, limit: int, now_us: int) -> list[str]:
        return [row[0] for row in await self._read(_CANDIDATES, (queue_id, now_us, now_us, limit))]

    async def overdue(self, now_us: int, limit: int) -> list[Message]:
        return [Message(*row) for row in await self._read(_OVERDUE, (now_us, limit))]

    async def expired(self, now_us: int, limit: int) -> list[Message]:
        return [Message(*row) for row in await self._read(_EXPIRED, (now_us, limit))]

    async def newest_key(self, queue_id: str) -> str | None:
        statement = f"SELECT MAX(idempotency_key) FROM {_TABLE} WHERE origin_queue_id = ?"  # noqa: S608
        ((key,),) = await self._read(statement, (queue_id,))
        return None if key is None else str(key, "utf-8")

    async def finished(self, before_us: int, limit: int) -> list[Message]:
        return [Message(*row) for row in await self._read(_FINISHED, (before_us, limit))]

    async def append(self, entries: Sequence[Entry]) -> None:
        await self._writer.submit(lambda transaction: transaction.journal.extend(entries))

    async def journal(self, page: JournalPage) -> list[tuple[int, Entry]]:
        where, parameters = schema.journal_where(page, "?")
        statement = f"SELECT seq, {schema.JOURNAL_COLUMNS} FROM journal WHERE {where} ORDER BY seq LIMIT ?"  # noqa: S608
        rows = await self._read(statement, (*parameters, page.limit))
        return [(row[0], Entry(*row[1:])) for row in rows]

    async def responses(self, ids: Sequence[str]) -> Mapping[str, bytes | None]:
        statement = f"SELECT id, response FROM {_TABLE} WHERE id IN ({', '.join('?' * len(ids))})"  # noqa: S608
        return dict(await self._read(statement, ids))

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
        cursor.execute(_insert(table, ", ".join(fields)), [getattr(record, name) for name in fields])
    except sqlite3.IntegrityError as error:
        raise SlugTaken(schema.taken(record)) from error


def _save(
    cursor: sqlite3.Cursor, table: str, record: Scope | Queue | Record, where: Mapping[str, object] | None = None
) -> bool:
    fields, guards = record.__struct_fields__, {"id": record.id, **(where or {})}
    assignments = ", ".join(f"{name} = ?" for name in fields)
    values = [getattr(record, name) for name in fields]
    return cursor.execute(f"UPDATE {table} SET {assignments} {_all(guards)}", (*values, *guards.values())).rowcount > 0  # noqa: S608
