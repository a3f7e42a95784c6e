"""One request out, one of four results back, both recorded; nothing that a server does makes sending raise."""

import asyncio
import json
import socket
from typing import Any

import pytest
from drive_server import KEY, Say, client_of, http, reset, scripted, silence, then_reset

from queueproof.contract import wire
from queueproof.drive import client as client_module
from queueproof.drive.recorder import TEXT_LIMIT
from queueproof.evidence.operation import Result

OK = http({"status": "ok", "data": {"id": "m1", "state": "pending"}, "meta": {"request_id": "r1"}})
PAGE = b"<html>sorry</html>"
CHUNKED = b'HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{"data"\r\n4\r\n: 1}\r\n0\r\n\r\n'
REQUEST = wire.publish("s", "q", {"type": "t", "body": 1})


def error(code: str) -> dict[str, Any]:
    return {"status": "error", "error": {"code": code, "message": "no"}}


@pytest.mark.parametrize(
    ("say", "result", "why"),
    [
        (OK, Result.OK, ""),
        (http({"data": 1}, status=201), Result.OK, ""),
        (CHUNKED, Result.OK, ""),
        (b"HTTP/1.1 204 X\r\n\r\n", Result.OK, ""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Result.OK, ""),
        (b"HTTP/1.0 200 X\r\n\r\n{}", Result.UNKNOWN, "the answer was cut off"),
        (http(error("NOT_FOUND"), status=404), Result.REJECTED, "answered 404"),
        (http(error("VALIDATION_ERROR"), status=422), Result.REJECTED, "answered 422"),
        (http(content=PAGE, status=404), Result.REJECTED, "answered 404"),
        (http(content=PAGE, status=405), Result.REJECTED, "answered 405"),
        (http(error("X"), status=501), Result.REJECTED, "answered 501"),
        (http(content=PAGE, status=400), Result.UNKNOWN, "no JSON"),
        (http(error("X"), status=408), Result.UNKNOWN, "answered 408"),
        (http(error("X"), status=500), Result.UNKNOWN, "answered 500"),
        (http(content=PAGE, status=502), Result.UNKNOWN, "answered 502"),
        (http(content=PAGE), Result.UNKNOWN, "200 with a body that is no JSON"),
        (http(error("X")), Result.REJECTED, '200 with "status": "error"'),
        (http(content=b'{"data": {"id"'), Result.UNKNOWN, "200 with a body that is no JSON"),
        (http({}, status=302, Location="http://127.0.0.1:1/login"), Result.REJECTED, "http://127.0.0.1:1/login"),
        (reset, Result.UNKNOWN, "connection broke|cut off"),
        (then_reset(b"HTTP/1.1 200 X\r\nContent-"), Result.UNKNOWN, "cut off"),
        (then_reset(OK[:-5]), Result.UNKNOWN, "cut off"),
        (then_reset(CHUNKED[:-8]), Result.UNKNOWN, "cut off"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", Result.UNKNOWN, "no HTTP"),
        (b"HTTP/1.1 999999 X\r\n\r\n", Result.UNKNOWN, "no HTTP"),
        (b"\x00\xff" * 100 + b"\r\n\r\n", Result.UNKNOWN, "no HTTP"),
        (http(content=b"nonsense", Content_Encoding="gzip"), Result.UNKNOWN, "Decoding"),
    ],
)
async def test_the_four_results(say: Say, result: Result, why: str) -> None:
    if say == b"HTTP/1.0 200 X\r\n\r\n{}":  # ends with its connection: whole, although nothing says how long it is
        say, result, why = then_reset(say), Result.OK, ""
    async with scripted(say) as server, client_of(server.url) as (client, notes):
        exchange = await client.send(REQUEST, case="VIS-1")
    assert exchange.result is result, exchange.why
    assert any(part in exchange.why for part in why.split("|"))
    assert [record.op for record in notes] == [1, 1]
    assert notes.returns[0].result is result
    assert notes.returns[0].why == exchange.why
    assert notes.invokes[0].at_ns == exchange.inv_ns <= exchange.ret_ns == notes.returns[0].at_ns


@pytest.mark.parametrize(
    ("say", "refused"),
    [
        (http(error("VALIDATION_ERROR"), status=422), True),
        (http(error(wire.QUEUE_FULL), status=429), True),
        (http(error(wire.QUEUE_PAUSED), status=429), True),
        (http(error("X"), status=503), False),
        (OK, False),
        (reset, False),
    ],
)
async def test_what_is_a_refusal(say: Say, refused: bool) -> None:
    async with scripted(say) as server, client_of(server.url) as (client, _):
        assert (await client.send(REQUEST)).refused is refused


@pytest.mark.parametrize(
    ("code", "limits"),
    [(wire.QUEUE_FULL, False), (wire.SCOPE_PAUSED, False), ("RATE_LIMITED", True), ("SCAIQUEUE_RATE_LIMITED", True)],
)
def test_a_429_that_tells_of_a_queue_limits_no_rate(code: str, limits: bool) -> None:
    assert wire.Answer(status=429, document=error(code)).limits_rate is limits


@pytest.mark.parametrize(("result", "code"), [(Result.REJECTED, "RATE_LIMITED"), (Result.NOT_SENT, "")])
def test_a_limit_and_a_missing_connection_refuse_nothing(result: Result, code: str) -> None:
    answer = wire.Answer(status=429, text=json.dumps(error(code))) if code else None
    exchange = client_module.Exchange(op=1, request=REQUEST, result=result, answer=answer, inv_ns=0, ret_ns=1)
    assert not exchange.refused


async def test_a_refused_connection_was_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with client_of(f"http://127.0.0.1:{taken.getsockname()[1]}") as (client, notes):
            exchange = await client.send(REQUEST)
    assert exchange.result is Result.NOT_SENT
    assert exchange.status == 0
    assert exchange.told().startswith("no connection")
    assert notes.returns[0].result is Result.NOT_SENT


async def test_no_answer_in_time_is_unknown_and_says_how_long_was_waited() -> None:
    async with scripted(silence) as server, client_of(server.url, read_timeout_s=0.05) as (client, _):
        exchange = await client.send(REQUEST)
    assert exchange.result is Result.UNKNOWN
    assert exchange.why == "no answer within 0.05 s"


async def test_cookies_are_not_kept() -> None:
    """A session's cookie would stand in for a key; and each path's own, one for every message, cost more and more."""
    answer = OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=1; Path=/\r\nSet-Cookie: here=2\r\n\r\n", 1)
    async with scripted(answer) as server, client_of(server.url) as (client, _):
        for _ in range(2):
            assert (await client.send(REQUEST)).ok
    assert len(server.requests) == 2
    assert not any("cookie" in headers for _, headers, _ in server.requests)


async def test_a_huge_answer_is_given_up_and_its_beginning_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty million bytes, which no client wants to hold: most of them are never read."""
    monkeypatch.setattr(wire, "ANSWER_LIMIT", 1 << 20)
    written = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 201 X\r\nContent-Length: 50000000\r\n\r\n" + f'{{"mine": "{KEY}", "'.encode())
        for _ in range(1_000):
            writer.write(b"x" * 50_000)
            await writer.drain()
            written += 50_000

    async with scripted(pour) as server, client_of(server.url) as (client, notes):
        exchange = await client.send(REQUEST)
    assert exchange.result is Result.UNKNOWN and exchange.answer is None
    assert exchange.why == "the answer is larger than 1 MiB (of 50,000,000 bytes)"
    [kept] = notes.returns
    assert kept.answer.startswith('{"mine": "[secret]", "xxx') and kept.answer.endswith("… (more than 1048576 bytes)")
    assert len(kept.answer) == TEXT_LIMIT and kept.status == 201
    assert written < 40_000_000  # what the kernel had room for beyond what was read


async def test_a_cancelled_call_is_unknown() -> None:
    asked = asyncio.Event()

    async def say(writer: asyncio.StreamWriter) -> None:
        asked.set()
        await silence(writer)

    async with scripted(say) as server, client_of(server.url) as (client, notes):
        task = asyncio.create_task(client.send(REQUEST))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert notes.returns[0].result is Result.UNKNOWN
    assert notes.returns[0].why == "cancelled"


async def test_redirects_are_not_followed() -> None:
    async with scripted(http({}, status=307, Location="/elsewhere")) as server, client_of(server.url) as (client, _):
        await client.send(REQUEST)
    assert len(server.requests) == 1


async def test_proxies_of_the_environment_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with scripted(OK) as server, client_of(server.url) as (client, _):
        assert (await client.send(REQUEST)).ok


async def test_a_rate_limit_is_waited_out_each_try_an_operation_of_its_own() -> None:
    limited = http(error("RATE_LIMITED"), status=429, Retry_After="0")
    async with scripted(limited, limited, OK) as server, client_of(server.url) as (client, notes):
        exchange = await client.send(REQUEST)
    assert exchange.ok
    assert [invoke.attempt for invoke in notes.invokes] == [1, 2, 3]
    assert [back.result for back in notes.returns] == [Result.REJECTED, Result.REJECTED, Result.OK]
    assert client.budget.rate_limited == 2


async def test_a_rate_limit_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LONGEST_RATE_LIMIT_S", 0.0)
    limited = http(error("RATE_LIMITED"), status=429, Retry_After="0")
    async with scripted(limited) as server, client_of(server.url) as (client, _):
        exchange = await client.send(REQUEST)
    assert (exchange.result, exchange.status) == (Result.REJECTED, 429)


class TestWhatIsSent:
    """A vendor finds the run in its own log; the key travels in one header only."""

    async def test_headers(self) -> None:
        async with scripted(OK) as server, client_of(server.url) as (client, _):
            await client.send(REQUEST, case="VIS-1")
            await client.send(wire.list_scopes(), key="other")
            await client.send(wire.list_scopes(), authorization="")
            await client.send(wire.list_scopes(), authorization="Basic x")
        publish, other, none, basic = (headers for _, headers, _ in server.requests)
        assert "run testrun0; VIS-1" in publish["user-agent"]
        assert publish["content-type"] == "application/json"
        assert publish["authorization"] == f"Bearer {KEY}"
        assert (other["authorization"], basic["authorization"]) == ("Bearer other", "Basic x")
        assert "authorization" not in none

    @pytest.mark.parametrize("odd", ["..", ".", "a/b", "a?b", "a#b", "%2e", "ü😀", "a b", "a\\b"])
    async def test_an_odd_id_reaches_the_server_as_one_segment(self, odd: str) -> None:
        request = wire.read_message("s", odd)
        async with scripted(OK) as server, client_of(f"{server.url}/prefix") as (client, _):
            await client.send(request)
        assert server.requests[0][0] == f"GET /prefix{request.path} HTTP/1.1"

    async def test_the_body_is_sent_as_it_was_written(self) -> None:
        async with scripted(OK) as server, client_of(server.url) as (client, _):
            await client.send(REQUEST)
        assert server.requests[0][2] == REQUEST.body


class TestHistory:
    """What the checks need to know of an answer."""

    async def test_publish(self) -> None:
        async with scripted(OK) as server, client_of(server.url) as (client, notes):
            await client.send(REQUEST, fields={"token": "qp.r.1", "key": "k"})
        assert (notes.invokes[0].token, notes.invokes[0].key, notes.invokes[0].queue) == ("qp.r.1", "k", "q")
        back = notes.returns[0]
        assert (back.message, back.state, back.request_id, back.status) == ("m1", "pending", "r1", 200)

    async def test_claim_in_the_order_of_the_answer(self) -> None:
        found = [
            {"id": "b", "attempts": 2, "body": {"qp": "qp.r.2"}, "queue_id": "q"},
            "no object",
            {"id": 7, "attempts": "1", "body": None, "queue_id": 5},
        ]
        async with scripted(http({"data": {"items": found}})) as server, client_of(server.url) as (client, notes):
            await client.send(wire.claim("s", "q", batch_size=5, visibility_timeout_s=2))
        first, second = notes.returns[0].items
        assert (first.id, first.token, first.attempts, first.queue) == ("b", "qp.r.2", 2, "q")
        assert (second.id, second.token, second.attempts, second.queue) == ("7", "", None, "")

    async def test_a_body_nested_deeper_than_python_calls_may_be(self) -> None:
        content = b'{"data":[{"id":"m","body":' + b"[" * 900 + b"]" * 900 + b"}]}"
        async with scripted(http(content=content)) as server, client_of(server.url) as (client, notes):
            exchange = await client.send(wire.claim("s", "q", batch_size=1, visibility_timeout_s=2))
        assert exchange.ok
        assert notes.returns[0].items[0].id == "m"


class TestSecrets:
    """A key that a server says back is gone before anything keeps it."""

    @pytest.mark.parametrize("key", [KEY, 'odd"key\\with/marks'])
    async def test_an_echo(self, key: str) -> None:
        document = {
            "error": {"code": f"BAD {key}", "message": f"who is {key}?"},
            "data": {"id": key, "state": key},
            "meta": {"request_id": key},
        }
        says = http(document, status=400, Location=f"/login?{key}"), http(document)
        async with scripted(*says) as server, client_of(server.url, key=key) as (client, notes):
            refused, taken = await client.send(REQUEST), await client.send(REQUEST)
        kept = json.dumps([repr(record) for record in notes]) + repr(refused) + repr(taken)
        assert key not in kept
        assert json.dumps(key)[1:-1] not in kept
        assert "[secret]" in kept
