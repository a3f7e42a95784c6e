"""The pending order in Redis, for many processes: a sorted set a queue, and a claim lock a message.

Redis is asked, never trusted: a claim counts only when the row agrees. So what Redis forgets is repaired, what it
remembers wrongly is refused, and when it is away the rows alone decide. They also do while the order has gaps, after a
restart or a put that failed: else what is newer and was put since would be claimed before what is older and missing.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from scaiqueue_reference.batcher import Batcher
from scaiqueue_reference.message import Waiting
from scaiqueue_reference.pending import PendingAway
from scaiqueue_reference.pending.redis_link import PREFIX, RedisLink, T

_MOVED = 1_000  # hidden messages that one claim may reveal

# Its value is "whole" and this Redis's run_id while everything that waits stands in the order, else the name of the
# rebuilding under way. It goes with whatever else Redis loses; what came back from an old snapshot has another run_id.
_STATE = f"{PREFIX}:order"
_WHOLE = "whole"

# KEYS: the order's state; for each take ready, hidden. ARGV: prefix of the locks, most to reveal; for each take now,
# how many, lock in ms.
# A hidden member is "score:id": the score stays text, because a number would lose digits on its way through Lua.
_TAKE = """
local state = redis.call('GET', KEYS[1])
if not state or string.sub(state, 1, 5) ~= 'whole' then return false end
local answers = {}
for number = 1, (#KEYS - 1) / 2 do
  local ready, hidden = KEYS[2 * number], KEYS[2 * number + 1]
  local now, wanted, lock_ms = ARGV[3 * number], tonumber(ARGV[3 * number + 1]), ARGV[3 * number + 2]
  local due = redis.call('ZRANGEBYSCORE', hidden, '-inf', now, 'LIMIT', 0, ARGV[2])
  for _, member in ipairs(due) do
    local colon = string.find(member, ':', 1, true)
    redis.call('ZADD', ready, string.sub(member, 1, colon - 1), string.sub(member, colon + 1))
    redis.call('ZREM', hidden, member)
  end
  local taken = {}
  while #taken < 2 * wanted do
    local popped = redis.call('ZPOPMIN', ready)
    if #popped == 0 then break end
    if redis.call('SET', ARGV[1] .. popped[1], '1', 'NX', 'PX', lock_ms) then
      table.insert(taken, popped[1])
      table.insert(taken, popped[2])
    end
  end
  answers[number] = taken
end
return answers
"""

# KEYS: ready, hidden. ARGV: id, old score, new score, visible.
_MOVE = """
redis.call('ZADD', KEYS[1], 'XX', ARGV[3], ARGV[1])
if redis.call('ZREM', KEYS[2], ARGV[2] .. ':' .. ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3] .. ':' .. ARGV[1])
end
"""

# KEYS: the order's state. ARGV: its value when it is whole, a name for the rebuilding if it is not and none goes on.
_BEGIN = """
local state = redis.call('GET', KEYS[1])
if state == ARGV[1] then return false end
if not state or string.sub(state, 1, 5) == 'whole' then
  state = ARGV[2]
  redis.call('SET', KEYS[1], state)
