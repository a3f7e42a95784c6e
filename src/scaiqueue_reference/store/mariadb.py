"""Rows in MariaDB, for many processes: calls that come together share statements; every answer waits for the commit."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from scaiqueue_reference.batcher import GATHER_S, Batcher
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
from scaiqueue_reference.store.mariadb_link import BEGIN, COMMIT, Cursor, Link, Row, Statement
from scaiqueue_reference.store.mariadb_places import MariaDBPlaces

_TABLE = "mod_scaiqueue_messages"
_M = schema.MESSAGE_COLUMNS
_RESTING = ", ".join(f"'{state}'" for state in RESTING)
_ENDED = ", ".join(f"'{state}'" for state in sources(Step.ARCHIVE))
_CHUNK = 5_000  # rows a step while an order is rebuilt
_LARGEST_STATEMENT = 8 * 1024 * 1024  # bytes of payload in one statement: half of the usual max_allowed_packet

_row = attrgetter(*Message.__struct_fields__)
_line = attrgetter(*Entry.__struct_fields__)


class _Publish(NamedTuple):
    message: Message
    event_type: str
    capacity: int


class _Take(NamedTuple):
    ids: Sequence[str]
    claim: Claim


_Write = _Publish | _Take | Change


class MariaDBStore(MariaDBPlaces):
    """The stack's rows; `url` is mariadb://USER:PASSWORD@HOST:PORT/NAME."""

    journal_lag_us = 2_000_000  # transactions commit in another order than they took their numbers; none lasts longer

    def __init__(self, url: str, clock: Clock) -> None:
        super().__init__(Link(url))
        self._clock = clock
        # All verbs share a transaction: the way to the database and to its disk costs more than what is done there.
        self._writes: Batcher[_Write, Any] = Batcher(
            self._write, weight=_size, capacity=_LARGEST_STATEMENT, gather_s=GATHER_S
        )
        self._bounded: Batcher[_Publish, Inserted] = Batcher(self._insert_bounded)

    async def open(self) -> int:
        await self._link.open()
        await self._migrate()
        newest = await self._link.rows(f"SELECT MAX(id) FROM {_TABLE}")  # noqa: S608
        if newest[0][0] is None:
            return 0
        rows = await self._link.rows(f"SELECT created_us FROM {_TABLE} WHERE id = %s", (newest[0][0],))  # noqa: S608
        return int(rows[0][0]) if rows else 0

    async def close(self) -> None:
        for batcher in (self._writes, self._bounded):
            await batcher.idle()
        await self._link.close()

    # -- writes

    async def insert(self, message: Message, event_type: str, *, capacity: int) -> Inserted:
        publish = _Publish(message, event_type, capacity)
        inserted: Inserted = await (self._bounded if capacity else self._writes).submit(publish)
        return inserted

    async def claim(self, ids: Sequence[str], claim: Claim) -> list[Message]:
        taken: list[Message] = await self._writes.submit(_Take(ids, claim))
        return taken

    async def change(self, change: Change) -> Message | None:
        changed: Message | None = await self._writes.submit(change)
        return changed

    async def _write(self, writes: Sequence[_Write]) -> Sequence[object]:
        """What came together, in one transaction; one outcome each."""

        async def work(cursor: Cursor) -> Sequence[object]:
            publishes = [write for write in writes if isinstance(write, _Publish)]
            inserting = [_inserting(publishes)] if publishes else []
            _, *answers, locked = await cursor.together([BEGIN, *inserting, _locking(writes)])
            lines: list[Entry] = []
            inserted = iter(await _inserted(cursor, publishes, answers[0], lines) if publishes else ())
            now_us = self._clock.now_us()  # as late as possible: a lock is never shorter than promised
            changes = _Changes({row[0]: Message(*row) for row in locked}, lines, now_us)
            outcomes = [next(inserted) if isinstance(write, _Publish) else changes.apply(write) for write in writes]
            await cursor.together([*_updates(changes.written), *_journal(lines), COMMIT])
            return outcomes

        return await self._link.batch(work)

    async def _insert_bounded(self, publishes: Sequence[_Publish]) -> Sequence[Inserted | BaseException]:
        """Into queues with max_depth: one at a time behind a lock on the queue's row, so that the count holds."""

        async def work(cursor: Cursor) -> list[Inserted | BaseException]:
            queue_ids = sorted({message.queue_id for message, _, _ in publishes})
            for queue_id in queue_ids:
                await cursor.rows("SELECT id FROM queues WHERE id = %s FOR UPDATE", (queue_id,))
            outcomes: list[Inserted | BaseException] = []
            lines: list[Entry] = []
            for publish in publishes:
                found = await _by_key(cursor, publish.message)
                if found is not None:
                    outcomes.append(Inserted(found, created=False))
                elif await _held(cursor, publish.message.queue_id, publish.capacity) >= publish.capacity:
                    outcomes.append(QueueFull())
                else:
                    (answer,) = await cursor.together([_inserting([publish])])
                    outcomes += await _inserted(cursor, [publish], answer, lines)
            for statement in _journal(lines):
                await cursor.run(*statement)
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
        async def work(cursor: Cursor) -> None:
            await cursor.together([BEGIN, *_journal(entries)])
            await cursor.together([COMMIT])

        await self._link.batch(work)

    async def journal(self, page: JournalPage) -> list[tuple[int, Entry]]:
        where, parameters = schema.journal_where(page, "%s")
        statement = f"SELECT seq, {schema.JOURNAL_COLUMNS} FROM journal WHERE {where} ORDER BY seq LIMIT %s"  # noqa: S608
        rows = await self._link.rows(statement, (*parameters, page.limit))
        return [(row[0], Entry(*row[1:])) for row in rows]

    async def responses(self, ids: Sequence[str]) -> Mapping[str, bytes | None]:
        statement = f"SELECT id, response FROM {_TABLE} WHERE id IN ({_places(ids)})"  # noqa: S608
        return dict(await self._link.rows(statement, ids))


