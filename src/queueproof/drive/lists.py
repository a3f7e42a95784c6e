"""Lists over all their pages, however a server pages them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from queueproof.contract import paging, wire
from queueproof.drive.client import Exchange
from queueproof.drive.outcomes import Inconclusive, NotSupported

# More than a server's smallest pages make of a run's longest list; beyond it a list is one that never ends.
LONGEST = 2000  # pages


async def pages(
    request: Callable[..., wire.Request], ask: Callable[[wire.Request], Awaitable[Exchange]]
) -> AsyncIterator[Exchange]:
    """The answers to `request`, page after page, the last one included; `request` takes a page's query.

    Ends after an answer that is no list. A list that goes on in a way that nobody could know ends the case as not
    supported: what it does not show may be on the next page. Raises Inconclusive for one that does not end.
    """
    query: dict[str, str] = {}
    seen = 0
    for _ in range(LONGEST):
        exchange = await ask(request(**query))
        rows = wire.rows(exchange.data) if exchange.ok else None
        yield exchange
        if exchange.answer is None or rows is None:
            return
        seen += len(rows)
        following = paging.next_page(exchange.answer, query, seen)
        if following is None:
            return
        if not following:
            raise NotSupported(f"{exchange.request.verb} goes on behind its page, and does not say how")
        query = following
    raise Inconclusive(f"{exchange.request.verb} does not end within {LONGEST} pages", evidence=(exchange.op,))


def objects(exchange: Exchange) -> list[dict[str, Any]]:
    """The rows of one page that are objects."""
    rows = wire.rows(exchange.data) if exchange.ok else None
    return [row for row in rows or [] if isinstance(row, dict)]
