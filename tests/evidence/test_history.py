"""The history survives what kills its writer, and says what was under way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from queueproof.errors import CorruptRunError
from queueproof.evidence.history import WRITER_SHIFT, HistoryWriter, read_history, read_records
from queueproof.evidence.operation import Invoke, Item, Mark, Result, Return


def written(path: Path, writer: int = 0) -> Path:
    """A publish that came back, a claim that delivered it, a completion that never returned."""
    history = HistoryWriter(path, run="r", writer=writer)
    history.write(Invoke(op=1, at_ns=10, verb="publish", queue="q", token="qp.r.1", body="b", key="k"))
    history.write(Return(op=1, at_ns=20, result=Result.OK, status=201, message="m", state="pending"))
    history.write(Invoke(op=2, at_ns=30, verb="claim", queue="q", timeout_s=2.5, limit=1))
    items = (Item(id="m", token="qp.r.1", attempts=1, body="b"),)
    history.write(Return(op=2, at_ns=40, result=Result.OK, status=200, items=items))
    history.write(Mark(at_ns=45, name="phase", detail="end"))
    history.write(Invoke(op=3, at_ns=50, verb="complete", message="m"))
    history.close()
    return path


def test_calls_and_deliveries_are_tables(tmp_path: Path) -> None:
    written(tmp_path / "history-0.ndjson")
    history = read_history(tmp_path)
    publish, claim, complete = history.calls.to_dicts()
    assert (publish["message"], publish["token"], publish["key"], publish["ret"]) == ("m", "qp.r.1", "k", 20)
    assert (claim["timeout"], claim["limit"]) == (2_500_000_000, 1)
    assert (complete["result"], complete["ret"]) == ("unknown", None)
    assert history.deliveries.to_dicts()[0]["attempts"] == 1
    assert [mark.name for mark in history.marks] == ["phase"]


def test_a_torn_last_line_is_legal_at_every_byte(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole").read_bytes()
    lines = whole.splitlines(keepends=True)
    torn = tmp_path / "torn"
    start = len(whole) - len(lines[-1])
    for end in range(start, len(whole)):
        torn.write_bytes(whole[:end])
        found = list(read_records(torn))
        assert len(found) in {len(lines) - 1, len(lines)}
        assert found[: len(lines) - 1] == list(read_records(tmp_path / "whole"))[:-1]


def test_a_torn_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "history-0.ndjson")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:-9] + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(CorruptRunError, match="line 3"):
        read_history(tmp_path)


def test_two_writers_do_not_share_operations(tmp_path: Path) -> None:
    for writer in (0, 1):
        written(tmp_path / f"history-{writer}.ndjson", writer)
    operations = set(read_history(tmp_path).calls["op"])
    assert operations == {base | op for base in (0, 1 << WRITER_SHIFT) for op in (1, 2, 3)}


def test_no_history_is_said(tmp_path: Path) -> None:
    with pytest.raises(CorruptRunError, match="holds no history"):
        read_history(tmp_path)


def test_what_was_written_is_there_after_kill_9(tmp_path: Path) -> None:
    """Each record that the writer had said it wrote is in the file, although it was killed in the middle."""
    script = (
        "import sys; from pathlib import Path\n"
        "from queueproof.evidence.history import HistoryWriter\n"
        "from queueproof.evidence.operation import Invoke\n"
        "history = HistoryWriter(Path(sys.argv[1]), run='r')\n"
        "op = 0\n"
        "while True:\n"
        "    op += 1\n"
        "    history.write(Invoke(op=op, at_ns=op, verb='claim'))\n"
        "    print(op, flush=True)\n"
    )
    path = tmp_path / "history-0.ndjson"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [int(child.stdout.readline()) for _ in range(200)]
        os.kill(child.pid, signal.SIGKILL)
        said += [int(line) for line in child.stdout.read().split("\n")[:-1]]
    kept = [record.op for record in read_records(path) if isinstance(record, Invoke)]
    assert kept[: len(said)] == said
