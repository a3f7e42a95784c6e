"""Sliding windows of calls in Redis, so that all processes count together: one atomic step a call.

What Redis forgets is forgiven: after a loss of its data every window is empty.
"""

from collections.abc import Sequence

from scaiqueue_reference.pending.redis_link import PREFIX, RedisLink

# KEYS: a list of times in µs a window, newest first. ARGV: the window's length in µs, then each window's limit.
# Redis's own clock, which all processes share. Only a call that every window has room for is counted.
_COUNT = """
local moment = redis.call('TIME')
local now = moment[1] * 1000000 + moment[2]
local length = tonumber(ARGV[1])
local nearest, room
for place, key in ipairs(KEYS) do
  while true do
    local oldest = redis.call('LINDEX', key, -1)
    if not oldest or tonumber(oldest) > now - length then break end
    redis.call('RPOP', key)
  end
  local left = tonumber(ARGV[place + 1]) - redis.call('LLEN', key)
  if not room or left < room then nearest, room = place, left end
end
if room > 0 then
  for _, key in ipairs(KEYS) do
    redis.call('LPUSH', key, string.format('%.0f', now))
    redis.call('PEXPIRE', key, math.ceil(length / 1000))
  end
end
local oldest = tonumber(redis.call('LINDEX', KEYS[nearest], -1) or now)
return {nearest, room, oldest + length - now}
"""


class RedisWindows(RedisLink):
    """Counts for any number of processes; raises PendingAway when Redis cannot be reached."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._script = self._redis.register_script(_COUNT)

    async def count(self, windows: Sequence[tuple[str, int]], window_s: float) -> tuple[int, int, float]:
        """Counts a call in all of `windows` (name, limit) or in none.

        Which of them has the least room, its room before this call (0 or less: refused), and the seconds until its
        oldest call leaves it.
        """
        keys = [f"{PREFIX}:calls:{name}" for name, _ in windows]
        arguments = [round(window_s * 1e6), *(limit for _, limit in windows)]
        nearest, room, wait_us = await self._ask(lambda: self._script(keys=keys, args=arguments))
        return nearest - 1, room, wait_us / 1e6
