"""What the documents promise is so: exit codes, options, outcomes, recipes, links."""

import re
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from queueproof import cli
from queueproof.errors import ExitCode
from queueproof.evidence.results import Outcome, Results, Verdict

ROOT = Path(__file__).parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
FENCES = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in DOCS)
COMMANDS = get_command(cli.app).commands  # type: ignore[attr-defined]


def test_every_exit_code_is_documented() -> None:
    gate = (ROOT / "docs" / "ci-gate.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", gate, re.MULTILINE)} == {int(code) for code in ExitCode}


def test_every_outcome_verdict_and_member_is_documented() -> None:
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert [verdict for verdict in Verdict if f"`{verdict}`" not in results] == []
    assert [name for name in Results.__struct_fields__ if f"`{name}" not in results] == []
    assert [outcome for outcome in Outcome if f"| {outcome.replace('-', ' ')} |" not in TEXT] == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_documented(name: str) -> None:
    assert f"queueproof {name}" in TEXT
    for parameter in COMMANDS[name].params:
        assert getattr(parameter, "help", "x"), f"{name} {parameter.name} has no help text"
        if parameter.param_type_name == "option":
            missing = [option for option in parameter.opts if option.startswith("--") and option not in TEXT]
            assert not missing, f"{name}: {missing}"


def test_every_command_in_the_documents_exists() -> None:
    fenced = "\n".join(FENCES.findall(TEXT))
    used = {
        *re.findall(r"^(?:\$ )?queueproof ([a-z]+)", fenced, re.MULTILINE),
        *re.findall(r"`queueproof ([a-z]+)", TEXT),
    }
    assert used <= set(COMMANDS)


def test_every_option_in_the_documents_exists() -> None:
    known = {option for command in COMMANDS.values() for parameter in command.params for option in parameter.opts}
    for line in re.findall(r"^queueproof (?:conformance|load|capacity|compare|report|clean) .*", TEXT, re.MULTILINE):
        assert set(re.findall(r"(?<=\s)--[a-z][a-z-]*", line.partition(" -- ")[0])) <= known, line


def test_every_recipe_in_the_documents_exists() -> None:
    recipes = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b(?= *[`\n#]|  | ARGS)", TEXT)) <= recipes
    assert len(recipes) == 8


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_command_line_is_a_typer_app() -> None:
    assert isinstance(cli.app, typer.Typer)
