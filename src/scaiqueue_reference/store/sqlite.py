"""Rows in one SQLite file: WAL, every commit flushed to disk, one writer with group commit, reads beside it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from scaiqueue_reference.clock import Clock
from scaiqueue_reference.errors import QueueFull
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
    Waiting,
)
from scaiqueue_reference.store import schema
from scaiqueue_reference.store.group_commit import Transaction
from scaiqueue_reference.store.sqlite_places import SQLitePlaces, insert_into

Row = tuple[Any, ...]

_TABLE = "mod_scaiqueue_messages"
_M = schema.MESSAGE_COLUMNS
_RESTING = ", ".join(f"'{state}'" for state in RESTING)
_ENDED = ", ".join(f"'{state}'" for state in sources(Step.ARCHIVE))
_CHUNK = 5_000  # rows a step while the order is rebuilt


_INSERT = insert_into(_TABLE, _M)
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


class SQLiteStore(SQLitePlaces):
    """The embedded server's rows; `path` is a file that this process alone writes."""

    journal_lag_us = 0  # one writer: numbers are given in the order of commits

    def __init__(self, path: str, clock: Clock) -> None:
        super().__init__(path)
        self._clock = clock
        self._claims: dict[int, str] = {}
        self._changes: dict[tuple[object, ...], str] = {}

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

    async def low(self, now_us: int, period_us: int, limit: int) -> list[Message]:
        where, parameters = schema.low_where(now_us, period_us, "?")
        statement = f"SELECT {_M} FROM {_TABLE} WHERE {where} ORDER BY id LIMIT ?"  # noqa: S608
        return [Message(*row) for row in await self._read(statement, (*parameters, limit))]

    async def purge_messages(self, before_us: int, limit: int) -> int:
        return await self._purge(
            f"""DELETE FROM {_TABLE} WHERE rowid IN (SELECT rowid FROM {_TABLE}
            WHERE state = '{State.ARCHIVED}' AND finished_us < ? LIMIT ?)""",  # noqa: S608
            (before_us, limit),
        )

    async def purge_journal(self, before_us: int, limit: int) -> int:
        lines = await self._purge(
            "DELETE FROM journal WHERE seq IN (SELECT seq FROM journal ORDER BY seq LIMIT ?) AND at_us < ?",
            (limit, before_us),
        )
        return lines + await self._purge(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries ORDER BY id LIMIT ?) AND created_us < ?",
            (limit, before_us),
        )

    async def _purge(self, statement: str, parameters: Sequence[object]) -> int:
        def purge(transaction: Transaction) -> int:
            return transaction.cursor.execute(statement, parameters).rowcount

        return await self._writer.submit(purge, slow=True)

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

    async def depths(self, scope_id: str) -> Mapping[str, Depth]:
        rows = await self._read(_DEPTHS, (scope_id,))
        return {queue_id: Depth(pending, claimed) for queue_id, pending, claimed in rows}
