"""An examination says what a server can do, on any dialect, and leaves nothing behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fixtures.pocket import Pocket, Reply, Request, Server, running
from fixtures.registry import find

from queueproof import conduct_doctor
from queueproof.drive import doctor as room
from queueproof.drive.target import Target
from queueproof.errors import ExitCode
from queueproof.evidence.checkup import Checkup, Sign


@asynccontextmanager
async def at(server: Server) -> AsyncIterator[Target]:
    async with running(server) as url:
        keys = dict(getattr(server, "keys", None) or {"all": "sgk_test_0123456789"})
        yield Target(url=url, key=keys.pop("all"), keys=keys, kind="url")


async def examined(server: Server, **keys: str) -> tuple[Checkup, ExitCode]:
    async with at(server) as target:
        if keys:
            target = Target(url=target.url, key=keys.pop("api", target.key), keys=keys)
        return await conduct_doctor._of(target, asyncio.Event(), time.monotonic())


def line(checkup: Checkup, area: str, name: str) -> Any:
    return next(line for line in checkup.lines if (line.area, line.name) == (area, name))


def served(name: str) -> Server:
    entry = find(name)
    assert entry is not None
    return entry.factory()


@pytest.fixture(scope="module")
def checkups() -> Mapping[str, tuple[Checkup, ExitCode, Server]]:
    """Many dialects at once."""
    names = (
        *("pocket", "undocumented_verbs_404", "timeouts_from_five_seconds", "batches_of_one_only", "single_file"),
        *("unknown_fields_refused", "rate_limited", "keys_are_short_ascii", "ids_need_escaping", "bare_envelopes"),
    )

    async def all_of_them() -> list[tuple[Checkup, ExitCode, Server]]:
        servers = [served(name) for name in names]
        ended = await asyncio.gather(*(examined(server) for server in servers))
        return [(*end, server) for end, server in zip(ended, servers, strict=True)]

    return dict(zip(names, asyncio.run(all_of_them()), strict=True))


class TestUsable:
    """Exit 0, and what is there."""

    def test_any_dialect_is_usable(self, checkups: Mapping[str, tuple[Checkup, ExitCode, Server]]) -> None:
        for name, (checkup, code, _) in checkups.items():
            assert (code, checkup.usable, checkup.complete) == (0, True, True), (name, checkup.summary)
            assert not [line for line in checkup.lines if line.sign is Sign.BAD], name

    def test_the_enforcer_is_seen_alive(self, checkups: Mapping[str, tuple[Checkup, ExitCode, Server]]) -> None:
        for name, (checkup, _, _) in checkups.items():
            assert line(checkup, "enforcer", "visibility timeout").sign is Sign.GOOD, name

    def test_nothing_is_left(self, checkups: Mapping[str, tuple[Checkup, ExitCode, Server]]) -> None:
        for name, (checkup, _, server) in checkups.items():
            left = line(checkup, "left behind", "scopes").value
            assert left == [scope.slug for scope in server.scopes.values()], name  # type: ignore[attr-defined]
            assert bool(left) == name.startswith("undocumented_verbs"), name

    def test_verbs(self, checkups: Mapping[str, tuple[Checkup, ExitCode, Server]]) -> None:
        there = line(checkups["pocket"][0], "verbs", "there").value
        assert {"extend", "release", "fail", "pause a queue", "delete a queue", "audit trace"} <= set(there)
        absent = line(checkups["undocumented_verbs_404"][0], "verbs", "not there").value
        assert {"extend", "release", "fail", "pause a queue"} <= set(absent)

    def test_keys(self, checkups: Mapping[str, tuple[Checkup, ExitCode, Server]]) -> None:
        checkup = checkups["pocket"][0]
        assert set(checkup.value("keys", "api")["rights"]) == {"view", "publish", "consume", "manage"}
        for name in ("view", "publish", "consume", "manage"):
            assert checkup.value("keys", name) == {"valid": True, "rights": [name]}
        assert checkup.value("keys", "foreign") == {"valid": True, "sees_this_tenant": False}

    def test_rates(self, checkups: Mapping[str, tuple[Checkup, ExitCode, Server]]) -> None:
        limit = checkups["rate_limited"][0].value("rates", "limit")
        assert limit["limit"] == 25
        assert 1 <= limit["window_s"] <= 2
        assert checkups["pocket"][0].value("rates", "limit") == {"refused": 0}

    def test_speed(self, checkups: Mapping[str, tuple[Checkup, ExitCode, Server]]) -> None:
        told = checkups["pocket"][0].value("speed", "all")
        assert 0 < told["median_ms"] <= told["max_ms"]


class TestWrong:
    """What is wrong is said, with what to do."""

    async def test_a_dead_enforcer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "BACK_WITHIN_S", 0.3)
        checkup, code = await examined(served("redelivery_never"))
        found = line(checkup, "enforcer", "visibility timeout")
        assert found.sign is Sign.BAD
        assert "worker" in found.advice
        assert (code, checkup.usable) == (0, True)
        assert "enforcer" in checkup.summary

    async def test_a_key_without_a_right_that_every_case_needs(self) -> None:
        server = Pocket()
        checkup, code = await examined(server, api=server.keys["view"])
        assert (code, checkup.usable) == (3, False)
        assert "scaiqueue:manage" in checkup.advice

    async def test_keys_that_are_not_what_their_names_say(self) -> None:
        server = Pocket()
        keys = {"view": server.keys["all"], "publish": server.keys["view"], "consume": "sgk_unknown_0123456789"}
        checkup, code = await examined(server, **keys, foreign=server.keys["manage"])
        signs = {found.name: found.sign for found in checkup.lines if found.area == "keys"}
        assert signs == {
            "api": Sign.GOOD,
            "view": Sign.ODD,
            "publish": Sign.ODD,
            "consume": Sign.BAD,
            "foreign": Sign.GOOD,
        }
        assert code == 0

    @pytest.mark.parametrize("name", ["always_404", "always_403", "always_empty_object", "redirect", "echo"])
    async def test_what_is_no_queue(self, name: str) -> None:
        checkup, code = await examined(served(name))
        assert (code, checkup.usable) == (3, False)
        assert checkup.advice
        assert line(checkup, "reach", "HTTP").sign is Sign.BAD

    async def test_nobody_there(self) -> None:
        async with at(Pocket()) as target:
            pass
        checkup, code = await conduct_doctor._of(target, asyncio.Event(), time.monotonic())
        assert (code, checkup.usable) == (3, False)
        assert "closed" in checkup.summary

    async def test_a_server_that_hangs_is_asked_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "ANSWERS_WITHIN_S", 0.2)
        checkup, code = await examined(served("hang"))
        assert (code, checkup.requests) == (ExitCode.TARGET, 1)
        assert "no answer within 0.2 s" in checkup.summary
        assert "perhaps" in line(checkup, "left behind", "scopes").said

    async def test_a_limit_that_lets_nothing_through_is_not_waited_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(room, "PATIENCE_S", 0.0)
        checkup, code = await examined(served("always_429"))
        assert (code, checkup.requests) == (ExitCode.TARGET, 1)
        assert "answers 429" in checkup.summary
        assert not [found for found in checkup.lines if found.area == "left behind"], "it was refused: nothing is there"

    async def test_few_requests_left(self) -> None:
        class Counting(Pocket):
            async def answer(self, request: Request) -> Reply:
                reply = await super().answer(request)
                reply.headers.append(("X-Scaigrid-Ratelimit-Remaining", "40"))
                return reply

        checkup, _ = await examined(Counting())
        assert checkup.value("keys", "view") == {"valid": True}
        assert "rights" in checkup.value("keys", "api")

    async def test_interrupted_it_still_cleans_up(self) -> None:
        stop = asyncio.Event()

        class Stopping(Pocket):
            async def answer(self, request: Request) -> Reply:
                if request.method == "POST" and request.target.endswith("/extend"):
                    stop.set()
                return await super().answer(request)

        server = Stopping()
        async with at(server) as target:
            checkup, code = await conduct_doctor._of(target, stop, time.monotonic())
        assert (code, checkup.complete, checkup.usable) == (130, False, False)
        assert not server.scopes
