"""The pending order in Redis, for many processes: a sorted set a queue, and a claim lock a message.

Redis is asked, never trusted: a claim counts only when the row agrees. So what Redis forgets is repaired, what it
remembers wrongly is refused, and when it is away the rows alone decide.
"""

from collections.abc import Callable, Sequence

from scaiqueue_reference.message import Waiting
from scaiqueue_reference.pending.redis_link import PREFIX, RedisLink

_MOVED = 1_000  # hidden messages that one claim may reveal

# KEYS: ready, hidden. ARGV: now, how many, lock in ms, prefix of the locks, most to reveal.
# A hidden member is "score:id": the score stays text, because a number would lose digits on its way through Lua.
_TAKE = """
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[5])
for _, member in ipairs(due) do
  local colon = string.find(member, ':', 1, true)
  redis.call('ZADD', KEYS[1], string.sub(member, 1, colon - 1), string.sub(member, colon + 1))
  redis.call('ZREM', KEYS[2], member)
end
local taken = {}
local wanted = tonumber(ARGV[2])
while #taken < 2 * wanted do
  local popped = redis.call('ZPOPMIN', KEYS[1])
  if #popped == 0 then break end
  if redis.call('SET', ARGV[4] .. popped[1], '1', 'NX', 'PX', ARGV[3]) then
    table.insert(taken, popped[1])
    table.insert(taken, popped[2])
  end
end
return taken
"""

# KEYS: ready, hidden. ARGV: id, old score, new score, visible.
_MOVE = """
redis.call('ZADD', KEYS[1], 'XX', ARGV[3], ARGV[1])
if redis.call('ZREM', KEYS[2], ARGV[2] .. ':' .. ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3] .. ':' .. ARGV[1])
end
"""


class RedisPending(RedisLink):
    """For any number of processes; every method raises PendingAway when Redis cannot be reached."""

    def __init__(self, url: str, now_us: Callable[[], int]) -> None:
        super().__init__(url)
        self._take = self._redis.register_script(_TAKE)
        self._move = self._redis.register_script(_MOVE)
        self._now_us = now_us

    async def put(self, waiting: Sequence[Waiting]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        now_us = self._now_us()
        ready: dict[str, dict[str, int]] = {}
        hidden: dict[str, dict[str, int]] = {}
        for message in waiting:
            if message.visible_us <= now_us:
                ready.setdefault(message.queue_id, {})[message.id] = message.score
            else:
                hidden.setdefault(message.queue_id, {})[f"{message.score}:{message.id}"] = message.visible_us
        pipeline.unlink(*(_lock(message.id) for message in waiting))  # before the order: else a claim would meet it
        for queue_id, scores in ready.items():
            pipeline.zadd(_ready(queue_id), scores)
        for queue_id, times in hidden.items():
            pipeline.zadd(_hidden(queue_id), times)
        await self._ask(pipeline.execute)

    async def move(self, message: Waiting, former_score: int) -> None:
        keys = [_ready(message.queue_id), _hidden(message.queue_id)]
        arguments: list[str | int] = [message.id, former_score, message.score, message.visible_us]
        await self._ask(lambda: self._move(keys=keys, args=arguments))

    async def take(self, queue_id: str, limit: int, now_us: int, lock_us: int) -> list[Waiting]:
        keys = [_ready(queue_id), _hidden(queue_id)]
        arguments: list[str | int] = [now_us, limit, max(1, lock_us // 1000), f"{PREFIX}:lock:", _MOVED]
        taken = await self._ask(lambda: self._take(keys=keys, args=arguments))
        pairs = zip(taken[::2], taken[1::2], strict=True)
        return [Waiting(key, queue_id, int(float(score)), 0) for key, score in pairs]

    async def free(self, ids: Sequence[str]) -> None:
        await self._ask(lambda: self._redis.unlink(*map(_lock, ids)))

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


def _ready(queue_id: str) -> str:
    return f"{PREFIX}:pending:{queue_id}"


def _hidden(queue_id: str) -> str:
    return f"{PREFIX}:hidden:{queue_id}"


def _lock(message_id: str) -> str:
    return f"{PREFIX}:lock:{message_id}"
