"""How far a server's clock is from ours, read off the `Date` headers of its answers."""

import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime

from queueproof.drive.client import Exchange

# `Date` has whole seconds, cut off: the moment is somewhere inside the second that it names.
RESOLUTION_S = 1.0


def clock_skew_s(exchanges: Iterable[Exchange]) -> tuple[float, float] | None:
    """Between which bounds the server's clock is ahead of ours, in seconds (negative: behind); None without a Date.

    An answer's Date was written between the call and its return: each answer bounds the difference, all of them
    together more narrowly. Bounds that cross (the clock was set in between) are given as the last answer's own.
    """
    low, high = float("-inf"), float("inf")
    offset_s = time.time() - time.monotonic()
    last: tuple[float, float] | None = None
    for exchange in exchanges:
        said_s = _date_s(exchange)
        if said_s is None:
            continue
        last = (
            said_s - (exchange.ret_ns / 1e9 + offset_s),
            said_s + RESOLUTION_S - (exchange.inv_ns / 1e9 + offset_s),
        )
        low, high = max(low, last[0]), min(high, last[1])
    return last if last is None or low > high else (low, high)


def _date_s(exchange: Exchange) -> float | None:
    text = exchange.answer.headers.get("date", "") if exchange.answer else ""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
