"""Calls of the API under load: sent, recorded in the history, measured and concluded, in one place.

`perform` carries any request of contract/wire.py in a greenlet; flows.py builds the hot ones itself and shares
`begin`, `end` and `conclude`.
"""

import time
from typing import Any, Final

import msgspec

from queueproof.contract import wire
from queueproof.evidence.operation import Item, Result, Return
from queueproof.swarm import payload
from queueproof.swarm.ledger import Ledger
from queueproof.swarm.measures import Measures
from queueproof.swarm.sender import Call, Sender

UNSUPPORTED: Final = frozenset({404, 405, 501})  # what an optional verb that is not there answers
STATES: Final = 32  # a message's states as servers name them are few; more is a server's mistake, told in full
_decode: Final = msgspec.json.Decoder().decode


# Their answers are decoded for id and state alone.
HOT: Final = frozenset({"publish", "complete", "extend", "fail", "release"})


class Operation(Call):
    """A call with its place in the history."""

    op = 0
    result = Result.UNKNOWN
    code = ""  # error.code
    why = ""
    message = ""  # id in the answer
    state = ""  # state in the answer
    document: Any = wire.ABSENT  # the decoded answer; of a hot verb's success only when it was odd

    def __init__(self, verb: str, request: bytes, intended_ns: int) -> None:
        self.payload = request
        self.intended_ns = intended_ns
        self.verb = verb

    @property
    def ok(self) -> bool:
        return self.result is Result.OK

    @property
    def data(self) -> Any:
        return self.document.get("data", wire.ABSENT) if isinstance(self.document, dict) else wire.ABSENT


class Delivery:
    """One message as a claim's answer gave it."""

    __slots__ = ("at_us", "attempts", "body", "id", "queue", "token", "whole")

    def __init__(self, identity: str, attempts: int | None, queue: str, found: Any) -> None:
        self.id = identity
        self.attempts = attempts
        self.queue = queue
        self.token, self.at_us, self.whole, self.body = payload.read(found)

    def item(self) -> Item:
        return Item(id=self.id, token=self.token, attempts=self.attempts, body=self.body, queue=self.queue)


class _Delivered(msgspec.Struct):
    """The common form of a claimed message, decoded without a detour; any other form takes `wire`'s lenient way."""

    id: str
    body: payload.Body
    attempts: int | None = None
    queue_id: str = ""


class _Claimed(msgspec.Struct):
    data: list[_Delivered]


class _Row(msgspec.Struct, gc=False):
    id: str = ""
    state: str = ""


class _Single(msgspec.Struct, gc=False):
    data: _Row


_decode_claim: Final = msgspec.json.Decoder(_Claimed).decode
_decode_single: Final = msgspec.json.Decoder(_Single).decode


