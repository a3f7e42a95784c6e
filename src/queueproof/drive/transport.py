"""HTTP/1.1 under httpx, read by httptools: kept connections of one event loop to one origin.

httpx's own transport costs 1.4 ms of CPU a call (h11 and httpcore are Python throughout), this one a tenth of it. A
call is sent once: nothing is tried again here, so that the history holds whatever reached the server. Errors are
httpx's: ConnectError and ConnectTimeout mean that nothing was sent.
"""

import asyncio
import select
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import httptools
import httpx

from queueproof.contract.reading import ends_with_connection, response_parser

# So much of an answer may wait for its reader, in bytes; then the connection is not read from.
READ_AHEAD: Final = 1 << 18
# A host of several addresses: the next is tried beside the last after so many seconds (RFC 8305).
NEXT_ADDRESS_S: Final = 0.25
_NOT_HTTP: Final = "the answer is malformed"


def request_bytes(request: httpx.Request, *, close: bool = False) -> bytes:
    """The request as it is sent; `close`: asks for the end of the connection afterwards.

    As in httpcore, the extension "target" stands in for the path of the URL. Raises httpx.LocalProtocolError for a
    header that would be two.
    """
    if any(b"\n" in value or b"\r" in value for _, value in request.headers.raw):
        raise httpx.LocalProtocolError("a header's value holds the end of a line", request=request)
    target: bytes = request.extensions.get("target") or request.url.raw_path
    lines = [request.method.encode() + b" " + target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in request.headers.raw if not close or name.lower() != b"connection"]
    return b"\r\n".join([*lines, *([b"Connection: close"] if close else []), b"", b""]) + request.content


