"""The sender against servers that answer oddly, slowly, in pieces, or not at all."""

import contextlib
import itertools
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import gevent
import gevent.server
import gevent.socket
import gevent.ssl
import pytest
from sender_peers import OK, answering, ask, read_request, sending, serving

from queueproof.contract import wire
from queueproof.errors import TargetError, UsageError
from queueproof.swarm.sender import Call, Sender


def test_a_connection_is_kept_and_times_are_in_order() -> None:
    seen: list[bytes] = []

    def handle(peer: Any, _: Any) -> None:
        while request := read_request(peer):
            seen.append(request)
            peer.sendall(OK)

    with serving(handle) as at, sending(f"http://{at}/base/", headers={"Authorization": "Bearer k"}) as sender:
        calls = [ask(sender) for _ in range(5)]
        assert sender.opened == 1
    assert all((c.status, c.body, c.failure, c.reached) == (200, b'{"data": 1}', "", True) for c in calls)
    assert all(c.intended_ns <= c.queued_ns <= c.sent_ns <= c.ended_ns for c in calls)
    assert seen[0].startswith(b"POST /base/x HTTP/1.1\r\nHost: " + at.encode())
    assert b"\r\nAuthorization: Bearer k\r\n" in seen[0]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n",
            200,
            b"abcde",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, 200, b'{"data": 1}'),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", 500, b"no"),
    ],
    ids=["chunked", "1xx", "204", "500"],
)
def test_legal_forms_of_an_answer(answer: bytes, status: int, body: bytes) -> None:
    """Whole in one piece, and again byte by byte; the connection is kept."""

    def trickling(peer: Any, _: Any) -> None:
        while read_request(peer):
            for at in range(len(answer)):
                peer.sendall(answer[at : at + 1])
                gevent.sleep(0)

    for handle in (answering(answer), trickling):
        with serving(handle) as at, sending(f"http://{at}") as sender:
            calls = [ask(sender), ask(sender)]
            assert [(c.status, c.body, c.failure) for c in calls] == [(status, body, "")] * 2
            assert sender.opened == 1


