"""What a vendor gets: the wheel alone, in a folder of its own, is the whole product."""

import os
import stat
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_wheel_alone_does_the_main_job(tmp_path: Path) -> None:
    """Built, unpacked where nothing else of ours is, made read-only, and run from an empty folder."""
    built, site, empty = tmp_path / "built", tmp_path / "site", tmp_path / "empty"
    for folder in (built, empty):
        folder.mkdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built), cwd=ROOT)
    [wheel] = built.glob("queueproof-*.whl")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel), cwd=empty)
    for path in site.rglob("*"):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    script = (
        f"import sys; sys.path.insert(0, {str(site)!r}); import queueproof; "
        f"assert queueproof.__file__.startswith({str(site)!r}); from queueproof.cli import main; main()"
    )
    words = ("conformance", "--requirement", "SCOPE-1", "--out", str(tmp_path / "run"))
    said = run(sys.executable, "-P", "-c", script, *words, cwd=empty, PYTHONPATH=str(site))
    assert "Conforms" in said
    assert (site / "queueproof" / "_bundled" / "load" / "scenarios").is_dir()
    assert (site / "queueproof" / "py.typed").is_file()
    assert {path.name for path in empty.iterdir()} == set()


def run(*words: str, cwd: Path, **environment: str) -> str:
    ended = subprocess.run(
        words, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
