"""Connections that are kept, ended, cut and overfull: each call is sent once, and gets its own answer or none."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from drive_server import KEY, client_of, http, scripted, self_signed, silence

from queueproof.contract import wire
from queueproof.drive import transport
from queueproof.drive.transport import Transport, request_bytes
from queueproof.evidence.operation import Result

OK = http({"status": "ok", "data": {"id": "m1"}})
OTHER = http({"status": "ok", "data": {"id": "m2"}})
BODY = b'{"data": {"id": "m1"}}'
REQUEST = wire.publish("s", "q", {"type": "t", "body": 1})
Serve = Callable[[int, int, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(say: Serve, context: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[int]]]:
    """`say(connection, request, writer)` answers each request; yields the address and a count a connection."""
    counts: list[int] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        number = len(counts)
        counts.append(0)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                stated = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(stated or 0))
                counts[number] += 1
                await say(number, counts[number], writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}", counts
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """Takes connections, and neither reads nor says anything."""
    writers: list[asyncio.StreamWriter] = []

    def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writers.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


def saying(*answers: bytes, close: bool = False) -> Serve:
    """Each request of a connection gets the next of these, the last for ever."""

    async def say(_: int, request: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[min(request, len(answers)) - 1])
        await writer.drain()
        if close:
            writer.close()

    return say


async def calls(say: Serve, count: int) -> tuple[list[Result], list[int], list[str]]:
    """The results of so many calls one after the other, the requests a connection got, and the ids told."""
    async with serving(say) as (url, counts), client_of(url) as (client, _):
        ends = []
        for _ in range(count):
            ends.append(await client.send(REQUEST))
            await asyncio.sleep(0.02)  # so that what the server says of itself has arrived
    return [end.result for end in ends], counts, [wire.identity(end.data) for end in ends]


class TestKept:
    """One connection for one call after the other, while nothing speaks against it."""

    async def test_one_after_the_other_share_a_connection(self) -> None:
        assert await calls(saying(OK, OTHER), 3) == ([Result.OK] * 3, [3], ["m1", "m2", "m2"])

    @pytest.mark.parametrize(
        "answer",
        [
            OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1),
            OK.replace(b"HTTP/1.1", b"HTTP/1.0", 1),
            OK + b"rubbish that nobody asked for",
            OK + OTHER,
        ],
    )
    async def test_not_after_an_answer_that_ends_it(self, answer: bytes) -> None:
        assert await calls(saying(answer), 2) == ([Result.OK] * 2, [1, 1], ["m1", "m1"])

    async def test_not_when_the_server_ended_it_meanwhile(self) -> None:
        assert await calls(saying(OK, close=True), 2) == ([Result.OK] * 2, [1, 1], ["m1", "m1"])

    async def test_what_is_said_on_an_idle_one_answers_nothing(self) -> None:
        async def say(connection: int, request: int, writer: asyncio.StreamWriter) -> None:
            writer.write(OK)
            await writer.drain()
            if connection == 0:
                await asyncio.sleep(0.01)
                writer.write(OTHER)

        assert await calls(say, 2) == ([Result.OK] * 2, [1, 1], ["m1", "m1"])

    async def test_a_call_that_a_closing_met_is_not_sent_again(self) -> None:
        async def say(connection: int, request: int, writer: asyncio.StreamWriter) -> None:
            if request == 2:
                writer.transport.abort()
            else:
                writer.write(OK)

        results, counts, _ = await calls(say, 3)
        assert results == [Result.OK, Result.UNKNOWN, Result.OK]
        assert counts == [2, 1]

    async def test_an_interim_answer_is_passed_over(self) -> None:
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        assert await calls(saying(interim + OK), 2) == ([Result.OK] * 2, [2], ["m1", "m1"])

    async def test_over_tls(self, tmp_path: Path) -> None:
        async with (
            serving(saying(OK), self_signed(tmp_path)) as (url, counts),
            client_of(url, verify=False) as (client, _),
        ):
            assert [(await client.send(REQUEST)).result for _ in range(3)] == [Result.OK] * 3
        assert counts == [3]

    async def test_no_more_than_asked_for_are_open_or_kept(self) -> None:
        async def say(_: int, __: int, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.05)
            writer.write(OK)

        async def one(sender: Transport, url: str) -> int:
            answer = await sender.handle_async_request(httpx.Request("GET", url))
            await answer.aread()
            await answer.aclose()
            return answer.status_code

        async with serving(say) as (url, counts):
            sender = Transport(url, most=3, idle=1, idle_s=4.0)
            assert await asyncio.gather(*(one(sender, url) for _ in range(9))) == [200] * 9
            assert sum(counts) == 9
            assert len(sender._idle) == 1
            await sender.aclose()

    async def test_not_after_an_answer_that_was_given_up_half_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What had arrived of it stopped the reading: on such a connection the next answer would never come."""
        monkeypatch.setattr(transport, "READ_AHEAD", 1_500)
        monkeypatch.setattr(wire, "ANSWER_LIMIT", 500)
        part = b"3e8\r\n" + b"x" * 1_000 + b"\r\n"
        large = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + part * 5 + b"0\r\n\r\n"

        async def say(connection: int, _: int, writer: asyncio.StreamWriter) -> None:
            writer.write(OK if connection else large)

        assert await calls(say, 2) == ([Result.UNKNOWN, Result.OK], [1, 1], ["", "m1"])


