"""`queueproof doctor`: a table for people, JSON for programs, and an exit code that both agree on."""

import json
from pathlib import Path

from cli_run import queueproof, serving


def test_a_server_that_can_be_used(tmp_path: Path) -> None:
    with serving("pocket") as place:
        done = queueproof("doctor", "--json", cwd=tmp_path, env=place.env)
        assert done.code == 0, done.err
        checkup = json.loads(done.out)
        assert (checkup["schema"], checkup["usable"], checkup["url"]) == (1, True, place.url)
        assert place.slugs == []
        assert place.key not in done.out


def test_nobody_there(tmp_path: Path) -> None:
    done = queueproof("doctor", "--url", "http://127.0.0.1:1", "--api-key", "sgk_none_0123456789", cwd=tmp_path)
    assert done.code == 3
    assert "Not usable" in done.out
    assert "→" in done.out


def test_no_key(tmp_path: Path) -> None:
    done = queueproof("doctor", "--url", "http://127.0.0.1:1", cwd=tmp_path)
    assert done.code == 2
    assert "--api-key" in done.err
