"""What a target takes of a load's claims, asked before it: no page says how short a hold or how large a batch may be.

The claims go to a queue of the load's own that is still empty.
"""

from dataclasses import replace
from typing import Final

from queueproof.contract import wire
from queueproof.errors import TargetError
from queueproof.swarm.client import Client
from queueproof.swarm.preparation import Ground, hint
from queueproof.swarm.scenario import Scenario

TIMEOUTS_S: Final = (1, 2, 5, 10, 30, 60)
BATCHES: Final = (100, 50, 20, 10, 5, 2, 1)
TRIES: Final = 2  # what a busy server does not answer now is asked by the load itself soon enough
REFUSED: Final = frozenset({400, 413, 422})  # the request's own fault


def adapt(client: Client, scenario: Scenario, ground: Ground) -> tuple[Scenario, list[str]]:
    """The scenario as the target takes it, and in words what had to be changed: the next longer hold, a smaller batch.

    Raises TargetError when the target takes no claim at all.
    """
    own = scenario.consumers
    asking = _Asking(client, ground.scope, ground.queues[0])
    if asking.taken(own.batch_size, own.visibility_timeout_s):
        return scenario, []
    why = asking.why
    near = [own.visibility_timeout_s, *_near(own.visibility_timeout_s)]
    timeout_s = next((other for other in near if asking.taken(1, other)), None)
    if timeout_s is None:
        raise TargetError(f"the target refuses every claim: {why}", hint="ask `queueproof doctor` what it can do")
    smaller = [own.batch_size, *(size for size in BATCHES if size < own.batch_size)]
    size = next((size for size in smaller if asking.taken(size, timeout_s)), 1)
    told = []
    if timeout_s != own.visibility_timeout_s:
        told.append(f"the visibility timeout is {timeout_s:g} s: {own.visibility_timeout_s:g} s was refused ({why})")
    if size != own.batch_size:
        told.append(f"a claim asks for {size}: {own.batch_size} were refused ({why})")
    return replace(scenario, consumers=replace(own, batch_size=size, visibility_timeout_s=float(timeout_s))), told


class _Asking:
    """Claims that show whether they are taken."""

    def __init__(self, client: Client, scope: str, queue: str) -> None:
        self._client, self._scope, self._queue = client, scope, queue
        self.why = ""  # what the last refusal said

    def taken(self, size: int, timeout_s: float) -> bool:
        """Whether such a claim is not refused as wrong; what cannot be told counts as taken."""
        asked = int(timeout_s) if float(timeout_s).is_integer() else timeout_s
        request = wire.claim(self._scope, self._queue, batch_size=size, visibility_timeout_s=asked)
        for _ in range(TRIES):
            operation = self._client.perform(request, timeout_s=timeout_s, limit=size)
            if operation.ok or operation.status in REFUSED:
                break
        self.why = operation.why
        if operation.status in REFUSED:
            return False
        if 400 <= operation.status < 500 and operation.status != 429:
            raise TargetError(f"the target does not hand out messages: {operation.why}", hint=hint(operation))
        return True


def _near(timeout_s: float) -> list[float]:
    """Longer ones, the nearest first; then shorter ones."""
    longer = [other for other in TIMEOUTS_S if other > timeout_s]
    return [*longer, *(other for other in reversed(TIMEOUTS_S) if other < timeout_s)]
