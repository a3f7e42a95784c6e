"""What a run is aimed at: addresses as people write them, and servers that end with their harness."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from queueproof.drive import local
from queueproof.drive.target import at_url, base_url, open_target
from queueproof.errors import HarnessError, TargetError, UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        (" https://host/ ", "https://host"),
        ("https://host/tenant/", "https://host/tenant"),
        ("http://host/v1/modules/scaiqueue", "http://host"),
        ("http://host/x/v1/modules/scaiqueue/", "http://host/x"),
        ("http://host?a=b#c", "http://host"),
        ("HTTP://host", "http://host"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://bücher.example", "http://bücher.example"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    assert base_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "host", "host:8000", "ftp://host", "http://", "http:///path", "//host", "http://:80", "file:///etc"),
        *(
            "http://[::1",
            "http://host:99999",
            "http://host:port",
            "http://host:-1",
            "http://ho st",
            "http://" + "a" * 300,
        ),
        *("http://h\x00st", "http://host\n.example", "http://\ud800", "http://*..", "http://exa_mple..com"),
    ],
)
def test_no_addresses(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        base_url(text)
    assert caught.value.hint
    assert "--url" in caught.value.message


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        base_url("http://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "ключ", "a\nb", "a\x7f"])
async def test_keys_that_no_header_carries(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        async with at_url("http://host", key, {}):
            pass
    assert "--api-key" in caught.value.hint
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("key", ["ключ", "a\nb"])
async def test_the_keys_with_fewer_rights_are_looked_at_too(key: str) -> None:
    with pytest.raises(UsageError, match="view"):
        async with at_url("http://host", "sgk_good", {"view": key}):
            pass


def test_unknown_kinds() -> None:
    with pytest.raises(UsageError, match="embeded"):
        open_target(url="", kind="embeded", key="", keys={}, log=None)


async def test_the_embedded_server_answers_and_ends_with_the_block(tmp_path: Path) -> None:
    async with open_target(url="", kind="", key="", keys={}, log=tmp_path / "server.log") as target:
        assert set(target.keys) == {"view", "publish", "consume", "manage", "foreign"}
        assert target.key not in repr(target.described())
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(target.url)).status_code
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient(trust_env=False) as http:
            await http.get(target.url)


async def test_an_embedded_server_that_does_not_start_says_where_to_look(tmp_path: Path) -> None:
    with (
        pytest.raises(HarnessError) as caught,
        local._reference(tmp_path / "server.log", ("--no-such-option",)),
    ):
        pass
    assert "server.log" in caught.value.hint


PROGRAM = """
import sys, threading
from queueproof.drive import local
with getattr(local, sys.argv[2])(sys.argv[1], None) as server:
    print(server.url, flush=True)
    if sys.argv[3] == "stay":
        threading.Event().wait()
"""


def below(process: int) -> list[int]:
    """A process's children, and theirs."""
    children = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return children + [grandchild for child in children for grandchild in below(child)]


def names(processes: list[int]) -> set[str]:
    """What they are."""
    return {Path(f"/proc/{process}/comm").read_text().strip() for process in processes}


@pytest.mark.skipif(sys.platform != "linux", reason="run it on Linux, which alone ends a child with its parent")
@pytest.mark.parametrize("way", ["started", "struck"])
@pytest.mark.parametrize(("kind", "beside"), [("embedded", set()), ("services", {"mariadbd", "redis-server"})])
def test_nothing_outlives_a_killed_harness(kind: str, beside: set[str], way: str, tmp_path: Path) -> None:
    """Neither servers, nor what they stand on, nor, once the next one has started, their files."""
    if beside and not (shutil.which("redis-server") and shutil.which("mariadbd", path="/usr/sbin:/usr/bin")):
        pytest.skip("install mariadb-server and redis-server: their programs are not here")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM, kind, way]
    harness = subprocess.Popen([*command, "stay"], stdout=subprocess.PIPE, env=environment)
    assert harness.stdout is not None
    with harness.stdout:
        assert harness.stdout.readline().startswith(b"http://127.0.0.1:")
        processes = below(harness.pid)
        assert beside <= names(processes)
        handles = [os.pidfd_open(process) for process in processes]
        os.kill(harness.pid, signal.SIGKILL)
        harness.wait()
    for handle in handles:
        assert select.select([handle], [], [], 60)[0], "a process outlived its harness"
        os.close(handle)
    assert handles
    subprocess.run([*command, "go"], env=environment, check=True, stdout=subprocess.DEVNULL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="run it on Linux, which alone ends a child with its parent")
def test_nothing_outlives_the_killed_holder_of_both_services(tmp_path: Path) -> None:
    """Nor does its folder, once the next one has started."""
    program = Path(__file__).parents[2] / "fixtures" / "stack" / "services.py"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    def hold() -> subprocess.Popen[bytes]:
        holder = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, env=environment)
        assert holder.stdout is not None
        line = holder.stdout.readline()
        if not line:
            pytest.skip("install mariadb-server and redis-server: their programs are not here")
        assert json.loads(line)["ready"]
        return holder

    with hold() as holder:
        processes = below(holder.pid)
        assert names(processes) == {"mariadbd", "redis-server"}
        handles = [os.pidfd_open(process) for process in processes]
        holder.kill()
    for handle in handles:
        assert select.select([handle], [], [], 60)[0], "a service outlived its holder"
        os.close(handle)
    with hold() as holder:
        assert len(list(tmp_path.iterdir())) == 1
        holder.terminate()
    assert list(tmp_path.iterdir()) == []


async def test_a_target_that_cannot_be_started_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(TargetError) as caught:
        async with open_target(url="", kind="stack", key="", keys={}, log=None):
            pass
    assert "--target services" in caught.value.hint
