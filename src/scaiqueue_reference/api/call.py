"""One call and its answer: the envelope, request ids, and the ASGI messages that carry an answer."""

import itertools
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from scaiqueue_reference.auth import Caller
from scaiqueue_reference.errors import ApiError, Invalid

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
AsgiScope = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_prefix = secrets.token_hex(6)
_numbers = itertools.count(1)

_QUERY_FIELDS = 50


def request_id() -> str:
    """A new id, unique over all processes."""
    return f"req_{_prefix}{next(_numbers):08x}"


class Call(msgspec.Struct, frozen=True):
    """An authenticated and permitted request."""

    caller: Caller
    params: Mapping[str, str]  # from the path
    query_string: bytes
    body: bytes

    @property
    def tenant(self) -> str:
        """The caller's tenant."""
        return self.caller.tenant_id

    def query(self) -> dict[str, str]:
        """The query's parameters, the last of each name; raises Invalid."""
        try:
            text = self.query_string.decode("ascii")
            return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS))
        except ValueError as error:
            raise Invalid(("query", f"cannot be read: {error}")) from error


class Result(msgspec.Struct, frozen=True):
    """What a handler found: `data` for the envelope, the status, and the next page's cursor (lists only)."""

    data: Any
    status: int = 200
    paged: bool = False
    next_cursor: str | None = None


class Reply(msgspec.Struct, frozen=True):
    """An answer ready to be sent."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


class _Meta(msgspec.Struct, frozen=True):
    request_id: str


class _PageMeta(msgspec.Struct, frozen=True):
    request_id: str
    next_cursor: str | None


class _Ok(msgspec.Struct, frozen=True):
    status: str
    data: Any
    meta: _Meta | _PageMeta


def success(result: Result, identity: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """The envelope of a success."""
    meta = _PageMeta(identity, result.next_cursor) if result.paged else _Meta(identity)
    return _reply(result.status, _encode(_Ok("ok", result.data, meta)), identity, headers)


def failure(error: ApiError, identity: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """The envelope of an error."""
    described: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.retry_after is not None:
        described["retry_after"] = error.retry_after
    if error.details:
        described["details"] = [{"field": field, "message": why} for field, why in error.details]
    body = _encode({"status": "error", "error": described, "meta": {"request_id": identity}})
    extra = () if error.retry_after is None else ((b"retry-after", str(error.retry_after).encode()),)
    return _reply(error.status, body, identity, headers + error.headers + extra)


def _reply(status: int, body: bytes, identity: str, extra: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", identity.encode()),
        *extra,
    )
    return Reply(status, body, headers)


async def send_reply(reply: Reply, send: Send) -> None:
    """Sends the answer over ASGI."""
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.body})
