"""Rows in MariaDB, for many processes: each verb's calls share statements, and every answer waits for the commit."""

from collections.abc import AsyncIterator, Mapping, Sequence
from operator import attrgetter

import msgspec

from scaiqueue_reference.batcher import Batcher
from scaiqueue_reference.clock import Clock
from scaiqueue_reference.errors import QueueFull, Unavailable
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
from scaiqueue_reference.store.mariadb_link import Cursor, Link
from scaiqueue_reference.store.mariadb_places import MariaDBPlaces

_TABLE = "mod_scaiqueue_messages"
_M = schema.MESSAGE_COLUMNS
_RESTING = ", ".join(f"'{state}'" for state in RESTING)
_ENDED = ", ".join(f"'{state}'" for state in sources(Step.ARCHIVE))
_CHUNK = 5_000  # rows a step while an order is rebuilt
_LARGEST_STATEMENT = 8 * 1024 * 1024  # bytes of payload in one statement: half of the usual max_allowed_packet

_row = attrgetter(*Message.__struct_fields__)
_line = attrgetter(*Entry.__struct_fields__)

_Publish = tuple[Message, str, int]
_Take = tuple[Sequence[str], Claim]


class MariaDBStore(MariaDBPlaces):
    """The stack's rows; `url` is mariadb://USER:PASSWORD@HOST:PORT/NAME."""

    journal_lag_us = 2_000_000  # transactions commit in another order than they took their numbers; none lasts longer

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(Link(url))
        self._clock = clock
        self._inserts: Batcher[_Publish, Inserted] = Batcher(self._insert, weight=_size, capacity=_LARGEST_STATEMENT)
        self._bounded: Batcher[_Publish, Inserted] = Batcher(self._insert_bounded)
        self._claims: Batcher[_Take, list[Message]] = Batcher(self._claim)
        self._changes: Batcher[Change, Message | None] = Batcher(
            self._change, weight=lambda change: _payload(change.values), capacity=_LARGEST_STATEMENT
        )

    async def open(self) -> int:
        await self._link.open()
        await self._migrate()
        newest = await self._link.rows(f"SELECT MAX(id) FROM {_TABLE}")  # noqa: S608
        if newest[0][0] is None:
            return 0
        rows = await self._link.rows(f"SELECT created_us FROM {_TABLE} WHERE id = %s", (newest[0][0],))  # noqa: S608
        return int(rows[0][0]) if rows else 0

    async def close(self) -> None:
        for batcher in (self._inserts, self._bounded, self._claims, self._changes):
            await batcher.idle()
        await self._link.close()

    # -- publish

    async def insert(self, message: Message, event_type: str, *, capacity: int) -> Inserted:
        batcher = self._bounded if capacity else self._inserts
        return await batcher.submit((message, event_type, capacity))

    async def _insert(self, publishes: Sequence[_Publish]) -> Sequence[Inserted | BaseException]:
        async def work(cursor: Cursor) -> list[Inserted | BaseException]:
            return [*await _insert_all(cursor, publishes)]

        return await self._link.transaction(work)

    async def _insert_bounded(self, publishes: Sequence[_Publish]) -> Sequence[Inserted | BaseException]:
        """Into queues with max_depth: one at a time behind a lock on the queue's row, so that the count holds."""

        async def work(cursor: Cursor) -> list[Inserted | BaseException]:
            queue_ids = sorted({message.queue_id for message, _, _ in publishes})
            for queue_id in queue_ids:
                await cursor.rows("SELECT id FROM queues WHERE id = %s FOR UPDATE", (queue_id,))
            outcomes: list[Inserted | BaseException] = []
            for publish in publishes:
                found = await _by_key(cursor, publish[0])
                if found is not None:
                    outcomes.append(Inserted(found, created=False))
                elif await _held(cursor, publish[0].queue_id, publish[2]) >= publish[2]:
                    outcomes.append(QueueFull())
                else:
                    outcomes += await _insert_all(cursor, [publish])
            return outcomes

        return await self._link.transaction(work)

    # -- claim

    async def claim(self, ids: Sequence[str], claim: Claim) -> list[Message]:
        return await self._claims.submit((ids, claim))

    async def _claim(self, takes: Sequence[_Take]) -> Sequence[list[Message] | BaseException]:
        async def work(cursor: Cursor) -> list[list[Message] | BaseException]:
            rows = await _locked(cursor, {key for ids, _ in takes for key in ids})
            now_us = self._clock.now_us()  # as late as possible: the lock is never shorter than promised
            outcomes: list[list[Message] | BaseException] = []
            changed: dict[Claim, list[str]] = {}
            for ids, claim in takes:
                found = [rows.pop(key) for key in ids if key in rows and _claimable(rows[key], claim, now_us)]
                outcomes.append([_claimed(message, claim, now_us) for message in found])
                if found:
                    changed.setdefault(claim, []).extend(message.id for message in found)
            for claim, keys in changed.items():
                await cursor.run(
                    f"""UPDATE {_TABLE} SET state = '{State.CLAIMED}', attempts = attempts + 1, claimed_by_type = %s,
                    claimed_by_id = %s, claimed_us = %s, lock_until_us = %s WHERE id IN ({_places(keys)})""",  # noqa: S608
                    (claim.actor.type, claim.actor.id, now_us, now_us + claim.visibility_us, *keys),
                )
            pairs = zip(takes, outcomes, strict=True)
            lines = [
                Entry.of(claim.event_type, message, claim.actor, now_us)
                for (_, claim), taken in pairs
                if not isinstance(taken, BaseException)
                for message in taken
            ]
            await _journal(cursor, lines)
            return outcomes

        return await self._link.transaction(work)

    # -- change

    async def change(self, change: Change) -> Message | None:
        return await self._changes.submit(change)

    async def _change(self, changes: Sequence[Change]) -> Sequence[Message | BaseException | None]:
        async def work(cursor: Cursor) -> list[Message | BaseException | None]:
            rows = await _locked(cursor, {change.message for change in changes})
            now_us = self._clock.now_us()
            outcomes: list[Message | BaseException | None] = []
            lines: list[Entry] = []
            written: dict[str, dict[str, object]] = {}
            for change in changes:
                before = rows.get(change.message)
                if before is None or not _holds(change, before):
                    outcomes.append(None)
                    continue
                after = rows[before.id] = msgspec.structs.replace(before, **change.values)
                written.setdefault(before.id, {}).update(change.values)
                lines.append(Entry.of(change.event_type, after, change.actor, now_us))
                outcomes.append(after)
            await _write(cursor, written)
            await _journal(cursor, lines)
            return outcomes

        return await self._link.transaction(work)

    # -- reads

    async def message(self, scope_id: str, message_id: str) -> Message | None:
        if not message_id.isascii():
            return None
        statement = f"SELECT {_M} FROM {_TABLE} WHERE id = %s AND scope_id = %s"  # noqa: S608
        rows = await self._link.rows(statement, (message_id, scope_id))
        return Message(*rows[0]) if rows else None

    async def messages(self, page: Page) -> list[Message]:
        wanted = {"scope_id": page.scope_id, "queue_id": page.queue_id, "correlation_id": page.correlation_id}
        wanted["state"] = page.state
        present = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join([*(f"{name} = %s" for name in present), "id > %s"])
        statement = f"SELECT {_M} FROM {_TABLE} WHERE {where} ORDER BY id LIMIT %s"  # noqa: S608
        rows = await self._link.rows(statement, (*present.values(), page.after, page.limit))
        return [Message(*row) for row in rows]

    async def depths(self, scope_id: str) -> Mapping[str, Depth]:
        rows = await self._link.rows(
            f"""SELECT queue_id, SUM(state <> '{State.CLAIMED}'), SUM(state = '{State.CLAIMED}') FROM {_TABLE}
            WHERE queue_id IN (SELECT id FROM queues WHERE scope_id = %s)
            AND state IN ({_RESTING}, '{State.CLAIMED}') GROUP BY queue_id""",  # noqa: S608
            (scope_id,),
        )
        return {queue_id: Depth(int(pending), int(claimed)) for queue_id, pending, claimed in rows}

    async def waiting(self, queue_id: str | None = None) -> AsyncIterator[Sequence[Waiting]]:
        which, values = ("", ()) if queue_id is None else (" AND queue_id = %s", (queue_id,))
        last = ""
        while True:
            statement = f"""SELECT id, queue_id, score, visible_us FROM {_TABLE}
                WHERE id > %s AND state IN ({_RESTING}){which} ORDER BY id LIMIT {_CHUNK}"""  # noqa: S608
            rows = await self._link.rows(statement, (last, *values))
            if not rows:
                return
            last = rows[-1][0]
            yield [Waiting(*row) for row in rows]

    async def waiting_counts(self) -> Mapping[str, int]:
        statement = f"SELECT queue_id, COUNT(*) FROM {_TABLE} WHERE state IN ({_RESTING}) GROUP BY queue_id"  # noqa: S608
        return {queue_id: int(count) for queue_id, count in await self._link.rows(statement)}

    async def candidates(self, queue_id: str, limit: int, now_us: int) -> list[str]:
        one = f"""(SELECT score, id FROM {_TABLE} WHERE queue_id = %s AND state = %s AND visible_us <= %s
            AND (expires_us IS NULL OR expires_us > %s) ORDER BY score, id LIMIT %s)"""  # noqa: S608
        # Each part stops at its limit along the index; with IN the whole backlog would be sorted.
        statement = f"{' UNION ALL '.join([one] * len(RESTING))} ORDER BY score, id LIMIT %s"
        parameters = [part for state in RESTING for part in (queue_id, str(state), now_us, now_us, limit)]
        return [row[1] for row in await self._link.rows(statement, (*parameters, limit))]

    async def overdue(self, now_us: int, limit: int) -> list[Message]:
        statement = f"SELECT {_M} FROM {_TABLE} WHERE lock_until_us <= %s ORDER BY lock_until_us LIMIT %s"  # noqa: S608
        return [Message(*row) for row in await self._link.rows(statement, (now_us, limit))]

    async def expired(self, now_us: int, limit: int) -> list[Message]:
        statement = f"""SELECT {_M} FROM {_TABLE} WHERE expires_us <= %s AND state IN ({_RESTING})
            ORDER BY expires_us LIMIT %s"""  # noqa: S608
        return [Message(*row) for row in await self._link.rows(statement, (now_us, limit))]

    async def newest_key(self, queue_id: str) -> str | None:
        statement = f"SELECT MAX(idempotency_key) FROM {_TABLE} WHERE origin_queue_id = %s"  # noqa: S608
        ((key,),) = await self._link.rows(statement, (queue_id,))
        return None if key is None else str(key, "utf-8")

    async def finished(self, before_us: int, limit: int) -> list[Message]:
        statement = f"""SELECT {_M} FROM {_TABLE} WHERE finished_us < %s AND state IN ({_ENDED})
            ORDER BY finished_us LIMIT %s"""  # noqa: S608
        return [Message(*row) for row in await self._link.rows(statement, (before_us, limit))]

    async def low(self, now_us: int, period_us: int, limit: int) -> list[Message]:
        where, parameters = schema.low_where(now_us, period_us, "%s")
        statement = f"SELECT {_M} FROM {_TABLE} WHERE {where} ORDER BY id LIMIT %s"  # noqa: S608
        return [Message(*row) for row in await self._link.rows(statement, (*parameters, limit))]

    async def purge_messages(self, before_us: int, limit: int) -> int:
        statement = f"DELETE FROM {_TABLE} WHERE state = '{State.ARCHIVED}' AND finished_us < %s LIMIT %s"  # noqa: S608
        return await self._link.transaction(lambda cursor: cursor.run(statement, (before_us, limit)))

    async def purge_journal(self, before_us: int, limit: int) -> int:
        async def work(cursor: Cursor) -> int:
            removed = 0
            for table, number, at_us in (("journal", "seq", "at_us"), ("deliveries", "id", "created_us")):
                oldest = await cursor.rows(
                    f"SELECT {number}, {at_us} FROM {table} ORDER BY {number} LIMIT %s",  # noqa: S608
                    (limit,),
                )
                old = [row[0] for row in oldest if row[1] < before_us]
                if old:
                    removed += await cursor.run(f"DELETE FROM {table} WHERE {number} IN ({_places(old)})", old)  # noqa: S608
            return removed

        return await self._link.transaction(work)

    async def append(self, entries: Sequence[Entry]) -> None:
        await self._link.transaction(lambda cursor: _journal(cursor, entries))

    async def journal(self, page: JournalPage) -> list[tuple[int, Entry]]:
        where, parameters = schema.journal_where(page, "%s")
        statement = f"SELECT seq, {schema.JOURNAL_COLUMNS} FROM journal WHERE {where} ORDER BY seq LIMIT %s"  # noqa: S608
        rows = await self._link.rows(statement, (*parameters, page.limit))
        return [(row[0], Entry(*row[1:])) for row in rows]

    async def responses(self, ids: Sequence[str]) -> Mapping[str, bytes | None]:
        statement = f"SELECT id, response FROM {_TABLE} WHERE id IN ({_places(ids)})"  # noqa: S608
        return dict(await self._link.rows(statement, ids))


