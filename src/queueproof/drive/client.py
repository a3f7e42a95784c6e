"""The ScaiQueue API over httpx: one request out, one of four results back, both recorded.

The client is given its recorder and opens no history. It judges nothing: 429 is waited out (each try an operation of
its own), everything else is the caller's to read.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from queueproof import __version__
from queueproof.contract import wire
from queueproof.contract.skew import Skew
from queueproof.drive.limits import RequestBudget
from queueproof.drive.losing import NotConnectedError, status_alone
from queueproof.drive.recorder import Recorder
from queueproof.drive.silence import Silence
from queueproof.drive.transport import Transport
from queueproof.evidence.digest import digest
from queueproof.evidence.operation import Invoke, Item, Result

CONNECT_TIMEOUT_S = 5.0
# A verb of this API does one row's work: an answer that takes longer than this is as good as none.
READ_TIMEOUT_S = 10.0
ONCE_SILENT_S = 1.0  # of a server that answers nothing any more
# A rate limit is waited out this long in all before the call is given up: the usual window of a minute, and some.
LONGEST_RATE_LIMIT_S = 75.0
LIMITED_TRIES = 5  # of a call whose answer is to be lost

# No cookie is kept: a session would stand in for a key. The encodings are those that httpx reads by itself.
_ACCEPTED = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "Connection": "keep-alive"}
# Of an answer that was given up so much is kept to recognise it by, and a length that a server states may have so many
# digits before it is no length.
_BEGUN = 4_096
_DIGITS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """One call and what came of it. Times: ns of this machine's monotonic clock."""

    op: int
    request: wire.Request
    result: Result
    answer: wire.Answer | None  # None when no answer came
    inv_ns: int
    ret_ns: int
    why: str = ""

    @property
    def ok(self) -> bool:
        return self.result is Result.OK

    @property
    def status(self) -> int:
        """HTTP status, 0 when no answer came."""
        return self.answer.status if self.answer else 0

    @property
    def data(self) -> Any:
        return self.answer.data if self.answer else wire.ABSENT

    @property
    def code(self) -> str:
        return self.answer.code if self.answer else ""

    @property
    def refused(self) -> bool:
        """Whether an answer says no to this very request: no rate limit, and no silence."""
        return self.result is Result.REJECTED and not (self.answer is not None and self.answer.limits_rate)

    @property
    def faulty(self) -> bool:
        """Whether a fault of the server's own answered, and none that is said to pass."""
        return self.answer is not None and self.status >= 500 and self.status not in wire.UNAVAILABLE | {501}

    @property
    def unsupported(self) -> bool:
        """Whether the answer says that there is no such verb here."""
        return self.status in wire.NO_SUCH_VERB

    @property
    def hangs(self) -> bool:
        """Whether all time was spent on waiting: another try would wait as long."""
        return self.answer is None and self.why.startswith(("no answer within", "no connection in time"))

    def told(self) -> str:
        """What came back, in a few words."""
        if self.answer is None:
            return self.why or "no answer"
        code = f" {self.code}" if self.code else ""
        return f"{self.answer.status}{code}"


class _TooLargeError(ValueError):
    """An answer went on beyond wire.ANSWER_LIMIT; `status`, and `begun`: its first bytes."""

    def __init__(self, status: int, begun: bytes, stated: str) -> None:
        of = f" (of {int(stated):,} bytes)" if stated.isascii() and stated.isdigit() and len(stated) < _DIGITS else ""
        super().__init__(f"the answer is larger than {wire.ANSWER_LIMIT >> 20} MiB{of}")
        self.status = status
        self.begun = begun


