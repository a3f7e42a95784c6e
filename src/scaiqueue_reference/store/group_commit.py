"""One thread that owns the writing connection and commits many operations at once.

Operations that arrive while a commit is on its way to the disk share the next one: the cost of reaching the disk is
divided by their number. An operation's future is done only after the commit that holds it.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from scaiqueue_reference.errors import Unavailable
from scaiqueue_reference.message import Entry
from scaiqueue_reference.store.schema import JOURNAL_COLUMNS

T = TypeVar("T")

# More than this in one commit lengthens the wait of the first without saving a noticeable part of the disk's time.
LARGEST_BATCH = 256

_ADD_LINES = (
    f"INSERT INTO journal ({JOURNAL_COLUMNS})"  # noqa: S608 -- names of our own columns
    f" VALUES ({', '.join('?' * len(Entry.__struct_fields__))})"
)


class Transaction:
    """What an operation works with; its journal lines are written once, at the end of the batch."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.cursor = cursor
        self.journal: list[Entry] = []

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Several statements as one: an error inside undoes them and leaves the rest of the batch alone."""
        self.cursor.execute("SAVEPOINT operation")
        try:
            yield
        except BaseException:
            self.cursor.execute("ROLLBACK TO operation")
            raise
        finally:
            self.cursor.execute("RELEASE operation")


Operation = Callable[[Transaction], T]
_Job = tuple[Operation[Any], "asyncio.Future[Any]"]


class GroupCommit:
    """Runs operations in the order in which they were submitted; belongs to one event loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = Thread(target=self._run, name="rows-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """A future of the operation's result; it raises what the operation raised, or Unavailable."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((operation, future))
        return future

    async def close(self) -> None:
        """Commits what was submitted, then ends the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        going = True
        while going:
            jobs, going = self._next_batch()
            if jobs:
                outcomes = self._commit(jobs)
                self._loop.call_soon_threadsafe(_deliver, jobs, outcomes)

    def _next_batch(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == LARGEST_BATCH:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs, True
        return jobs, False

    def _commit(self, jobs: list[_Job]) -> list[tuple[Any, BaseException | None]]:
        cursor = self._connection.cursor()
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            cursor.execute("BEGIN IMMEDIATE")
            transaction = Transaction(cursor)
            for operation, _ in jobs:
                outcomes.append(_attempt(operation, transaction))
            if transaction.journal:
                cursor.executemany(_ADD_LINES, [_line(entry) for entry in transaction.journal])
            cursor.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.rollback()
            failure = Unavailable(f"The rows could not be written: {error}")
            return [(None, failure) for _ in jobs]
        return outcomes


def _attempt(operation: Operation[Any], transaction: Transaction) -> tuple[Any, BaseException | None]:
    try:
        return operation(transaction), None
    except sqlite3.OperationalError:
        raise  # the disk or the file: the whole batch is undone
    except Exception as error:
        return None, error


def _line(entry: Entry) -> tuple[object, ...]:
    return tuple(getattr(entry, name) for name in Entry.__struct_fields__)


def _deliver(jobs: list[_Job], outcomes: list[tuple[Any, BaseException | None]]) -> None:
    for (_, future), (result, error) in zip(jobs, outcomes, strict=True):
        if future.cancelled():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