def _size(publish: _Publish) -> int:
    message = publish[0]
    return 1024 + len(message.body) + len(message.labels or b"") + len(message.hitl_spec or b"")


def _payload(values: Mapping[str, object]) -> int:
    return 1024 + sum(len(value) for value in values.values() if isinstance(value, bytes))


def _places(values: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(values))


async def _insert_all(cursor: Cursor, publishes: Sequence[_Publish]) -> list[Inserted]:
    """RETURNING gives the id that now carries the key: our own, or that of the message which was first."""
    rows = ", ".join([f"({_places(Message.__struct_fields__)})"] * len(publishes))
    statement = f"""INSERT INTO {_TABLE} ({_M}) VALUES {rows}
        ON DUPLICATE KEY UPDATE attempts = attempts RETURNING id"""  # noqa: S608
    parameters = [value for message, _, _ in publishes for value in _row(message)]
    kept = {row[0] for row in await cursor.rows(statement, parameters)}
    inserted: list[Inserted] = []
    for message, _, _ in publishes:
        first = message if message.id in kept else await _by_key(cursor, message)
        if first is None:
            raise Unavailable("The message with this idempotency_key was deleted meanwhile; try again.")
        inserted.append(Inserted(first, created=first is message))
    made = zip(publishes, inserted, strict=True)
    await _journal(
        cursor,
        [
            Entry.of(event, message, Actor(message.source_type, message.source_id), message.created_us)
            for (message, event, _), i in made
            if i.created
        ],
    )
    return inserted


