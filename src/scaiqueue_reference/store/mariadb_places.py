"""Scopes, queues and settings in MariaDB, where another process may change them at any time."""

from collections.abc import Mapping, Sequence

from asyncmy.errors import IntegrityError

from scaiqueue_reference.batcher import Batcher
from scaiqueue_reference.errors import SlugTaken, Unavailable
from scaiqueue_reference.message import Queue, Record, Scope
from scaiqueue_reference.store import R, schema
from scaiqueue_reference.store.mariadb_link import Cursor, Link, Row

_S, _Q = schema.SCOPE_COLUMNS, schema.QUEUE_COLUMNS
_SCOPE_WIDTH = len(Scope.__struct_fields__)
_S_OF = ", ".join(f"s.{name}" for name in Scope.__struct_fields__)
_Q_OF = ", ".join(f"q.{name}" for name in Queue.__struct_fields__)

_MIGRATION_LOCK = "scaiqueue_migration"
_MIGRATION_WAIT_S = 60
_MOST_KNOWN = 10_000  # places in memory

Place = tuple[Scope, Queue]


class MariaDBPlaces:
    """The part of the store that is not about messages."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._tenants: dict[str, str] = {}  # a scope's tenant never changes
        self._lookups: Batcher[str, Place | None] = Batcher(self._look_up)
        # Places change seldom and are needed by every call: the rows are read anew only when their version has risen.
        self._versions: Batcher[None, str] = Batcher(self._read_version)
        self._known: dict[str, Place] = {}  # by queue, as of `_version`
        self._version = ""

    async def _migrate(self) -> None:
        """Runs the steps that this database has not seen; of several processes one does it, the others wait."""

        async def work(cursor: Cursor) -> None:
            granted = await cursor.rows("SELECT GET_LOCK(%s, %s)", (_MIGRATION_LOCK, _MIGRATION_WAIT_S))
            if granted[0][0] != 1:
                raise Unavailable("Another process has been migrating the database for too long.")
            try:
                await _run_steps(cursor)
            finally:
                await cursor.rows("SELECT RELEASE_LOCK(%s)", (_MIGRATION_LOCK,))

        await self._link.transaction(work)

    async def ping(self) -> None:
        await self._link.rows("SELECT 1")

    async def setting(self, name: str, default: str) -> str:
        async def work(cursor: Cursor) -> str:
            await cursor.run("INSERT IGNORE INTO settings (name, value) VALUES (%s, %s)", (name, default))
            value: str = (await cursor.rows("SELECT value FROM settings WHERE name = %s", (name,)))[0][0]
            return value

        return await self._link.transaction(work)

    # -- scopes

    async def scope(self, scope_id: str) -> Scope | None:
        if not scope_id.isascii():
            return None
        rows = await self._link.rows(f"SELECT {_S} FROM scopes WHERE id = %s", (scope_id,))  # noqa: S608
        return _scope(rows[0]) if rows else None

    async def tenant(self, scope_id: str) -> str | None:
        known = self._tenants.get(scope_id)
        if known is None:
            scope = await self.scope(scope_id)
            if scope is None:
                return None
            known = self._tenants[scope_id] = scope.tenant_id
        return known

    async def scopes(self, tenant_id: str) -> list[Scope]:
        rows = await self._link.rows(f"SELECT {_S} FROM scopes WHERE tenant_id = %s ORDER BY id", (tenant_id,))  # noqa: S608
        return [_scope(row) for row in rows]

    async def add_scope(self, scope: Scope, queues: Sequence[Queue]) -> None:
        async def work(cursor: Cursor) -> None:
            await _add(cursor, "scopes", scope)
            for queue in queues:
                await _add(cursor, "queues", queue)

        await self._link.transaction(work)

    async def save_scope(self, scope: Scope) -> None:
        async def work(cursor: Cursor) -> None:
            await _save(cursor, "scopes", scope)
            await _rise(cursor)

        await self._link.transaction(work)

    async def delete_scope(self, scope_id: str) -> None:
        async def work(cursor: Cursor) -> None:
            for table in ("mod_scaiqueue_messages", "queues", "documents"):
                await cursor.run(f"DELETE FROM {table} WHERE scope_id = %s", (scope_id,))  # noqa: S608
            await cursor.run("DELETE FROM scopes WHERE id = %s", (scope_id,))
            await _rise(cursor)

        await self._link.transaction(work)
        self._tenants.pop(scope_id, None)

    # -- queues

    async def place(self, queue_id: str) -> Place | None:
        version = await self._versions.submit(None)
        if version != self._version:
            self._known.clear()
            self._version = version
        known = self._known.get(queue_id)
        if known is None:
            known = await self._lookups.submit(queue_id)
            if known is not None and version == self._version:  # else another call has seen a newer version meanwhile
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[queue_id] = known
        return known

    async def _read_version(self, calls: Sequence[None]) -> Sequence[str]:
        rows = await self._link.rows("SELECT value FROM settings WHERE name = %s", (schema.PLACES_VERSION,))
        return [rows[0][0]] * len(calls)

    async def _look_up(self, queue_ids: Sequence[str]) -> Sequence[Place | BaseException | None]:
        keys = sorted({key for key in queue_ids if key.isascii()})
        if not keys:
            return [None] * len(queue_ids)
        statement = f"""SELECT {_S_OF}, {_Q_OF} FROM queues q JOIN scopes s ON s.id = q.scope_id
            WHERE q.id IN ({", ".join(["%s"] * len(keys))})"""  # noqa: S608
        places = [
            (_scope(row[:_SCOPE_WIDTH]), _queue(row[_SCOPE_WIDTH:])) for row in await self._link.rows(statement, keys)
        ]
        found = {queue.id: (scope, queue) for scope, queue in places}
        return [found.get(key) for key in queue_ids]

    async def queue(self, queue_id: str) -> Queue | None:
        place = await self.place(queue_id)
        return None if place is None else place[1]

    async def queues(self, scope_id: str) -> list[Queue]:
        rows = await self._link.rows(f"SELECT {_Q} FROM queues WHERE scope_id = %s ORDER BY id", (scope_id,))  # noqa: S608
        return [_queue(row) for row in rows]

    async def add_queue(self, queue: Queue) -> None:
        await self._link.transaction(lambda cursor: _add(cursor, "queues", queue))

    async def save_queue(self, queue: Queue) -> None:
        async def work(cursor: Cursor) -> None:
            await _save(cursor, "queues", queue)
            await _rise(cursor)

        await self._link.transaction(work)

    async def delete_queue(self, queue_id: str) -> None:
        async def work(cursor: Cursor) -> None:
            await cursor.run("DELETE FROM mod_scaiqueue_messages WHERE queue_id = %s", (queue_id,))
            await cursor.run("DELETE FROM queues WHERE id = %s", (queue_id,))
            await _rise(cursor)

        await self._link.transaction(work)

    # -- records

    async def records(self, table: type[R], /, **where: object) -> list[R]:
        statement = f"SELECT {', '.join(table.__struct_fields__)} FROM {schema.TABLES[table]} {_all(where)} ORDER BY id"  # noqa: S608
        rows = await self._link.rows(statement, tuple(where.values()))
        return [table(**dict(zip(table.__struct_fields__, row, strict=True))) for row in rows]

    async def add_record(self, record: Record) -> None:
        await self._link.transaction(lambda cursor: _add(cursor, schema.TABLES[type(record)], record))

    async def save_record(self, record: Record, /, **where: object) -> bool:
        return await self._link.transaction(lambda cursor: _save(cursor, schema.TABLES[type(record)], record, where))

    async def remove_records(self, table: type[Record], /, **where: object) -> None:
        statement = f"DELETE FROM {schema.TABLES[table]} {_all(where)}"  # noqa: S608
        await self._link.transaction(lambda cursor: cursor.run(statement, tuple(where.values())))


def _all(where: Mapping[str, object]) -> str:
    return f"WHERE {' AND '.join(f'{name} = %s' for name in where)}" if where else ""


async def _run_steps(cursor: Cursor) -> None:
    # asked first: IF NOT EXISTS would be told as a warning at every start but the first
    if not await cursor.rows("SHOW TABLES LIKE 'schema\\_version'"):
        await cursor.run("CREATE TABLE schema_version (version INT NOT NULL) ENGINE=InnoDB")
    rows = await cursor.rows("SELECT MAX(version) FROM schema_version")
    version = int(rows[0][0] or 0)
    if version > len(schema.MARIADB):
        raise Unavailable(f"The database was written by a newer version (schema {version}).")
    for number, statements in enumerate(schema.MARIADB[version:], version + 1):
        for statement in statements:  # MariaDB commits each by itself: a step can be run again after a crash
            await cursor.run(statement)
        await cursor.run("INSERT INTO schema_version (version) VALUES (%s)", (number,))


def _scope(row: Row) -> Scope:
    return Scope(**dict(zip(Scope.__struct_fields__, row, strict=True)))


def _queue(row: Row) -> Queue:
    return Queue(**dict(zip(Queue.__struct_fields__, row, strict=True)))


async def _add(cursor: Cursor, table: str, place: Scope | Queue | Record) -> None:
    fields = place.__struct_fields__
    values = [getattr(place, name) for name in fields]
    statement = f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({', '.join(['%s'] * len(fields))})"  # noqa: S608
    try:
        await cursor.run(statement, values)
    except IntegrityError as error:
        raise SlugTaken(schema.taken(place)) from error


async def _rise(cursor: Cursor) -> None:
    """What was known of places is known no more; the last statement of a change, since all changes share this row."""
    await cursor.run("UPDATE settings SET value = value + 1 WHERE name = %s", (schema.PLACES_VERSION,))


async def _save(
    cursor: Cursor, table: str, record: Scope | Queue | Record, where: Mapping[str, object] | None = None
) -> bool:
    fields, guards = record.__struct_fields__, {"id": record.id, **(where or {})}
    assignments = ", ".join(f"{name} = %s" for name in fields)
    found = await cursor.rows(f"SELECT id FROM {table} {_all(guards)} FOR UPDATE", tuple(guards.values()))  # noqa: S608
    if not found:  # asked first: an UPDATE that changes nothing counts no row
        return False
    values = [getattr(record, name) for name in fields]
    try:
        await cursor.run(f"UPDATE {table} SET {assignments} WHERE id = %s", (*values, record.id))  # noqa: S608
    except IntegrityError as error:
        raise SlugTaken(schema.taken(record)) from error
    return True
