"""One kept connection: a raw non-blocking socket, its watchers and its parser, for one call after the other.

States: connecting (a call waits, nothing was sent) → busy (the request is leaving, or its answer arriving) → idle →
busy … → closed. Every way out of `busy` ends the call exactly once through `Sender.finish`.
"""

import errno
import os
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

import gevent.monkey
import httptools

from queueproof.contract import wire
from queueproof.contract.reading import ends_with_connection, fields, response_parser, split_head

if TYPE_CHECKING:
    from queueproof.swarm.sender import Call, Sender

_socket: Final = gevent.monkey.get_original("socket", "socket")  # Locust replaces socket.socket by a cooperative one
_IPPROTO_TCP: Final = 6
_TCP_NODELAY: Final = 1
_SOL_SOCKET: Final = gevent.monkey.get_original("socket", "SOL_SOCKET")
_SO_ERROR: Final = gevent.monkey.get_original("socket", "SO_ERROR")
_PEEK: Final = gevent.monkey.get_original("socket", "MSG_PEEK")
_READ, _WRITE = 1, 2
_CHUNK: Final = 65_536
_HEAD: Final = 65_536  # so much of an answer's beginning is kept, for the rare ones whose headers matter
_CONNECTING: Final = frozenset({errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK})


class Connection:
    """A connection without encryption."""

    __slots__ = (
        "_address",
        "_complete",
        "_fed",
        "_head",
        "_keep",
        "_parser",
        "_parts",
        "_reader",
        "_rest",
        "_sender",
        "_socket",
        "_used",
        "_writer",
        "call",
        "deadline_ns",
        "since_ns",
    )

    def __init__(self, sender: "Sender") -> None:
        self._sender = sender
        self._parser = response_parser(self)
        self._address = 0  # index of the address that is tried
        self._socket: Any = None
        self._reader: Any = None
        self._writer: Any = None
        self._rest = memoryview(b"")  # of the request, not yet taken by the kernel
        self._head = b""
        self._fed = 0  # bytes of the answer that is arriving
        self._parts: list[bytes] = []
        self._complete = False
        self._keep = False
        self._used = False  # has carried an answer before
        self.call: Call | None = None
        self.deadline_ns = 0
        self.since_ns = 0  # idle since

    # ── connecting ──

    def open(self, call: "Call", now_ns: int) -> None:
        """Connects, and sends `call` when that is done."""
        self.call = call
        self.deadline_ns = now_ns + self._sender.connect_timeout_ns
        family, address = self._sender.addresses[self._address]
        try:
            self._socket = _socket(family)
            self._socket.setblocking(False)
            self._socket.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
            problem = self._socket.connect_ex(address)
        except OSError as error:  # no descriptor left, no route
            self._later(self._connect_failed, error.strerror or str(error))
            return
        if problem and problem not in _CONNECTING:
            self._later(self._connect_failed, os.strerror(problem))
            return
        loop = self._sender.hub.loop
        self._reader = loop.io(self._socket.fileno(), _READ)
        self._writer = loop.io(self._socket.fileno(), _WRITE)
        self._writer.start(self._connected)

    def _connected(self) -> None:
        self._writer.stop()
        problem = self._socket.getsockopt(_SOL_SOCKET, _SO_ERROR)
        if problem:
            self._connect_failed(os.strerror(problem))
            return
        self._reader.start(self._readable)
        self._established()

    def _established(self) -> None:
        call = self.call
        if call is not None:
            self.start(call, time.monotonic_ns())

    def _connect_failed(self, why: str) -> None:
        """Tries the target's next address, or gives the call up: nothing of it was sent."""
        call = self.call
        if call is None:
            return
        self._shut()
        if self._address + 1 < len(self._sender.addresses):
            self._address += 1
            self.open(call, time.monotonic_ns())
            return
        self.fail(f"could not connect: {why}")

    def ended(self) -> bool:
        """Whether the server has closed this idle connection, or said something that nobody asked for."""
        try:
            self._socket.recv(1, _PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    # ── one call ──

    def start(self, call: "Call", now_ns: int) -> None:
        """Sends `call`; the connection is established and idle."""
        self.call = call
        call.sent_ns = now_ns
        self.deadline_ns = now_ns + self._sender.timeout_ns
        payload = self._wrap(call.payload)
        try:
            taken = self._socket.send(payload)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            self._refused(call, error)
            return
        call.reached = True
        if taken < len(payload):
            self._rest = memoryview(payload)[taken:]
            self._writer.start(self._writable)

    def _refused(self, call: "Call", error: OSError) -> None:
        """The kernel took no byte: the server had closed a kept connection, or reset a new one."""
        if self._used:
            self.call = None
            self.close()
            self._sender.retry(call)
        else:
            self.fail(f"reset: {error.strerror}")

    def _writable(self) -> None:
        try:
            taken = self._socket.send(self._rest)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(f"reset while sending: {error.strerror}")
            return
        self._rest = self._rest[taken:]
        if not self._rest:
            self._writer.stop()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._cut(f"reset: {error.strerror}")
            return
        if data:
            self._feed(data)
        else:
            self._ended()

    def _feed(self, data: bytes) -> None:
        """Bytes of an answer; takes care of everything that a server may get wrong."""
        if self.call is None:  # nobody asked: what follows could not be told from an answer
            self.close()
            return
        if len(self._head) < _HEAD:
            self._head = self._head + data if self._head else data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail("malformed answer: it changes the protocol")
            return
        except httptools.HttpParserError as error:
            if not self._complete:  # else: rubbish after a whole answer, which `_answered` drops with the connection
                self.fail(f"malformed answer: {error}")
                return
            self._keep = False
        self._fed += len(data)
        if self._complete:
            self._answered()
        elif self._fed > wire.ANSWER_LIMIT:
            self.fail(f"the answer is larger than {wire.ANSWER_LIMIT >> 20} MiB")

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)

    def on_message_complete(self) -> None:
        if self._complete:  # a second answer to one request
            self._keep = False
            return
        status = self._parser.get_status_code()
        if status < 200:  # 100, 103: the answer proper is still to come
            self._parts.clear()
            interim = split_head(self._head)
            self._head = interim[1] if interim else b""
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()
        call = self.call
        if call is not None:
            call.status = status
            call.head = self._head
            parts = self._parts
            call.body = parts[0] if len(parts) == 1 else b"".join(parts)

    def _answered(self) -> None:
        call = self.call
        if call is None:
            return
        sender = self._sender
        self.call = None
        self._complete = False
        self._head = b""
        self._fed = 0
        self._parts.clear()
        self._used = True
        if self._keep and not self._rest:
            self.since_ns = time.monotonic_ns()
            sender.free(self)
        else:  # it closes, or it answered before it had read the whole request
            self.close()
        sender.finish(call)

    def _ended(self) -> None:
        """The server closed its side. Legal when idle, or as the end of a body of unstated length."""
        call = self.call
        if call is None:
            self.close()
        elif _until_its_end(self._head):
            call.status = self._parser.get_status_code()
            call.head, call.body = self._head, b"".join(self._parts)
            self._keep = False
            self._answered()
        else:
            self._cut("truncated answer" if self._head else "closed without an answer")

    # ── ends ──

    def overdue(self) -> None:
        if self.call is not None and self.call.reached:
            self.fail("time-out")
        else:
            self._shut()
            self.fail("connect time-out")

    def _cut(self, why: str) -> None:
        """The connection went under a call. A kept one, without a byte of an answer, may have been closed before it."""
        if self.call is not None and self._used and not self._head:
            self._sender.met_a_closing()
        self.fail(why)

    def fail(self, why: str) -> None:
        """Ends the call, if there is one, and the connection."""
        call, self.call = self.call, None
        self.close()
        if call is not None:
            self._sender.finish(call, why)

    def close(self) -> None:
        self._shut()
        self._sender.gone(self)

    def _shut(self) -> None:
        for watcher in (self._reader, self._writer):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        if self._socket is not None:
            self._socket.close()
        self._reader = self._writer = self._socket = None

    def _later(self, step: Any, *arguments: Any) -> None:
        """In the hub's next turn: a callback must not be called from within the caller's own submit."""
        self._sender.hub.loop.run_callback(step, *arguments)

    def _wrap(self, payload: bytes) -> bytes:
        return payload