async def _by_key(cursor: Cursor, message: Message) -> Message | None:
    if message.idempotency_key is None:
        return None
    statement = f"SELECT {_M} FROM {_TABLE} WHERE origin_queue_id = %s AND idempotency_key = %s"  # noqa: S608
    rows = await cursor.rows(statement, (message.origin_queue_id, message.idempotency_key))
    return Message(*rows[0]) if rows else None


async def _held(cursor: Cursor, queue_id: str, capacity: int) -> int:
    statement = f"""SELECT COUNT(*) FROM (SELECT 1 FROM {_TABLE}
        WHERE queue_id = %s AND state IN ('{State.PENDING}', '{State.CLAIMED}') LIMIT %s) held"""  # noqa: S608
    return int((await cursor.rows(statement, (queue_id, capacity)))[0][0])


async def _locked(cursor: Cursor, ids: set[str]) -> dict[str, Message]:
    """The rows, locked in the order of their ids, so that two processes never wait for each other."""
    keys = sorted(key for key in ids if key.isascii())
    if not keys:
        return {}
    statement = f"SELECT {_M} FROM {_TABLE} WHERE id IN ({_places(keys)}) ORDER BY id FOR UPDATE"  # noqa: S608
    return {row[0]: Message(*row) for row in await cursor.rows(statement, keys)}


