"""Odd but valid input is stored exactly, look-alikes stay apart, and a slow or broken client holds up nobody."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

JSON = {"Content-Type": "application/json"}

# Forms that a database's collation, a trim or a normalisation would take for one.
LOOK_ALIKES = [
    "key",
    "Key",
    "key ",
    " key",
    "key\t",
    "kéy",
    "ke\u0301y",
    "keу",  # its last letter is Cyrillic
    "kеy",  # its middle letter is Cyrillic
    "key\u200b",
    "key\u0000",
    "key\u0000x",
    "ｋｅｙ",
    "straße",
    "strasse",
    "0",
    "00",
    "0.0",
]


def test_look_alike_keys_are_different_keys(api: Any) -> None:
    """Each makes a message of its own, and finds it again."""
    made = [api.publish(number, idempotency_key=key)["id"] for number, key in enumerate(LOOK_ALIKES)]
    assert len(set(made)) == len(LOOK_ALIKES)
    again = [api.publish(number, idempotency_key=key) for number, key in enumerate(LOOK_ALIKES)]
    assert [message["id"] for message in again] == made
    assert [message["idempotency_key"] for message in again] == LOOK_ALIKES


def test_look_alike_chains_are_different_chains(api: Any) -> None:
    """In the list of messages, in the audit log, and in a trace."""
    made = {text: api.publish(1, correlation_id=text)["id"] for text in LOOK_ALIKES}
    for text, message in made.items():
        found = api.ok("GET", f"/scopes/{api.scope}/messages", params={"correlation_id": text})
        assert [one["id"] for one in found] == [message]
        lines = api.ok("GET", f"/scopes/{api.scope}/audit", params={"correlation_id": text})
        assert [line["message_id"] for line in lines] == [message]


def test_look_alike_slugs_are_different_queues(api: Any) -> None:
    """Of those that a slug may have: letters differ by case."""
    made = {slug: api.new_queue(slug=slug) for slug in ("Jobs", "jobs", "JOBS", "jobs.", "jobs-", "0", "00")}
    assert len(set(made.values())) == len(made)
    shown = {queue["slug"] for queue in api.ok("GET", f"/scopes/{api.scope}/queues")}
    assert set(made) <= shown
    assert api.call("POST", f"/scopes/{api.scope}/queues", {"slug": "jobs"}).status_code == 409


def test_look_alike_slugs_are_different_scopes(api: Any) -> None:
    """And each is taken by itself."""
    stem = api.scope[-12:]
    slugs = [f"{letters}{stem}" for letters in ("Jobs", "jobs", "JOBS", "jobs-", "jobs.", "0", "00")]
    made = {slug: api.ok("POST", "/scopes", {"slug": slug})["id"] for slug in slugs}
    assert len(set(made.values())) == len(made)
    assert [api.call("POST", "/scopes", {"slug": slug}).status_code for slug in slugs] == [409] * len(slugs)


@pytest.mark.parametrize(
    "text", ["\u0000", "a\u0000b", "\U0001f600" * 200, "\u202e", "\ufffe", "\r\n", "\\", "'\"`;--"]
)
def test_texts_come_back_as_they_came(api: Any, text: str) -> None:
    """In every field that takes text."""
    fields = {"type": text, "correlation_id": text, "causation_id": text, "parent_id": text, "content_type": text}
    labels = {text: text, "n": None}
    made = api.publish({text: text}, labels=labels, hitl_spec={"x": text}, idempotency_key=text, **fields)
    read = api.read(made["id"])
    assert {name: read[name] for name in fields} == fields
    assert (read["body"], read["labels"], read["hitl_spec"]) == ({text: text}, labels, {"x": text})
    [held] = api.claim(1)
    assert (held["body"], held["labels"]) == ({text: text}, labels)
    assert api.act("fail", made["id"], {"reason": text}).json()["data"]["failure_reason"] == text


@pytest.mark.parametrize(
    "number",
    [
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "1" + "0" * 400,
        "1e400",
        "1.0",
        "-0.0",
        "0.1000000000000000055511151231257827",
        "123456789012345678901234567890.5",
    ],
)
def test_numbers_come_back_as_they_were_spelled(api: Any, number: str) -> None:
    """In a body, and in a response: whatever a double or 64 bits would make of them."""
    text = f'{{"type":"t","body":{{"n":{number}}}}}'
    made = api.call("POST", f"{api.at()}/messages", content=text.encode(), headers=JSON)
    assert made.status_code == 201, made.text
    key = made.json()["data"]["id"]
    assert f'"body":{{"n":{number}}}' in api.call("POST", f"{api.at()}/messages/claim", {}).text
    path = f"/scopes/{api.scope}/messages/{key}/complete"
    done = api.call("POST", path, content=f'{{"response":[{number}]}}'.encode(), headers=JSON)
    assert done.status_code == 200, done.text
    assert f'"response":[{number}]' in api.call("GET", f"/scopes/{api.scope}/messages/{key}").text


@pytest.mark.parametrize("depth", [100, 900])
def test_a_deep_body_comes_back_whole(api: Any, depth: int) -> None:
    """As deep as the parser goes; deeper is refused (test_bad_input.py)."""
    body = "[" * depth + "]" * depth
    made = api.call("POST", f"{api.at()}/messages", content=f'{{"type":"t","body":{body}}}'.encode(), headers=JSON)
    assert made.status_code == 201, made.text
    assert f'"body":{body},' in api.call("POST", f"{api.at()}/messages/claim", {}).text


@pytest.mark.parametrize(("timeout_s", "status"), [(0.1, 200), (0.15, 200), (1.5, 200), (1e-1, 200), (0.0999, 422)])
def test_fractions_of_a_second_are_kept(api: Any, timeout_s: float, status: int) -> None:
    """The lock ends when it was asked for, to the ms; what is too short is refused, not rounded."""
    api.publish()
    answer = api.call("POST", f"{api.at()}/messages/claim", {"visibility_timeout_s": timeout_s})
    assert answer.status_code == status
    if status == 200:
        [held] = answer.json()["data"]
        seconds = [float(held[name].rpartition(":")[2].rstrip("Z")) for name in ("claimed_at", "claim_expires_at")]
        assert round((seconds[1] - seconds[0]) % 60, 3) == timeout_s


@contextmanager
def _wire(api: Any) -> Iterator[socket.socket]:
    address = urlsplit(str(api.http.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        yield connection


def _request(api: Any, body: bytes, *, length: int | None = None, method: str = "POST") -> bytes:
    lines = [
        f"{method} /v1/modules/scaiqueue{api.at()}/messages HTTP/1.1",
        "Host: x",
        f"Authorization: {api.http.headers['Authorization']}",
        "Content-Type: application/json",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_a_client_that_sends_byte_by_byte_is_served_and_holds_up_nobody(api: Any) -> None:
    """Between its bytes, others are answered."""
    request = _request(api, b'{"type":"t","body":"slow"}')
    with _wire(api) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, byte in enumerate(request):
            connection.sendall(bytes([byte]))
            if number % 100 == 0:
                assert api.try_publish(body="quick").status_code == 201
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 201")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["data"]["body"] == "slow"


def test_a_client_that_does_not_read_its_answer_holds_up_nobody(api: Any) -> None:
    """More than the buffers of both ends take, again and again; then it goes away without having read a byte."""
    for _ in range(8):
        api.publish("x" * (2 * 1024 * 1024))
    request = _request(api, b"", method="GET").replace(b"Connection: close\r\n", b"")
    with _wire(api) as connection:
        connection.sendall(request * 4)
        for _ in range(20):
            assert api.try_publish(body="quick").status_code == 201


def test_what_was_never_sent_to_its_end_is_not_stored(api: Any) -> None:
    """A client that goes away in the middle of its body, or of its headers."""
    whole = _request(api, b'{"type":"t","body":1}', length=100)
    for part in (whole, whole[:40]):
        with _wire(api) as connection:
            connection.sendall(part)
    assert api.try_publish(body="after").status_code == 201
    assert api.depth() == (1, 0)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/modules/scaiqueue/scopes HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/modules/scaiqueue/scopes HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n",
        b"POST /v1/modules/scaiqueue/scopes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_4xx_or_a_closed_connection(api: Any, head: bytes) -> None:
    """And the server goes on."""
    with _wire(api) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer == b"" or answer.split(b" ")[1].startswith(b"4"), answer
    assert api.try_publish().status_code == 201
