"""Requests over raw sockets, in callbacks or greenlets, at a cost that leaves the core to the load.

A connection is a non-blocking socket with watchers and a parser that live as long as it does. `Sender.submit` never
blocks and answers through a callback in the hub; `Sender.call` waits in a greenlet. Waiting for a free connection
counts from the call's intended start, like everything else that delays it. What may be concluded from a failure:
`Call.reached` is False only when no byte of the request left this machine.
"""

import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import gevent
import gevent.socket
from gevent.hub import Hub

from queueproof.contract.reading import fields, split_head
from queueproof.errors import TargetError, UsageError
from queueproof.swarm.connection import Connection, TlsConnection

# Servers close idle connections, most after 5 s or more (uvicorn: 5). One that was idle so long is not used again:
# a request that meets the server's closing would be lost without anybody's fault.
IDLE_NS: Final = 3_000_000_000
# After so long a server may just have closed a kept connection: that is looked for before a request is given to it.
DOUBT_NS: Final = 20_000_000
# A server that has closed so many kept connections under a request closes them without a word right after an answer:
# from then on a connection rests so long after each, and is looked at, before it carries the next.
CLOSINGS: Final = 3
REST_NS: Final = 5_000_000
SWEEP_S: Final = 0.05  # how often time-outs are looked for, and so their grain
WAITING: Final = 100_000  # calls that may wait for a connection; what comes beyond is refused at once


def _nobody(_: "Call") -> None:
    """What is called when nobody waits any longer."""


class Call:
    """One request and what came of it. Times are ns of the monotonic clock."""

    # Defaults stand on the class: a call is made for every request, and most of them keep most of these.
    queued_ns = 0  # given to the sender
    sent_ns = 0  # a connection was free: the service time starts
    ended_ns = 0
    reached = False  # whether a byte may have left this machine
    status = 0  # 0 when no answer came
    head = b""  # status line and headers, and perhaps more
    body = b""
    failure = ""  # in words; "" when an answer came

    def __init__(self, payload: bytes, intended_ns: int, done: Callable[[Any], None] = _nobody) -> None:
        self.payload = payload  # the whole request, as `Sender.frame` made it
        self.intended_ns = intended_ns
        self.done = done  # called in the hub with this call; must not block

    def header(self, name: str) -> str:
        """A header of the answer, "" when absent. Slow: for the rare answers whose headers matter."""
        wanted = name.lower().encode()
        head, _ = split_head(self.head) or (self.head, b"")
        return next((value.decode("latin-1") for name, value in fields(head) if name == wanted), "")


