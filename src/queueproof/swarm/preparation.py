"""What a load needs on the target: a scope and queues of its own, made before it and taken away after it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import gevent
import gevent.pool

from queueproof.contract import wire
from queueproof.contract.skew import Skew
from queueproof.errors import TargetError
from queueproof.evidence.created import Ledger
from queueproof.evidence.operation import Result
from queueproof.swarm.client import Client, Operation
from queueproof.swarm.flows import Producer
from queueproof.swarm.scenario import Scenario

DEAD_LETTER: Final = "_dead_letter"
PRELOADING: Final = 16  # publishes at a time before the load begins
# A busy server or its gateway may refuse a call now and then, which is no reason not to begin.
TRIES: Final = 5
PAUSE_S: Final = 0.3  # … doubled from try to try
LOST_WITHIN_NS: Final = 2_000_000_000  # an answer that ends sooner was lost on its way; who hangs is asked once
UNANSWERED: Final = "whether these were created was never answered: `queueproof clean RUN` looks"


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Where the load takes place."""

    slug: str
    scope: str
    queues: tuple[str, ...]
    dead_letter: str  # queue id; "" when the target lists none
    ahead_s: float = 0.0  # how far the target's clock is ahead of this machine's


def prepare(client: Client, scenario: Scenario, created: Ledger, *, run: str) -> Ground:
    """Creates scope and queues. Raises TargetError that says what the target answered."""
    slug = ""

    def named(again: str) -> wire.Request:
        nonlocal slug
        slug = f"qp-load-{run}{again}"
        created.intend(slug)
        return wire.create_scope(slug, f"queueproof load {run}")

    made = tried(client, named, refused=lambda: created.refused(slug))
    scope = _id(wire.create_scope(slug, ""), made)
    created.created(slug, scope)
    queues = []
    for number in range(scenario.queue.count):
        fields: dict[str, Any] = {
            "slug": f"load-{number}",
            "display_name": f"Load {number}",
            "consumer_mode": "competing",
            "ordering": scenario.queue.ordering,
        }
        queues.append(_queue(client, scope, fields, scenario.queue.max_retries))
        created.queue(scope, queues[-1])
    return Ground(
        slug=slug,
        scope=scope,
        queues=tuple(queues),
        dead_letter=_dead_letter(client, scope),
        ahead_s=_ahead_s(made),
    )


def preload(client: Client, scenario: Scenario, ground: Ground, *, run: str) -> None:
    """Publishes what is to lie in the queues before the load begins. Raises TargetError when none of it arrives."""
    if not scenario.producers.preload:
        return
    where: dict[str, Any] = {"scope": ground.scope, "queues": ground.queues, "ahead_s": ground.ahead_s}
    producer = Producer(client, scenario, run=run, prefix="p", **where)
    pool = gevent.pool.Pool(PRELOADING)
    done = pool.map(producer.publish_and_wait, range(scenario.producers.preload))
    if not any(operation is not None and operation.ok for operation in done):
        first = next((operation for operation in done if operation is not None), None)
        why = first.why if first is not None else "the history could not be written"
        raise TargetError(f"not one message could be published before the load: {why}", hint="see the target's log")


def clean_up(client: Client, ground: Ground, created: Ledger) -> dict[str, Any]:
    """Deletes the scope where the target can; says what is left of it, and why, otherwise."""
    last = ""

    def deletion(again: str) -> wire.Request:
        nonlocal last
        last = again
        return wire.delete_scope(ground.scope)

    deleted = tried(client, deletion)
    gone = deleted.ok or (deleted.status == 404 and last != "")  # an earlier try had its effect unseen
    if gone:
        created.gone(ground.slug)
    elif deleted.status in wire.NO_SUCH_VERB:
        for queue in ground.queues:
            if not client.perform(wire.delete_queue(ground.scope, queue)).ok:
                break
    left = list(created.scopes)
    note = _left(deleted) if ground.slug in left else UNANSWERED if left else ""
    return {"scopes_created": 1, "scopes_deleted": int(gone), "left": left, "note": note}