def _claimable(message: Message, claim: Claim, now_us: int) -> bool:
    return (
        message.queue_id == claim.queue_id
        and message.state in RESTING
        and message.visible_us <= now_us
        and (message.expires_us is None or message.expires_us > now_us)
    )


def _claimed(message: Message, claim: Claim, now_us: int) -> Message:
    return msgspec.structs.replace(
        message,
        state=State.CLAIMED,
        attempts=message.attempts + 1,
        claimed_by_type=claim.actor.type,
        claimed_by_id=claim.actor.id,
        claimed_us=now_us,
        lock_until_us=now_us + claim.visibility_us,
    )


def _holds(change: Change, message: Message) -> bool:
    return (
        message.scope_id == change.scope_id
        and message.state in change.states
        and change.owner in (None, message.claimed_by_id)
        and change.attempts in (None, message.attempts)
        and (change.overdue_us is None or (message.lock_until_us or 0) <= change.overdue_us)
    )


async def _write(cursor: Cursor, written: Mapping[str, Mapping[str, object]]) -> None:
    """One UPDATE for all rows that change the same columns; a column with one value for all needs no CASE."""
    shapes: dict[tuple[str, ...], list[str]] = {}
    for key, values in written.items():
        shapes.setdefault(tuple(values), []).append(key)
    for columns, keys in shapes.items():
        assignments: list[str] = []
        parameters: list[object] = []
        for column in columns:
            column_values = [written[key][column] for key in keys]
            if all(value == column_values[0] for value in column_values):
                assignments.append(f"{column} = %s")
                parameters.append(column_values[0])
            else:
                assignments.append(f"{column} = CASE id {'WHEN %s THEN %s ' * len(keys)}END")
                parameters += [part for pair in zip(keys, column_values, strict=True) for part in pair]
        statement = f"UPDATE {_TABLE} SET {', '.join(assignments)} WHERE id IN ({_places(keys)})"  # noqa: S608
        await cursor.run(statement, [*parameters, *keys])


async def _journal(cursor: Cursor, lines: Sequence[Entry]) -> None:
    if lines:
        rows = ", ".join([f"({_places(Entry.__struct_fields__)})"] * len(lines))
        statement = f"INSERT INTO journal ({schema.JOURNAL_COLUMNS}) VALUES {rows}"  # noqa: S608
        await cursor.run(statement, [value for line in lines for value in _line(line)])
