"""Between two windows the target comes to rest; one that never does is told, one that is gone is an error."""

import asyncio
import contextlib

import pytest
from drive_server import http, scripted

from queueproof.drive.calm import ALWAYS_CALM_S, IN_A_ROW, LONGEST_LIMIT_S, Calm, Reader
from queueproof.errors import TargetError


class Target:
    """Answers reads in these seconds, the last for ever; its own clock goes on by what they take."""

    def __init__(self, *took: float | None) -> None:
        self.took = list(took)
        self.now = 0.0
        self.reads = 0

    def read(self) -> float | None:
        self.reads += 1
        took = self.took.pop(0) if len(self.took) > 1 else self.took[0]
        self.now += took or 0.5
        return took

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def calm(self) -> Calm:
        return Calm(read=self.read, clock=lambda: self.now, sleep=self.sleep)


def test_a_target_at_rest_is_not_waited_for() -> None:
    target = Target(0.002)
    calm = target.calm()
    assert (calm.wait(), calm.wait()) == ("", "")
    assert target.reads == 2 * IN_A_ROW


def test_a_target_that_is_still_at_work_is_waited_for() -> None:
    target = Target(*[0.002] * IN_A_ROW, 0.9, 0.4, 0.002)
    calm = target.calm()
    calm.wait()
    assert calm.wait() == ""
    assert target.reads == 2 * IN_A_ROW + 2


def test_small_differences_are_nobodys_work() -> None:
    target = Target(*[0.002] * IN_A_ROW, ALWAYS_CALM_S)
    calm = target.calm()
    calm.wait()
    assert calm.wait() == ""
    assert target.reads == 2 * IN_A_ROW


def test_what_is_used_up_of_a_rate_limit_is_waited_out() -> None:
    target = Target(0.002)
    left = [40.0, 0.5, 0.0]
    calm = Calm(read=target.read, limited_s=lambda: left.pop(0), clock=lambda: target.now, sleep=target.sleep)
    assert calm.wait() == ""
    assert not left and 40.5 < target.now < 41


def test_a_rate_limit_that_never_ends_is_not_waited_for() -> None:
    target = Target(0.002)
    calm = Calm(read=target.read, limited_s=lambda: 3600.0, clock=lambda: target.now, sleep=target.sleep)
    assert calm.wait() == ""
    assert LONGEST_LIMIT_S <= target.now < LONGEST_LIMIT_S + 1


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (404, {}, 0.0),
        (404, {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "95", "X-RateLimit-Reset": "30"}, 0.0),
        (404, {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "20", "X-RateLimit-Reset": "30"}, 30.0),
        (404, {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "20", "X-RateLimit-Reset": "86400"}, 0.0),
        (429, {"Retry-After": "7"}, 7.0),
        (429, {}, 1.0),
    ],
)
async def test_a_reader_hears_of_rate_limits(status: int, headers: dict[str, str], seconds: float) -> None:
    more = {name.replace("-", "_"): value for name, value in headers.items()}
    async with scripted(http({"status": "error"}, status=status, **more)) as server:
        with contextlib.closing(Reader(server.url, "sgk")) as reader:
            assert await asyncio.to_thread(reader.read) is not None
    assert seconds - 1 < reader.limited_s() <= seconds


def test_a_target_that_never_rests_is_told() -> None:
    target = Target(*[0.002] * IN_A_ROW, 0.9)
    calm = target.calm()
    calm.wait()
    assert "900 ms" in calm.wait()


def test_a_target_that_is_gone_is_an_error() -> None:
    with pytest.raises(TargetError, match="did not answer"):
        Target(None).calm().wait()


def test_a_target_that_comes_back_is_waited_for() -> None:
    target = Target(*[0.002] * IN_A_ROW, None, None, 0.002)
    calm = target.calm()
    calm.wait()
    assert calm.wait() == ""
