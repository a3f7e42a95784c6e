"""How HTTP/1.1 answers are read: as far as their meaning is clear, as common clients do.

A parser that is as strict as it can be protects a proxy against smuggled requests. A client that asks one server
directly has nothing to be protected from, and what a browser or curl reads is no fault that a server is told of here:
obsolete line folding, blanks around names, lines that end without CR, both a length and chunks (then chunks count, as
RFC 9112 section 6.3 has it).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import httptools


def response_parser(protocol: Any) -> httptools.HttpResponseParser:
    """A parser of one connection's answers, whose callbacks are the protocol's (httptools names them)."""
    parser = httptools.HttpResponseParser(protocol)
    parser.set_dangerous_leniencies(
        lenient_headers=True,
        lenient_chunked_length=True,
        lenient_version=True,
        lenient_optional_cr_before_lf=True,
        lenient_spaces_after_chunk_size=True,
    )
    return parser


_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")


def split_head(answer: bytes) -> tuple[bytes, bytes] | None:
    """An answer's status line with its headers, and what follows them; None while they have not all come."""
    end = _HEAD_ENDS.search(answer)
    return None if end is None else (answer[: end.start()], answer[end.end() :])


def fields(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The headers of a head, names in lower case, without the blanks around names and values."""
    for line in head.split(b"\n")[1:]:
        name, _, value = line.partition(b":")
        yield name.strip().lower(), value.strip()


def ends_with_connection(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether these headers, without blanks around, leave a body's end to the connection's: no length, no chunks."""
    for name, value in headers:
        match name.lower():
            case b"content-length":
                return False
            case b"transfer-encoding" if value.lower() != b"identity":
                return False
    return True
