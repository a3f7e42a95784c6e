"""The writing connection, and commits that many operations share.

Operations that arrive while a commit is on its way to the disk share the next one: the cost of reaching the disk is
divided by their number. An operation's future is done only after the commit that holds it.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from scaiqueue_reference.errors import Unavailable
from scaiqueue_reference.message import Entry
from scaiqueue_reference.store.schema import JOURNAL_COLUMNS

T = TypeVar("T")

# More than this in one commit lengthens the wait of the first without saving a noticeable part of the disk's time.
LARGEST_BATCH = 256

# A commit waits for those whom the last one answered and who come back, at most this long: a commit and its way to the
# thread and back cost as much as several operations (400 → 290 µs of CPU a cycle at 16 clients, in turns in one run;
# twice as long brings nothing). A single client is never kept waiting.
GATHER_S = 0.002

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
_Job = tuple[Operation[Any], "asyncio.Future[Any]", bool]
_Outcome = tuple[Any, BaseException | None]


class GroupCommit:
    """Runs operations in the order in which they were submitted; belongs to one event loop.

    Statements take microseconds and run on the loop; the commit waits for the disk in a thread. Running the statements
    in the thread as well was slower: each of them passes the interpreter's lock to and fro.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._jobs: deque[_Job] = deque()
        self._busy = False  # a batch is scheduled, gathered or on its way to the disk
        self._gathering: asyncio.TimerHandle | None = None
        self._expected = 0
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="rows-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T], *, slow: bool = False) -> "asyncio.Future[T]":
        """A future of the operation's result; it raises what the operation raised, or Unavailable.

        `slow`: it may take longer than an event loop should stand still, and runs in the thread.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.append((operation, future, slow))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._begin)
        elif self._gathering is not None and len(self._jobs) >= self._expected:
            self._gathering.cancel()
            self._begin()
        return future

    async def close(self) -> None:
        """Commits what was submitted, then ends the thread."""
        await self.submit(lambda _: None)
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _begin(self) -> None:
        self._gathering = None
        if not self._jobs:
            self._busy = False
            return
        jobs = [self._jobs.popleft() for _ in range(min(len(self._jobs), LARGEST_BATCH))]
        if any(slow for _, _, slow in jobs):
            self._work.put(lambda: self._commit(jobs, self._execute(jobs)))
        else:
            outcomes = self._execute(jobs)
            self._work.put(lambda: self._commit(jobs, outcomes))

    def _execute(self, jobs: list[_Job]) -> list[_Outcome]:
        cursor = self._connection.cursor()
        try:
            cursor.execute("BEGIN IMMEDIATE")
            transaction = Transaction(cursor)
            outcomes = [_attempt(operation, transaction) for operation, _, _ in jobs]
            if transaction.journal:
                cursor.executemany(_ADD_LINES, map(_line, transaction.journal))
        except sqlite3.Error as error:
            return self._undo(jobs, error)
        return outcomes

    def _commit(self, jobs: list[_Job], outcomes: list[_Outcome]) -> None:
        if self._connection.in_transaction:
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                outcomes = self._undo(jobs, error)
        self._loop.call_soon_threadsafe(self._finish, jobs, outcomes)

    def _undo(self, jobs: list[_Job], error: sqlite3.Error) -> list[_Outcome]:
        if self._connection.in_transaction:
            self._connection.rollback()
        failure = Unavailable(f"The rows could not be written: {error}")
        return [(None, failure) for _ in jobs]

    def _finish(self, jobs: list[_Job], outcomes: list[_Outcome]) -> None:
        for (_, future, _), (result, error) in zip(jobs, outcomes, strict=True):
            if future.cancelled():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        self._expected = min(len(jobs) + len(self._jobs), LARGEST_BATCH)
        if self._expected > 1:
            self._gathering = self._loop.call_later(GATHER_S, self._begin)
        else:
            self._busy = False


def _attempt(operation: Operation[Any], transaction: Transaction) -> _Outcome:
    try:
        return operation(transaction), None
    except sqlite3.OperationalError:
        raise  # the disk or the file: the whole batch is undone
    except Exception as error:
        return None, error


_line = attrgetter(*Entry.__struct_fields__)