def _size(write: _Write) -> int:
    """About how many bytes of a statement."""
    if isinstance(write, Change):
        return 1024 + sum(len(value) for value in write.values.values() if isinstance(value, bytes))
    if isinstance(write, _Take):
        return 1024 + 40 * len(write.ids)
    message = write.message
    return 1024 + len(message.body) + len(message.labels or b"") + len(message.hitl_spec or b"")


def _keys(write: _Write) -> Sequence[str]:
    """The rows that it needs as they are."""
    if isinstance(write, Change):
        return (write.message,)
    return write.ids if isinstance(write, _Take) else ()


def _places(values: Sequence[object]) -> str:
    return ", ".join(["%s"] * len(values))


class _Changes:
    """Claims and conditional changes over the locked rows, one after the other."""

    def __init__(self, rows: dict[str, Message], lines: list[Entry], now_us: int) -> None:
        self._rows = rows
        self._lines = lines
        self._now_us = now_us
        self.written: dict[str, dict[str, object]] = {}  # columns by id

    def apply(self, write: _Take | Change) -> list[Message] | Message | None:
        """The messages that were claimed, or the changed one; None when a guard of the change does not hold."""
        if isinstance(write, _Take):
            claim, found = write.claim, [self._rows[key] for key in dict.fromkeys(write.ids) if key in self._rows]
            return [
                self._alter(message, _claim_values(message, claim, self._now_us), claim.event_type, claim.actor)
                for message in found
                if _claimable(message, claim, self._now_us)
            ]
        before = self._rows.get(write.message)
        if before is None or not _holds(write, before):
            return None
        return self._alter(before, write.values, write.event_type, write.actor)

    def _alter(self, before: Message, values: Mapping[str, object], event_type: str, actor: Actor) -> Message:
        after = self._rows[before.id] = msgspec.structs.replace(before, **values)
        self.written.setdefault(before.id, {}).update(values)
        self._lines.append(Entry.of(event_type, after, actor, self._now_us))
        return after


def _inserting(publishes: Sequence[_Publish]) -> Statement:
    """RETURNING gives the id that now carries the key: our own, or that of the message which was first.

    Most columns of a new message are empty: what is so in all of them is left to the table.
    """
    rows = [_row(publish.message) for publish in publishes]
    filled = [
        place for place, values in enumerate(zip(*rows, strict=True)) if any(value is not None for value in values)
    ]
    columns = ", ".join(Message.__struct_fields__[place] for place in filled)
    places = ", ".join([f"({_places(filled)})"] * len(rows))
    statement = f"""INSERT INTO {_TABLE} ({columns}) VALUES {places}
        ON DUPLICATE KEY UPDATE attempts = attempts RETURNING id"""  # noqa: S608
    return statement, [row[place] for row in rows for place in filled]


async def _inserted(
    cursor: Cursor, publishes: Sequence[_Publish], answer: Sequence[Row], lines: list[Entry]
) -> list[Inserted | BaseException]:
    kept = {row[0] for row in answer}
    outcomes: list[Inserted | BaseException] = []
    for message, event_type, _ in publishes:
        if message.id in kept:
            outcomes.append(Inserted(message, created=True))
            actor = Actor(message.source_type, message.source_id)
            lines.append(Entry.of(event_type, message, actor, message.created_us))
        elif (first := await _by_key(cursor, message)) is not None:
            outcomes.append(Inserted(first, created=False))
        else:
            outcomes.append(Unavailable("The message with this idempotency_key was deleted meanwhile; try again."))
    return outcomes


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


def _locking(writes: Sequence[_Write]) -> Statement:
    """The rows that the writes need, locked in the order of their ids: two processes never wait for each other."""
    keys = sorted({key for write in writes for key in _keys(write) if key.isascii()})
    if not keys:
        return "DO 0", ()
    return f"SELECT {_M} FROM {_TABLE} WHERE id IN ({_places(keys)}) ORDER BY id FOR UPDATE", keys  # noqa: S608


def _claimable(message: Message, claim: Claim, now_us: int) -> bool:
    return (
        message.queue_id == claim.queue_id
        and message.state in RESTING
        and message.visible_us <= now_us
        and (message.expires_us is None or message.expires_us > now_us)
    )


def _claim_values(message: Message, claim: Claim, now_us: int) -> dict[str, object]:
    return {
        "state": State.CLAIMED,
        "attempts": message.attempts + 1,
        "claimed_by_type": claim.actor.type,
        "claimed_by_id": claim.actor.id,
        "claimed_us": now_us,
        "lock_until_us": now_us + claim.visibility_us,
    }


def _holds(change: Change, message: Message) -> bool:
    return (
        message.scope_id == change.scope_id
        and message.state in change.states
        and change.owner in (None, message.claimed_by_id)
        and change.attempts in (None, message.attempts)
        and (change.overdue_us is None or (message.lock_until_us or 0) <= change.overdue_us)
    )


def _updates(written: Mapping[str, Mapping[str, object]]) -> Iterator[Statement]:
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
        yield statement, [*parameters, *keys]


def _journal(lines: Sequence[Entry]) -> list[Statement]:
    """One INSERT, or none."""
    if not lines:
        return []
    rows = ", ".join([f"({_places(Entry.__struct_fields__)})"] * len(lines))
    statement = f"INSERT INTO journal ({schema.JOURNAL_COLUMNS}) VALUES {rows}"  # noqa: S608
    return [(statement, [value for line in lines for value in _line(line)])]
