"""One connection to Redis that is never waited for long: what cannot be asked raises PendingAway."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from scaiqueue_reference.pending import PendingAway

T = TypeVar("T")

PREFIX = "scaiqueue"
_TIMEOUT_S = 1.0  # an answer takes less than a millisecond
_REST_S = 0.5  # after a failure Redis is left alone this long, so that not every call waits for it


class RedisLink:
    """What is kept in Redis asks through this."""

    def __init__(self, url: str) -> None:
        self._redis: Any = redis.asyncio.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._away_until = 0.0

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()

    async def _ask(self, question: Callable[[], Awaitable[T]]) -> T:
        if time.monotonic() < self._away_until:
            raise PendingAway
        try:
            return await question()
        except (RedisError, OSError, TimeoutError) as error:
            self._away_until = time.monotonic() + _REST_S
            raise PendingAway(str(error)) from error
