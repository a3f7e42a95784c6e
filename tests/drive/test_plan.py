"""A plan says beforehand what a run takes, and a run keeps to it."""

import contextlib
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fixtures.pocket import Pocket, running

from queueproof.conduct import Ran, Settings, conformance
from queueproof.contract.requirements import PROFILES, select
from queueproof.drive.limits import Rate, read_rate
from queueproof.drive.plan import SET_UP_CALLS, costs, plan, told
from queueproof.drive.suite import load_cases
from queueproof.drive.target import Target


def test_every_requirement_with_a_case_has_its_cost() -> None:
    """After a new case: `python -m fixtures.costs`."""
    assert set(costs()) == {case.requirement for case in load_cases()}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_tighter_limit_takes_longer_and_no_more_calls(profile: str) -> None:
    free = plan(select(profile), None)
    walls = [plan(select(profile), read_rate(text)).wall_s for text in ("100/s", "10/s", "60/min", "10/min")]
    assert [free.wall_s, *walls] == sorted([free.wall_s, *walls])
    assert plan(select(profile), read_rate("60/min")).calls <= free.calls
    assert free.longest_s <= free.wall_s


def test_the_core_under_the_documented_limit_takes_less_than_half_an_hour() -> None:
    tight = plan(select("core"), Rate(requests=60, per_s=60))
    assert tight.thrift
    assert tight.wall_s < 1800


def test_it_is_told() -> None:
    said = told(plan(select("core"), Rate(requests=60, per_s=60)))
    assert "60 requests in 60 s" in said
    assert said.endswith("Nothing has been sent.\n")
    assert "no limit given" in told(plan(select("core"), None))


CHOSEN = ("PUB-2", "CLAIM-3", "DONE-1", "IDEM-4")


async def run(out: Path, rate: Rate | None) -> Ran:
    server = Pocket()
    async with running(server) as url:
        keys = dict(server.keys)

        @contextlib.asynccontextmanager
        async def target(_: Path | None) -> AsyncIterator[Target]:
            yield Target(url=url, key=keys.pop("all"), keys=keys, kind="fixture")

        settings = Settings(
            selected=select("core", CHOSEN), out=out, target=target, reports=False, observe=False, rate=rate
        )
        return await conformance(settings, load_cases(set(CHOSEN)))


@pytest.mark.parametrize("text", ["", "690/min"])
async def test_a_run_makes_the_calls_of_its_plan(tmp_path: Path, text: str) -> None:
    """Within a fifth, with and without a limit; and the limit is kept."""
    rate = read_rate(text) if text else None
    ran = await run(tmp_path / "run", rate)
    planned = plan(select("core", CHOSEN), rate)
    assert ran.results.exit_code == 0
    assert ran.results.noise.requests == pytest.approx(planned.calls, rel=0.2, abs=SET_UP_CALLS / 2)
    assert not math.isnan(planned.wall_s)
