"""Finds the suite's cases: files `test_*.py` of a folder, functions marked with `proves`."""

import importlib.util
import inspect
import sys
from collections.abc import Collection
from pathlib import Path
from types import ModuleType
from typing import Final

import queueproof
from queueproof.drive.engine import CaseSpec
from queueproof.errors import HarnessError

_BUNDLED: Final = "_bundled"  # the folder of the wheel that holds what lies beside the sources elsewhere


def suite_path() -> Path:
    """The folder conformance/: inside an installed wheel, or beside the sources."""
    package = Path(queueproof.__file__).parent
    for place in (package / _BUNDLED / "conformance", package.parents[1] / "conformance"):
        if place.is_dir():
            return place
    raise HarnessError("the conformance suite is missing", hint="install queueproof again")


def suite_in_repository() -> str:
    """The suite's folder as a path from the root of the git repository that holds it, so that a CI server can open its
    files; "" in an installed wheel, and where there is no repository.
    """
    suite = suite_path()
    if suite.parent.name == _BUNDLED:
        return ""
    root = next((place for place in suite.parents if (place / ".git").exists()), None)
    return suite.relative_to(root).as_posix() if root else ""


def load_cases(requirements: Collection[str] | None = None, folder: Path | None = None) -> list[CaseSpec]:
    """The cases of the given requirements (None: all), in the order of files and lines."""
    found = []
    for path in sorted((folder or suite_path()).glob("test_*.py")):
        for name, function in inspect.getmembers(_module(path), inspect.iscoroutinefunction):
            requirement = getattr(function, "__requirement__", None)
            if requirement and (requirements is None or requirement in requirements):
                line = function.__code__.co_firstlineno
                spec = CaseSpec(name=f"{path.name}::{name}", requirement=requirement, function=function)
                found.append((path.name, line, spec))
    return [spec for *_, spec in sorted(found, key=lambda entry: entry[:2])]


def _module(path: Path) -> ModuleType:
    name = f"queueproof_suite_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise HarnessError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