class Client:
    """Speaks to one target with one key. Use one inside one event loop."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        recorder: Recorder,
        budget: RequestBudget,
        run: str,
        verify: bool = True,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self.url = url
        self.recorder = recorder
        self.budget = budget
        self.key = key
        self.patience_s: float | None = None  # a 429 that asks for a longer pause is an answer; None: waited out
        self.retried = 0
        self.round_trips_ns: list[int] = []
        self.worked: set[str] = set()  # verbs that were answered 2xx
        self.granted: set[str] = set()  # of them, those that were so with the client's own key
        self.headers: Mapping[str, str] = {}  # of the first answer, secrets hidden
        self.skew = Skew()
        self.silence = Silence()
        self._run = run
        self._read_timeout_s = read_timeout_s
        self._verify = verify
        self._origin = httpx.URL(url)
        self._prefix = self._origin.raw_path.rstrip(b"/")
        self._transport = Transport(url, verify=verify, most=48, idle=16, idle_s=4.0)

    async def close(self) -> None:
        await self._transport.aclose()

    async def send(
        self,
        request: wire.Request,
        *,
        case: str = "",
        urgent: bool = False,
        burst: bool = False,
        key: str | None = None,
        authorization: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> Exchange:
        """One call; a 429 is waited out and tried again. Never raises for what a server or network does.

        A queue that is full or paused may be a 429 as well (their status is not documented): that is not waited out.

        `key`: another key than the client's own; `authorization`: a whole header instead ("" sends none).
        `urgent` goes before what waits for a place, `burst` beside it (for a few calls that must overlap).
        `fields`: what the history should know of the call besides (token, body digest, timeout_s, limit, …).
        """
        own = authorization is None and key in (None, self.key)
        if authorization is None:
            authorization = f"Bearer {self.key if key is None else key}"
        headers = self._headers(request, case, authorization)
        give_up = time.monotonic() + (LONGEST_RATE_LIMIT_S if self.patience_s is None else self.patience_s)
        attempt = 1
        while True:
            async with self.budget.slot(urgent=urgent, burst=burst, lends=request.verb == "claim"):
                exchange = await self._once(request, headers, case, attempt, fields or {})
            self.granted |= {request.verb} if own and exchange.ok else set()
            if exchange.answer is None or not exchange.answer.limits_rate or time.monotonic() > give_up:
                return exchange
            if self.patience_s is not None and self.budget.silence_s > self.patience_s:
                return exchange
            attempt += 1

    async def lose(self, request: wire.Request, *, case: str = "", fields: Mapping[str, Any] | None = None) -> Exchange:
        """One call on a connection of its own, cut as soon as the answer's status line is read: a lost answer.

        The result is unknown, or not_sent when there was no connection. `answer` holds the status alone (None when the
        connection ended before one came), so that a caller knows whether the server was done with the request. A 429
        is tried again a few times, a second apart: its Retry-After is not read, and a long pause another call tells.
        """
        attempt = 1
        while True:
            exchange = await self._lose_once(request, case, attempt, fields or {})
            if exchange.answer is None or not exchange.answer.limits_rate or attempt == LIMITED_TRIES:
                return exchange
            self.budget.learn(exchange.answer)
            attempt += 1

    async def _lose_once(self, request: wire.Request, case: str, attempt: int, fields: Mapping[str, Any]) -> Exchange:
        invoke = self._invoked(request, case, attempt, fields)
        headers = self._headers(request, case, f"Bearer {self.key}")
        outgoing = self._outgoing(request, headers)
        result, why, answer = Result.UNKNOWN, "the connection was cut before the answer was read", None
        try:
            async with self.budget.slot(urgent=True), asyncio.timeout(CONNECT_TIMEOUT_S + self._read_timeout_s):
                status = await status_alone(outgoing, verify=self._verify)
            answer = wire.Answer(status=status) if status else None
        except NotConnectedError as error:
            result, why = Result.NOT_SENT, f"no connection: {error}"
        except (OSError, TimeoutError, ValueError) as error:
            why = f"no answer: {error}"
        except asyncio.CancelledError:
            self.recorder.back(invoke.op, Result.UNKNOWN, why="cancelled")
            raise
        back = self.recorder.back(invoke.op, result, why=why, status=answer.status if answer else None)
        self.silence.note(answered=answer is not None, sent_ns=invoke.at_ns)
        return Exchange(
            op=invoke.op,
            request=request,
            result=result,
            answer=answer,
            inv_ns=invoke.at_ns,
            ret_ns=back.at_ns,
            why=why,
        )

    def _headers(self, request: wire.Request, case: str, authorization: str) -> dict[str, str]:
        """Run and requirement stand in the User-Agent, so that a vendor finds a call in its own log."""
        headers = {"User-Agent": f"queueproof/{__version__} (run {self._run}; {case or 'set-up'})"}
        if authorization:
            headers["Authorization"] = authorization
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _invoked(self, request: wire.Request, case: str, attempt: int, fields: Mapping[str, Any]) -> Invoke:
        return self.recorder.invoke(
            verb=request.verb,
            case=case,
            attempt=attempt,
            scope=request.scope,
            queue=request.queue,
            message=request.message,
            method=request.method,
            path=request.path,
            request=(request.body or b"").decode("utf-8", "backslashreplace"),
            **fields,
        )

    async def _once(
        self, request: wire.Request, headers: dict[str, str], case: str, attempt: int, fields: Mapping[str, Any]
    ) -> Exchange:
        invoke = self._invoked(request, case, attempt, fields)
        answer: wire.Answer | None = None
        status: int | None = None
        text = ""
        try:
            answer = await self._exchange(request, headers)
            result, why = classify(answer)
            status, text = answer.status, answer.text
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            result, why = Result.NOT_SENT, self._words(error)
        except _TooLargeError as error:
            result, why, status = Result.UNKNOWN, str(error), error.status
            text = self.recorder.begun(error.begun, wire.ANSWER_LIMIT)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            result, why = Result.UNKNOWN, self._words(error)
        except asyncio.CancelledError:
            self.recorder.back(invoke.op, Result.UNKNOWN, why="cancelled")
            raise
        # A claim whose answer lists nothing readable may have taken anything: no check may call it empty.
        unread = request.verb == "claim" and answer is not None and wire.rows(answer.data) is None
        back = self.recorder.back(
            invoke.op,
            Result.UNKNOWN if unread and result is Result.OK else result,
            why=why,
            status=status,
            code=answer.code if answer else "",
            answer=text,
            request_id=answer.request_id if answer else "",
            **_learned(request, answer, result),
        )
        self.silence.note(answered=status is not None, sent_ns=invoke.at_ns)
        if answer is not None:
            self.budget.learn(answer)
            self.skew.note(answer, invoke.at_ns, back.at_ns)
            self.headers = self.headers or answer.headers
            self.worked |= {request.verb} if result is Result.OK else set()
            self.round_trips_ns.append(back.at_ns - invoke.at_ns)
            if request.verb != "claim":
                self.budget.took((back.at_ns - invoke.at_ns) / 1e9)
        return Exchange(
            op=invoke.op,
            request=request,
            result=result,
            answer=answer,
            inv_ns=invoke.at_ns,
            ret_ns=back.at_ns,
            why=why,
        )

    def _timeouts(self) -> dict[str, float]:
        if self.silence.word:
            return {"connect": ONCE_SILENT_S, "read": ONCE_SILENT_S}
        return {"connect": CONNECT_TIMEOUT_S, "read": self._read_timeout_s}

    def _outgoing(self, request: wire.Request, headers: Mapping[str, str]) -> httpx.Request:
        sent = {"timeout": self._timeouts(), "target": self._prefix + request.path.encode()}
        headers = {**_ACCEPTED, **headers}
        return httpx.Request(request.method, self._origin, headers=headers, content=request.body, extensions=sent)

    async def _exchange(self, request: wire.Request, headers: Mapping[str, str]) -> wire.Answer:
        outgoing = self._outgoing(request, headers)
        response = await self._transport.handle_async_request(outgoing)
        response.request = outgoing
        try:
            parts: list[bytes] = []
            size = 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > wire.ANSWER_LIMIT:
                    begun = b"".join(parts)[:_BEGUN]
                    raise _TooLargeError(response.status_code, begun, response.headers.get("content-length", ""))
        finally:
            await response.aclose()
        said = {name: self.recorder.hide(value) for name, value in response.headers.items()}
        return wire.read_answer(response.status_code, said, self.recorder.hide_bytes(b"".join(parts)))

    def _words(self, error: Exception) -> str:
        """The error's kind in words, and what it says of itself."""
        waited_s = error.request.extensions["timeout"]["read"] if isinstance(error, httpx.ReadTimeout) else 0.0
        kind = f"no answer within {waited_s:g} s" if waited_s else _KINDS.get(type(error), type(error).__name__)
        return f"{kind}: {error}" if str(error) else kind