class Client:
    """One worker's way to the target."""

    def __init__(self, sender: Sender, ledger: Ledger, measures: Measures, *, case: str) -> None:
        self.sender = sender
        self.ledger = ledger
        self.measures = measures
        self.case = case
        self.unsupported: set[str] = set()  # optional verbs that the target does not have
        self._asked: dict[tuple[str, str, str, float | None, int | None], int] = {}  # shapes in the ledger
        self._answered: dict[str, int] = {}

    def perform(
        self, request: wire.Request, *, intended_ns: int = 0, timeout_s: float | None = None, limit: int | None = None
    ) -> Operation:
        """One request in this greenlet. `timeout_s`, `limit`: what a claim or an extend asks for."""
        now_ns = time.monotonic_ns()
        framed = self.sender.frame(request.method, request.path, request.body or b"")
        operation = Operation(request.verb, framed, intended_ns or now_ns)
        ledger = self.ledger
        operation.op = op = ledger.operation()
        common = (request.verb, request.scope, request.queue, timeout_s, limit)
        shape = self._asked.get(common) or self._ask(common)
        if not ledger.brief(shape, op, now_ns, request.message):
            operation.result, operation.why = Result.NOT_SENT, "the history could not be written"
            operation.ended_ns = now_ns
            operation.document = []
            return operation
        self.sender.call(operation)
        self.end(operation)
        return operation

    def _ask(self, common: tuple[str, str, str, float | None, int | None]) -> int:
        """The shape of such invocations."""
        verb, scope, queue, timeout_s, limit = common
        told: dict[str, Any] = {"verb": verb, "case": self.case, "scope": scope, "queue": queue}
        told |= {name: value for name, value in (("timeout_s", timeout_s), ("limit", limit)) if value is not None}
        shape = self._asked[common] = self.ledger.shape("invoke", "op", "at_ns", "message", **told)
        return shape

    def end(self, operation: Operation) -> None:
        """Concludes, measures and records an operation that has come back."""
        items: tuple[Item, ...] = ()
        if operation.verb == "claim":
            operation.document = deliveries = conclude_claim(operation)
            items = tuple([delivery.item() for delivery in deliveries])
        else:
            conclude(operation)
        self._measure(operation)
        if not self.ledger.kept:
            return
        message = operation.message if operation.verb == "publish" else ""
        if operation.status == 200 and operation.result is Result.OK and not items:
            shape = self._answered.get(operation.state) or self._answer(operation.state)
            if shape:
                self.ledger.brief(shape, operation.op, operation.ended_ns, message)
                return
        self.ledger.back(
            Return(
                op=operation.op,
                at_ns=operation.ended_ns,
                result=operation.result,
                status=operation.status or None,
                code=operation.code,
                why=operation.why,
                message=message,
                state=operation.state,
                items=items,
            )
        )

    def _answer(self, state: str) -> int:
        """The shape of plain answers with this state; 0 for the states of a server that has too many."""
        if len(self._answered) >= STATES:
            return 0
        told: dict[str, Any] = {"result": "ok", "status": 200, "state": state}
        shape = self._answered[state] = self.ledger.shape("return", "op", "at_ns", "message", **told)
        return shape

    def _measure(self, operation: Operation) -> None:
        verb = self.measures.verb(operation.verb)
        verb.record(operation.intended_ns, operation.sent_ns, operation.ended_ns)
        if operation.result is Result.OK:
            verb.ok += 1
        else:
            verb.errors += 1
            code = operation.code or operation.status or operation.failure.partition(":")[0]
            self.measures.counters[f"{operation.verb}.code.{code}"] += 1

    def is_unsupported(self, operation: Operation) -> bool:
        """Whether the target lacks this optional verb: then it is no error, and not tried again.

        A 404 that names the message speaks of the message; any other speaks of the path.
        """
        if operation.status not in UNSUPPORTED or (operation.status == 404 and "MESSAGE" in operation.code.upper()):
            return False
        self.unsupported.add(operation.verb)
        self.measures.verb(operation.verb).errors -= 1
        self.measures.counters[f"{operation.verb}.code.{operation.code or operation.status}"] -= 1
        return True


def conclude(operation: Operation) -> None:
    """What may be concluded from the answer (docs/checks.md, section 1): sets result, document, code, why."""
    if operation.failure:
        operation.result = Result.UNKNOWN if operation.reached else Result.NOT_SENT
        operation.why = operation.failure
        return
    status = operation.status
    if 200 <= status < 300 and operation.verb in HOT and _conclude_hot(operation):
        return
    try:
        operation.document = _decode(operation.body) if operation.body else wire.ABSENT
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        operation.document = None
    document = operation.document
    if 200 <= status < 300:
        _conclude_success(operation, document)
    elif 400 <= status < 500 and status != 408 and isinstance(document, dict):
        operation.result = Result.REJECTED
        error = document.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        operation.code = code if isinstance(code, str) else ""
        operation.why = f"{status} {operation.code}".strip()
    else:
        operation.result, operation.why = Result.UNKNOWN, f"status {status}"


def _conclude_hot(operation: Operation) -> bool:
    """The common form of a success; False for any other."""
    try:
        row = _decode_single(operation.body).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    if not row.id and operation.verb == "publish":
        return False
    operation.result, operation.message, operation.state = Result.OK, row.id, row.state
    return True


def _conclude_success(operation: Operation, document: Any) -> None:
    if document is None or (document is wire.ABSENT and operation.verb in {"publish", "claim"}):
        operation.result, operation.why = Result.UNKNOWN, "the body is no JSON"
    elif operation.verb == "publish" and not wire.identity(operation.data):
        operation.result, operation.why = Result.UNKNOWN, "the answer names no id"
    else:
        operation.result = Result.OK
        operation.message, operation.state = wire.identity(operation.data), wire.state(operation.data)


def conclude_claim(operation: Operation) -> list[Delivery]:
    """The same for a claim, with what it delivered."""
    if operation.status == 200 and not operation.failure:
        try:
            claimed = _decode_claim(operation.body).data
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # another legal form, or an error: the lenient way tells
        else:
            operation.result = Result.OK
            return [Delivery(found.id, found.attempts, found.queue_id, found.body) for found in claimed]
    conclude(operation)
    rows = wire.rows(operation.data)
    if operation.ok and (rows is None or not all(wire.identity(row) for row in rows)):
        operation.result, operation.why = Result.UNKNOWN, "the answer is no list of messages"
    if not operation.ok or rows is None:
        return []
    return [
        Delivery(wire.identity(row), wire.attempts(row), str(row.get("queue_id") or ""), row.get("body"))
        for row in rows
    ]
