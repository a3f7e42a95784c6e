"""The webhook receiver: takes what comes to its own path, and nothing else."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from queueproof.contract import wire
from queueproof.drive.hooks import Receiver, reachable, webhook
from queueproof.drive.outcomes import NotRun, NotSupported
from queueproof.evidence.operation import Result


class FakeCase:
    """A case whose target answers what the test says."""

    def __init__(self, url: str, *, host: str = "", status: int = 201) -> None:
        self.world = SimpleNamespace(client=SimpleNamespace(url=url), webhook_host=host, heard=False)
        self.sent: list[wire.Request] = []
        self.status = status

    async def send(self, request: wire.Request) -> Any:
        self.sent.append(request)
        ok = self.status < 300
        result = Result.OK if ok else Result.REJECTED
        return SimpleNamespace(ok=ok, result=result, data={"id": "wh_1"}, op=1, told=lambda: str(self.status))


def address(case: FakeCase) -> str:
    return str(json.loads(case.sent[0].body or b"")["url"])


async def test_an_event_is_kept() -> None:
    case = FakeCase("http://127.0.0.1:1")
    async with webhook(case, wire.COMPLETED_EVENT) as receiver, httpx.AsyncClient() as http:  # type: ignore[arg-type]
        event = {"event_type": wire.COMPLETED_EVENT}
        answers = [await http.post(address(case), json=event), await http.post(address(case) + "x", json=event)]
        assert [answer.status_code for answer in answers] == [200, 404]
        assert receiver.events == [event]
    assert [request.verb for request in case.sent] == ["create-webhook", "delete-webhook"]


async def test_a_far_target_cannot_reach_it() -> None:
    with pytest.raises(NotRun, match="--webhook-host"):
        async with webhook(FakeCase("https://queue.example"), wire.COMPLETED_EVENT):  # type: ignore[arg-type]
            pass


async def test_a_name_makes_it_reachable() -> None:
    case = FakeCase("https://queue.example", host="runner.example")
    async with webhook(case, wire.COMPLETED_EVENT):  # type: ignore[arg-type]
        assert address(case).startswith("http://runner.example:")


async def test_a_refused_webhook_is_no_fault() -> None:
    with pytest.raises(NotSupported, match="403"):
        async with webhook(FakeCase("http://localhost:1", status=403), wire.COMPLETED_EVENT):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    receiver = Receiver(lambda: None)
    assert receiver.take(receiver.path, body) == 400
    assert receiver.events == []


async def test_noise_does_not_end_it() -> None:
    case = FakeCase("http://127.0.0.1:1")
    async with webhook(case, wire.COMPLETED_EVENT) as receiver:  # type: ignore[arg-type]
        port = int(address(case).split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        async with httpx.AsyncClient() as http:
            assert (await http.post(address(case), json={})).status_code == 200
        assert receiver.events == [{}]


async def test_what_never_came_accuses_nobody_who_may_be_out_of_reach() -> None:
    case = FakeCase("http://127.0.0.1:1")
    with pytest.raises(NotRun, match="--webhook-host"):
        reachable(case)  # type: ignore[arg-type]
    async with webhook(case, wire.COMPLETED_EVENT), httpx.AsyncClient() as http:  # type: ignore[arg-type]
        await http.post(address(case), json={"event_type": wire.PUBLISHED_EVENT})
    reachable(case)  # type: ignore[arg-type]
    reachable(FakeCase("http://127.0.0.1:1", host="runner.example"))  # type: ignore[arg-type]
