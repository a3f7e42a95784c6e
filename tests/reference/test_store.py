"""The rows: group commit, and what is kept over a restart."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scaiqueue_reference.errors import SlugTaken, Unavailable
from scaiqueue_reference.store.group_commit import GroupCommit, Transaction


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[GroupCommit]:
    """A writer over a table of numbers."""
    connection = sqlite3.connect(tmp_path / "rows", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    writer = GroupCommit(connection)
    yield writer
    await writer.close()
    connection.close()


def _add(number: int):  # type: ignore[no-untyped-def]
    return lambda transaction: transaction.cursor.execute("INSERT INTO numbers VALUES (?)", (number,))


async def _numbers(writer: GroupCommit) -> list[int]:
    def read(transaction: Transaction) -> list[int]:
        return [row[0] for row in transaction.cursor.execute("SELECT n FROM numbers ORDER BY n")]

    return await writer.submit(read)


async def test_one_refused_operation_leaves_its_neighbours_alone(writer: GroupCommit) -> None:
    """A batch is no unit of failure."""
    outcomes = await asyncio.gather(*(writer.submit(_add(n)) for n in (1, 2, 2, 3)), return_exceptions=True)
    assert [isinstance(outcome, sqlite3.IntegrityError) for outcome in outcomes] == [False, False, True, False]
    assert await _numbers(writer) == [1, 2, 3]


async def test_an_operation_of_several_statements_is_done_whole_or_not_at_all(writer: GroupCommit) -> None:
    """What came before the error inside the savepoint is undone, and nothing else."""

    def two(transaction: Transaction) -> None:
        with transaction.savepoint():
            _add(10)(transaction)
            raise SlugTaken

    outcomes = await asyncio.gather(writer.submit(_add(1)), writer.submit(two), return_exceptions=True)
    assert isinstance(outcomes[1], SlugTaken)
    assert await _numbers(writer) == [1]


async def test_a_batch_that_cannot_be_written_is_unavailable_and_undone(writer: GroupCommit) -> None:
    """Every operation of it says so, and the next batch works."""

    def broken(transaction: Transaction) -> None:
        transaction.cursor.execute("INSERT INTO no_such_table VALUES (1)")

    outcomes = await asyncio.gather(writer.submit(_add(1)), writer.submit(broken), return_exceptions=True)
    assert isinstance(outcomes[1], Unavailable)
    assert await _numbers(writer) == ([] if isinstance(outcomes[0], Unavailable) else [1])
    await writer.submit(_add(5))
    assert 5 in await _numbers(writer)
