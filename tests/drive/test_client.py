"""The client: four results, told apart soundly, and both records of every call."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from queueproof.contract import wire
from queueproof.drive.client import Client
from queueproof.drive.limits import RequestBudget
from queueproof.drive.recorder import Recorder
from queueproof.evidence.operation import Invoke, Result, Return

CLAIM = wire.claim("s", "q", batch_size=1, visibility_timeout_s=2)


async def one(talking: Any, *answers: Any, request: wire.Request = CLAIM) -> tuple[Any, Any]:
    async with talking(*answers) as (client, _, sink):
        return await client.send(request, case="VIS-1"), sink


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [
        ("200 OK", b'{"data": []}', Result.OK),
        ("204 No Content", b"", Result.OK),
        ("200 OK", b"<html>", Result.UNKNOWN),
        ("404 Not Found", b"<html>", Result.REJECTED),
        ("405 Method Not Allowed", b"", Result.REJECTED),
        ("501 Not Implemented", b"", Result.REJECTED),
        ("409 Conflict", b'{"status": "error"}', Result.REJECTED),
        ("409 Conflict", b"no", Result.UNKNOWN),
        ("408 Request Timeout", b"{}", Result.UNKNOWN),
        ("500 Internal Server Error", b"{}", Result.UNKNOWN),
        ("503 Service Unavailable", b"", Result.UNKNOWN),
        ("302 Found", b"", Result.REJECTED),
    ],
)
async def test_results_of_answers(talking: Any, http: Any, status: str, body: bytes, result: Result) -> None:
    request = wire.complete("s", "m")
    exchange, sink = await one(talking, http(status, body), request=request)
    assert exchange.result is result
    invoke, back = sink.records
    assert isinstance(invoke, Invoke)
    assert isinstance(back, Return)
    assert (invoke.op, invoke.verb, invoke.message) == (back.op, "complete", "m")
    assert invoke.at_ns <= back.at_ns


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
    ids=["short", "torn chunk", "no HTTP"],
)
async def test_a_torn_answer_is_unknown(talking: Any, answer: bytes) -> None:
    async def cut(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()
        raise ConnectionResetError

    exchange, _ = await one(talking, cut)
    assert exchange.result is Result.UNKNOWN
    assert exchange.answer is None


async def test_a_reset_and_a_silence_are_unknown(talking: Any, reset: Any) -> None:
    async def silent(_: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    for answer in (reset, silent):
        exchange, sink = await one(talking, answer)
        assert exchange.result is Result.UNKNOWN
        assert sink.records[-1].result is Result.UNKNOWN


async def test_nobody_there_is_not_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and never listening
        records: list[Any] = []
        sink = type("Sink", (), {"write": lambda _, record: records.append(record)})()
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        client = Client(url, "k", recorder=Recorder(sink), budget=RequestBudget(), run="r")
        exchange = await client.send(CLAIM)
        await client.close()
    assert exchange.result is Result.NOT_SENT
    assert records[-1].result is Result.NOT_SENT


async def test_a_rate_limit_is_waited_out_and_each_try_recorded(talking: Any, http: Callable[..., bytes]) -> None:
    limited = http("429 Too Many Requests", b"{}", "Retry-After: 0")
    exchange, sink = await one(talking, limited, limited, http("200 OK", b'{"data": []}'))
    assert exchange.ok
    assert [record.attempt for record in sink.records if isinstance(record, Invoke)] == [1, 2, 3]
    assert [record.result for record in sink.records if isinstance(record, Return)] == ["rejected", "rejected", "ok"]


async def test_secrets_never_reach_a_record(talking: Any, http: Callable[..., bytes]) -> None:
    request = wire.publish("s", "q", {"type": "t", "body": {"key": "sgk_secret"}})
    _, sink = await one(talking, http("200 OK", b'{"data": {"echo": "Bearer sgk_secret"}}'), request=request)
    assert all("sgk_secret" not in str(record) for record in sink.records)
    assert "[secret]" in sink.records[0].request


async def test_what_is_sent_names_run_and_requirement(talking: Any, http: Callable[..., bytes]) -> None:
    async with talking(http("200 OK", b'{"data": []}')) as (client, script, _):
        await client.send(CLAIM, case="VIS-1")
        await client.send(CLAIM, authorization="")
    assert b"run r; VIS-1" in script.asked[0]
    assert b"Bearer sgk_secret" in script.asked[0]
    assert b"uthorization" not in script.asked[1]


async def test_an_unreadable_claim_is_no_empty_one(talking: Any, http: Callable[..., bytes]) -> None:
    """A claim whose data is no list may have taken anything: the history must not call it empty."""
    exchange, sink = await one(talking, http("200 OK", b'{"data": {"id": "x"}}'))
    assert exchange.ok
    assert sink.records[-1].result is Result.UNKNOWN


async def test_a_huge_answer_is_cut_off(talking: Any, monkeypatch: pytest.MonkeyPatch, http: Any) -> None:
    monkeypatch.setattr("queueproof.drive.client.ANSWER_LIMIT", 1000)
    exchange, _ = await one(talking, http("200 OK", b"[" + b"1," * 1000 + b"1]"))
    assert exchange.result is Result.UNKNOWN
    assert "larger" in exchange.why
