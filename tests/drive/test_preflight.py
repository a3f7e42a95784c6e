"""What no case could run on ends the run with what to do next; every other way to be right is learnt."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from drive_server import Say, client_of, http, reset, scripted, self_signed, silence
from fixtures.pocket import Pocket, Server, running
from fixtures.registry import find

from queueproof.drive import preflight
from queueproof.drive.preflight import check_target
from queueproof.drive.world import Dialect, World
from queueproof.errors import TargetError
from queueproof.evidence.created import Ledger

PAGE = b"<!doctype html><title>Welcome</title>"


def refusal(code: str) -> dict[str, Any]:
    return {"status": "error", "error": {"code": code, "message": "no"}}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between tries nothing is waited for."""
    sleep = asyncio.sleep
    monkeypatch.setattr(preflight.asyncio, "sleep", lambda _seconds: sleep(0))


@asynccontextmanager
async def world_of(url: str, key: str = "sgk_test_0123456789", **options: Any) -> AsyncIterator[World]:
    async with client_of(url, key=key, **options) as (client, _):
        yield World(run="testrun0", client=client, ledger=Ledger())


async def refused(url: str, **options: Any) -> TargetError:
    async with world_of(url, **options) as world:
        with pytest.raises(TargetError) as caught:
            await check_target(world)
    assert caught.value.hint
    return caught.value


class TestUnusable:
    """One clear line, and what to do next."""

    @pytest.mark.parametrize(
        ("say", "message", "hint"),
        [
            (http(content=PAGE, kind="text/html"), "a web page instead of JSON", "base address"),
            (http(content=PAGE, status=404), "a web page instead of JSON", "base address"),
            (http({}, status=302, Location="https://x/login"), "redirects to https://x/login", "as --url"),
            (http({}, status=308), "redirects to an unnamed place", "as --url"),
            (http(refusal("AUTH_TOKEN_INVALID"), status=401), "refused the key (401 AUTH_TOKEN_INVALID)", "--api-key"),
            (http(refusal("AUTHZ_PERMISSION_DENIED"), status=403), "may not create scopes", "scaiqueue:manage"),
            (http(refusal("NOT_FOUND"), status=404), "gives 404 NOT_FOUND", "base address"),
            (http({"detail": "x"}, status=405), "gives 405", "base address"),
            (reset, "cannot be used", "HTTP server|running"),
            (b"SSH-2.0-OpenSSH_9\r\n\r\n", "no HTTP", "HTTP server"),
            (silence, "no answer within 0.05 s", "said nothing"),
        ],
    )
    async def test_answers(self, say: Say, message: str, hint: str) -> None:
        async with scripted(say) as server:
            error = await refused(server.url, read_timeout_s=0.05 if say is silence else 5.0)
        assert message in error.message
        assert any(part in error.hint for part in hint.split("|"))

    async def test_a_hanging_server_is_waited_for_once(self) -> None:
        async with scripted(silence) as server:
            await refused(server.url, read_timeout_s=0.05)
        assert len(server.requests) == 1

    async def test_a_dead_port(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            error = await refused(f"http://127.0.0.1:{taken.getsockname()[1]}")
        assert "no connection" in error.message
        assert "running" in error.hint

    async def test_a_name_that_leads_nowhere(self) -> None:
        assert "no connection" in (await refused("http://queueproof.invalid")).message

    async def test_https_spoken_to_a_server_of_http(self) -> None:
        async with running(Pocket()) as url:
            error = await refused(url.replace("http:", "https:"))
        assert "https" in error.hint

    async def test_a_certificate_that_nobody_vouches_for(self, tmp_path: Path) -> None:
        async with scripted(http({}), ssl=self_signed(tmp_path)) as server:
            error = await refused(server.url)
            assert "certificate" in error.message.lower()
            assert "certificate" in error.hint
        assert server.requests == []

    async def test_the_key_is_not_in_the_message(self) -> None:
        says = http(refusal("BAD sgk_test_0123456789"), status=401)
        async with scripted(says) as server:
            assert "sgk_test" not in str(await refused(server.url))


class TestPassingFaults:
    """What the network spoils once is tried again, and a broken promise is left to its case."""

    async def test_a_reset_before_the_first_answer(self) -> None:
        async with scripted(reset, reset, http({"data": {"id": "s1"}})) as server, world_of(server.url) as world:
            await check_target(world)
        assert world.scope == "s1"

    @pytest.mark.parametrize(
        "say",
        [
            http(refusal("X"), status=422),
            http({}),
            http({"data": []}),
            http(refusal("X"), status=500),
            http(content=b"oops", status=500, kind="text/plain"),
        ],
    )
    async def test_broken_promises(self, say: bytes) -> None:
        async with scripted(say) as server, world_of(server.url) as world:
            await check_target(world)
        assert world.scope == ""
        assert world.dialect == Dialect()

    async def test_a_refused_scope_is_not_to_be_cleaned_up(self) -> None:
        async with scripted(http(refusal("X"), status=422)) as server, world_of(server.url) as world:
            await check_target(world)
        assert world.ledger.scopes == {}

    async def test_an_unanswered_scope_is(self) -> None:
        async with scripted(silence) as server, world_of(server.url, read_timeout_s=0.05) as world:
            with pytest.raises(TargetError):
                await check_target(world)
        assert [scope.id for scope in world.ledger.scopes.values()] == [""]


class CorrelationRefused(Pocket):
    """Takes no correlation_id."""

    def read_object(self, request: Any) -> dict[str, Any]:
        fields = super().read_object(request)
        if "correlation_id" in fields:
            from fixtures.pocket.wire import invalid

            raise invalid("correlation_id", "is not known")
        return fields


class TestDialect:
    """The ways to be right."""

    async def learnt(self, server: Server) -> tuple[Dialect, World]:
        async with running(server) as url, world_of(url, server.keys["all"]) as world:
            await check_target(world)
        assert world.scope
        return world.dialect, world

    async def test_the_usual(self) -> None:
        dialect, world = await self.learnt(Pocket())
        assert dialect == Dialect()
        (scope,) = world.ledger.scopes.values()
        assert (scope.id, len(scope.queues)) == (world.scope, 1)

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("timeouts_from_five_seconds", Dialect(timeout_s=5)),
            ("batches_to_ten", Dialect(batch_max=10)),
            ("batches_of_one_only", Dialect(batch_max=1)),
            ("max_depth_required", Dialect(queue_fields_needed=frozenset({"max_depth"}))),
            ("key_required", Dialect(publish_key_needed=True)),
            ("unknown_fields_refused", Dialect()),
            ("lists_have_items", Dialect()),
            ("empty_claim_204", Dialect()),
        ],
    )
    async def test_others(self, name: str, expected: Dialect) -> None:
        entry = find(name)
        assert entry is not None
        assert (await self.learnt(entry.factory()))[0] == expected

    async def test_correlation_refused(self) -> None:
        assert (await self.learnt(CorrelationRefused()))[0] == Dialect(correlation=False)
