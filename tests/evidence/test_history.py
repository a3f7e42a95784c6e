"""Two records a call, on disk before the call goes on; read again whole, torn, or from several writers."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from queueproof.errors import CorruptRunError
from queueproof.evidence.history import (
    CALLS,
    DELIVERIES,
    WRITER_SHIFT,
    HistoryWriter,
    clock_domain,
    read_history,
    read_records,
    tabulate,
)
from queueproof.evidence.operation import Clock, Invoke, Item, Mark, Record, Result, Return

RECORDS: list[Record] = [
    Invoke(op=1, at_ns=10, verb="publish", queue="q", token="qp.r.1", body="d1", key="k", request='{"ü":"😀"}'),
    Return(op=1, at_ns=20, result=Result.OK, status=201, message="m1"),
    Mark(at_ns=25, name="phase", detail="drain"),
    Invoke(op=2, at_ns=30, verb="claim", queue="q", timeout_s=2.0, limit=5),
    Return(op=2, at_ns=40, result=Result.OK, items=(Item(id="m1", token="qp.r.1", attempts=1), Item(id="m2"))),
    Invoke(op=3, at_ns=50, verb="complete", message="m1"),
]


def written(path: Path, records: list[Record] = RECORDS, *, writer: int = 0) -> Path:
    history = HistoryWriter(path, run="run", writer=writer)
    for record in records:
        history.write(record)
    history.close()
    return path


class TestFile:
    """What one file keeps."""

    def test_everything_comes_back_in_order_after_the_clock(self, tmp_path: Path) -> None:
        clock, *records = read_records(written(tmp_path / "history-0.ndjson"))
        assert isinstance(clock, Clock)
        assert (clock.run, clock.domain, clock.writer) == ("run", clock_domain(), 0)
        assert records == RECORDS

    def test_each_record_is_in_the_file_before_write_returns(self, tmp_path: Path) -> None:
        path = tmp_path / "history-0.ndjson"
        history = HistoryWriter(path, run="run")
        for count, record in enumerate(RECORDS, 2):
            history.write(record)
            assert len(list(read_records(path))) == count
        history.close()

    def test_a_torn_last_line_is_dropped_wherever_it_was_torn(self, tmp_path: Path) -> None:
        whole = written(tmp_path / "whole").read_bytes()
        lines = whole.splitlines(keepends=True)
        torn = tmp_path / "torn"
        before = sum(map(len, lines[:-2]))
        for size in range(before, len(whole) + 1):
            torn.write_bytes(whole[:size])
            found = list(read_records(torn))
            ends = [before, before + len(lines[-2]), len(whole)]
            complete = sum(size >= end or size == end - 1 for end in ends[1:])  # the newline alone may be missing
            assert len(found) == len(lines) - 2 + complete

    @pytest.mark.parametrize(
        "line", [b"\n", b"{}\n", b'{"record":"invoke","op":1\n', b"\xff\xfe\n", b'{"record":"x"}\n']
    )
    def test_a_bad_line_elsewhere_is_named(self, tmp_path: Path, line: bytes) -> None:
        path = written(tmp_path / "history-0.ndjson")
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:2], line, *lines[2:]]))
        with pytest.raises(CorruptRunError, match="line 3, is no history record") as caught:
            list(read_records(path))
        assert caught.value.hint

    def test_a_full_disk_is_heard_of(self) -> None:
        with pytest.raises(OSError, match="space"):
            HistoryWriter(Path("/dev/full"), run="run")

    def test_kill_9_loses_nothing_that_was_under_way(self, tmp_path: Path) -> None:
        path = tmp_path / "history-0.ndjson"
        program = (
            "import sys, time; from pathlib import Path\n"
            "from queueproof.evidence.history import HistoryWriter\n"
            "from queueproof.evidence.operation import Invoke, Result, Return\n"
            "history = HistoryWriter(Path(sys.argv[1]), run='r')\n"
            "for op in range(1, 1_000_000):\n"
            "    history.write(Invoke(op=op, at_ns=op, verb='publish', request='x' * 500))\n"
            "    if op == 500: print('under way', flush=True)\n"
            "    history.write(Return(op=op, at_ns=op, result=Result.OK))\n"
        )
        child = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline()
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        calls = read_history(tmp_path).calls
        assert calls.height >= 500
        assert calls["op"].to_list() == list(range(1, calls.height + 1))
        assert set(calls["result"].to_list()[:-1]) == {"ok"}


class TestTables:
    """What the checks read."""

    def test_calls_and_deliveries(self, tmp_path: Path) -> None:
        written(tmp_path / "history-0.ndjson")
        history = read_history(tmp_path)
        assert dict(history.calls.schema) == CALLS
        assert dict(history.deliveries.schema) == DELIVERIES
        publish, claim, complete = history.calls.to_dicts()
        assert (publish["message"], publish["inv"], publish["ret"], publish["key"]) == ("m1", 10, 20, "k")
        assert (claim["timeout"], claim["limit"]) == (2_000_000_000, 5)
        assert (complete["result"], complete["ret"], complete["message"]) == ("unknown", None, "m1")
        first, second = history.deliveries.to_dicts()
        assert (first["message"], first["attempts"], first["position"]) == ("m1", 1, 0)
        assert (first["inv"], first["ret"], first["queue"]) == (30, 40, "q")
        assert (second["message"], second["attempts"], second["position"]) == ("m2", None, 1)
        assert [mark.name for mark in history.marks] == ["phase"]

    def test_an_unknown_return_never_ends(self) -> None:
        history = tabulate(
            [
                Clock(domain="d", at_ns=0, wall_us=0, run="r"),
                Invoke(op=1, at_ns=1, verb="claim", timeout_s=1),
                Return(op=1, at_ns=5, result=Result.UNKNOWN, items=(Item(id="m"),)),
            ]
        )
        assert history.calls["ret"].to_list() == [None]
        assert history.deliveries.height == 0

    @pytest.mark.parametrize("result", [Result.REJECTED, Result.NOT_SENT])
    def test_what_had_no_effect_ends(self, result: Result) -> None:
        history = tabulate([Invoke(op=1, at_ns=1, verb="claim"), Return(op=1, at_ns=5, result=result)])
        assert history.calls["ret"].to_list() == [5]

    def test_several_writers_number_their_calls_apart(self, tmp_path: Path) -> None:
        for writer in range(3):
            written(tmp_path / f"history-{writer}.ndjson", writer=writer)
        calls = read_history(tmp_path).calls
        assert calls.height == 9
        assert set(calls["op"].to_list()) == {writer << WRITER_SHIFT | op for writer in range(3) for op in (1, 2, 3)}

    def test_a_return_without_its_invocation_tells_nothing(self) -> None:
        assert tabulate([Return(op=9, at_ns=1, result=Result.OK)]).calls.height == 0

    def test_a_second_return_changes_nothing(self) -> None:
        history = tabulate(
            [
                Invoke(op=1, at_ns=1, verb="claim"),
                Return(op=1, at_ns=5, result=Result.REJECTED),
                Return(op=1, at_ns=6, result=Result.OK, items=(Item(id="m"),)),
            ]
        )
        assert history.calls["result"].to_list() == ["rejected"]
        assert history.deliveries.height == 0

    def test_calls_are_sorted_by_their_invocation(self) -> None:
        history = tabulate([Invoke(op=1, at_ns=9, verb="claim"), Invoke(op=2, at_ns=3, verb="claim")])
        assert history.calls["op"].to_list() == [2, 1]


class TestDirectory:
    """What is no history says so."""

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(CorruptRunError, match=r"no history-\*\.ndjson"):
            read_history(tmp_path)

    def test_an_empty_file_is_a_run_that_was_killed_at_once(self, tmp_path: Path) -> None:
        (tmp_path / "history-0.ndjson").write_bytes(b"")
        assert read_history(tmp_path).calls.height == 0

    def test_a_folder_in_a_files_place(self, tmp_path: Path) -> None:
        (tmp_path / "history-0.ndjson").mkdir()
        with pytest.raises(CorruptRunError, match="cannot be read"):
            read_history(tmp_path)


class TestShapes:
    """What many records share is told once."""

    SHAPE = (
        b'{"record":"shape","number":1,"of":"invoke","names":["op","at_ns","token","body"],'
        b'"common":{"verb":"publish","queue":"q","timeout_s":1.5}}\n'
    )
    ANSWER = (
        b'{"record":"shape","number":2,"of":"return","names":["op","at_ns","message"],'
        b'"common":{"result":"ok","status":200,"state":"pending"}}\n'
    )

    def test_brief_lines_are_records_like_any_other(self, tmp_path: Path) -> None:
        path = tmp_path / "history-1.ndjson"
        path.write_bytes(self.SHAPE + self.ANSWER + b'[1,7,10,"qp.r.1","d\\"1"]\n[2,7,20,"m1"]\n[1,8')
        assert list(read_records(path)) == [
            Invoke(op=7, at_ns=10, verb="publish", queue="q", token="qp.r.1", body='d"1', timeout_s=1.5),
            Return(op=7, at_ns=20, result=Result.OK, status=200, state="pending", message="m1"),
        ]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            (b"[3,1,2]", "shape is not known"),
            (b"[]", "shape is not known"),
            (b"[1,7,10]", "not as many values"),
            (b'[1,7,"10","t","d"]', "another type"),
            (b"[1,7,10,5,6]", "another type"),
            (b"[[1]]", "Expected"),
            (b'{"record":"shape","number":5,"of":"mark","names":[],"common":{}}', "no records"),
            (b'{"record":"shape","number":5,"of":"invoke","names":["op","at_ns"],"common":{"colour":"red"}}', "colour"),
            (b'{"record":"shape","number":5,"of":"invoke","names":["op"],"common":{"verb":"claim"}}', "at_ns"),
            (b'{"record":"shape","number":5,"of":"return","names":["op","at_ns"],"common":{"result":"fine"}}', "fine"),
        ],
    )
    def test_what_is_no_record_is_refused_with_its_line(self, line: bytes, words: str, tmp_path: Path) -> None:
        path = tmp_path / "history-1.ndjson"
        path.write_bytes(self.SHAPE + line + b"\n")
        with pytest.raises(CorruptRunError, match="line 2") as refused:
            list(read_records(path))
        assert words in refused.value.message
