"""Every request of a run says in the server's own log which run and which requirement it belongs to."""

import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

from fixtures.pocket import Pocket, Reply, Request, running

from queueproof.conduct import Settings, conformance
from queueproof.contract.requirements import catalogue, select
from queueproof.drive.suite import load_cases
from queueproof.drive.target import Target

AGENT = re.compile(r"queueproof/\S+ \(run ([a-z0-9]{8}); ([A-Z]+-\d+|Q\d+|preflight|sweep|clean-up)\)")
# Publishes that may lack the run's correlation_id: those that are about what a publish says, or about a wrong one.
FREE = {"PUB-6", "ENV-3", "ENV-5", "AUD-1", "AUD-2"}


async def test_over_all_cases(tmp_path: Path) -> None:
    agents: list[str] = []
    published: dict[str, list[bool]] = {}

    class Logging(Pocket):
        async def answer(self, request: Request) -> Reply:
            agents.append(request.headers.get("user-agent", ""))
            found = AGENT.fullmatch(agents[-1])
            if found and request.method == "POST" and request.target.endswith("/messages"):
                with contextlib.suppress(ValueError):
                    fields = json.loads(request.body)
                    correlation = fields.get("correlation_id") if isinstance(fields, dict) else None
                    token = f"qp.{found[1]}."
                    told = isinstance(correlation, str) and correlation.startswith(token)
                    published.setdefault(found[2], []).append(told or token in request.body.decode())
            return await super().answer(request)

    server = Logging()
    async with running(server) as url:
        keys = dict(server.keys)

        @contextlib.asynccontextmanager
        async def target(_: Path | None) -> AsyncIterator[Target]:
            yield Target(url=url, key=keys.pop("all"), keys=keys, kind="fixture")

        selected = select("core")
        settings = Settings(selected=selected, out=tmp_path / "run", target=target, reports=False)
        ran = await conformance(settings, load_cases({requirement.id for requirement in selected}))
    run = json.loads((tmp_path / "run" / "manifest.json").read_bytes())["run"]
    found = [AGENT.fullmatch(agent) for agent in agents]
    assert [agent for agent, match in zip(agents, found, strict=True) if match is None] == []
    assert {match[1] for match in found if match} == {run}
    named = {match[2] for match in found if match}
    assert {requirement.id for requirement in selected} <= named
    assert {name for name in named if "-" in name and name.isupper()} <= set(catalogue())
    assert {name for name, told in published.items() if not all(told)} <= FREE
    assert ran.results.complete
