"""An answer lost on purpose: the server did its work, and the history says that nobody knows."""

import socket
from pathlib import Path

import pytest
from drive_server import Say, client_of, http, reset, scripted, self_signed
from fixtures.pocket import Pocket, running

from queueproof.contract import wire
from queueproof.evidence.operation import Result

PUBLISH = wire.publish("s", "q", {"type": "t", "body": {"qp": "qp.x.1"}})


async def test_the_request_is_whole_and_the_result_unknown() -> None:
    async with scripted(http({"data": {"id": "m"}}, status=201)) as server, client_of(server.url) as (client, notes):
        exchange = await client.lose(PUBLISH, case="IDEM-2", fields={"token": "qp.x.1"})
    assert (exchange.result, exchange.status, exchange.data) == (Result.UNKNOWN, 201, wire.ABSENT)
    [(line, headers, body)] = server.requests
    assert line == f"POST {PUBLISH.path} HTTP/1.1"
    assert body == PUBLISH.body
    assert headers["authorization"].startswith("Bearer ")
    assert headers["content-type"] == "application/json"
    assert "testrun0" in headers["user-agent"]
    assert "IDEM-2" in headers["user-agent"]
    [invoke], [back] = notes.invokes, notes.returns
    assert (invoke.verb, invoke.case, invoke.token) == ("publish", "IDEM-2", "qp.x.1")
    assert (back.result, back.status, back.message) == (Result.UNKNOWN, 201, "")


@pytest.mark.parametrize(
    ("say", "status"),
    [
        (reset, 0),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + http({}, status=503), 503),
        (http({}, status=409), 409),
        (b"SSH-2.0-x\r\n", 0),
        (b"HTTP/1.1 x\r\n", 0),
    ],
)
async def test_other_ends(say: Say, status: int) -> None:
    async with scripted(say) as server, client_of(server.url) as (client, _):
        exchange = await client.lose(PUBLISH)
    assert (exchange.result, exchange.status) == (Result.UNKNOWN, status)


async def test_a_limit_is_waited_out() -> None:
    """A refused call is none whose answer could be lost."""
    async with (
        scripted(http({}, status=429, Retry_After="0"), http({}, status=201)) as server,
        client_of(server.url) as (client, notes),
    ):
        exchange = await client.lose(PUBLISH)
    assert (exchange.status, exchange.result) == (201, Result.UNKNOWN)
    assert [invoke.attempt for invoke in notes.invokes] == [1, 2]


async def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with client_of(f"http://127.0.0.1:{port}") as (client, _):
        assert (await client.lose(PUBLISH)).result is Result.NOT_SENT


async def test_the_server_has_done_it() -> None:
    server = Pocket()
    async with running(server) as url, client_of(url, key=server.keys["all"]) as (client, _):
        await client.lose(wire.create_scope("lost", "Lost"))
        assert [scope.slug for scope in server.scopes.values()] == ["lost"]


async def test_over_https_too(tmp_path: Path) -> None:
    async with scripted(http({}, status=200), ssl=self_signed(tmp_path)) as server:
        async with client_of(server.url, verify=False) as (client, _):
            assert (await client.lose(PUBLISH)).status == 200
        async with client_of(server.url) as (client, _):
            assert (await client.lose(PUBLISH)).result is Result.NOT_SENT  # nobody vouches for the certificate
    assert len(server.requests) == 1
