"""`--target stack`: API processes and a worker over containers, and nothing of it left whatever happens."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from queueproof.drive.local import Server, started

BASE = "/v1/modules/scaiqueue"
OWNER = "queueproof.owner"


def ours(engine: Any, process: int) -> list[Any]:
    """Containers whose holder is a child of that process."""
    children = _children(process)
    containers = engine.containers.list(filters={"label": OWNER})
    return [one for one in containers if int(one.labels[OWNER].rpartition("/")[2]) in children]


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def claimed_after_a_lapse(server: Server) -> list[int]:
    """One message through the API, its lock lapsed: the attempts that its claims showed."""
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=server.url + BASE, headers=headers, timeout=20, trust_env=False) as http:
        scope = http.post("/scopes", json={"slug": "stack"}).json()["data"]["id"]
        queue = http.post(f"/scopes/{scope}/queues", json={"slug": "q"}).json()["data"]["id"]
        messages = f"/scopes/{scope}/queues/{queue}/messages"
        assert http.post(messages, json={"type": "t", "body": 1}).status_code == 201
        attempts: list[int] = []
        while len(attempts) < 2:  # only the worker brings it back
            found = http.post(f"{messages}/claim", json={"visibility_timeout_s": 0.5}).json()["data"]
            attempts += [message["attempts"] for message in found]
        return attempts


def test_it_serves_with_its_worker_and_goes(images: Any, tmp_path: Path) -> None:
    with started("stack", tmp_path / "server.log") as server:
        assert set(server.keys) == {"view", "publish", "consume", "manage", "foreign"}
        running = ours(images, os.getpid())
        assert len(running) == 2
        assert claimed_after_a_lapse(server) == [1, 2]
    assert not {one.id for one in running} & {one.id for one in images.containers.list(all=True)}
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url, trust_env=False)


@pytest.mark.skipif(sys.platform != "linux", reason="run it on Linux, which alone ends a child with its parent")
def test_nothing_outlives_a_killed_harness(images: Any) -> None:
    program = (
        "import threading\n"
        "from queueproof.drive.local import started\n"
        "with started('stack', None) as target:\n"
        "    print(target.url, flush=True)\n"
        "    threading.Event().wait()\n"
    )
    harness = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert harness.stdout is not None
    with harness.stdout:
        assert harness.stdout.readline().startswith(b"http://127.0.0.1:")
        containers = ours(images, harness.pid)
        direct = _children(harness.pid)
        processes = direct + [grandchild for child in direct for grandchild in _children(child)]
        handles = [os.pidfd_open(process) for process in processes]
        os.kill(harness.pid, signal.SIGKILL)
        harness.wait()
    for handle in handles:
        assert select.select([handle], [], [], 60)[0], "a process outlived its harness"
        os.close(handle)
    assert len(containers) == 2
    assert len(processes) >= 5  # the holder, the supervisor and its two children, the worker
    assert not {one.id for one in containers} & {one.id for one in images.containers.list(all=True)}