class TestReading:
    """What is clear is read, strict or not, as curl and browsers read it."""

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\nContent-Length: 22\n\n",
            b"HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\nContent-Length: 22\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length:\t 22 \t\r\n\r\n",
            b"HTTP/1.1 200\r\nContent-Length: 22\r\n\r\n",
            b"HTTP/1.2 200 OK\r\nContent-Length: 22\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-Place: \xc3\xa9\xff\r\nContent-Length: 22\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16  \r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16;part=1\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n",
        ],
    )
    async def test_what_strict_readers_refuse(self, head: bytes) -> None:
        answer = head + BODY + (b"\r\n0\r\n\r\n" if b"chunked" in head else b"")
        results, _, ids = await calls(saying(answer), 2)
        assert (results, ids) == ([Result.OK] * 2, ["m1"] * 2)

    @pytest.mark.parametrize("header", [b"", b"Transfer-Encoding: identity\r\n"])
    async def test_a_body_without_a_length_ends_with_the_connection(self, header: bytes) -> None:
        answer = b"HTTP/1.1 200 OK\r\n" + header + b"\r\n" + BODY
        assert await calls(saying(answer, close=True), 1) == ([Result.OK], [1], ["m1"])

    async def test_of_a_header_its_text_is_kept(self) -> None:
        answer = OK.replace(b"\r\n\r\n", b"\r\nRetry-After: \t3 \t\r\n\r\n", 1)
        async with serving(saying(answer)) as (url, _):
            sender = Transport(url, most=1, idle=1, idle_s=1.0)
            response = await sender.handle_async_request(httpx.Request("GET", url))
            assert response.headers["retry-after"] == "3"
            await response.aclose()
            await sender.aclose()


class TestBodies:
    """An answer comes whole or not at all."""

    async def test_a_long_one_in_many_parts(self) -> None:
        body = b'{"data": "' + b"x" * 3_000_000 + b'"}'

        async def say(_: int, __: int, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
            for begun in range(0, len(body), 70_000):
                part = body[begun : begun + 70_000]
                writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\nLate: trailer\r\n\r\n")

        async with serving(say) as (url, counts), client_of(url) as (client, _):
            ends = [await client.send(REQUEST) for _ in range(2)]
        assert [len(end.data) for end in ends] == [3_000_000] * 2
        assert counts == [2]

    async def test_one_that_stops_in_the_middle_is_waited_for_as_long_as_one_that_never_began(self) -> None:
        async def say(_: int, __: int, writer: asyncio.StreamWriter) -> None:
            writer.write(OK[:-3])
            await silence(writer)

        async with serving(say) as (url, _), client_of(url, read_timeout_s=0.1) as (client, _):
            end = await client.send(REQUEST)
        assert (end.result, end.why) == (Result.UNKNOWN, "no answer within 0.1 s")

    async def test_one_that_drips_is_waited_for(self) -> None:
        async def say(_: int, __: int, writer: asyncio.StreamWriter) -> None:
            for place in range(0, len(OK), 8):
                writer.write(OK[place : place + 8])
                await asyncio.sleep(0.02)

        async with serving(say) as (url, _), client_of(url, read_timeout_s=0.15) as (client, _):
            assert (await client.send(REQUEST)).ok

    async def test_another_protocol_is_no_answer(self) -> None:
        switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
        results, _, _ = await calls(saying(switching), 1)
        assert results == [Result.UNKNOWN]


class TestRequests:
    """What is sent, or not."""

    async def test_one_that_the_server_does_not_read(self) -> None:
        large = wire.publish("s", "q", {"type": "t", "body": "x" * 20_000_000})
        async with deaf() as url, client_of(url, read_timeout_s=0.2) as (client, _):
            end = await client.send(large)
        assert (end.result, end.why) == (Result.UNKNOWN, "the request could not be sent in time")

    async def test_one_that_the_server_reads_slowly_is_waited_for(self) -> None:
        """Each wait for more of the request to be taken is within the time that an answer has."""
        large = wire.publish("s", "q", {"type": "t", "body": "x" * 12_000_000})
        taken = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal taken
            while taken < 12_000_000:
                taken += len(await reader.read(400_000))
                await asyncio.sleep(0.02)
            writer.write(OK)
            await reader.read()
            writer.transport.abort()
            await asyncio.sleep(0)
            gone.set()

        gone = asyncio.Event()
        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=400_000)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with client_of(url, read_timeout_s=0.4) as (client, _):
            end = await client.send(large)
        server.close()
        await gone.wait()
        assert end.ok, end.why

    async def test_a_key_of_two_lines_is_not_sent(self) -> None:
        async with scripted(OK) as server, client_of(server.url) as (client, _):
            end = await client.send(REQUEST, key="sgk\r\nX-Other: 1")
            assert (await client.send(REQUEST)).ok
        assert end.result is Result.UNKNOWN and "end of a line" in end.why
        assert [headers["authorization"] for _, headers, _ in server.requests] == [f"Bearer {KEY}"]

    def test_its_bytes(self) -> None:
        request = httpx.Request("POST", "http://h:1/a", content=b"{}", extensions={"target": b"/p/%2e"})
        head, _, body = request_bytes(request).partition(b"\r\n\r\n")
        assert head.split(b"\r\n") == [b"POST /p/%2e HTTP/1.1", b"Host: h:1", b"Content-Length: 2"]
        assert body == b"{}"
        assert b"\r\nConnection: close\r\n\r\n" in request_bytes(request, close=True)


async def test_a_connection_that_never_comes_about() -> None:
    """The other side takes it and says nothing of TLS."""
    async with deaf() as url:
        sender = Transport(url.replace("http:", "https:"), most=1, idle=1, idle_s=1.0)
        request = httpx.Request("GET", "https://127.0.0.1/", extensions={"timeout": {"connect": 0.1}})
        for _ in range(2):  # the one place is free again
            with pytest.raises(httpx.ConnectTimeout):
                await sender.handle_async_request(request)
