"""A target in a file: its address and what it declares, and never a key."""

from pathlib import Path

import pytest

from queueproof.drive.target_file import TargetFile, read_target_file
from queueproof.errors import UsageError


def written(folder: Path, text: str) -> Path:
    path = folder / "target.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_target(tmp_path: Path) -> None:
    path = written(tmp_path, 'url = "http://queue.example:8000/v1/modules/scaiqueue"\ncapabilities = ["release"]\n')
    assert read_target_file(path) == TargetFile(url="http://queue.example:8000", capabilities=("release",))


def test_no_file_and_an_empty_file_say_nothing(tmp_path: Path) -> None:
    assert read_target_file(None) == read_target_file(written(tmp_path, "")) == TargetFile()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("url = ", "is no TOML"),
        ('api_key = "sgk_hunter2"', "holds a api_key"),
        ('view-token = "sgk_hunter2"', "keys belong in the environment"),
        ('adress = "http://h"', "it may hold url and capabilities"),
        ('url = "queue.example"', "is no address of a server"),
        ('url = "http://u:hunter2@h"', "user name or password"),
        ("url = 3", "is not understood"),
        ('capabilities = "extend"', "is not understood"),
        ('capabilities = ["extned"]', "did you mean extend"),
    ],
)
def test_what_is_wrong_is_told_without_secrets(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_target_file(written(tmp_path, text))
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_target_file(tmp_path / "none.toml")
