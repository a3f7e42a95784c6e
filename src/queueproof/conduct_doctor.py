"""One examination from the target's address to what was seen there, in order; the server is left as it was found."""

import asyncio
import contextlib
import time
from collections.abc import Mapping

from queueproof.drive.cleanup import clean_up
from queueproof.drive.doctor import Examination
from queueproof.drive.interruption import interruptible, until
from queueproof.drive.reach import UnreachedError, reach
from queueproof.drive.target import Target, open_target
from queueproof.errors import ExitCode, TargetError
from queueproof.evidence.checkup import Checkup, Line, Sign
from queueproof.evidence.results import CleanUp
from queueproof.evidence.run import new_run_id

CLEAN_UP_WITHIN_S = 20.0


def doctor(*, url: str, kind: str, key: str, keys: Mapping[str, str]) -> tuple[Checkup, ExitCode]:
    """Examines the target that the options name (as `conformance` does), and takes away what it made there.

    Raises UsageError for what is no address or key. A target that cannot be used is no error here: the checkup says so,
    and the code is 3.
    """
    return asyncio.run(_doctor(url=url, kind=kind, key=key, keys=keys))


async def _doctor(*, url: str, kind: str, key: str, keys: Mapping[str, str]) -> tuple[Checkup, ExitCode]:
    begun = time.monotonic()
    async with interruptible() as interrupted, contextlib.AsyncExitStack() as stack:
        opened = open_target(url=url, kind=kind, key=key, keys=keys, log=None)
        target = await until(interrupted, stack.enter_async_context(opened))
        if target is None:
            return Checkup(url=url, usable=False, complete=False, summary="Interrupted."), ExitCode.INTERRUPTED
        return await _of(target, interrupted, begun)


async def _of(target: Target, interrupted: asyncio.Event, begun: float) -> tuple[Checkup, ExitCode]:
    lines: list[Line] = []
    failed: TargetError | None = None
    examination = Examination(target, run=new_run_id())
    try:
        lines += await until(interrupted, reach(target.url)) or []
        await until(interrupted, examination.run())
    except UnreachedError as error:
        lines += error.lines
        failed = error
    except TargetError as error:
        failed = error
    complete = not interrupted.is_set()
    interrupted.clear()
    try:
        lines += [*examination.lines, *await _cleaned(examination, interrupted)]
    finally:
        await examination.client.close()
    told = _told(lines, failed, complete=complete)
    checkup = Checkup(
        url=target.url,
        usable=failed is None and complete and not _unusable(lines),
        complete=complete,
        summary=told[0],
        advice=told[1],
        took_s=round(time.monotonic() - begun, 2),
        requests=len(examination.client.heard),
        lines=tuple(sorted(lines, key=lambda line: AREAS.index(line.area))),
    )
    code = ExitCode.INTERRUPTED if not complete else ExitCode.CONFORMS if checkup.usable else ExitCode.TARGET
    return checkup, code


AREAS = ("reach", "keys", "rates", "clock", "speed", "enforcer", "verbs", "dialect", "left behind")


async def _cleaned(examination: Examination, interrupted: asyncio.Event) -> list[Line]:
    if not examination.world.ledger.scopes:
        return []
    if not any(
        exchange.answer for exchange, _ in examination.client.heard
    ):  # asking once more would only wait once more
        unanswered = list(examination.world.ledger.scopes)
        said = f"perhaps {', '.join(unanswered)}: whether it was created, no answer said"
        return [Line(area="left behind", name="scopes", sign=Sign.TOLD, said=said, value=unanswered)]
    cleaned: CleanUp | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLEAN_UP_WITHIN_S):
            cleaned = await until(interrupted, clean_up(examination.world.ledger, examination.client))
    if cleaned is None:
        left = ", ".join(examination.world.ledger.scopes)
        advice = "delete it yourself: the clean-up did not end"
        return [Line(area="left behind", name="scopes", sign=Sign.ODD, said=left, value=[left], advice=advice)]
    if cleaned.left:
        said, value = f"{', '.join(cleaned.left)}: {cleaned.note}", list(cleaned.left)
        return [Line(area="left behind", name="scopes", sign=Sign.TOLD, said=said, value=value)]
    return [Line(area="left behind", name="scopes", sign=Sign.GOOD, said="nothing", value=[])]


def _unusable(lines: list[Line]) -> Line | None:
    """The line for which no run can begin although the server answers."""
    return next((line for line in lines if line.area == "keys" and line.name == "api" and line.sign is Sign.BAD), None)


def _told(lines: list[Line], failed: TargetError | None, *, complete: bool) -> tuple[str, str]:
    """The sentence, and what to do next."""
    if not complete:
        return "Interrupted: only what was seen until then is here.", "run it again"
    if failed is not None:
        return f"Not usable: {failed.message}.", failed.hint
    key = _unusable(lines)
    if key is not None:
        return f"Not usable: the key has {key.said}.", key.advice
    wrong = [line for line in lines if line.sign is Sign.BAD]
    odd = [line for line in lines if line.sign is Sign.ODD]
    if wrong:
        return f"Usable, but {wrong[0].area}: {wrong[0].said}.", wrong[0].advice or "see the lines below"
    if odd:
        return f"Usable; {len(odd)} {'thing' if len(odd) == 1 else 'things'} to look at.", odd[0].advice
    return "Usable: a run can begin.", "queueproof conformance"
