"""Moves through the life cycle: queues and scopes that are paused, archived, drained, and brought back."""

from typing import Any

from queueproof.contract import wire
from queueproof.drive.case import Case
from queueproof.drive.delivery import Message
from queueproof.drive.optional import answered, change
from queueproof.drive.outcomes import NotSupported
from queueproof.drive.queue import Queue


async def place(case: Case, level: str, *, scope: str = "", **fields: Any) -> tuple[Queue, list[Message]]:
    """A queue with three messages that wait, in a scope of its own where it is the scope that is changed."""
    home = scope or (await case.own_scope() if level == "scope" else "")
    queue = await case.queue(scope=home, **fields)
    queue.unmodelled = True  # paused, drained or archived: the case alone judges it
    return queue, await queue.publish_many(3)


def verb(queue: Queue, level: str, name: str) -> wire.Request:
    """The request that moves the queue, or its scope, through its life cycle."""
    return wire.change_scope(queue.scope, name) if level == "scope" else wire.change_queue(queue.scope, queue.id, name)


async def moved(case: Case, queue: Queue, level: str, name: str) -> bool:
    """Whether the queue, or its scope, was moved; False where there is no such verb."""
    try:
        await change(case, verb(queue, level, name))
    except NotSupported:
        return False
    return True


async def resume(case: Case, queue: Queue, level: str) -> None:
    """Resumes the queue or its scope, which is documented."""
    await case.persist(lambda: verb(queue, level, "resume"), "LIFE-5", f"resuming a {level}")


async def bring_back(case: Case, queue: Queue, level: str, name: str) -> None:
    """Undoes a pause, an archive or a drain as far as the server lets it; whether it did is for the caller to see."""
    if name == "archive":
        await answered(case, verb(queue, level, "unarchive"))
    await answered(case, verb(queue, level, "resume"))  # perhaps unarchiving has done so already
