"""The dispatcher: every arrival once, in order, none early, with either timer."""

import time
from typing import Any

import pytest

from queueproof.swarm import arrivals
from queueproof.swarm.dispatcher import Dispatcher, HubTimer, KernelTimer


@pytest.mark.parametrize("kind", [KernelTimer, HubTimer])
def test_every_arrival_is_started_once_and_none_early(kind: Any) -> None:
    seen: list[tuple[int, int, int]] = []
    start_ns = time.monotonic_ns() + 2_000_000
    schedule = arrivals.share(arrivals.schedule(arrivals.constant(2000, 0.05)), index=0, workers=1)
    dispatcher = Dispatcher(
        schedule,
        lambda number, intended: seen.append((number, intended, time.monotonic_ns())),
        start_ns=start_ns,
        make_timer=kind,
    )
    dispatcher.start()
    assert dispatcher.finished.wait(10)
    assert [number for number, _, _ in seen] == list(range(100))
    assert all(now >= intended for _, intended, now in seen)
    assert [intended - start_ns for _, intended, _ in seen][:3] == [0, 500_000, 1_000_000]
    assert dispatcher.started == 100


def test_a_late_start_keeps_the_intended_times() -> None:
    """Whatever held the process up: all are started, with their own intended starts."""
    seen: list[int] = []
    start_ns = time.monotonic_ns() - 5_000_000_000
    schedule = arrivals.share(arrivals.schedule(arrivals.constant(100, 3)), index=0, workers=1)
    dispatcher = Dispatcher(schedule, lambda _, intended: seen.append(intended), start_ns=start_ns)
    dispatcher.start()
    assert dispatcher.finished.wait(10)
    assert len(seen) == 300
    assert seen[-1] == start_ns + 2_990_000_000


def test_stopping_leaves_the_rest_unstarted() -> None:
    start_ns = time.monotonic_ns()
    schedule = arrivals.share(arrivals.schedule(arrivals.constant(1000, 100)), index=0, workers=1)
    dispatcher = Dispatcher(schedule, lambda number, _: dispatcher.stop() if number == 20 else None, start_ns=start_ns)
    dispatcher.start()
    assert dispatcher.finished.wait(10)
    dispatcher.stop()
    assert dispatcher.started == 21


def test_an_empty_schedule_is_finished_at_once() -> None:
    dispatcher = Dispatcher(iter(()), lambda *_: None, start_ns=0)
    dispatcher.start()
    assert dispatcher.finished.is_set()
