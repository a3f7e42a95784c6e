"""Bodies: the digest is the evidence's own, and whatever a server does to a body shows."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueproof.errors import UsageError
from queueproof.evidence.digest import digest
from queueproof.swarm import payload

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(), lambda inner: st.lists(inner), max_leaves=5
)


@given(st.text() | anything, st.integers(0, 2**52))
def test_a_body_is_read_as_it_was_written(pad: Any, at_us: int) -> None:
    """Typed or not, the digest equals the evidence's and the checksum holds."""
    text, own = payload.body("qp.run.7", at_us, payload.prepared(pad))
    found = json.loads(text)
    assert own == digest(found)
    assert payload.read(found) == ("qp.run.7", at_us, True, own)
    if isinstance(pad, str):
        assert payload.read(msgspec.json.decode(text, type=payload.Body)) == ("qp.run.7", at_us, True, own)


@pytest.mark.parametrize("change", [{"pad": "x"}, {"at": 6}, {"qp": "qp.run.8"}, {"sum": "0"}, {"pad": None}])
def test_every_change_shows(change: dict[str, Any]) -> None:
    text, own = payload.body("qp.run.7", 5, payload.prepared("abc"))
    changed = {**json.loads(text), **change}
    _, _, whole, found = payload.read(changed)
    assert not whole
    assert found != own


@pytest.mark.parametrize(
    "strange", [None, 3, "text", [], {}, {"qp": 3}, {"qp": "qp.x", "at": True}, {"qp": "qp.x", "at": "1"}]
)
def test_foreign_bodies_are_read_without_a_crash(strange: Any) -> None:
    _, at, whole, own = payload.read(strange)
    assert (at, whole, own) == (0, False, digest(strange))


def test_sizes_come_by_their_weights() -> None:
    made = payload.Paddings(((10, 9.0), (100, 1.0)), "", seed=3)
    lengths = [len(next(made).value) for _ in range(1000)]
    assert set(lengths) == {10, 100}
    assert 50 < lengths.count(100) < 200
    assert [p.value for _, p in zip(range(5), payload.Paddings(((9, 1.0),), "", seed=1), strict=False)] == [
        p.value for _, p in zip(range(5), payload.Paddings(((9, 1.0),), "", seed=1), strict=False)
    ]


def test_payloads_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": [1, 2.5, "\\u00e4"]}')
    (tmp_path / "b.txt").write_text("plain")
    made = payload.Paddings(((1, 1.0),), str(tmp_path), seed=1)
    assert [next(made).value for _ in range(3)] == [{"x": [1, 2.5, "ä"]}, "plain", {"x": [1, 2.5, "ä"]}]
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(UsageError, match="no JSON"):
        payload.Paddings(((1, 1.0),), str(tmp_path), seed=1)
    with pytest.raises(UsageError, match="holds no payload"):
        payload.Paddings(((1, 1.0),), str(tmp_path / "none"), seed=1)
