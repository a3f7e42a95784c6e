"""Starts each arrival of a schedule on time, woken by the kernel's own timer.

libev rounds its timers to whole milliseconds; a timerfd, watched like any socket, wakes the hub within some 20 µs.
Where there is none (macOS), the hub's timers do the work, and the lateness in the report tells.
"""

import ctypes
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import gevent
import gevent.event

# After a stall many arrivals are due at once: so many are started before answers are read again.
BURST: Final = 64

# Two wake-ups are at least so far apart: above 5,000/s arrivals go in twos and threes, late by as much at most. A
# wake-up each costs the core a third more at 10,000/s, and a busier core is later than that.
GRAIN_NS: Final = 200_000

_TFD_NONBLOCK: Final = os.O_NONBLOCK
_TFD_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_TFD_TIMER_ABSTIME: Final = 1

Arrival = tuple[int, int]  # (number in the whole schedule, intended start: ns after the load's start)
Fire = Callable[[int, int], None]  # (number, intended start: ns of the monotonic clock)


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class KernelTimer:
    """A timerfd on the monotonic clock, watched by this thread's hub; calls `wake` once for each `arm`."""

    precise = True

    def __init__(self, wake: Callable[[], None]) -> None:
        """Raises OSError where there is no timerfd."""
        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, "no timerfd")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._spec = _Itimerspec()
        self._wake = wake
        self._watcher = gevent.get_hub().loop.io(self._descriptor, 1)
        self._watcher.start(self._expired)

    def arm(self, at_ns: int) -> None:
        """Wakes at `at_ns` of the monotonic clock, or at once when that has passed."""
        value = self._spec.value
        value.sec, value.nsec = divmod(max(at_ns, 1), 1_000_000_000)
        if self._libc.timerfd_settime(self._descriptor, _TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def _expired(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:  # armed anew between the wake-up and this read
            return
        self._wake()

    def close(self) -> None:
        self._watcher.stop()
        self._watcher.close()
        os.close(self._descriptor)


class HubTimer:
    """The same by the hub's own timers: late by up to a millisecond."""

    precise = False

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._timer: Any = None

    def arm(self, at_ns: int) -> None:
        self._forget()
        self._timer = gevent.get_hub().loop.timer(max(0.0, (at_ns - time.monotonic_ns()) / 1e9))
        self._timer.start(self._expired, update=True)

    def _expired(self) -> None:
        self._forget()
        self._wake()

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def close(self) -> None:
        self._forget()


def timer(wake: Callable[[], None]) -> KernelTimer | HubTimer:
    """The best timer that this machine has."""
    try:
        return KernelTimer(wake)
    except (OSError, AttributeError):  # AttributeError: a C library without timerfd_create
        return HubTimer(wake)


class Dispatcher:
    """Runs one share of a schedule: `fire(number, intended_ns)` in the hub for every arrival, in order.

    `fire` must not block. When the schedule is exhausted or stopped, `finished` is set; `started` counts the arrivals
    that were fired.
    """

    def __init__(
        self,
        arrivals: Iterator[Arrival],
        fire: Fire,
        *,
        start_ns: int,
        make_timer: Callable[[Callable[[], None]], KernelTimer | HubTimer] = timer,
    ) -> None:
        """`start_ns`: when the load starts, ns of the monotonic clock."""
        self._arrivals = arrivals
        self._fire = fire
        self._start_ns = start_ns
        self._woken_ns = -GRAIN_NS  # the last wake-up, after the start
        self._next = next(arrivals, None)
        self._timer = make_timer(self._due)
        self.precise = self._timer.precise
        self.started = 0
        self.finished = gevent.event.Event()

    def start(self) -> None:
        self._arm()

    def stop(self) -> None:
        """No further arrival is started; calling it twice is fine."""
        if not self.finished.is_set():
            self._next = None
            self._timer.close()
            self.finished.set()

    def _arm(self) -> None:
        if self._next is None:
            self.stop()
        else:
            self._timer.arm(self._start_ns + max(self._next[1], self._woken_ns + GRAIN_NS))

    def _due(self) -> None:
        self._woken_ns = now_ns = time.monotonic_ns() - self._start_ns
        for _ in range(BURST):
            if self._next is None or self._next[1] > now_ns:
                break
            number, offset_ns = self._next
            self._next = next(self._arrivals, None)
            self.started += 1
            self._fire(number, self._start_ns + offset_ns)
        if not self.finished.is_set():
            self._arm()