def test_a_close_is_honoured() -> None:
    with (
        serving(answering(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) as at,
        sending(f"http://{at}") as s,
    ):
        assert [ask(s).status, ask(s).status] == [200, 200]
        assert s.opened == 2


def test_a_body_that_ends_with_its_connection() -> None:
    def handle(peer: Any, _: Any) -> None:
        read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        peer.close()

    with serving(handle) as at, sending(f"http://{at}") as sender:
        assert ask(sender).body == b"all of it"


@pytest.mark.parametrize(
    ("piece", "failure"),
    [
        (b"", "closed without an answer"),
        (OK[:-3], "truncated answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK[:-3], "truncated answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "truncated answer"),
        (b"HTTP/1.1 200 O", "truncated answer"),
        (b"SSH-2.0-OpenSSH\r\n", "malformed answer"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "malformed answer"),
    ],
    ids=["nothing", "short", "short after 100", "short chunk", "half a head", "no http", "upgrade"],
)
def test_what_is_no_whole_answer_is_a_failure_after_sending(piece: bytes, failure: str) -> None:
    def handle(peer: Any, _: Any) -> None:
        read_request(peer)
        peer.sendall(piece)
        peer.close()

    with serving(handle) as at, sending(f"http://{at}") as sender:
        call = ask(sender)
        assert failure in call.failure
        assert call.reached
        assert sender.in_flight == 0


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty million bytes, of which no more are held than any answer may have; the next call has its own room."""
    monkeypatch.setattr(wire, "ANSWER_LIMIT", 1 << 20)

    def handle(peer: Any, _: Any) -> None:
        read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 800000\r\n\r\n" + b" " * 800_000)
        read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1_000):
                peer.sendall(b"x" * 50_000)

    with serving(handle) as at, sending(f"http://{at}") as sender:
        assert len(ask(sender).body) == 800_000
        call = ask(sender)
        assert call.failure == "the answer is larger than 1 MiB" and call.body == b""
        assert call.reached and sender.in_flight == 0


def test_a_reset_in_the_middle() -> None:
    def handle(peer: Any, _: Any) -> None:
        read_request(peer)
        peer.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of zero seconds: close sends a reset
        peer.close()

    with serving(handle) as at, sending(f"http://{at}") as sender:
        call = ask(sender)
        assert "reset" in call.failure
        assert call.reached


def test_a_refused_connection_sends_nothing() -> None:
    with serving(answering(OK)) as at:
        pass
    with sending(f"http://{at}") as sender:
        call = ask(sender)
        assert call.failure.startswith("could not connect")
        assert not call.reached
        assert ask(sender).failure


def test_another_address_of_the_name_is_tried() -> None:
    """The first of two addresses refuses, the second answers."""
    with serving(answering(OK)) as dead:
        pass
    with serving(answering(OK)) as at, sending(f"http://{at}") as sender:
        family, (host, _) = sender.addresses[0]
        sender.addresses.insert(0, (family, (host, int(dead.rpartition(":")[2]))))
        assert ask(sender).status == 200


def test_a_silent_server_ends_in_a_time_out() -> None:
    def handle(peer: Any, _: Any) -> None:
        while peer.recv(65536):
            pass

    with serving(handle) as at, sending(f"http://{at}", timeout_s=1.0) as sender:
        call = ask(sender)
        assert (call.failure, call.reached) == ("time-out", True)


def test_a_connection_that_is_never_accepted_times_out_unsent() -> None:
    """A listener whose queue is full leaves a connect hanging."""
    full = gevent.socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = []
    for _ in range(4):
        filler = gevent.socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
    with sending(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout_s=0.06) as sender:
        call = ask(sender)
        assert (call.failure, call.reached) == ("connect time-out", False)
    for one in (full, *fillers):
        one.close()


def test_a_kept_connection_that_the_server_closed_is_replaced() -> None:
    """Half-closed while idle: no call is lost."""

    def handle(peer: Any, _: Any) -> None:
        read_request(peer)
        peer.sendall(OK)
        peer.shutdown(1)
        peer.recv(1)

    with serving(handle) as at, sending(f"http://{at}") as sender:
        for _ in range(3):
            assert ask(sender).status == 200
            gevent.sleep(0.005)
        assert sender.opened == 3


def test_rubbish_after_an_answer_costs_the_connection_only() -> None:
    for rubbish in (b"xx", OK):
        with serving(answering(OK + rubbish)) as at, sending(f"http://{at}") as sender:
            assert [ask(sender).body for _ in range(3)] == [b'{"data": 1}'] * 3
            assert sender.opened == 3


def test_a_big_request_leaves_in_parts_and_a_big_answer_comes_in_parts() -> None:
    size = 5_000_000
    got: list[int] = []

    def handle(peer: Any, _: Any) -> None:
        got.append(len(read_request(peer).partition(b"\r\n\r\n")[2]))
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"y" * size)

    with serving(handle) as at, sending(f"http://{at}") as sender:
        call = ask(sender, b"x" * size)
        assert (call.failure, len(call.body), got) == ("", size, [size])


def test_the_cap_makes_calls_wait_and_the_wait_counts() -> None:
    """One connection, four calls: each is sent only when the one before has ended."""

    def handle(peer: Any, _: Any) -> None:
        while read_request(peer):
            gevent.sleep(0.02)
            peer.sendall(OK)

    ended: list[Call] = []
    with serving(handle) as at, sending(f"http://{at}", connections=1) as sender:
        for _ in range(4):
            sender.submit(Call(sender.frame("POST", "/"), time.monotonic_ns(), ended.append))
        assert sender.in_flight == 4
        while len(ended) < 4:
            gevent.sleep(0.005)
        assert sender.opened == 1
    for before, after in itertools.pairwise(ended):
        assert after.sent_ns >= before.ended_ns - 1_000_000
    assert ended[3].ended_ns - ended[3].intended_ns >= 4 * (ended[3].ended_ns - ended[3].sent_ns) * 0.5


def test_a_call_that_gets_no_connection_in_time_is_not_sent() -> None:
    def handle(peer: Any, _: Any) -> None:
        peer.recv(65536)
        gevent.sleep(60)

    ended: list[Call] = []
    with serving(handle) as at, sending(f"http://{at}", connections=1, timeout_s=1.0) as sender:
        for _ in range(2):
            sender.submit(Call(sender.frame("POST", "/"), time.monotonic_ns(), ended.append))
        gevent.sleep(0)
        while len(ended) < 2:
            gevent.sleep(0.01)
    assert sorted(call.reached for call in ended) == [False, True]


def test_closing_ends_every_call() -> None:
    ended: list[Call] = []
    with serving(lambda peer, _: gevent.sleep(60)) as at:
        sender = Sender(f"http://{at}", connections=1)
        for _ in range(3):
            sender.submit(Call(sender.frame("POST", "/"), 0, ended.append))
        gevent.sleep(0.01)
        sender.close()
        sender.submit(Call(sender.frame("POST", "/"), 0, ended.append))
        gevent.sleep(0.01)
    assert len(ended) == 4
    assert all("closed" in call.failure for call in ended)


def test_a_killed_greenlet_does_not_disturb_the_next_call() -> None:
    def handle(peer: Any, _: Any) -> None:
        while read_request(peer):
            gevent.sleep(0.02)
            peer.sendall(OK)

    with serving(handle) as at, sending(f"http://{at}", connections=1) as sender:
        waiting = gevent.spawn(ask, sender)
        gevent.sleep(0.01)
        waiting.kill()
        assert ask(sender).status == 200


def test_a_crash_in_a_callback_is_kept_and_not_the_servers_fault() -> None:
    def crash(_: Call) -> None:
        raise RuntimeError("ours")

    with serving(answering(OK)) as at:
        sender = Sender(f"http://{at}")
        sender.submit(Call(sender.frame("POST", "/"), 0, crash))
        while not sender.crashes:
            gevent.sleep(0.001)
        assert ask(sender).status == 200
        sender.close()
    assert [str(crash) for crash in sender.crashes] == ["ours"]


def test_headers_are_read_when_asked_for() -> None:
    limited = b"HTTP/1.1 429 Slow down\r\nRetry-After:  7 \r\nContent-Length: 0\r\n\r\n"
    with serving(answering(limited)) as at, sending(f"http://{at}") as sender:
        call = ask(sender)
        assert (call.header("retry-after"), call.header("x-none")) == ("7", "")


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "http://h:port", "http://h:99999"])
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(UsageError):
        Sender(url)


def test_a_name_that_does_not_resolve_is_said() -> None:
    with pytest.raises(TargetError, match="cannot be resolved"):
        Sender("http://name.invalid")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away key and certificate for 127.0.0.1 in one file."""
    path = tmp_path_factory.mktemp("tls")
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(path / "key.pem"), "-out", str(path / "cert.pem")),
        ],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("the certificate needs openssl: install it (Debian: apt-get install openssl)")
    return path