def _left(deleted: Operation) -> str:
    """Why the scope is still there."""
    if not deleted.status:
        return "the server did not answer: when it does, run `queueproof clean RUN`"
    if deleted.status in wire.NO_SUCH_VERB:
        return "the target does not delete scopes; what is left is empty"
    return f"the target did not delete it: {deleted.why}; `queueproof clean RUN` tries again"


def _ahead_s(operation: Operation) -> float:
    skew = Skew()
    answer = wire.Answer(status=operation.status, headers={"date": operation.header("Date")})
    skew.note(answer, operation.sent_ns, operation.ended_ns)
    return skew.apart_s


def _queue(client: Client, scope: str, fields: dict[str, Any], max_retries: int) -> str:
    """A queue's id. That `max_retries` is a field of its creation is inferred, and a target may want `max_depth`."""
    forms: tuple[dict[str, int], ...] = (
        {"max_retries": max_retries},
        {},
        {"max_retries": max_retries, "max_depth": 0},
        {"max_depth": 0},
    )
    for number, more in enumerate(forms):
        operation = tried(client, creation := _creation(scope, fields | more, "" if number == 0 else f"-{number}"))
        if operation.ok or operation.status in {0, 401, 403}:
            break
    return _id(creation(""), operation)


def _creation(scope: str, fields: dict[str, Any], form: str) -> Callable[[str], wire.Request]:
    """Each try has a slug of its own, since an earlier one may have had its effect unseen."""
    return lambda again: wire.create_queue(scope, {**fields, "slug": f"{fields['slug']}{form}{again}"})


def _id(request: wire.Request, operation: Operation) -> str:
    """The id of what was created; raises TargetError."""
    found = wire.identity(operation.data)
    if operation.ok and found:
        return found
    raise TargetError(_refusal(request, operation), hint=hint(operation))


def tried(
    client: Client,
    request: Callable[[str], wire.Request],
    tries: int = TRIES,
    refused: Callable[[], None] = lambda: None,
) -> Operation:
    """The first answer that is not "come again". What has an unknown result may be there: each try has its own name.

    `request("")` is the first, `request("-2")` the second; `refused` is called after each that surely had no effect.
    """
    for number in range(1, tries + 1):
        operation = client.perform(request(f"-{number}" if number > 1 else ""))
        if operation.result in {Result.REJECTED, Result.NOT_SENT}:
            refused()
        if not _passing(operation) or number == tries:
            break
        gevent.sleep(PAUSE_S * 2 ** (number - 1))
    return operation


def _passing(operation: Operation) -> bool:
    """Whether another try may go better: "come again", a fault of the server's own, or an answer lost on its way."""
    if operation.status:
        return operation.status == 429 or operation.status >= 500
    lost = operation.result is Result.UNKNOWN
    return lost and operation.ended_ns - operation.sent_ns < LOST_WITHIN_NS


def _refusal(request: wire.Request, operation: Operation) -> str:
    what = request.verb.replace("-", " ")
    if not operation.status:
        return f"the target could not be asked to {what}: {operation.why}"
    return f"the target did not {what}: {operation.why or 'the answer names no id'}"


def hint(operation: Operation) -> str:
    if operation.status in {401, 403}:
        return "a load needs a key with manage, publish and consume: --api-key, or SCAIGRID_API_KEY"
    if not operation.status:
        return "look at --url, and whether the server runs"
    return "ask `queueproof doctor` what the target can do"


def _dead_letter(client: Client, scope: str) -> str:
    rows = wire.rows(client.perform(wire.list_queues(scope)).data) or []
    for row in rows:
        if isinstance(row, dict) and row.get("slug") == DEAD_LETTER:
            return wire.identity(row)
    return ""
