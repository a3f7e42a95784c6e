"""The server's timed duties: it takes back what was claimed too long, and ends what lived too long."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from scaiqueue_reference.broker import Broker
from scaiqueue_reference.errors import ApiError
from scaiqueue_reference.message import Message
from scaiqueue_reference.pending import PendingAway
from scaiqueue_reference.webhooks import DISPATCH_EVERY_S, Dispatcher

_log = logging.getLogger(__name__)

# The contract's cadence is a second; a quarter of it keeps a reclaim well inside that.
VISIBILITY_EVERY_S = 0.25
EXPIRY_EVERY_S = 1.0
REPAIR_EVERY_S = 1.0
ARCHIVE_EVERY_S = 60.0

# How long a message that ended stays what it was, in µs: a week.
ARCHIVE_AFTER_US = 7 * 86_400 * 1_000_000

# One pass's share: a bigger backlog is taken in further passes at once, so that one pass never holds the rows long.
_SHARE = 500

_Find = Callable[[int, int], Awaitable[Sequence[Message]]]
_Do = Callable[[Message], Awaitable[bool]]
_Duty = Callable[[], Awaitable[int]]


class Agents:
    """Runs every duty in its own task until `stop`; a failing pass is logged and the next one tries again."""

    def __init__(self, broker: Broker, dispatcher: Dispatcher) -> None:
        self._broker = broker
        self._dispatcher = dispatcher
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts the duties in the running loop."""
        store = self._broker.store
        reclaim = partial(self._all, store.overdue, self._broker.reclaim)
        expire = partial(self._all, store.expired, self._broker.expire)
        archive = partial(self._all, self._ended, self._broker.archive)
        duties: list[tuple[str, float, _Duty]] = [
            ("visibility_timeout_enforcer", VISIBILITY_EVERY_S, reclaim),
            ("expiry_enforcer", EXPIRY_EVERY_S, expire),
            ("message_archiver", ARCHIVE_EVERY_S, archive),
            ("webhook_dispatcher", DISPATCH_EVERY_S, self._dispatcher.step),
        ]
        if self._broker.shared:
            duties.append(("order_repair", REPAIR_EVERY_S, self._broker.repair))
        self._tasks = [asyncio.create_task(self._repeat(*duty), name=duty[0]) for duty in duties]

    async def stop(self) -> None:
        """Ends the duties; a pass under way is left where it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._dispatcher.close()

    async def _ended(self, now_us: int, limit: int) -> Sequence[Message]:
        return await self._broker.store.finished(now_us - ARCHIVE_AFTER_US, limit)

    async def _repeat(self, name: str, every_s: float, duty: _Duty) -> None:
        while True:
            try:
                if done := await duty():
                    _log.info("%s: %d", name, done)
            except (ApiError, PendingAway) as error:
                _log.warning("%s: %s", name, error)
            except Exception:
                _log.exception("%s failed", name)
            await asyncio.sleep(every_s)

    async def _all(self, find: _Find, do: _Do) -> int:
        total = 0
        while found := await find(self._broker.clock.now_us(), _SHARE):
            total += sum(await asyncio.gather(*map(do, found)))
            if len(found) < _SHARE:
                break
        return total
