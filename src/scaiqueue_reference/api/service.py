"""The way of every call: key, permission, body, handler, envelope; the same for the hot shell and for FastAPI."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from scaiqueue_reference.api.call import AsgiScope, Call, Receive, Reply, Result, failure, request_id, success
from scaiqueue_reference.api.endpoints import Endpoint
from scaiqueue_reference.api.limits import Headers, RateLimits
from scaiqueue_reference.api.metrics import Metrics
from scaiqueue_reference.audit import AuditLog
from scaiqueue_reference.auth import Caller, Keyring
from scaiqueue_reference.errors import ApiError, Disconnected, PayloadTooLarge, UnsupportedMediaType
from scaiqueue_reference.events import CALLED
from scaiqueue_reference.message import Entry
from scaiqueue_reference.module import ModuleGate

_log = logging.getLogger(__name__)

# A client that sends too much reads its answer only after it has sent everything; up to here it may finish.
_LONGEST_ID = 40
_DRAIN = 64 * 1024 * 1024


class Service:
    """Answers calls for endpoints; `largest_body` is in bytes."""

    def __init__(
        self,
        keyring: Keyring,
        metrics: Metrics,
        limits: RateLimits,
        gate: ModuleGate,
        audit: AuditLog,
        *,
        now_us: Callable[[], int],
        largest_body: int,
    ) -> None:
        self._keyring = keyring
        self._gate = gate
        self._audit = audit
        self._now_us = now_us
        self._limits = limits
        self._metrics = metrics
        self._largest_body = largest_body

    async def answer(self, endpoint: Endpoint, params: Mapping[str, str], scope: AsgiScope, receive: Receive) -> Reply:
        """The answer to one call; every error becomes its envelope, an unforeseen one is logged and is a 500."""
        started = time.perf_counter()
        identity = request_id()
        headers: Headers = ()
        caller: Caller | None = None
        result = Result(None)
        outcome = "ok"
        try:
            authorization, content_type = _headers_of(scope)
            caller = self._keyring.authenticate(authorization)
            if self._limits.wanted:
                headers = await self._limits.count(caller)
            caller.must_hold(endpoint.permission)
            if not endpoint.name.endswith("_module"):
                await self._gate.check(caller.tenant_id)
            body = await self._body(receive)
            if body and content_type is not None:
                _check_media_type(content_type)
            result = await endpoint.handler(Call(caller, params, scope["query_string"], body))
            reply = success(result, identity, headers)
        except ApiError as error:
            outcome = error.code
            reply = failure(error, identity, headers)
        except Exception:
            _log.exception("%s failed", endpoint.name, extra={"request_id": identity})
            failed = ApiError("The server failed; its log has the reason under the request id.")
            outcome = failed.code
            reply = failure(failed, identity, headers)
        if caller is not None and (outcome != "ok" or not endpoint.journaled):
            self._audit.add(self._entry(endpoint, params, caller, outcome, result))
            if outcome == "ok" and endpoint.method != "GET":  # what a manager did is seen at once by every process
                with suppress(ApiError):
                    await self._audit.flush()
        elapsed_s = time.perf_counter() - started
        self._metrics.count(endpoint.name, reply.status, elapsed_s)
        if _log.isEnabledFor(logging.INFO):
            _log.info(
                "%s %d",
                endpoint.name,
                reply.status,
                extra={"request_id": identity, "elapsed_ms": round(elapsed_s * 1e3, 3), "path": scope["path"]},
            )
        return reply

    def _entry(
        self, endpoint: Endpoint, params: Mapping[str, str], caller: Caller, outcome: str, result: Result
    ) -> Entry:
        made = result.data if endpoint.name == "create_scope" and isinstance(result.data, dict) else {}
        known = {name: value for name, value in params.items() if value.isascii() and len(value) <= _LONGEST_ID}
        return Entry(
            CALLED + endpoint.name,
            caller.tenant_id,
            made.get("id") or known.get("scope_id", ""),
            known.get("queue_id", ""),
            known.get("message_id", ""),
            None,
            "",
            0,
            caller.actor.type,
            caller.actor.id,
            self._now_us(),
            outcome,
        )

    async def _body(self, receive: Receive) -> bytes:
        event = await receive()
        body: bytes = event.get("body", b"")
        if event.get("more_body"):
            body = await self._long_body(body, receive)
        elif event["type"] == "http.disconnect":
            raise Disconnected
        if len(body) > self._largest_body:
            raise PayloadTooLarge(
                f"The request body is larger than {self._largest_body} bytes.",
                details=[("body", f"must be at most {self._largest_body} bytes with everything around it")],
            )
        return body

    async def _long_body(self, first: bytes, receive: Receive) -> bytes:
        """All chunks joined; of a body that is too large only so much as shows it, the rest is read and dropped."""
        chunks, kept, dropped = [first], len(first), 0
        more = True
        while more and dropped < _DRAIN:
            event = await receive()
            if event["type"] == "http.disconnect":
                raise Disconnected
            chunk: bytes = event.get("body", b"")
            more = event.get("more_body", False)
            if kept <= self._largest_body:
                chunks.append(chunk)
                kept += len(chunk)
            else:
                dropped += len(chunk)
        return b"".join(chunks)


def _headers_of(scope: AsgiScope) -> tuple[bytes | None, bytes | None]:
    authorization = content_type = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value
        elif name == b"content-type":
            content_type = value
    return authorization, content_type


def _check_media_type(content_type: bytes) -> None:
    media = content_type.partition(b";")[0].strip().lower()
    if media != b"application/json" and not (media.startswith(b"application/") and media.endswith(b"+json")):
        raise UnsupportedMediaType(details=[("Content-Type", "must be application/json")])
