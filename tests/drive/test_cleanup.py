"""The server is left as it was found, with DELETE or without, also by what a cut-off run wrote down."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from drive_server import Notes, client_of, http, reset, scripted, silence
from fixtures.pocket import Pocket, running
from fixtures.registry import find

from queueproof.contract import wire
from queueproof.drive.cleanup import clean_up
from queueproof.drive.client import Client
from queueproof.errors import CorruptRunError
from queueproof.evidence.created import Ledger


@asynccontextmanager
async def serving(server: Pocket) -> AsyncIterator[tuple[Client, Notes]]:
    async with running(server) as url, client_of(url, key=server.keys["all"]) as found:
        yield found


async def used(client: Client, ledger: Ledger, slug: str = "qpx1", *, messages: int = 0) -> str:
    """A scope with a queue and messages, written down; its id."""
    ledger.intend(slug)
    scope = wire.identity((await client.send(wire.create_scope(slug, "x"))).data)
    ledger.created(slug, scope)
    fields = {"slug": "q", "display_name": "Q", "consumer_mode": "competing", "ordering": "fifo"}
    queue = wire.identity((await client.send(wire.create_queue(scope, fields))).data)
    ledger.queue(scope, queue)
    for number in range(messages):
        assert (await client.send(wire.publish(scope, queue, {"type": "t", "body": number}))).ok
    return scope


async def test_scopes_are_deleted() -> None:
    server, ledger = Pocket(), Ledger()
    async with serving(server) as (client, _):
        for slug in ("qpa1", "qpb2"):
            await used(client, ledger, slug, messages=2)
        cleaned = await clean_up(ledger, client)
    assert (cleaned.scopes_created, cleaned.scopes_deleted, cleaned.left, cleaned.note) == (2, 2, (), "")
    assert server.scopes == {}


async def test_scopes_of_others_are_left_alone() -> None:
    server, ledger = Pocket(), Ledger()
    async with serving(server) as (client, _):
        await client.send(wire.create_scope("theirs", "x"))
        await used(client, ledger)
        await clean_up(ledger, client)
    assert [scope.slug for scope in server.scopes.values()] == ["theirs"]


async def test_without_delete_the_queues_are_emptied_and_that_is_said() -> None:
    entry = find("undocumented_verbs_404")
    assert entry is not None
    server, ledger = entry.factory(), Ledger()
    assert isinstance(server, Pocket)
    async with serving(server) as (client, _):
        await used(client, ledger, messages=25)
        cleaned = await clean_up(ledger, client)
    assert (cleaned.scopes_deleted, cleaned.left) == (0, ("qpx1",))
    assert "no DELETE" in cleaned.note
    (scope,) = server.scopes.values()
    assert {message.state for message in scope.messages.values()} == {"completed"}


async def test_a_scope_whose_creation_was_not_answered_is_found_by_its_slug() -> None:
    entry = find("lists_are_paged")
    assert entry is not None
    server, ledger = entry.factory(), Ledger()
    assert isinstance(server, Pocket)
    async with serving(server) as (client, _):
        for number in range(30):
            await client.send(wire.create_scope(f"other{number}", "x"))
        await client.send(wire.create_scope("qplost", "x"))
        ledger.intend("qplost")
        cleaned = await clean_up(ledger, client)
    assert (cleaned.scopes_created, cleaned.scopes_deleted) == (1, 1)
    assert "qplost" not in {scope.slug for scope in server.scopes.values()}


async def test_what_was_only_intended_is_written_off_afterwards(tmp_path: Path) -> None:
    """A run killed between the ledger's line and the request: the server never heard of the scope."""
    path = tmp_path / "created.ndjson"
    server, ledger = Pocket(), Ledger(path)
    async with serving(server) as (client, _):
        await used(client, ledger)
        ledger.intend("qpnever")
        during = await clean_up(ledger, client)
        assert (during.scopes_deleted, during.left) == (1, ())
        assert set(Ledger.read(path).scopes) == {"qpnever"}, "its creation may still be under way"
        later = await clean_up(Ledger.read(path), client, afterwards=True)
    assert (later.scopes_created, later.left, later.note) == (0, (), "")
    assert Ledger.read(path).scopes == {}


async def test_a_server_that_lists_nothing_leaves_open_what_was_never_answered() -> None:
    ledger = Ledger()
    ledger.intend("qplost")
    refused = http({"error": {"code": "NOT_FOUND"}}, status=404)
    async with scripted(refused) as server, client_of(server.url) as (client, _):
        cleaned = await clean_up(ledger, client, afterwards=True)
    assert (cleaned.scopes_created, cleaned.left) == (0, ("qplost",))
    assert "not known" in cleaned.note
    assert set(ledger.scopes) == {"qplost"}


