"""The quickstart's own blocks, unchanged, in curl, Python and JavaScript; and our own equivalent that always runs.

The page is not part of this repository: name a copy in QUICKSTART, or put it where `DEFAULT` says.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

DEFAULT = Path(__file__).parents[2].parent / "shared" / "seed" / "quickstart.txt"
LANGUAGES = ("bash", "python", "javascript")


def _blocks(text: str) -> dict[str, list[str]]:
    """The page's blocks by language: a language's name, line numbers, then the block up to the next prose or block.

    How many lines a block has stands in its line numbers.
    """
    lines, found = text.splitlines(), {language: [] for language in LANGUAGES}  # type: dict[str, list[str]]
    place = 0
    while place < len(lines):
        language = lines[place].strip()
        place += 1
        count = 0
        while place < len(lines) and lines[place].strip() == str(count + 1):
            place, count = place + 1, count + 1
        if language in found and count:
            found[language].append("\n".join(lines[place : place + count]))
            place += count
    return found


@pytest.fixture(scope="module")
def blocks() -> dict[str, list[str]]:
    """The blocks of the page named by QUICKSTART."""
    path = Path(os.environ.get("QUICKSTART", DEFAULT))
    if not path.is_file():
        pytest.skip(f"{path} is not there: save the quickstart page as text and set QUICKSTART to its path")
    return _blocks(path.read_text("utf-8"))


def _run(command: list[str], server: Any, **variables: str) -> str:
    missing = shutil.which(command[0]) is None
    if missing:
        pytest.skip(f"the quickstart calls {command[0]}: install it")
    environment = {**os.environ, "SCAIGRID_HOST": server.url, "SCAIGRID_API_KEY": server.keys["all"], **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _curl(block: str, server: Any, **variables: str) -> Any:
    return json.loads(_run(["bash", "-euc", block.replace("curl ", "curl -s ", 1)], server, **variables))["data"]


def test_the_page_has_its_blocks(blocks: dict[str, list[str]]) -> None:
    """Five steps in curl and the exports, three in Python and in JavaScript."""
    assert [len(blocks[language]) for language in LANGUAGES] == [6, 3, 3]


def test_curl(blocks: dict[str, list[str]], running: Callable[..., Any]) -> None:
    """Scope, queue, publish, claim, complete."""
    with running() as server:
        _, make_scope, make_queue, publish, claim, complete = blocks["bash"]
        ids = {"SCOPE_ID": _curl(make_scope, server)["id"]}
        ids["QUEUE_ID"] = _curl(make_queue, server, **ids)["id"]
        ids["MSG_ID"] = _curl(publish, server, **ids)["id"]
        assert _curl(publish, server, **ids)["id"] == ids["MSG_ID"]
        (held,) = _curl(claim, server, **ids)
        assert (held["id"], held["attempts"], held["labels"]) == (ids["MSG_ID"], 1, {"region": "eu"})
        assert _curl(complete, server, **ids)["state"] == "completed"


def test_python(blocks: dict[str, list[str]], running: Callable[..., Any]) -> None:
    """The three blocks are one program; it prints the ids and the state."""
    with running() as server:
        printed = _run([sys.executable, "-c", "\n".join(blocks["python"])], server).split()
        assert [re.sub(r"_?[0-9a-f-]{20,}", "", word) for word in printed] == ["sc", "q", "", "pending"]


def test_javascript(blocks: dict[str, list[str]], running: Callable[..., Any], tmp_path: Path) -> None:
    """The three blocks are one module; a line of ours after them shows what the last one got."""
    with running() as server:
        program = "\n".join([*blocks["javascript"], "console.log(msg.state);"])
        (tmp_path / "quickstart.mjs").write_text(program)
        printed = _run(["node", str(tmp_path / "quickstart.mjs")], server)
        assert printed.strip().endswith("pending")


def test_blocks_are_cut_by_their_line_numbers() -> None:
    """Not by what they look like."""
    page = textwrap.dedent(
        """\
        Do this:
        bash
        1
        2
        echo one

        python
         1
        print(1)
        The end.
        """
    )
    assert _blocks(page) == {"bash": ["echo one\n"], "python": ["print(1)"], "javascript": []}


def test_our_own_way_through_the_five_steps(running: Callable[..., Any]) -> None:
    """The same calls in our words, with nothing but httpx."""
    with running() as server:
        root = f"{server.url}/v1/modules/scaiqueue"
        with httpx.Client(headers={"Authorization": f"Bearer {server.keys['all']}"}) as http:
            scope = http.post(f"{root}/scopes", json={"slug": "demo", "display_name": "Demo"}).json()["data"]["id"]
            place = f"{root}/scopes/{scope}"
            fields = {"slug": "jobs", "display_name": "Jobs", "consumer_mode": "competing", "ordering": "fifo"}
            queue = http.post(f"{place}/queues", json={**fields, "max_depth": 0}).json()["data"]["id"]
            draft = {"type": "job", "body": {"n": 1}, "priority": {"tier": "normal", "score": 500}}
            draft |= {"labels": {"a": "b"}, "idempotency_key": "n1"}
            messages = f"{place}/queues/{queue}/messages"
            ids = {http.post(messages, json=draft).json()["data"]["id"] for _ in range(2)}
            lock = {"batch_size": 1, "visibility_timeout_s": 60}
            (held,) = http.post(f"{messages}/claim", json=lock).json()["data"]
            assert {held["id"]} == ids
            done = http.post(f"{place}/messages/{held['id']}/complete", json={"response": {"done": True}})
            assert done.json()["data"]["response"] == {"done": True}