class TlsConnection(Connection):
    """The same under TLS: the encryption works on memory, the socket stays ours."""

    __slots__ = ("_incoming", "_outgoing", "_shaken", "_tls")

    def __init__(self, sender: "Sender") -> None:
        super().__init__(sender)
        self._shaken = False

    def _established(self) -> None:
        context = self._sender.tls
        if context is None:
            return
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=self._sender.host)
        self._shake()

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
            self._shaken = True
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLError, ssl.CertificateError, ValueError) as error:
            self.fail(f"could not connect: TLS: {error}")
            return
        self._flush()
        if self._shaken:
            super()._established()

    def _flush(self) -> None:
        """Sends what the encryption wants to say by itself: a handshake's flights, an alert."""
        data = self._outgoing.read()
        if not data:
            return
        try:
            taken = self._socket.send(data) if not self._rest else 0
        except BlockingIOError:
            taken = 0
        except OSError as error:
            self.fail(f"could not connect: {error.strerror}")
            return
        if taken < len(data):
            self._rest = memoryview(bytes(self._rest) + data[taken:])
            self._writer.start(self._writable)

    def _wrap(self, payload: bytes) -> bytes:
        self._tls.write(payload)
        return self._outgoing.read()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._cut(f"reset: {error.strerror}")
            return
        if not data:
            self._incoming.write_eof()
        else:
            self._incoming.write(data)
        if not self._shaken:
            self._shake() if data else self.fail("could not connect: closed in the TLS handshake")
            return
        self._decrypt()

    def _decrypt(self) -> None:
        plain: list[bytes] = []
        ended = False
        while True:
            try:
                piece = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                ended = True
                break
            except ssl.SSLError as error:
                self._feed(b"".join(plain)) if plain else None
                self._cut(f"truncated answer: TLS: {error.reason}")
                return
            if not piece:
                ended = True
                break
            plain.append(piece)
        if plain:
            self._feed(b"".join(plain))
        if ended and self._socket is not None:
            self._ended()


def _until_its_end(answer: bytes) -> bool:
    """Whether the body of an answer that begins so ends with its connection; False while its headers arrive."""
    parts = split_head(answer)
    return parts is not None and ends_with_connection(fields(parts[0]))
