"""A server that answers nothing any more ends a run: nobody waits for it, and nobody asks it again."""

import asyncio
import time

import pytest
from drive_server import Notes, client_of
from fixtures.pocket import Pocket, running

from queueproof.contract import wire
from queueproof.drive import client as client_module
from queueproof.drive import silence
from queueproof.drive.case import Case
from queueproof.drive.cleanup import NO_ANSWER, clean_up
from queueproof.drive.client import Client
from queueproof.drive.engine import CaseSpec, run_cases
from queueproof.drive.limits import RequestBudget
from queueproof.drive.noise import LagMeter
from queueproof.drive.recorder import Recorder
from queueproof.drive.silence import CALLS_UNANSWERED, Silence
from queueproof.drive.sweep import sweep
from queueproof.drive.world import World
from queueproof.evidence.created import Ledger
from queueproof.evidence.results import Outcome

NOWHERE = "http://127.0.0.1:9"
# A case on a dead server would wait for ever; no test does.
LONGEST_S = 30


def test_few_calls_without_an_answer_are_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 0.0)
    heard = Silence()
    for _ in range(CALLS_UNANSWERED - 1):
        heard.note(answered=False, sent_ns=time.monotonic_ns())
    assert heard.word == ""
    heard.note(answered=False, sent_ns=time.monotonic_ns())
    assert heard.word.startswith("the server has answered nothing since ")
    heard.note(answered=True, sent_ns=time.monotonic_ns())
    assert heard.word == ""


def test_many_calls_in_a_short_time_are_no_silence() -> None:
    heard = Silence()
    for _ in range(100 * CALLS_UNANSWERED):
        heard.note(answered=False, sent_ns=time.monotonic_ns())
    assert heard.word == ""


def test_a_run_that_sent_nothing_for_long_has_heard_no_silence() -> None:
    """A pause of ours, and then a short one of the server's: only the second one counts."""
    heard = Silence()
    heard._answered_ns -= round(10 * silence.SILENCE_S * 1e9)
    for _ in range(CALLS_UNANSWERED):
        heard.note(answered=False, sent_ns=time.monotonic_ns())
    assert heard.word == ""


async def test_a_server_that_dies_ends_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a case is doing, and of those that begin later none sends anything."""
    monkeypatch.setattr(silence, "SILENCE_S", 0.2)
    begun: list[int] = []

    async def publishes(case: Case) -> None:
        queue = await case.queue()
        while True:
            await queue.publish()

    async def claims(case: Case) -> None:
        queue = await case.queue()
        while True:
            await queue.claim()

    async def reads(case: Case) -> None:
        begun.append(1)
        await world.client.send(wire.health())
        await server.stop()
        while True:
            await case.send(wire.health())

    server, notes = Pocket(), Notes()
    async with running(server) as url:
        client = Client(url, server.keys["all"], recorder=Recorder(notes), budget=RequestBudget(), run="testrun0")
        world = World(run="testrun0", client=client, ledger=Ledger())
        specs = [CaseSpec(name=f.__name__, requirement="VIS-1", function=f) for f in (publishes, claims, reads)]
        ended = await asyncio.wait_for(run_cases(world, specs, LagMeter()), LONGEST_S)
        again = await run_cases(world, specs[2:], LagMeter())
        sent = len(notes.invokes)
        await sweep(world)
        assert len(notes.invokes) == sent
        assert (await clean_up(world.ledger, client)).note == NO_ANSWER
        await client.close()
    assert {end.result.outcome for end in ended + again} == {Outcome.INCONCLUSIVE}
    assert {end.result.summary for end in ended + again} == {client.silence.word}
    assert begun == [1]


async def test_what_is_asked_of_a_silent_server_waits_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "SILENCE_S", 0.0)
    monkeypatch.setattr(client_module, "ONCE_SILENT_S", 0.05)

    ended = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # to the end: the client gives up
        writer.close()
        ended.set()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with client_of(f"http://127.0.0.1:{port}") as (client, _):
            for _ in range(CALLS_UNANSWERED):
                client.silence.note(answered=False, sent_ns=time.monotonic_ns())
            exchange = await asyncio.wait_for(client.send(wire.health()), LONGEST_S)
            assert exchange.told() == "no answer within 0.05 s"
        await asyncio.wait_for(ended.wait(), LONGEST_S)
