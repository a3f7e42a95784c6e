"""The built wheel, not the checkout: installed read-only, run from an empty folder, it does the main job."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*words: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SCAIGRID", "QUEUEPROOF"))}
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(list(map(str, words)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout; building it needs hatchling, as building it anywhere does."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds, as an installer unpacks it, and nobody may write there."""
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    for place in [folder, *folder.rglob("*")]:
        place.chmod(0o555 if place.is_dir() else 0o444)
    return folder


def test_what_is_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        *("queueproof/cli.py", "queueproof/py.typed", "queueproof/contract/requirements.toml"),
        *("queueproof/report/templates/report.html.j2", "scaiqueue_reference/app.py", "scaiqueue_reference/py.typed"),
        *("queueproof/_bundled/conformance/conftest.py", "queueproof/_bundled/conformance/pytest.ini"),
        *("queueproof/_bundled/conformance/test_visibility.py", "queueproof/_bundled/load/locustfile.py"),
    ):
        assert part in names
    foreign = [n for n in names if not n.startswith(("queueproof/", "scaiqueue_reference/", "queueproof-"))]
    assert foreign == []
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".env"))]


def test_it_does_the_main_job_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    before = sorted(str(path) for path in installed.rglob("*"))
    words = "-B", "-m", "queueproof.cli", "conformance", "--requirement", "SCOPE-1"
    done = run(sys.executable, *words, cwd=tmp_path, path=installed)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Conforms" in done.stdout
    assert (tmp_path / "reports" / "latest" / "report.html").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["reports"]
    where = run(
        sys.executable, "-B", "-c", "import queueproof; print(queueproof.__file__)", cwd=tmp_path, path=installed
    )
    assert where.stdout.strip() == str(installed / "queueproof" / "__init__.py")
    after = sorted(str(path) for path in installed.rglob("*") if "__pycache__" not in path.parts)
    assert after == before


def test_the_version_is_the_same_everywhere(installed: Path, wheel: Path, tmp_path: Path) -> None:
    done = run(sys.executable, "-B", "-m", "queueproof.cli", "--version", cwd=tmp_path, path=installed)
    assert done.stdout.strip() == f"queueproof {wheel.name.split('-')[1]}"
