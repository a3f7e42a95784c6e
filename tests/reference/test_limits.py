"""Rate limits."""

from collections.abc import Callable
from typing import Any

import pytest

from scaiqueue_reference.api.limits import RateLimits
from scaiqueue_reference.auth import Caller
from scaiqueue_reference.errors import RateLimited
from scaiqueue_reference.message import Actor

ANN = Caller(Actor("user", "ann"), "t", frozenset())
BOB = Caller(Actor("user", "bob"), "t", frozenset())


class _Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _remaining(limits: RateLimits, caller: Caller) -> int:
    return int(dict(limits.count(caller))[b"x-scaigrid-ratelimit-remaining"])


def test_a_window_slides() -> None:
    """The first call leaves it after its length, and makes room for exactly one."""
    clock = _Time()
    limits = RateLimits(2, 0, 60, clock)
    assert _remaining(limits, ANN) == 1
    clock.now = 30
    assert _remaining(limits, ANN) == 0
    clock.now = 45
    with pytest.raises(RateLimited) as caught:
        limits.count(ANN)
    assert caught.value.retry_after == 15
    clock.now = 60
    assert _remaining(limits, ANN) == 0
    assert _remaining(limits, BOB) == 1


def test_a_tenant_has_a_window_of_its_own() -> None:
    """All its keys share it; the nearer limit is the one that is told."""
    limits = RateLimits(10, 2, 60, _Time())
    assert (_remaining(limits, ANN), _remaining(limits, BOB)) == (1, 0)
    with pytest.raises(RateLimited):
        limits.count(ANN)


def test_no_limit_says_nothing() -> None:
    """No headers, no count."""
    limits = RateLimits(0, 0, 60)
    assert [limits.count(ANN) for _ in range(1000)] == [()] * 1000


def test_429_carries_everything_a_client_needs(running: Callable[..., Any], client: Any) -> None:
    """Code, retry_after, Retry-After and the three headers; the headers stand on successes as well."""
    with running("--rate-limit", "3", "--rate-window", "3600") as server:
        api = client(server)
        with api.http:
            answers = [api.call("GET", "/scopes") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert [answer.headers["X-Scaigrid-Ratelimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
            refused = answers[-1]
            error = refused.json()["error"]
            assert (error["code"], str(error["retry_after"])) == ("RATE_LIMITED", refused.headers["Retry-After"])
            assert refused.headers["X-Scaigrid-Ratelimit-Limit"] == "3"
            assert api.call("GET", "/scopes", key="view").status_code == 200
            assert api.http.get("/health/ready").json() == {"status": "ok"}
