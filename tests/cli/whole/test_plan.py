"""`queueproof conformance --plan` prints, and sends nothing."""

from pathlib import Path

from cli_run import queueproof, serving


def test_nothing_is_sent(tmp_path: Path) -> None:
    with serving("pocket") as place:
        done = queueproof("conformance", "--plan", "--rate-limit", "60/min", cwd=tmp_path, env=place.env)
        assert done.code == 0, done.err
        assert "Nothing has been sent." in done.out
        assert place.slugs == []
    assert list(tmp_path.iterdir()) == []


def test_a_rate_that_is_none(tmp_path: Path) -> None:
    done = queueproof("conformance", "--rate-limit", "often", cwd=tmp_path)
    assert done.code == 2
    assert "60/min" in done.err