class Transport(httpx.AsyncBaseTransport):
    """Connections to the origin of `url`: `most` at a time, of which `idle` are kept, for `idle_s` seconds.

    Redirects, cookies and proxies are nobody's business here; `verify`: whether a certificate has to be vouched for.
    """

    def __init__(self, url: str, *, verify: bool = True, most: int, idle: int, idle_s: float) -> None:
        origin = httpx.URL(url)
        secure = origin.scheme == "https"
        self._host, self._port = origin.raw_host.decode("ascii"), origin.port or (443 if secure else 80)
        self._ssl: ssl.SSLContext | None = None
        if secure:
            self._ssl = httpx.create_ssl_context(verify=verify, trust_env=False)
            self._ssl.set_alpn_protocols(["http/1.1"])
        self._places = asyncio.Semaphore(most)
        self._most_idle, self._idle_s = idle, idle_s
        self._idle: deque[tuple[float, _Connection]] = deque()  # since when, the longest idle first

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends the request and reads the answer's head; its body comes by the response's stream."""
        timeouts = request.extensions.get("timeout", {})
        await self._places.acquire()
        connection: _Connection | None = None
        try:
            connection = self._kept() or await self._opened(request, timeouts.get("connect"))
            await connection.ask(request, timeouts.get("read"))
        except BaseException:
            if connection is not None:
                connection.abort()
            self._places.release()
            raise
        return httpx.Response(connection.status, headers=connection.headers, stream=_Body(self, connection))

    async def aclose(self) -> None:
        while self._idle:
            self._idle.popleft()[1].abort()
        await asyncio.sleep(0)  # the loop closes them in its next turn

    def done(self, connection: "_Connection") -> None:
        """A call is over: its connection is kept where both sides are done with it."""
        self._places.release()
        if not connection.reusable or len(self._idle) >= self._most_idle:
            connection.abort()
            return
        self._idle.append((asyncio.get_running_loop().time(), connection))

    def _kept(self) -> "_Connection | None":
        """The connection that was used last, unless the server has ended it."""
        oldest = asyncio.get_running_loop().time() - self._idle_s
        while self._idle and self._idle[0][0] < oldest:
            self._idle.popleft()[1].abort()
        while self._idle:
            _, connection = self._idle.pop()
            if not connection.ended:
                return connection
            connection.abort()
        return None

    async def _opened(self, request: httpx.Request, within_s: float | None) -> "_Connection":
        loop = asyncio.get_running_loop()
        name = self._host if self._ssl else None
        try:
            async with asyncio.timeout(within_s):
                _, connection = await loop.create_connection(
                    _Connection,
                    self._host,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=name,
                    happy_eyeballs_delay=NEXT_ADDRESS_S,
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("", request=request) from error
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection: one call, and perhaps another one after it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: deque[bytes] = deque()
        self.whole = False  # the answer has arrived
        self._keep = False
        self._waiting = 0  # bytes in `parts`
        self._paused = False
        self._known = False  # a final status and its headers have arrived
        self._begun = False  # anything of an answer has
        self._request: httpx.Request | None = None  # of the call that is under way
        self._error: Exception | None = None
        self._news: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timeout_s: float | None = None
        self._heard = 0.0  # when anything came or went last, by the loop's clock
        self._unsent = 0  # bytes of the request that were still here when that was looked at last

    # ── for the transport ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def reusable(self) -> bool:
        settled = self.whole and self._keep and self._error is None and not self._paused
        return settled and not self._wire.is_closing() and not self._wire.get_write_buffer_size()

    @property
    def ended(self) -> bool:
        """Whether the other side has closed this idle connection, or said something that nobody asked for."""
        return self._wire.is_closing() or bool(self._look.poll(0))

    async def ask(self, request: httpx.Request, timeout_s: float | None) -> None:
        """Sends the request, and waits until the answer's head is there."""
        self.status, self.headers, self.whole = 0, [], False
        self._known = self._begun = self._keep = False
        self._request, self._timeout_s = request, timeout_s
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        if timeout_s is not None:
            self._timer = self._loop.call_later(timeout_s, self._overdue)
        self._wire.write(request_bytes(request))
        self._unsent = self._wire.get_write_buffer_size()
        while not self._known:
            await self.news()

    async def news(self) -> None:
        """Waits for more of the answer; raises what ended it instead."""
        if self._error is not None:
            raise self._error
        self._news = self._loop.create_future()
        try:
            await self._news
        finally:
            self._news = None
        if self._error is not None and not (self.parts or self.whole):
            raise self._error

    def take(self) -> bytes:
        """The next part of the body; `parts` holds one."""
        part = self.parts.popleft()
        self._waiting -= len(part)
        if self._paused and self._waiting < READ_AHEAD:
            self._paused = False
            self._heard = self._loop.time()
            self._wire.resume_reading()
        return part

    def finish(self) -> None:
        """The call is over, whether its answer was read or not."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._request = None
        self.parts.clear()
        self._waiting = 0

    def abort(self) -> None:
        self.finish()
        self._wire.abort()

    # ── for asyncio ───────────────────────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: Any) -> None:
        self._wire: asyncio.Transport = transport
        self._parser = response_parser(self)
        self._look = select.poll()
        plain = transport.get_extra_info("sslcontext") is None  # TLS has messages of its own between answers
        events = select.POLLIN if plain else getattr(select, "POLLRDHUP", 0)
        self._look.register(transport.get_extra_info("socket").fileno(), events)

    def data_received(self, data: bytes) -> None:
        if self._request is None:  # nobody asked
            self._wire.abort()
            return
        self._heard = self._loop.time()
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(httpx.RemoteProtocolError("it changes the protocol", request=self._request))
        except httptools.HttpParserError as error:
            self._keep = False
            if not self.whole:  # else rubbish after a whole answer
                self._fail(httpx.RemoteProtocolError(str(error) or _NOT_HTTP, request=self._request))
        if self._waiting > READ_AHEAD and not self._paused:
            self._paused = True
            self._wire.pause_reading()
        self._tell()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)

    # ── for httptools ─────────────────────────────────────────────────────────────────────────────────────────────

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._known:  # else what follows the last chunk
            self.headers.append((name.strip(), value.strip()))

    def on_headers_complete(self) -> None:
        if self.whole:
            return
        self.status = self._parser.get_status_code()
        self._known = self.status >= 200
        if not self._known:  # 100, 103: the answer proper is still to come
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        if not self.whole:
            self.parts.append(data)
            self._waiting += len(data)

    def on_message_complete(self) -> None:
        if self.whole:  # a second answer to one request
            self._keep = False
        elif self._known:
            self.whole = True
            self._keep = self._parser.should_keep_alive()

    # ── ends ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _end(self, error: Exception | None) -> None:
        """The other side closed the connection, or broke it: legal as the end of a body of unstated length."""
        self._keep = False
        if self._request is None or self.whole or self._error is not None:
            return
        if error is not None:
            self._fail(httpx.ReadError(str(error), request=self._request))
        elif self._known and ends_with_connection(self.headers):
            self.whole = True
        else:
            until = "the answer was whole" if self._begun else "an answer began"
            self._fail(httpx.RemoteProtocolError(f"the connection ended before {until}", request=self._request))
        self._tell()

    def _overdue(self) -> None:
        if self._timeout_s is None or self._request is None or self.whole:
            return
        unsent = self._wire.get_write_buffer_size()
        if unsent < self._unsent:  # a long request on its way
            self._unsent, self._heard = unsent, self._loop.time()
        left_s = self._heard + self._timeout_s - self._loop.time()
        if left_s > 0 or self._paused:
            self._timer = self._loop.call_later(max(left_s, 0.05), self._overdue)
            return
        kind = httpx.WriteTimeout if unsent else httpx.ReadTimeout
        self._fail(kind("", request=self._request))
        self._tell()

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class _Body(httpx.AsyncByteStream):
    """The body of one answer, as it arrives."""

    def __init__(self, transport: Transport, connection: _Connection) -> None:
        self._transport = transport
        self._connection: _Connection | None = connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection
        while connection is not None:
            while connection.parts:
                yield connection.take()
            if connection.whole:
                return
            await connection.news()

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finish()
            self._transport.done(connection)
