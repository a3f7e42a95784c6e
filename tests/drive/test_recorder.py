"""What goes into the history: numbered, shortened, without secrets, and always writable."""

from pathlib import Path

import pytest
from drive_server import Notes

from queueproof.drive.recorder import SECRET, TEXT_LIMIT, Recorder
from queueproof.evidence.digest import digest
from queueproof.evidence.history import HistoryWriter, read_records
from queueproof.evidence.operation import Item, Result, Return

LONG, LONGER = "sgk_aaaaaaaa", "sgk_aaaaaaaa_bbbbbbbb"


def test_calls_are_numbered_from_one() -> None:
    recorder = Recorder(Notes())
    assert [recorder.invoke(verb="claim").op for _ in range(3)] == [1, 2, 3]


def test_secrets_are_gone_wherever_they_stand() -> None:
    notes = Notes()
    recorder = Recorder(notes, secrets=(LONG, LONGER, ""))
    recorder.invoke(verb="read-message", path=f"/m/{LONG}", message=LONG, request=f"a {LONGER} b")
    recorder.back(
        1, Result.OK, answer=f'"{LONG}"', why=LONGER, code=LONG, state=LONG, items=(Item(id=LONGER, queue=LONG),)
    )
    assert "sgk_" not in repr(list(notes))
    assert notes.invokes[0].request == f"a {SECRET} b"
    assert notes.returns[0].items[0].id == SECRET


def test_a_key_too_short_to_be_secret_takes_no_text_apart() -> None:
    assert Recorder(Notes(), secrets=("x",)).clean("max_depth") == "max_depth"


def test_long_texts_are_shortened_and_say_so() -> None:
    text = Recorder(Notes()).clean("x" * (TEXT_LIMIT + 1))
    assert text == "x" * TEXT_LIMIT + f"… ({TEXT_LIMIT + 1} characters)"
    assert Recorder(Notes()).clean("x" * TEXT_LIMIT) == "x" * TEXT_LIMIT


def test_a_secret_at_the_cut_is_gone_as_well() -> None:
    text = Recorder(Notes(), secrets=(LONG,)).clean("x" * (TEXT_LIMIT - 5) + LONG)
    assert "sgk" not in text


@pytest.mark.parametrize("odd", ["\ud800", "a\udfffb", "ü😀\ud800"])
def test_what_utf_8_cannot_carry_is_replaced_before_it_is_written(tmp_path: Path, odd: str) -> None:
    writer = HistoryWriter(tmp_path / "history-0.ndjson", run="r")
    recorder = Recorder(writer)
    recorder.invoke(verb="claim", queue=odd, path=odd, request=odd)
    recorder.back(1, Result.OK, answer=odd, why=odd, code=odd, items=(Item(id=odd, token=odd, body=digest(odd)),))
    writer.close()
    back = list(read_records(tmp_path / "history-0.ndjson"))[-1]
    assert isinstance(back, Return)
    assert back.items[0].id == odd.replace("\ud800", "?").replace("\udfff", "?")
