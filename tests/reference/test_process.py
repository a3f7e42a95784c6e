"""The server as a process: its ready line, how it stops, what it keeps, what it says when it cannot start."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

Running = Callable[..., Any]


@pytest.fixture
def closing() -> Iterator[Callable[[Any], Any]]:
    """`closing(api)` is the api, whose connections are closed after the test."""
    with ExitStack() as stack:

        def closing(api: Any) -> Any:
            stack.enter_context(api.http)
            return api

        yield closing


def test_the_ready_line_is_one_json_object_and_all_of_standard_output(running: Running) -> None:
    """With a URL that answers and the six default keys."""
    with running() as server:
        assert set(server.keys) == {"all", "view", "publish", "consume", "manage", "foreign"}
        assert httpx.get(server.url + "/health").json() == {"status": "ok"}
        assert server.stop() == 0
        assert server.process.stdout.read() == b""


IN_FLIGHT = 6


def _under_way(server: Any, path: str, number: int) -> socket.socket:
    """A publish whose head the server has taken (it says `100 Continue`) and whose body has not been sent."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {server.keys['all']}\r\n"
        "Content-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(_body(number))}\r\n\r\n".encode()
    )
    assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    return connection


def _body(number: int) -> bytes:
    return b'{"type":"t","body":%d}' % number


def _idle(server: Any) -> socket.socket:
    """A kept connection on which one call was answered."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


def _all_of(connection: socket.socket) -> bytes:
    said = b""
    while chunk := connection.recv(65_536):
        said += chunk
    connection.close()
    return said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["embedded", "stack"])
def test_a_stop_finishes_what_is_in_flight_and_exits_0(
    running: Running, client: Any, request: pytest.FixtureRequest, tmp_path: Path, number: signal.Signals, kind: str
) -> None:
    """Idle connections end at once; each call under way is answered, and the next run has what was acknowledged."""
    options = ["--database", f"sqlite:///{tmp_path / 'stopped.sqlite3'}"]
    if kind == "stack":
        services = request.getfixturevalue("services")
        options = ["--database", services.database_url, "--redis", services.redis_url, "--processes", "2"]
    with running(*options) as server:
        api = client(server)
        api.new_scope()
        api.new_queue()
        api.http.close()
        path = f"/v1/modules/scaiqueue{api.at()}/messages"
        idle = [_idle(server) for _ in range(IN_FLIGHT)]
        calls = [_under_way(server, path, n) for n in range(IN_FLIGHT)]
        server.process.send_signal(number)
        assert [_all_of(connection) for connection in idle] == [b""] * IN_FLIGHT
        assert server.process.poll() is None
        for n, call in enumerate(calls):
            call.sendall(_body(n))
        answers = [_all_of(call) for call in calls]
        assert all(answer.startswith(b"HTTP/1.1 201 Created\r\n") for answer in answers), answers
        told = {json.loads(answer.partition(b"\r\n\r\n")[2])["data"]["id"] for answer in answers}
        assert server.process.wait(15) == 0
    with running(*options) as server:
        again = client(server)
        with again.http:
            again.scope, again.queue = api.scope, api.queue
            assert {message["id"] for message in again.claim(2 * IN_FLIGHT)} == told


def test_the_server_ends_with_its_parent(command: Any, environment: dict[str, str]) -> None:
    """A parent that is killed leaves no server behind."""
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    line = command("--port", "0", "--with-parent", str(parent.pid))
    server = subprocess.Popen(line, stdout=subprocess.PIPE, env=environment)
    assert server.stdout is not None
    assert b"ready" in server.stdout.readline()
    parent.kill()
    assert server.wait(15) == 0
    parent.wait()
    parent.stdin.close()  # type: ignore[union-attr]
    server.stdout.close()


def test_a_kept_database_keeps_messages_claims_and_keys(
    running: Running, client: Any, closing: Any, tmp_path: Path
) -> None:
    """The second run over the same file goes on where the first one ended."""
    database = f"sqlite:///{tmp_path / 'kept.sqlite3'}"
    with running("--database", database) as server:
        api = closing(client(server))
        api.new_scope()
        api.new_queue()
        held, waiting = api.publish()["id"], api.publish()["id"]
        assert api.claim(1)[0]["id"] == held
        first_keys = server.keys
        assert server.stop() == 0
    with running("--database", database) as server:
        assert server.keys == first_keys
        again = closing(client(server))
        again.scope, again.queue = api.scope, api.queue
        assert again.depth() == (1, 1)
        assert [message["id"] for message in again.claim(5)] == [waiting]
        assert again.act("complete", held).status_code == 200


def test_two_servers_do_not_share_keys(running: Running) -> None:
    """Default keys are random."""
    with running() as one, running() as two:
        assert set(one.keys.values()).isdisjoint(two.keys.values())


def _folders(server: Any) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"scaiqueue-rows-{server.process.pid}-*"))


def test_a_temporary_database_does_not_outlive_its_server(running: Running) -> None:
    """It goes with a stopped server, and that of a killed one goes when the next one starts."""
    with running() as stopped:
        assert len(_folders(stopped)) == 1
        stopped.stop()
        assert _folders(stopped) == []
    with running() as killed:
        killed.kill()
        assert len(_folders(killed)) == 1
        with running():
            assert _folders(killed) == []


def test_a_file_belongs_to_one_server_at_a_time(
    running: Running, command: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    """Two would each have an order of their own; a killed one's file is free again."""
    database = f"sqlite:///{tmp_path / 'one.sqlite3'}"
    with running("--database", database) as first:
        code, says = _fails(command("--port", "0", "--database", database), environment)
        assert (code, "in use by another server" in says) == (3, True)
        first.kill()
    with running("--database", database) as second:
        assert second.stop() == 0


