"""Connections to MariaDB: statements, transactions that are tried again after a deadlock, errors as Unavailable."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import asyncmy
from asyncmy.errors import Error, MySQLError

from scaiqueue_reference.errors import Unavailable

_log = logging.getLogger(__name__)

T = TypeVar("T")
Row = tuple[Any, ...]
Statement = tuple[str, Sequence[object]]  # and its parameters

BEGIN: Statement = ("BEGIN", ())
COMMIT: Statement = ("COMMIT", ())

_DEADLOCK = (1213, 1205, 1020)  # the other side went first: the same work succeeds when tried again
_BEYOND_ASCII = 1267  # a text compared with a column that holds ASCII alone: no row can equal it
_TRIES = 5
_CONNECTIONS = 8
_CONNECT_TIMEOUT_S = 3

# A value that does not fit is an error, never cut. The driver puts this into its statement as it stands: quoted.
_SQL_MODE = "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
_ISOLATION = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"


class Cursor:
    """Executes statements on one connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.answered = False  # whether this connection lives

    async def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """The rows that a statement gives."""
        async with self._connection.cursor() as cursor:
            try:
                await cursor.execute(statement, tuple(parameters))
            except Error as error:
                if _code(error) == _BEYOND_ASCII:
                    return []
                raise
            return list(await cursor.fetchall())

    async def run(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """How many rows a statement changed."""
        async with self._connection.cursor() as cursor:
            count: int = await cursor.execute(statement, tuple(parameters))
            return count

    async def together(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """The rows of each of several statements, all sent at once; the first that fails is the last that ran."""
        text = "; ".join(statement for statement, _ in statements)
        parameters = tuple(value for _, values in statements for value in values)
        async with self._connection.cursor() as cursor:
            await cursor.execute(text, parameters)
            self.answered = True
            results = [list(await cursor.fetchall())]
            while await cursor.nextset():
                results.append(list(await cursor.fetchall()))
            return results

    def abandon(self) -> None:
        """Closes the connection; the pool then makes a new one."""
        self._connection.close()


class Link:
    """A pool of connections to one database."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.options: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or 3306,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "database": parts.path.strip("/"),
        }
        self._pool: Any = None

    async def open(self) -> None:
        """Connects; raises Unavailable."""
        with _translated():
            connecting = asyncmy.create_pool(
                minsize=1,
                maxsize=_CONNECTIONS,
                autocommit=True,
                charset="utf8mb4",
                connect_timeout=_CONNECT_TIMEOUT_S,
                init_command=_ISOLATION,
                sql_mode=_SQL_MODE,
                binary_prefix=True,
                **self.options,
            )
            self._pool = await _opened(connecting)

    async def close(self) -> None:
        """Closes every connection."""
        if self._pool is not None:
            self._pool.close()
            await self._pool.wait_closed()

    async def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """One reading statement by itself; a connection that died while idle is replaced once."""
        for last in (False, True):
            try:
                async with self._cursor() as cursor:
                    return await cursor.rows(statement, parameters)
            except Unavailable:
                if last:
                    raise
        raise AssertionError("unreachable")

    async def transaction(self, work: Callable[[Cursor], Awaitable[T]]) -> T:
        """Runs `work` in one transaction, again after a deadlock; raises Unavailable."""

        async def framed(cursor: Cursor) -> T:
            await cursor.together([BEGIN])
            result = await work(cursor)
            await cursor.together([COMMIT])
            return result

        return await self.batch(framed)

    async def batch(self, work: Callable[[Cursor], Awaitable[T]]) -> T:
        """As `transaction`, of work that starts with BEGIN and ends with COMMIT itself, so that they travel along.

        Never both in one step: what a connection did that ends before its first answer is done again, and must not
        have been committed.
        """
        for attempt in range(_TRIES):
            try:
                return await self._worked(work)
            except _TryAgain as error:
                if attempt == _TRIES - 1:
                    raise Unavailable(f"The rows are too busy: {error}") from error
                await asyncio.sleep(0.005 * (attempt + 1))
        raise AssertionError("unreachable")

    async def _worked(self, work: Callable[[Cursor], Awaitable[T]]) -> T:
        for last in (False, True):
            async with self._cursor() as cursor:
                try:
                    return await work(cursor)
                except (Error, OSError, EOFError) as error:
                    if not last and not cursor.answered and _lost(error):  # it died while it was idle: nothing was done
                        cursor.abandon()
                        continue
                    await _quietly(cursor.run("ROLLBACK"))
                    raise
                except BaseException:
                    await _quietly(cursor.run("ROLLBACK"))
                    raise
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _cursor(self) -> AsyncIterator[Cursor]:
        with _translated():
            connection = await _opened(self._pool.acquire())
            try:
                yield Cursor(connection)
            except (OSError, EOFError):
                connection.close()
                raise
            except Error as error:
                if _lost(error):
                    connection.close()
                raise
            finally:
                await self._pool.release(connection)


async def _opened(connecting: Awaitable[Any]) -> Any:
    try:
        return await connecting
    except RuntimeError as error:  # the driver's word for a connection that was closed as soon as it was open
        raise ConnectionResetError(str(error)) from error


class _TryAgain(Exception):  # noqa: N818 -- an answer to the caller, no failure yet
    pass


class _translated:  # noqa: N801 -- reads as a verb where it is used
    """Turns the driver's errors into ours, once."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, MySQLError) and _code(error) in _DEADLOCK:
            raise _TryAgain(str(error)) from error
        if isinstance(error, Error | OSError | asyncio.TimeoutError | EOFError):
            _log.warning("database: %s", error)  # the reason is for the operator, not for the caller
            raise Unavailable from error


def _lost(error: BaseException) -> bool:
    """Whether the connection is of no use any more."""
    return not isinstance(error, Error) or _code(error) in (0, 1053) or _code(error) >= 2000  # 1053: it is going down


def _code(error: BaseException) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


async def _quietly(work: Awaitable[object]) -> None:
    try:
        await work
    except (Error, OSError, EOFError):
        return
