"""The quickstart's own blocks, unchanged, against `docker compose up`: the tests of the embedded server, once more."""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

BASE = "/v1/modules/scaiqueue"
HERE = Path(__file__).parents[1] / "reference" / "test_quickstart.py"

spec = importlib.util.spec_from_file_location("quickstart_on_compose", HERE)
assert spec is not None
assert spec.loader is not None
quickstart = importlib.util.module_from_spec(spec)
spec.loader.exec_module(quickstart)
globals().update(
    {name: value for name, value in vars(quickstart).items() if name.startswith("test_") or name == "blocks"}
)


@pytest.fixture
def running(compose: Any) -> Callable[..., Any]:
    """The stack in place of a server of the test's own; the page's scope is taken away before and after."""

    @contextlib.contextmanager
    def stack() -> Iterator[Any]:
        _forget(compose)
        yield compose
        _forget(compose)

    return stack


def _forget(compose: Any) -> None:
    headers = {"Authorization": f"Bearer {compose.keys['all']}"}
    with httpx.Client(base_url=compose.url + BASE, headers=headers, timeout=30, trust_env=False) as http:
        for scope in http.get("/scopes").json()["data"]:
            http.delete(f"/scopes/{scope['id']}")