_KINDS: dict[type[Exception], str] = {
    httpx.ConnectError: "no connection",
    httpx.ConnectTimeout: "no connection in time",
    httpx.PoolTimeout: "no free connection in time",
    httpx.WriteTimeout: "the request could not be sent in time",
    httpx.ReadError: "the connection broke before the answer",
    httpx.WriteError: "the connection broke while sending",
    httpx.RemoteProtocolError: "the answer was cut off or is no HTTP",
}


def classify(answer: wire.Answer) -> tuple[Result, str]:
    """The result of an answered call, and why it is not ok in words.

    4xx with a body that parses had no effect; so had 404, 405 and 501 whatever their body, and a 2xx whose body calls
    itself an error (ENV-2 tells it). A 408 or 5xx may have had.
    """
    status = answer.status
    if answer.success and isinstance(answer.document, dict) and answer.document.get("status") == "error":
        return Result.REJECTED, f'{status} with "status": "error"'
    if answer.success:
        if answer.json or not answer.text.strip():
            return Result.OK, ""
        return Result.UNKNOWN, f"{status} with a body that is no JSON"
    if status in wire.NO_SUCH_VERB:
        return Result.REJECTED, f"answered {status}"
    if 400 <= status < 500 and status != 408:
        if answer.json:
            return Result.REJECTED, f"answered {status}"
        return Result.UNKNOWN, f"{status} with a body that is no JSON"
    if 300 <= status < 400:
        return Result.REJECTED, f"redirected ({status}) to {answer.headers.get('location', 'nowhere')}"
    return Result.UNKNOWN, f"answered {status}"


def _learned(request: wire.Request, answer: wire.Answer | None, result: Result) -> dict[str, Any]:
    """What the history keeps of an answer that was ok."""
    if answer is None or result is not Result.OK:
        return {}
    if request.verb == "claim":
        return {"items": tuple(_item(found) for found in wire.rows(answer.data) or [] if isinstance(found, dict))}
    learned = {"state": wire.state(answer.data)}
    if request.verb == "publish":
        learned["message"] = wire.identity(answer.data)
    return learned


def _item(found: dict[str, Any]) -> Item:
    body = found.get("body")
    queue = found.get("queue_id")
    return Item(
        id=wire.identity(found),
        token=wire.token(body),
        attempts=wire.attempts(found),
        body=digest(body),
        queue=queue if isinstance(queue, str) else "",
    )
