"""What a vendor gets: the wheel alone, in an environment of its own, is the whole product."""

import os
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BORROWED = "borrowed.pth"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it, read-only; the packages that it needs are borrowed from ours.

    A `.pth` file lends their folder: it is searched after the environment's own, and what is installed there as a
    link to the sources is not seen from here.
    """
    base = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(base / "built"), cwd=ROOT)
    [wheel] = (base / "built").glob("queueproof-*.whl")
    venv = base / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", str(venv), cwd=base)
    python = str(venv / "bin" / "python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", str(wheel), cwd=base)
    [site] = (venv / "lib").glob("python*/site-packages")
    (site / BORROWED).write_text(sysconfig.get_path("purelib") + "\n")
    for path in venv.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    return venv


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (("conformance", "--requirement", "SCOPE-1"), "Conforms"),
        (("load", "smoke", "--rate", "20", "--duration", "2s"), "Objectives met"),
    ],
    ids=["conformance", "load"],
)
def test_the_wheel_alone_does_the_main_jobs(
    words: tuple[str, ...], verdict: str, installed: Path, tmp_path: Path
) -> None:
    """From an empty folder that stays empty; nothing of the installation is written (root could) or read elsewhere."""
    empty = tmp_path / "empty"
    empty.mkdir()
    before = snapshot(installed)
    said = run(str(installed / "bin" / "queueproof"), *words, "--out", str(tmp_path / "run"), cwd=empty)
    assert verdict in said
    assert snapshot(installed) == before
    assert list(empty.iterdir()) == []


def test_the_wheel_holds_what_it_runs_and_is_what_runs(installed: Path, tmp_path: Path) -> None:
    where = "import queueproof, queueproof.drive.suite as s; print(queueproof.__file__, s.suite_path(), sep='\\n')"
    package, suite = run(str(installed / "bin" / "python"), "-c", where, cwd=tmp_path).splitlines()
    assert package.startswith(str(installed)) and suite.startswith(str(installed))
    assert (Path(package).parent / "_bundled" / "load" / "scenarios").is_dir()
    assert (Path(package).parent / "py.typed").is_file()


def snapshot(folder: Path) -> dict[str, int]:
    """Every file with the time of its last change, ns."""
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_dir()}


def run(*words: str, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    ended = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
