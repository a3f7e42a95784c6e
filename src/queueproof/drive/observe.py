"""What the contract leaves open (its questions Q1 to Q14), seen beside the cases; told, and never part of a verdict."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from queueproof.drive.case import Case
from queueproof.drive.outcomes import CaseEnd, Disturbed
from queueproof.drive.queue import Queue
from queueproof.drive.world import World
from queueproof.evidence.results import Observation

TRIES = 3
# After the last case observers may go on for so long; what is not seen by then stays unseen.
GRACE_S = 10.0


class Seen(dict[str, Any]):
    """What an observer has seen so far, by statement."""


Look = Callable[[Case, Seen], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Observer:
    """One look at an open question; `statements`: what it will say something about."""

    id: str  # "Q2"
    statements: Sequence[str]
    look: Look


OBSERVERS: list[Observer] = []


def observes(question: str, *statements: str) -> Callable[[Look], Look]:
    """Marks an `async def look(case, seen)` as an observer: it puts a value under each of the statements."""

    def mark(look: Look) -> Look:
        OBSERVERS.append(Observer(id=question, statements=statements, look=look))
        return look

    return mark


class Observing(Case):
    """A case whose queues no check judges."""

    async def queue(self, **options: Any) -> Queue:
        queue = await super().queue(**options)
        queue.unmodelled = True
        return queue


class Observations:
    """The looks of one run, under way beside its cases."""

    def __init__(self, world: World, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._seen = [Seen() for _ in observers]
        self._why = ["the run ended before it"] * len(observers)
        self._tasks = [asyncio.create_task(self._look(world, number)) for number in range(len(observers))]

    async def _look(self, world: World, number: int) -> None:
        observer = self._observers[number]
        for _ in range(TRIES):
            try:
                await observer.look(Observing(world, observer.id, observer.id), self._seen[number])
            except Disturbed as end:
                self._why[number] = end.summary
                continue
            except CaseEnd as end:
                self._why[number] = end.summary
            except Exception as error:  # a crash of ours says nothing about the server
                self._why[number] = f"the harness failed: {type(error).__name__}: {error}"
            return

    async def end(self, grace_s: float = GRACE_S) -> tuple[Observation, ...]:
        """What was seen once all have looked, or the grace is over."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        return self.told()

    async def stop(self) -> None:
        """Ends what is still under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def told(self) -> tuple[Observation, ...]:
        """What has been seen up to now, a statement each; what was not says why."""
        return tuple(
            Observation(id=observer.id, statement=statement, value=seen.get(statement, f"not seen: {why}"))
            for observer, seen, why in zip(self._observers, self._seen, self._why, strict=True)
            for statement in observer.statements
        )


@contextlib.asynccontextmanager
async def observing(world: World, observers: Sequence[Observer]) -> AsyncIterator[Observations]:
    """Observers look while the block runs."""
    observations = Observations(world, observers)
    try:
        yield observations
    finally:
        await observations.stop()