def test_a_keys_file_replaces_the_default_keys(running: Running, tmp_path: Path) -> None:
    """Its tokens are not printed."""
    (tmp_path / "keys.toml").write_text("[keys.me]\ntoken='sgk_me'\ntenant='t'\npermissions=['view']\n")
    with running("--keys", str(tmp_path / "keys.toml")) as server:
        assert server.keys == {}
        listed = httpx.get(f"{server.url}/v1/modules/scaiqueue/scopes", headers={"Authorization": "Bearer sgk_me"})
        assert listed.json()["data"] == []


def _fails(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=30)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_what_cannot_start_says_why_in_one_line(command: Any, environment: dict[str, str], tmp_path: Path) -> None:
    """2 for wrong usage, 3 for a port, a file or a database that cannot be used."""
    assert _fails(command("--port", "x"), environment)[0] == 2
    assert _fails(command("--keys", str(tmp_path / "none")), environment)[0] == 2
    assert _fails(command("--port", "0", "--database", f"sqlite:///{tmp_path}/no/such/file"), environment)[0] == 3
    (tmp_path / "text").write_text("this is no database, and long enough to be one" * 100)
    assert _fails(command("--port", "0", "--database", f"sqlite:///{tmp_path}/text"), environment)[0] == 3
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, says = _fails(command("--port", str(taken.getsockname()[1])), environment)
        assert (code, "cannot be used" in says) == (3, True)


def test_logs_are_json_lines_with_the_request_id(command: Any, environment: dict[str, str]) -> None:
    """On standard error, and only when asked for."""
    pipe = subprocess.PIPE
    server = subprocess.Popen(command("--port", "0", "--log-level", "info"), stdout=pipe, stderr=pipe, env=environment)
    ready = json.loads(server.stdout.readline())  # type: ignore[union-attr]
    headers = {"Authorization": f"Bearer {ready['keys']['view']}"}
    answer = httpx.get(f"{ready['url']}/v1/modules/scaiqueue/scopes", headers=headers)
    server.terminate()
    _, errors = server.communicate(timeout=15)
    lines = [json.loads(line) for line in errors.splitlines()]
    mine = [line for line in lines if line.get("request_id") == answer.headers["x-request-id"]]
    assert [line["message"] for line in mine] == ["list_scopes 200"]
    assert ready["keys"]["view"].encode() not in errors
