"""How many requests may be under way at once: more for a server that is far away, and answers no later for it.

Where answers take long because requests wait for each other, in this process or in the server, one more makes all of
them later: the typical round trip grows with their number. Where they take long because of the way, it does not.
"""

import math
import statistics
from typing import Final

LEAST: Final = 8
MOST: Final = 24  # the pool has room for them and for claims that wait on purpose (limits.MOST_LENT)
STEP: Final = 2
# So many round trips tell what is typical.
ROUND: Final = 40
# A typical round trip shorter than this leaves nothing to win.
FAR_S: Final = 0.03
# Compared with the shortest that was typical so far: up to here it is the way, and from there on it is waiting.
NO_LATER: Final = 1.4
LATER: Final = 1.9


class Width:
    """The number that is allowed, from the round trips of calls that the server does not keep waiting on purpose."""

    def __init__(self, least: int = LEAST) -> None:
        self.allowed = self._least = least
        self._took_s: list[float] = []
        self._shortest_s = math.inf

    def took(self, seconds: float) -> int:
        """Takes in one round trip; by how many more (or fewer) are allowed from now on."""
        self._took_s.append(seconds)
        if len(self._took_s) < ROUND:
            return 0
        typical_s = statistics.median(self._took_s)
        self._took_s.clear()
        self._shortest_s = min(self._shortest_s, typical_s)
        before = self.allowed
        if typical_s > LATER * self._shortest_s:
            self.allowed = max(self._least, before - STEP)
        elif typical_s >= FAR_S and typical_s <= NO_LATER * self._shortest_s:
            self.allowed = max(before, min(MOST, before + STEP))
        return self.allowed - before