end
return state
"""

# KEYS: the order's state. ARGV: its value when it is whole, the name of the rebuilding that has been done.
_END = "if redis.call('GET', KEYS[1]) == ARGV[2] then redis.call('SET', KEYS[1], ARGV[1]) end"

_MOST_FREED = 500  # locks that wait for a put where none comes

# Ids in one command; what is more is put by the next.
_LARGEST_PUT = 5_000


class _Take(NamedTuple):
    queue_id: str
    limit: int
    now_us: int
    lock_us: int


class RedisPending(RedisLink):
    """For any number of processes; every method raises PendingAway when Redis cannot be reached."""

    def __init__(self, url: str, now_us: Callable[[], int]) -> None:
        super().__init__(url)
        self._script = self._redis.register_script(_TAKE)
        self._move = self._redis.register_script(_MOVE)
        self._begin = self._redis.register_script(_BEGIN)
        self._end = self._redis.register_script(_END)
        self._whole = _WHOLE
        self._gaps = 0  # times that something could not be put, or was perhaps taken and lost
        self._admitted = 0  # of them, those that Redis has been told
        self._admitting = asyncio.Lock()
        self._now_us = now_us
        # The driver costs several times what Redis does: calls that come together are one command.
        self._puts: Batcher[Sequence[Waiting], None] = Batcher(self._put, weight=len, capacity=_LARGEST_PUT)
        self._takes: Batcher[_Take, list[Waiting]] = Batcher(self._take)
        self._freed: list[str] = []  # locks that the next put drops too

    async def close(self) -> None:
        if self._freed:
            with suppress(PendingAway):
                await self.put(())
        for batcher in (self._puts, self._takes):
            await batcher.idle()
        await super().close()

    async def put(self, waiting: Sequence[Waiting]) -> None:
        await self._puts.submit(waiting)

    async def _put(self, batch: Sequence[Sequence[Waiting]]) -> Sequence[None]:
        waiting = [message for messages in batch for message in messages]
        pipeline = self._redis.pipeline(transaction=False)
        now_us = self._now_us()
        ready: dict[str, dict[str, int]] = {}
        hidden: dict[str, dict[str, int]] = {}
        for message in waiting:
            if message.visible_us <= now_us:
                ready.setdefault(message.queue_id, {})[message.id] = message.score
            else:
                hidden.setdefault(message.queue_id, {})[f"{message.score}:{message.id}"] = message.visible_us
        freed, self._freed = self._freed, []
        locks = [_lock(key) for key in (*freed, *(message.id for message in waiting))]
        pipeline.unlink(*locks)  # before the order: else a claim would meet them
        for queue_id, scores in ready.items():
            pipeline.zadd(_ready(queue_id), scores)
        for queue_id, times in hidden.items():
            pipeline.zadd(_hidden(queue_id), times)
        await self._told(pipeline.execute)
        return [None] * len(batch)

    async def _told(self, order: Callable[[], Awaitable[T]]) -> T:
        try:
            await self._admit()
            return await self._ask(order)
        except PendingAway:
            self._gaps += 1
            raise

    async def _admit(self) -> None:
        """Says first that the order has a gap, when it has one: no process takes from it then until it is rebuilt."""
        if self._admitted == self._gaps:
            return
        async with self._admitting:
            gaps = self._gaps
            if self._admitted < gaps:
                await self._ask(lambda: self._redis.delete(_STATE))
                self._admitted = gaps

    async def move(self, message: Waiting, former_score: int) -> None:
        keys = [_ready(message.queue_id), _hidden(message.queue_id)]
        arguments: list[str | int] = [message.id, former_score, message.score, message.visible_us]
        await self._told(lambda: self._move(keys=keys, args=arguments))

    async def take(self, queue_id: str, limit: int, now_us: int, lock_us: int) -> list[Waiting]:
        return await self._takes.submit(_Take(queue_id, limit, now_us, lock_us))

    async def _take(self, takes: Sequence[_Take]) -> Sequence[list[Waiting]]:
        keys = [_STATE, *(key for take in takes for key in (_ready(take.queue_id), _hidden(take.queue_id)))]
        arguments: list[str | int] = [f"{PREFIX}:lock:", _MOVED]
        for take in takes:
            arguments += [take.now_us, take.limit, max(1, take.lock_us // 1000)]
        answers = await self._told(lambda: self._script(keys=keys, args=arguments))  # what it took may be lost
        if answers is None:
            raise PendingAway("the order is being rebuilt")
        return [
            [Waiting(key, take.queue_id, int(float(score)), 0) for key, score in zip(*[iter(taken)] * 2, strict=True)]
            for take, taken in zip(takes, answers, strict=True)
        ]

    async def free(self, ids: Sequence[str]) -> None:
        """Nobody waits for this: the next put takes it along, and what is never dropped lapses by itself."""
        self._freed += ids
        if len(self._freed) >= _MOST_FREED:
            await self.put(())

    async def forget(self, queue_id: str) -> None:
        await self._ask(lambda: self._redis.unlink(_ready(queue_id), _hidden(queue_id)))

    async def size(self, queue_id: str) -> int:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.zcard(_ready(queue_id))
        pipeline.zcard(_hidden(queue_id))
        return int(sum(await self._ask(pipeline.execute)))

    async def missing(self, waiting: Sequence[Waiting]) -> list[Waiting]:
        pipeline = self._redis.pipeline(transaction=False)
        for message in waiting:
            pipeline.zscore(_ready(message.queue_id), message.id)
            pipeline.zscore(_hidden(message.queue_id), f"{message.score}:{message.id}")
        scores = await self._ask(pipeline.execute)
        found = zip(waiting, scores[::2], scores[1::2], strict=True)
        return [message for message, ready, hidden in found if ready is None and hidden is None]

    async def rebuilding(self) -> str | None:
        await self._admit()
        server = await self._ask(lambda: self._redis.info("server"))
        self._whole = f"{_WHOLE} {server['run_id']}"
        arguments = [self._whole, str(uuid.uuid4())]
        name: str | None = await self._ask(lambda: self._begin(keys=[_STATE], args=arguments))
        return name

    async def rebuilt(self, name: str) -> None:
        await self._admit()
        await self._ask(lambda: self._end(keys=[_STATE], args=[self._whole, name]))


def _ready(queue_id: str) -> str:
    return f"{PREFIX}:pending:{queue_id}"


def _hidden(queue_id: str) -> str:
    return f"{PREFIX}:hidden:{queue_id}"


def _lock(message_id: str) -> str:
    return f"{PREFIX}:lock:{message_id}"
