"""The repository keeps its own promises: errors and exit codes, options that the docs show, sizes of files."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from queueproof.cli import app
from queueproof.errors import ExitCode, QueueproofError

ROOT = Path(__file__).parents[2]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The options that every command line has.
COMMON = {"--help", "--version", "--install-completion", "--show-completion"}
LONGEST = 450


def text(path: Path) -> str:
    if not path.is_file():
        name = path.relative_to(ROOT)
        pytest.skip(f"{name} is not here: take a whole clone (`git checkout -- {name}`)")
    return path.read_text()


def commands() -> dict[str, Any]:
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts if name.startswith("--")}


class TestExitCodes:
    """errors.py and the docs say the same."""

    def test_every_error_has_one_of_them(self) -> None:
        kinds = [QueueproofError]
        for kind in kinds:
            kinds += kind.__subclasses__()
            assert kind.exit_code in ExitCode
            assert kind.exit_code != ExitCode.CONFORMS
            assert kind.__doc__

    def test_an_error_is_what_happened_and_what_to_do(self) -> None:
        assert str(QueueproofError("it broke", hint="mend it")) == "it broke\n  → mend it"
        assert str(QueueproofError("it broke")) == "it broke"


class TestOptions:
    """The command line and the docs."""

    def test_each_that_the_docs_show_exists(self) -> None:
        known = commands()
        shown = [
            (command, option)
            for path in DOCS
            for line in path.read_text().splitlines()
            for command, words in re.findall(
                r"queueproof (conformance|load|capacity|compare|report|clean)((?: +[^`\s#|]+)*)", line
            )
            for option in re.findall(r"(?<=\s)--[a-z][a-z-]+", words.split(" -- ")[0])
        ]
        for command, option in shown:
            assert option in options(known[command]) | COMMON, f"queueproof {command} {option}"


class TestSources:
    """Layout and sizes."""

    def test_no_file_is_too_long(self) -> None:
        for path in sorted((ROOT / "src").rglob("*.py")):
            assert len(path.read_text().splitlines()) <= LONGEST, path

    def test_each_module_opens_with_its_reason(self) -> None:
        for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "conformance").glob("*.py")]:
            assert path.read_text().lstrip().startswith('"""'), path

    def test_every_room_is_in_the_import_rule(self) -> None:
        rule = text(ROOT / ".importlinter")
        rooms = {path.stem for path in (ROOT / "src" / "queueproof").iterdir() if not path.stem.startswith(("_", "."))}
        rooms -= {"py"}  # py.typed
        assert rooms <= set(re.findall(r"[a-z_]+", rule))

    def test_the_suite_and_the_load_travel_in_the_wheel(self) -> None:
        built = tomllib.loads(text(ROOT / "pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
        assert set(built["force-include"]) == {
            "conformance",
            "load",
            "fixtures/stack/containers.py",
            "fixtures/stack/services.py",
        }
        assert all(place.startswith("queueproof/_bundled/") for place in built["force-include"].values())
