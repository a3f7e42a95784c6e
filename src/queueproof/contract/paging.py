"""How a list goes on: the query that asks for an answer's next page, however the server tells of it."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from queueproof.contract.wire import Answer


def next_page(answer: Answer, asked: Mapping[str, str], seen: int = 0) -> dict[str, str] | None:
    """The query that asks for the page after `answer`, itself asked for with `asked`; None when that was the last.

    Paging is not documented, so whatever is in use is understood: a cursor (`next_cursor`, `next`, `cursor`, text or
    number), the address of the next page (also as a Link header), page numbers, an offset. Empty when the answer says
    that the list goes on (`has_more`, or a `total` above the `seen` rows of all pages so far) but not how.
    """
    shown = [place for place in _paging(answer.document) if isinstance(place, dict)]
    for place in shown:
        names = [name for name in ("next_cursor", "next", "cursor") if name in place]
        following = _query_of(place[names[0]]) if names else {}
        if following and following != asked:
            return following
    link = re.search(r'<([^<>]*)>[^,<]*\brel="?next\b', answer.headers.get("link", ""))
    following = _query_of(link[1]) if link else {}
    if following and following != asked:
        return following
    counted = [found for place in shown if (found := _counted(place, seen)) is not None]
    return counted[0] if counted else None


def _paging(document: Any) -> list[Any]:
    """The members of an answer in which something may stand about its pages."""
    if not isinstance(document, dict):
        return []
    places = [document, *(document.get(name) for name in ("data", "meta", "pagination", "links"))]
    inner = [place.get(name) for place in places[1:3] if isinstance(place, dict) for name in ("pagination", "links")]
    return places + inner


def _query_of(value: Any) -> dict[str, str]:
    """A cursor, or the address of a page, as the query that asks for it; empty for none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"cursor": str(value)}
    if not isinstance(value, str) or not value:
        return {}
    if value.startswith(("http://", "https://", "/", "?")) and "?" in value:
        return dict(parse_qsl(value.partition("?")[2].partition("#")[0]))
    return {"cursor": value}


def _counted(place: Mapping[str, Any], seen: int) -> dict[str, str] | None:
    """The query after a page that counts: page numbers, or an offset; empty for one that only says that it goes on."""

    def number(*names: str) -> int | None:
        found = [place[name] for name in names if isinstance(place.get(name), int)]
        return None if not found or isinstance(found[0], bool) else found[0]

    page, last = number("page", "current_page"), number("pages", "total_pages", "page_count", "last_page")
    offset, size, total = number("offset", "skip"), number("limit", "page_size", "per_page", "size"), number("total")
    goes_on = any(place.get(name) is True for name in ("has_more", "has_next", "hasMore", "more", "truncated"))
    goes_on = goes_on or (page is not None and last is not None and page < last) or (total is not None and seen < total)
    if not goes_on:
        return None
    if page is not None:
        return {"page": str(page + 1)}
    return {"offset": str(offset + size)} if offset is not None and size else {}
