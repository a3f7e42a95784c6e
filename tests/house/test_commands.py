"""Every command that README and docs show is run, as it stands there, in a checkout and against a server of its own.

A document is one reader: its blocks run one after the other in one shell. Small programs of the same names stand before
the real ones on PATH and only shorten what would take minutes; `SHORTENED` says which and how.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What stands for a server and a key of the reader's in the documents.
ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1|localhost):8000|https://queue\.example(?:\.com)?\b")
KEY = re.compile(r"sgk_(?:…|\.\.\.|[a-z]+(?![a-z0-9]))")

# Program → its stand-in. "$REAL" is the program itself. What is left out is run by the test that is named.
SHORTENED = {
    # One requirement stands for a profile, two seconds for a minute of load; the options are parsed as they are.
    "queueproof": r"""
case "$1" in
  serve) "$REAL" "$@" --port 0 > ready & until [ -s ready ]; do sleep 0.05; done; kill -TERM $!; wait $! ;;
  conformance)
    case " $* " in
      *" --requirement "*|*" --plan "*) exec "$REAL" "$@" ;;
      *" -- "*) head=(); while [ "$1" != -- ]; do head+=("$1"); shift; done
         exec "$REAL" "${head[@]}" --requirement SCOPE-1 "$@" ;;
      *) exec "$REAL" "$@" --requirement SCOPE-1 ;;
    esac ;;
  capacity) exec "$REAL" capacity --help >/dev/null ;;  # tests/conduct/test_capacity.py searches
  compare) "$REAL" "$@" || [ $? -ne 2 ] ;;  # two seconds tell nothing: not usage
  load) case " $* " in *" --nemesis "*) exec "$REAL" load --help >/dev/null ;; esac  # tests/swarm/test_nemesis.py
    "$REAL" "$@" --rate 20 --duration 2s || [ $? -eq 1 ] ;;  # an objective may be missed on a busy machine
  *) exec "$REAL" "$@" ;;
esac""",
    # A recipe is read, not run: `make test` is what runs this very test, and CI runs the others.
    "make": r'exec "$REAL" --dry-run -C "$CHECKOUT" "$@" >/dev/null',
    # tests/house/test_wheel.py installs the wheel.
    "pip": "exit 0",
    # tests/reference/test_compose.py runs the services, where there is an engine.
    "docker": "exit 0",
    "pytest": r'exec "$REAL" "$@" --qp-requirement=SCOPE-1',
    "python": r"""
case "$*" in
  "-m fixtures.serve"*)
    "$REAL" "$@" > ready & until [ -s ready ]; do sleep 0.05; done; kill -TERM $!; wait $! || true ;;
  *) exec "$REAL" "$@" ;;
esac""",
    # Two cores are not for a thousand users: the file and the options are read.
    "locust": r'exec "$REAL" "$@" --list',
}


def scripts(text: str) -> list[str]:
    """The blocks of a document as shell scripts: of a console block the lines after "$ ", without its output."""
    found = []
    for kind, body in BLOCK.findall(text):
        script = body if kind == "sh" else "".join(line + "\n" for line in re.findall(r"^\$ (.*)$", body, re.MULTILINE))
        found.append(script)
    return found


@contextlib.contextmanager
def a_server(log: Path) -> Iterator[dict[str, str]]:
    """A reference server; gives its address and its keys as the variables that the documents use."""
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "queueproof.cli", "serve", "--port", "0"],
            stdout=subprocess.PIPE, stderr=said, text=True,
        )  # fmt: skip
    try:
        assert process.stdout
        ready = msgspec.json.decode(process.stdout.readline())
        keys = {f"QUEUEPROOF_{name.upper()}_KEY": key for name, key in ready["keys"].items() if name != "all"}
        yield {"URL": ready["url"], "KEY": ready["keys"]["all"], **keys}
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def checkout(place: Path) -> Path:
    """A folder that looks like the checkout, whose reports are its own."""
    place.mkdir()
    for path in ROOT.iterdir():
        if path.name not in {"reports", ".git"}:
            (place / path.name).symlink_to(path)
    (place / "reports").mkdir()
    with contextlib.suppress(FileNotFoundError):
        shutil.copytree(ROOT / "reports" / "baselines", place / "reports" / "baselines")
    return place


def stand_ins(place: Path) -> Path:
    """The shortened programs, in a folder for the front of PATH."""
    place.mkdir()
    for name, script in SHORTENED.items():
        real = Path(sys.executable).with_name(name)
        where = str(real) if real.exists() else shutil.which(name) or "/bin/false"
        (place / name).write_text(f"#!/usr/bin/env bash\nREAL={where}\nCHECKOUT={ROOT}\n{script}\n")
        (place / name).chmod(0o755)
    return place


@pytest.mark.parametrize("document", [path for path in DOCS if scripts(path.read_text("utf-8"))], ids=lambda p: p.name)
def test_the_commands_of_a_document_work(document: Path, tmp_path: Path) -> None:
    with a_server(tmp_path / "server.log") as variables:
        text = ADDRESS.sub(variables["URL"], document.read_text("utf-8"))
        script = "set -euo pipefail\n" + "\n".join(scripts(KEY.sub(variables["KEY"], text)))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "CI_"))},
            **variables,
            "PATH": f"{stand_ins(tmp_path / 'bin')}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        ended = subprocess.run(
            ["bash", "-x", "-c", script],
            cwd=checkout(tmp_path / "checkout"), env=environment, timeout=240,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-5000:]