class Sender:
    """A capped pool of connections to one target."""

    def __init__(
        self,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        connections: int = 512,
        timeout_s: float = 10.0,
        connect_timeout_s: float = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Looks up the target's address, cooperatively: make it in a greenlet, not in the hub.

        `timeout_s`: from sending to the whole answer. Raises UsageError for an url that is none, TargetError when the
        name cannot be resolved.
        """
        parts = urlsplit(url)
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise UsageError(f"{url} has no usable port", hint="write http://HOST:PORT") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(f"{url} is no http or https address", hint="write http://HOST:PORT")
        self.hub: Hub = gevent.get_hub()
        self.addresses = _resolve(parts.hostname, port)
        self.host = parts.hostname
        self.tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self.timeout_ns = int(timeout_s * 1e9)
        self.connect_timeout_ns = int(connect_timeout_s * 1e9)
        self.crashes: list[BaseException] = []  # raised by callbacks: mistakes of ours
        self.opened = 0  # connections opened so far
        self._limit = connections
        self._prefix = parts.path.rstrip("/")
        fixed = {"Host": parts.netloc.rpartition("@")[2], "Content-Type": "application/json", **(headers or {})}
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in fixed.items()) + "Content-Length: "
        self._idle: list[Connection] = []
        self._resting: deque[Connection] = deque()  # in place of `_idle`, once the server was met closing; oldest first
        self._closings = 0
        self._all: set[Connection] = set()
        self._waiting: deque[Call] = deque()
        self._closed = False
        self._sweeper = self.hub.loop.timer(SWEEP_S, SWEEP_S)
        self._sweeper.start(self._sweep)

    # ── requests ──

    def frame(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A request as bytes; `path` is escaped and starts with a slash."""
        return self.framer(method, path)(body)

    def framer(self, method: str, path: str) -> Callable[[bytes], bytes]:
        """`frame` for one method and path, with the head made once."""
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._fixed}".encode("latin-1")
        return lambda body: b"%b%d\r\n\r\n%b" % (head, len(body), body)

    def submit(self, call: Call) -> None:
        """Sends as soon as a connection is free; `call.done(call)` follows in the hub, whatever happens."""
        call.queued_ns = now_ns = time.monotonic_ns()
        if self._idle:
            connection = self._idle.pop()
            idle_ns = now_ns - connection.since_ns
            if idle_ns < DOUBT_NS or (idle_ns < IDLE_NS and not connection.ended()):
                connection.start(call, now_ns)
                return
            self._idle.append(connection)
            for old in tuple(self._idle):  # below the freshest lie only older ones
                if idle_ns >= IDLE_NS or old.ended():
                    old.close()
            if self._idle:
                self._idle.pop().start(call, now_ns)
                return
        rested = self._rested(now_ns) if self._resting else None
        if rested is not None:
            rested.start(call, now_ns)
        elif len(self._all) < self._limit and not self._closed:
            self._open(call, now_ns)
        elif len(self._waiting) < WAITING and not self._closed:
            self._waiting.append(call)
        else:
            self.hub.loop.run_callback(self.finish, call, "closed" if self._closed else "too many calls wait")

    def _rested(self, now_ns: int) -> Connection | None:
        """The connection that has rested longest and is still open; None where a new one may be opened."""
        while self._resting:
            connection = self._resting[0]
            idle_ns = now_ns - connection.since_ns
            if idle_ns < REST_NS and len(self._all) < self._limit:
                return None
            if idle_ns < IDLE_NS and not connection.ended():
                return self._resting.popleft()
            connection.close()
        return None

    def call(self, call: Call) -> Call:
        """Sends and waits for the answer in this greenlet; never raises for what the network does."""
        greenlet = gevent.getcurrent()
        call.done = greenlet.switch
        try:
            self.submit(call)
            while not call.ended_ns:
                self.hub.switch()
        except BaseException:  # the greenlet is killed: its answer is nobody's
            call.done = _nobody
            raise
        return call

    @property
    def in_flight(self) -> int:
        """Calls that were submitted and have not ended."""
        return len(self._waiting) + sum(1 for connection in self._all if connection.call is not None)

    def close(self) -> None:
        """Closes all connections; calls under way end as failures."""
        self._closed = True
        self._sweeper.stop()
        self._sweeper.close()
        while self._waiting:
            self.finish(self._waiting.popleft(), "closed")
        for connection in tuple(self._all):
            connection.fail("closed by the harness")

    # ── what connections tell ──

    def free(self, connection: Connection) -> None:
        """The connection's answer is whole, and it may be used again."""
        if self._waiting:
            connection.start(self._waiting.popleft(), time.monotonic_ns())
        elif self._closings < CLOSINGS:
            self._idle.append(connection)
        else:
            self._resting.append(connection)

    def met_a_closing(self) -> None:
        """A request went out on a kept connection and met its end there."""
        self._closings += 1
        if self._closings == CLOSINGS:
            self._resting.extend(self._idle)
            self._idle.clear()

    def gone(self, connection: Connection) -> None:
        """The connection is closed."""
        self._all.discard(connection)
        for kept in (self._idle, self._resting):
            if connection in kept:
                kept.remove(connection)
        while self._waiting and len(self._all) < self._limit and not self._closed:
            self._open(self._waiting.popleft(), time.monotonic_ns())

    def finish(self, call: Call, failure: str = "") -> None:
        """Ends a call and tells its callback."""
        if call.ended_ns:
            return
        call.failure = failure
        call.ended_ns = time.monotonic_ns()
        try:
            call.done(call)
        except Exception as error:
            self.crashes.append(error)

    def retry(self, call: Call) -> None:
        """A kept connection turned out to be closed before a byte was taken: another one, as if nothing had been."""
        self.hub.loop.run_callback(self._again, call)

    def _again(self, call: Call) -> None:
        self._open(call, time.monotonic_ns())

    def _open(self, call: Call, now_ns: int) -> None:
        kind = Connection if self.tls is None else TlsConnection
        connection = kind(self)
        self._all.add(connection)
        self.opened += 1
        connection.open(call, now_ns)

    def _sweep(self) -> None:
        """Ends what has taken too long: connecting, answering, waiting for a connection."""
        now_ns = time.monotonic_ns()
        while self._waiting and self._waiting[0].queued_ns + self.timeout_ns < now_ns:
            self.finish(self._waiting.popleft(), "time-out: no connection became free")
        for connection in tuple(self._all):
            if connection.call is not None and connection.deadline_ns < now_ns:
                connection.overdue()


def _resolve(host: str, port: int) -> list[tuple[int, Any]]:
    """(family, address) pairs of the target, in the order of the resolver."""
    try:
        found = gevent.socket.getaddrinfo(host, port, 0, gevent.socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TargetError(f"the name {host} cannot be resolved: {error}", hint="look at --url for a slip") from error
    return [(family, address) for family, _, _, _, address in found]