def test_tls_works_on_memory(certificate: Path) -> None:
    """Kept connections, big bodies both ways, and a certificate that is not trusted."""
    size = 300_000

    def handle(peer: Any, _: Any) -> None:
        while request := read_request(peer):
            peer.sendall(
                OK if len(request) < 1000 else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"y" * size
            )

    own = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    with serving(handle, ssl_context=own) as at:
        with sending(f"https://{at}", tls=trusting) as sender:
            assert [ask(sender).body for _ in range(3)] == [b'{"data": 1}'] * 3
            assert len(ask(sender, b"x" * size).body) == size
            assert sender.opened == 1
        with sending(f"https://{at}") as sender:
            call = ask(sender)
            assert "TLS" in call.failure
            assert not call.reached


def test_tls_to_a_plain_server_is_no_connection() -> None:
    with serving(lambda peer, _: peer.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")) as at, sending(f"https://{at}") as sender:
        call = ask(sender)
        assert call.failure.startswith("could not connect")
        assert not call.reached


def test_a_server_that_half_closes_after_its_answer_is_heard_to_the_end() -> None:
    """The answer counts; the next call takes another connection."""

    def handle(peer: Any, _: Any) -> None:
        if read_request(peer):
            peer.sendall(OK)
            peer.shutdown(socket.SHUT_WR)
            read_request(peer)

    with serving(handle) as at, sending(f"http://{at}") as sender:
        first = ask(sender)
        gevent.sleep(0.02)
        second = ask(sender)
        assert (first.status, second.status, sender.opened) == (200, 200, 2)


def test_a_connection_that_was_closed_behind_our_back_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub has not yet seen the end when the next request is to leave: it is looked for."""
    monkeypatch.setattr("queueproof.swarm.sender.DOUBT_NS", 0)
    peers: list[Any] = []

    def handle(peer: Any, _: Any) -> None:
        peers.append(peer)
        while read_request(peer):
            peer.sendall(OK)

    with serving(handle) as at, sending(f"http://{at}") as sender:
        assert ask(sender).status == 200
        (idle,) = sender._idle
        idle._reader.stop()  # as if the hub were busy
        peers[0].close()
        gevent.sleep(0.02)
        second = ask(sender)
        assert (second.status, second.failure, sender.opened) == (200, "", 2)


def test_half_a_chunk_and_the_end_is_no_answer() -> None:
    def handle(peer: Any, _: Any) -> None:
        if read_request(peer):
            peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
            peer.close()

    with serving(handle) as at, sending(f"http://{at}") as sender:
        call = ask(sender)
        assert (call.failure, call.reached) == ("truncated answer", True)


def test_tls_that_ends_in_the_middle_of_an_answer(certificate: Path) -> None:
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    def handle(peer: Any, _: Any) -> None:
        if read_request(peer):
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            peer.close()

    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    with serving(handle, ssl_context=context) as at, sending(f"https://{at}", tls=trusting) as sender:
        call = ask(sender)
        assert call.failure.startswith("truncated answer")
        assert call.reached
