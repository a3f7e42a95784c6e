"""The ledger: every record is there for whoever reads the file, at any time and after any end."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from queueproof.evidence.history import read_records
from queueproof.evidence.operation import Clock, Invoke, Mark, Result, Return
from queueproof.swarm.ledger import Ledger


def entered(ledger: Ledger, number: int) -> bool:
    op = ledger.operation()
    good = ledger.invoke(Invoke(op=op, at_ns=number, verb="publish", token=f"qp.r.{number}"))
    ledger.back(Return(op=op, at_ns=number + 1, result=Result.OK, message="m" * (number % 300)))
    return good


@pytest.mark.parametrize("window", [4096, 1 << 20])
def test_records_are_read_while_it_writes_and_after(
    window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Across the edges of many windows; the open file's empty room reads as a torn line."""
    monkeypatch.setattr("queueproof.swarm.ledger.WINDOW", window)
    path = tmp_path / "history-3.ndjson"
    ledger = Ledger(path, run="r", writer=3, on_failure=lambda: None)
    assert all(entered(ledger, number) for number in range(500))
    ledger.mark("load", "x" * 10_000)
    for _ in range(2):
        records = list(read_records(path))
        assert len(records) == ledger.records == 1002
        assert isinstance(records[0], Clock)
        assert records[0].writer == 3
        assert isinstance(records[-1], Mark)
        assert [record.op for record in records if isinstance(record, Invoke)] == list(range(1, 501))
        ledger.close()
    assert path.stat().st_size == ledger.size
    ledger.close()


def test_without_a_path_nothing_is_kept() -> None:
    ledger = Ledger(None, run="r", writer=1, on_failure=lambda: None)
    assert entered(ledger, 1)
    assert (ledger.kept, ledger.records) == (False, 0)
    ledger.close()


def test_a_full_disk_is_told_once_and_nothing_more_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    path = tmp_path / "history-1.ndjson"
    ledger = Ledger(path, run="r", writer=1, on_failure=lambda: told.append(1))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("queueproof.swarm.ledger.WINDOW", 64)
    monkeypatch.setattr("queueproof.swarm.ledger._take_room", full)
    ledger._room = ledger._at
    assert [entered(ledger, number) for number in range(3)] == [False, False, False]
    assert told == [1]
    assert ledger.failure is not None
    assert len(list(read_records(path))) == 1


def test_a_killed_process_leaves_every_record(tmp_path: Path) -> None:
    """Written, then `kill -9` before anything could be flushed or closed."""
    path = tmp_path / "history-1.ndjson"
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from queueproof.evidence.operation import Invoke\n"
        "from queueproof.swarm.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1]), run='r', writer=1, on_failure=lambda: None)\n"
        "for number in range(100):\n"
        "    ledger.invoke(Invoke(op=number, at_ns=1, verb='claim'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert len(list(read_records(path))) == 101
