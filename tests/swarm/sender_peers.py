"""Servers in greenlets of the test's own, and a sender that asks them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent.server

from queueproof.swarm.sender import Call, Sender

OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"data": 1}'


def read_request(peer: Any) -> bytes:
    """One request with its body; b"" when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(
        next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split(b":")[1]
    )
    while len(body) < length:
        body += peer.recv(65536)
    return head + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Callable[[Any, Any], None]:
    """A server that gives one answer a request, the last for ever."""

    def handle(peer: Any, _: Any) -> None:
        left = list(answers)
        while read_request(peer):
            peer.sendall(left.pop(0) if len(left) > 1 else left[0])

    return handle


@contextmanager
def serving(handle: Callable[[Any, Any], None], **options: Any) -> Iterator[str]:
    server = gevent.server.StreamServer(("127.0.0.1", 0), handle, **options)
    server.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.stop(timeout=0)


@contextmanager
def sending(url: str, **options: Any) -> Iterator[Sender]:
    sender = Sender(url, **options)
    try:
        yield sender
    finally:
        sender.close()
        assert not sender.crashes


def ask(sender: Sender, body: bytes = b"{}") -> Call:
    return sender.call(Call(sender.frame("POST", "/x", body), time.monotonic_ns()))
