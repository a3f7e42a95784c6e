"""Each step of the way to a target says where it ends, and what to do about it."""

import socket
from pathlib import Path

import pytest
from drive_server import http, scripted, self_signed

from queueproof.drive import reach as room
from queueproof.drive.reach import UnreachedError, reach
from queueproof.evidence.checkup import Sign


async def unreached(url: str) -> UnreachedError:
    with pytest.raises(UnreachedError) as caught:
        await reach(url)
    assert caught.value.hint
    assert caught.value.lines[-1].sign is Sign.BAD
    return caught.value


async def test_an_open_port() -> None:
    async with scripted(http({})) as server:
        assert [(line.name, line.sign) for line in await reach(server.url)] == [("TCP", Sign.GOOD)]


async def test_a_name_is_looked_up() -> None:
    async with scripted(http({})) as server:
        lines = await reach(server.url.replace("127.0.0.1", "localhost"))
        assert [line.name for line in lines] == ["DNS", "TCP"]
        assert "127.0.0.1" in lines[0].value["addresses"]


async def test_an_unknown_name() -> None:
    assert "not known" in (await unreached("http://no-such-host.invalid:1")).message


async def test_a_closed_port() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    error = await unreached(f"http://127.0.0.1:{port}")
    assert f"port {port}" in error.message


async def test_https_at_an_http_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WITHIN_S", 2.0)
    async with scripted(http({})) as server:
        error = await unreached(server.url.replace("http:", "https:"))
        assert "TLS" in error.message
        assert [line.name for line in error.lines] == ["TCP", "TLS"]


async def test_a_certificate_that_nobody_vouches_for(tmp_path: Path) -> None:
    async with scripted(http({}), ssl=self_signed(tmp_path)) as server:
        assert "not trusted" in (await unreached(server.url)).message
