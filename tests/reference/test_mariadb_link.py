"""Connections to a database that goes away: always Unavailable, in whatever words the driver says it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from scaiqueue_reference.errors import Unavailable

pytest.importorskip("asyncmy", reason="pip install 'queueproof[stack]'")

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _closes(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a proxy does whose database is gone."""
    writer.transport.abort()


async def _talks_nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("serve", [_closes, _talks_nonsense])
async def test_a_server_that_is_no_database_is_unavailable(serve: Serve) -> None:
    """At the start."""
    from scaiqueue_reference.store.mariadb_link import Link

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable):
            await Link(f"mariadb://u:p@127.0.0.1:{port}/n").open()


async def test_a_connection_that_is_closed_while_it_opens_is_unavailable() -> None:
    """Later, from the pool: the driver raises RuntimeError when its transport has lost its socket already."""
    from scaiqueue_reference.store.mariadb_link import Link

    class Pool:
        async def acquire(self) -> None:
            raise RuntimeError("Transport does not expose socket instance")

    link = Link("mariadb://u:p@127.0.0.1:9/n")
    link._pool = Pool()
    with pytest.raises(Unavailable):
        await link.rows("SELECT 1")
