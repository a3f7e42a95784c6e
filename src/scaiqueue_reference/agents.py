"""The server's timed duties: they take back, end, move and remove what has stood too long."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import msgspec

from scaiqueue_reference.broker import Broker
from scaiqueue_reference.errors import ApiError, SlugTaken
from scaiqueue_reference.message import AgentStatus, Message
from scaiqueue_reference.pending import PendingAway
from scaiqueue_reference.settings import Settings
from scaiqueue_reference.webhooks import DISPATCH_EVERY_S, Dispatcher

_log = logging.getLogger(__name__)

# The contract's cadence is a second; a quarter of it keeps a reclaim well inside that.
VISIBILITY_EVERY_S = 0.25
EXPIRY_EVERY_S = 1.0
REPAIR_EVERY_S = 1.0
STATUS_EVERY_S = 5.0
# A duty that waits for an age looks four times within it, within these bounds: the first one's, and this.
SLOWEST_S = 60.0

# One pass's share: a bigger backlog is taken in further passes at once, so that one pass never holds the rows long.
_SHARE = 500

# How long a duty may take to end before it is cancelled once more.
CANCEL_AGAIN_S = 0.2

_Find = Callable[[int, int], Awaitable[Sequence[Message]]]
_Do = Callable[[Message], Awaitable[bool]]
_Duty = Callable[[], Awaitable[int]]


class Agents:
    """Runs every duty in its own task until `stop`; a failing pass is logged and the next one tries again."""

    def __init__(self, broker: Broker, dispatcher: Dispatcher, settings: Settings) -> None:
        self._broker = broker
        self._dispatcher = dispatcher
        self._settings = settings
        self._tasks: list[asyncio.Task[None]] = []
        self._status: dict[str, AgentStatus] = {}

    def start(self) -> None:
        """Starts the duties in the running loop."""
        store, settings = self._broker.store, self._settings
        duties: list[tuple[str, float, _Duty]] = [
            ("visibility_timeout_enforcer", VISIBILITY_EVERY_S, self.reclaim),
            ("expiry_enforcer", EXPIRY_EVERY_S, partial(self._all, store.expired, self._broker.expire)),
            ("webhook_dispatcher", DISPATCH_EVERY_S, self._dispatcher.step),
        ]
        if settings.aging:
            duties.append(("priority_aging", _cadence(settings.aging), self._age))
        if settings.archive_after:
            duties.append(("message_archiver", _cadence(settings.archive_after), self._archive))
        if settings.keep_messages:
            duties.append(("message_remover", _cadence(settings.keep_messages), self._remove_messages))
        if settings.keep_journal:
            duties.append(("journal_remover", _cadence(settings.keep_journal), self._remove_lines))
        if self._broker.shared:
            duties.append(("order_repair", REPAIR_EVERY_S, self._broker.repair))
        self._status = {name: _fresh(name, every_s) for name, every_s, _ in duties}
        self._tasks = [asyncio.create_task(self._repeat(*duty), name=duty[0]) for duty in duties]
        self._tasks.append(asyncio.create_task(self._tell(), name="agent_status"))

    async def stop(self) -> None:
        """Ends the duties; a pass under way is left where it is.

        A driver may turn the cancellation of what it waits for into an error of its own: then it is said again.
        """
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        await self._dispatcher.close()

    # -- duties

    async def reclaim(self) -> int:
        """Gives back what was claimed too long ago; who watches the heartbeat sees that it was done."""
        done = await self._all(self._broker.store.overdue, self._broker.reclaim)
        if self._settings.heartbeat is not None:
            self._settings.heartbeat.touch()
        return done

    async def _age(self) -> int:
        period_us = self._settings.aging * 1_000_000

        async def low(now_us: int, limit: int) -> Sequence[Message]:
            return await self._broker.store.low(now_us, period_us, limit)

        return await self._all(low, lambda message: self._broker.age(message, period_us))

    async def _archive(self) -> int:
        async def ended(now_us: int, limit: int) -> Sequence[Message]:
            return await self._broker.store.finished(now_us - self._settings.archive_after * 1_000_000, limit)

        return await self._all(ended, self._broker.archive)

    async def _remove_messages(self) -> int:
        return await self._in_shares(self._broker.store.purge_messages, self._settings.keep_messages)

    async def _remove_lines(self) -> int:
        return await self._in_shares(self._broker.store.purge_journal, self._settings.keep_journal)

    async def _in_shares(self, purge: Callable[[int, int], Awaitable[int]], keep_s: int) -> int:
        total = 0
        while removed := await purge(self._broker.clock.now_us() - keep_s * 1_000_000, _SHARE):
            total += removed
        return total

    async def _all(self, find: _Find, do: _Do) -> int:
        total = 0
        while found := await find(self._broker.clock.now_us(), _SHARE):
            total += sum(await asyncio.gather(*map(do, found)))
            if len(found) < _SHARE:
                break
        return total

    # -- their frame

    async def _repeat(self, name: str, every_s: float, duty: _Duty) -> None:
        while True:
            done, failure = 0, ""
            try:
                if done := await duty():
                    _log.info("%s: %d", name, done)
            except (ApiError, PendingAway) as error:
                failure = str(error) or "Redis is away"
                _log.warning("%s: %s", name, failure)
            except Exception as error:
                failure = f"{type(error).__name__}: {error}"
                _log.exception("%s failed", name)
            before = self._status[name]
            self._status[name] = msgspec.structs.replace(
                before,
                passes=before.passes + 1,
                done=before.done + done,
                last_us=self._broker.clock.now_us(),
                error=failure[:1000],
            )
            await asyncio.sleep(every_s)

    async def _tell(self) -> None:
        """Keeps the duties' status with the rows, where every process can read it."""
        while True:
            await asyncio.sleep(VISIBILITY_EVERY_S)
            with suppress(ApiError):
                await asyncio.gather(*map(self._keep, self._status.values()))
            await asyncio.sleep(STATUS_EVERY_S)

    async def _keep(self, status: AgentStatus) -> None:
        if not await self._broker.store.save_record(status):
            with suppress(SlugTaken):  # another process was first
                await self._broker.store.add_record(status)


def _cadence(age_s: int) -> float:
    return min(SLOWEST_S, max(VISIBILITY_EVERY_S, age_s / 4))


def _fresh(name: str, every_s: float) -> AgentStatus:
    return AgentStatus(id=name, every_s=every_s, passes=0, done=0, last_us=0, error="")
