"""Open questions are answered as each server answers them, and whatever comes of a look, no verdict hears of it."""

import asyncio
from collections.abc import Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from drive_server import Notes
from fixtures.pocket import Server, running
from fixtures.registry import find

from queueproof.drive.case import Case
from queueproof.drive.client import Client
from queueproof.drive.limits import RequestBudget
from queueproof.drive.observe import Observer, Seen, observing
from queueproof.drive.outcomes import Disturbed, NotSupported
from queueproof.drive.preflight import check_target
from queueproof.drive.questions_more import questions
from queueproof.drive.recorder import Recorder
from queueproof.drive.world import World
from queueproof.evidence.created import Ledger
from queueproof.evidence.results import Observation


@asynccontextmanager
async def world_at(server: Server) -> Any:
    async with running(server) as url:
        keys = dict(getattr(server, "keys", {}))
        client = Client(url, keys.pop("all"), recorder=Recorder(Notes()), budget=RequestBudget(), run="testrun0")
        try:
            world = World(run="testrun0", client=client, keys=keys, ledger=Ledger())
            await check_target(world)
            yield world
        finally:
            await client.close()


async def observed(server: Server, observers: Any = None) -> tuple[Observation, ...]:
    async with world_at(server) as world, observing(world, questions() if observers is None else observers) as looks:
        return tuple(await looks.end(30))


SERVERS = (
    *("pocket", "release_refunds_attempt", "lapse_dead_letters", "extend_adds"),
    *("late_complete_accepted", "draining_serves_nothing", "delayed_not_counted", "depth_counts_pending_only"),
    *("lists_have_items", "dead_letter_has_new_id", "undocumented_verbs_404", "deadline_only_orders"),
)


@pytest.fixture(scope="module")
def told() -> Mapping[str, Mapping[str, Any]]:
    """By server and statement."""

    async def all_of_them() -> list[tuple[Observation, ...]]:
        entries = [find(name) for name in SERVERS]
        return await asyncio.gather(*(observed(entry.factory()) for entry in entries if entry is not None))

    found = asyncio.run(all_of_them())
    return {name: {o.statement: o.value for o in seen} for name, seen in zip(SERVERS, found, strict=True)}


def test_every_question_has_an_observer() -> None:
    assert list(dict.fromkeys(observer.id for observer in questions())) == [f"Q{n}" for n in range(1, 15)]


def test_no_statement_is_made_twice() -> None:
    statements = [statement for observer in questions() for statement in observer.statements]
    assert len(statements) == len(set(statements))


def test_pocket_answers_them_all(told: Mapping[str, Mapping[str, Any]]) -> None:
    statements = {statement for observer in questions() for statement in observer.statements}
    assert set(told["pocket"]) == statements
    assert [s for s, value in told["pocket"].items() if str(value).startswith("not seen")] == []


@pytest.mark.parametrize(
    ("server", "statement"),
    [
        ("release_refunds_attempt", "release refunds the attempt"),
        ("lapse_dead_letters", "a message whose last allowed delivery lapses"),
        ("extend_adds", "extend counts from"),
        ("late_complete_accepted", "completing after the timeout, before anyone claimed it again, is answered"),
        ("draining_serves_nothing", "a claim from a draining queue brings"),
        ("delayed_not_counted", "a delayed message counts as pending"),
        ("depth_counts_pending_only", "a claimed message counts for max_depth"),
        ("lists_have_items", "the list of queues is"),
        ("dead_letter_has_new_id", "a dead-lettered message keeps its id"),
        ("deadline_only_orders", "a message past its deadline is handed out"),
    ],
)
def test_what_is_odd_is_told(told: Mapping[str, Mapping[str, Any]], server: str, statement: str) -> None:
    seen, usual = told[server][statement], told["pocket"][statement]
    assert seen != usual
    assert not str(seen).startswith("not seen"), seen


def test_what_is_absent_says_so(told: Mapping[str, Mapping[str, Any]]) -> None:
    assert "release answers 404" in told["undocumented_verbs_404"]["release refunds the attempt"]


async def test_a_look_that_ends_in_any_way_leaves_words() -> None:
    tries = 0

    async def disturbed(case: Case, seen: Seen) -> None:
        nonlocal tries
        tries += 1
        raise Disturbed("a storm")

    async def crashes(case: Case, seen: Seen) -> None:
        seen["b"] = 1
        raise ValueError("ours")

    async def absent(case: Case, seen: Seen) -> None:
        raise NotSupported("no such verb")

    async def hangs(case: Case, seen: Seen) -> None:
        await asyncio.Event().wait()

    looks = [
        Observer(id="Q1", statements=("a",), look=disturbed),
        Observer(id="Q2", statements=("b", "c"), look=crashes),
        Observer(id="Q3", statements=("d",), look=absent),
        Observer(id="Q4", statements=("e",), look=hangs),
    ]
    entry = find("pocket")
    assert entry is not None
    async with world_at(entry.factory()) as world, observing(world, looks) as observations:
        await observations.end(0.01)
        seen = {o.statement: o.value for o in observations.told()}
    assert seen == {
        "a": "not seen: a storm",
        "b": 1,
        "c": "not seen: the harness failed: ValueError: ours",
        "d": "not seen: no such verb",
        "e": "not seen: the run ended before it",
    }
    assert tries == 3
