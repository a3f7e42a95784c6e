"""Where the cases are: beside the sources, or inside an installed wheel."""

from pathlib import Path

import pytest

from queueproof.drive import suite


@pytest.mark.parametrize(
    ("place", "root", "told"),
    [
        ("conformance", ".git", "conformance"),
        ("third_party/queueproof/conformance", ".git", "third_party/queueproof/conformance"),
        ("conformance", "", ""),
        (".venv/lib/site-packages/queueproof/_bundled/conformance", ".git", ""),
    ],
    ids=["checkout", "inside another repository", "no repository", "installed inside a repository"],
)
def test_the_suites_folder_as_a_ci_server_opens_it(
    place: str, root: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (tmp_path / root).mkdir(exist_ok=True)
    monkeypatch.setattr(suite, "suite_path", lambda: folder)
    assert suite.suite_in_repository() == told