async def test_a_passing_fault_gets_another_try() -> None:
    ledger = Ledger()
    ledger.intend("qpx1")
    ledger.created("qpx1", "s1")
    async with (
        scripted(reset, http({}, status=503), http({"data": {}})) as server,
        client_of(server.url) as (client, _),
    ):
        cleaned = await clean_up(ledger, client)
    assert cleaned.scopes_deleted == 1


async def test_gone_after_a_lost_answer_is_gone() -> None:
    ledger = Ledger()
    ledger.intend("qpx1")
    ledger.created("qpx1", "s1")
    gone = http({"error": {"code": "NOT_FOUND"}}, status=404)
    async with scripted(reset, gone) as server, client_of(server.url) as (client, _):
        cleaned = await clean_up(ledger, client)
    assert cleaned.scopes_deleted == 1


@pytest.mark.parametrize("afterwards", [False, True])
async def test_a_server_that_was_made_anew_has_nothing_left(afterwards: bool) -> None:
    """After the run its list of scopes tells "no such scope" from "no such verb"."""
    ledger = Ledger()
    ledger.intend("qpx1")
    ledger.created("qpx1", "s1")
    unknown, nothing = http({"error": {"code": "NOT_FOUND"}}, status=404), http({"data": []})
    async with scripted(unknown, nothing) as server, client_of(server.url) as (client, _):
        cleaned = await clean_up(ledger, client, afterwards=afterwards)
    assert cleaned.left == (() if afterwards else ("qpx1",))


async def test_a_server_that_is_gone_leaves_a_list() -> None:
    ledger = Ledger()
    ledger.intend("qpx1")
    ledger.created("qpx1", "s1")
    ledger.queue("s1", "q1")
    async with client_of("http://127.0.0.1:9") as (client, _):
        cleaned = await clean_up(ledger, client)
    assert (cleaned.scopes_deleted, cleaned.left) == (0, ("qpx1",))
    assert "no DELETE" not in cleaned.note
    assert cleaned.note


async def test_a_ledger_that_was_cleaned_has_nothing_left(tmp_path: Path) -> None:
    path = tmp_path / "created.ndjson"
    server, ledger = Pocket(), Ledger(path)
    async with serving(server) as (client, _):
        await used(client, ledger)
        await clean_up(ledger, client)
        again = await clean_up(Ledger.read(path), client)
    assert (again.scopes_created, again.left) == (0, ())


class TestLedger:
    """Written before the scope is asked for; read again whatever happened to its writer."""

    def lines(self, path: Path) -> list[str]:
        return path.read_text().splitlines()

    def test_round_trip(self, tmp_path: Path) -> None:
        path = tmp_path / "created.ndjson"
        ledger = Ledger(path)
        ledger.intend("a")
        assert len(self.lines(path)) == 1
        ledger.created("a", "s1")
        ledger.queue("s1", "q1")
        ledger.intend("b")
        ledger.intend("c")
        ledger.refused("c")
        again = Ledger.read(path)
        assert again.scopes == ledger.scopes
        assert {slug: (scope.id, scope.queues) for slug, scope in again.scopes.items()} == {
            "a": ("s1", ["q1"]),
            "b": ("", []),
        }

    def test_torn_at_every_byte(self, tmp_path: Path) -> None:
        path = tmp_path / "created.ndjson"
        ledger = Ledger(path)
        ledger.intend("a")
        ledger.created("a", "s1")
        ledger.queue("s1", "qü")
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            assert set(Ledger.read(path).scopes) <= {"a"}

    @pytest.mark.parametrize("content", [b"\xff\xfe\n", b"1\n", b"[]\n", b'{"refused": true}\n', b'{"queue": "q"}\n'])
    def test_what_was_changed_by_hand_says_so_or_tells_nothing(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "created.ndjson"
        path.write_bytes(b'{"slug": "a", "id": "s1"}\n' + content)
        try:
            assert set(Ledger.read(path).scopes) == {"a"}
        except CorruptRunError as error:
            assert error.hint


async def test_an_interrupted_clean_up_can_go_on(tmp_path: Path) -> None:
    """What was deleted is written down at once: the rest is what is left."""
    path = tmp_path / "created.ndjson"
    ledger = Ledger(path)
    for number in (1, 2):
        ledger.intend(f"qp{number}")
        ledger.created(f"qp{number}", f"s{number}")
    async with (
        scripted(http({"data": {}}), silence) as server,
        client_of(server.url, read_timeout_s=1.0) as (client, _),
    ):
        await clean_up(ledger, client)
    assert set(Ledger.read(path).scopes) == {"qp2"}
