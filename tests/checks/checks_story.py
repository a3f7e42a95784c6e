"""Histories told by hand: each call is one line, in seconds, so that a test reads as a story.

story = Story()
story.publish("a", 0, 0.1)
story.claim(1.0, 1.1, ["a"], timeout=10)
story.claim(5.0, 5.1, ["a"], timeout=10)
assert requirements(check_exclusivity(story.history())) == ["VIS-1"]
"""

from collections.abc import Iterable, Sequence

from queueproof.checks.finding import Finding
from queueproof.evidence.history import History, tabulate
from queueproof.evidence.operation import Clock, Invoke, Item, Mark, Record, Result, Return

CONFLICT = "SCAIQUEUE_IDEMPOTENCY_CONFLICT"
FULL = "SCAIQUEUE_QUEUE_FULL"


def got(message: str, attempts: int | None = 1, *, token: str | None = None, body: str | None = None) -> Item:
    """One delivered message; token and body are the published ones unless said otherwise."""
    return Item(
        id=message,
        attempts=attempts,
        token=f"token-{message}" if token is None else token,
        body=f"body-{message}" if body is None else body,
    )


def requirements(findings: Iterable[Finding]) -> list[str]:
    """The requirements violated, in the order found; notes are left out."""
    return [finding.requirement for finding in findings if finding.weight == "violation"]


def notes(findings: Iterable[Finding]) -> list[str]:
    return [finding.requirement for finding in findings if finding.weight == "note"]


class Story:
    """A history in the making. Every method returns the call's number; a call without `back` never returned."""

    def __init__(self) -> None:
        self._records: dict[str, list[Record]] = {}
        self._op = 0
        self._machine = "one"
        self._marks: list[Mark] = []

    def machine(self, name: str) -> None:
        """What follows happens on another machine, with a clock of its own."""
        self._machine = name

    def publish(
        self,
        message: str,
        start: float,
        back: float | None = None,
        *,
        result: str = "",
        queue: str = "tasks",
        scope: str = "scope",
        token: str | None = None,
        body: str | None = None,
        rest: str = "",
        key: str | None = None,
        rank: int | None = None,
        untimed: bool = False,
        code: str = "",
    ) -> int:
        """Publishes a body; answered ok it got the id `message`."""
        known = {
            "token": f"token-{message}" if token is None else token,
            "body": f"body-{message}" if body is None else body,
            "rest": rest,
            "key": key,
            "rank": rank,
            "untimed": untimed,
        }
        ok = result in ("", "ok") and back is not None
        answer = {"message": message if ok else "", "code": code}
        return self._call("publish", start, back, result, answer, queue=queue, scope=scope, **known)

    def claim(
        self,
        start: float,
        back: float | None = None,
        items: Sequence[str | Item] = (),
        *,
        timeout: float | None = 30.0,
        limit: int = 10,
        result: str = "",
        queue: str = "tasks",
        scope: str = "scope",
        code: str = "",
    ) -> int:
        delivered = tuple(got(item) if isinstance(item, str) else item for item in items)
        known = {"timeout_s": timeout, "limit": limit}
        return self._call(
            "claim", start, back, result, {"items": delivered, "code": code}, queue=queue, scope=scope, **known
        )

    def complete(self, message: str, start: float, back: float | None = None, **more: str) -> int:
        return self._on("complete", message, start, back, **more)

    def fail(self, message: str, start: float, back: float | None = None, **more: str) -> int:
        return self._on("fail", message, start, back, **more)

    def release(self, message: str, start: float, back: float | None = None, **more: str) -> int:
        return self._on("release", message, start, back, **more)

    def extend(
        self, message: str, start: float, back: float | None = None, *, timeout: float | None = 30.0, **more: str
    ) -> int:
        return self._on("extend", message, start, back, timeout_s=timeout, **more)

    def change(self, verb: str, start: float, back: float | None = None, **more: str) -> int:
        """A verb on the queue ("pause-queue") or, with queue="", on the scope ("pause-scope")."""
        queue, scope = more.pop("queue", "tasks"), more.pop("scope", "scope")
        return self._call(verb, start, back, more.pop("result", ""), {}, queue=queue, scope=scope)

    def mark(self, at: float, name: str) -> None:
        self._marks.append(Mark(at_ns=ns(at), name=name))

    def history(self) -> History:
        records: list[Record] = []
        for writer, (machine, calls) in enumerate(self._records.items()):
            records.append(Clock(domain=machine, at_ns=0, wall_us=0, run="run", writer=writer))
            records += calls
        return tabulate([*records, *self._marks])

    def _on(self, verb: str, message: str, start: float, back: float | None, **more: object) -> int:
        scope, result = str(more.pop("scope", "scope")), str(more.pop("result", ""))
        return self._call(verb, start, back, result, {}, message=message, scope=scope, **more)

    def _call(
        self, verb: str, start: float, back: float | None, result: str, answer: dict[str, object], **known: object
    ) -> int:
        self._op += 1
        records = self._records.setdefault(self._machine, [])
        records.append(Invoke(op=self._op, at_ns=ns(start), verb=verb, **known))  # type: ignore[arg-type]
        if back is not None or result:
            end = ns(start + 0.01 if back is None else back)
            how = Result(result or "ok")
            records.append(Return(op=self._op, at_ns=end, result=how, **answer))  # type: ignore[arg-type]
        return self._op if len(self._records) == 1 else ((len(self._records) - 1) << 40) | self._op


def ns(seconds: float) -> int:
    return round(seconds * 1_000_000_000)
