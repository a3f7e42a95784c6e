"""Sends events to the tenants' webhooks: signed, at least once, in the journal's order, with retries.

The journal is the outbox: an event is there in the same transaction as what it tells. A webhook remembers the last line
that was dealt with; of several workers the one that holds its lease sends.
"""

import asyncio
import hashlib
import hmac
import json
import logging
import time
from typing import Any

import msgspec

from scaiqueue_reference import events
from scaiqueue_reference.clock import Clock, resource_id
from scaiqueue_reference.errors import ApiError
from scaiqueue_reference.message import Delivery, Entry, JournalPage, Webhook
from scaiqueue_reference.store import Store

_log = logging.getLogger(__name__)

DISPATCH_EVERY_S = 0.5
ANSWER_WITHIN_S = 10
_LEASE_US = 60_000_000  # longer than one event with all its time-outs takes
_LINES = 100
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class Dispatcher:
    """One pass at a time; every webhook is served on its own, so that a slow one holds up nobody."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._http: Any = None
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def step(self) -> int:
        """Starts serving each active webhook that is not being served; how many were started."""
        self._busy = {key: task for key, task in self._busy.items() if not task.done()}
        idle = [hook for hook in await self._store.records(Webhook, status="active") if hook.id not in self._busy]
        for hook in idle:
            self._busy[hook.id] = asyncio.create_task(self._serve(hook))
        return 0

    async def close(self) -> None:
        """Stops; what was sent and not remembered is sent again by the next worker."""
        for task in self._busy.values():
            task.cancel()
        await asyncio.gather(*self._busy.values(), return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()

    async def _serve(self, hook: Webhook) -> None:
        try:
            now_us = self._clock.now_us()
            if hook.lease_us > now_us:
                return
            lines = await self._lines(hook, now_us)
            if not lines:
                return
            leased = msgspec.structs.replace(hook, lease_us=now_us + _LEASE_US)
            if not await self._store.save_record(leased, sent_seq=hook.sent_seq, lease_us=hook.lease_us):
                return
            await self._send_all(leased, lines)
        except ApiError as error:
            _log.warning("webhook %s waits: %s", hook.id, error.message)

    async def _lines(self, hook: Webhook, now_us: int) -> list[tuple[int, Entry]]:
        page = JournalPage(
            tenant_id=hook.tenant_id,
            event_types=tuple(json.loads(hook.events)),
            before_us=now_us - self._store.journal_lag_us + 1,
            after=hook.sent_seq,
            limit=_LINES,
        )
        return await self._store.journal(page)

    async def _send_all(self, hook: Webhook, lines: list[tuple[int, Entry]]) -> None:
        for number, entry in lines:
            answers = await self._store.responses([entry.message_id])
            body = msgspec.json.encode(events.envelope(number, entry, answers.get(entry.message_id)))
            await self._deliver(hook, events.event_id(number), entry.event_type, body)
            renewed = self._clock.now_us() + _LEASE_US
            after = msgspec.structs.replace(hook, sent_seq=number, lease_us=renewed)
            if not await self._store.save_record(after, sent_seq=hook.sent_seq, lease_us=hook.lease_us):
                return  # changed, deleted, or the lease ran out: the next pass reads it anew
            hook = after
        released = msgspec.structs.replace(hook, lease_us=0)
        await self._store.save_record(released, sent_seq=hook.sent_seq, lease_us=hook.lease_us)

    async def _deliver(self, hook: Webhook, event_id: str, event_type: str, body: bytes) -> None:
        status = attempt = 0
        pause_s = _FIRST_PAUSE_S
        for attempt in range(1, hook.max_retries + 2):
            status = await self.post(hook, event_type, body)
            if 200 <= status < 300:
                break
            if attempt <= hook.max_retries:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        created_us = self._clock.tick_us()
        delivery = Delivery(
            id=resource_id("del", created_us),
            webhook_id=hook.id,
            event_id=event_id,
            event_type=event_type,
            status="success" if 200 <= status < 300 else "failed",
            attempts=attempt,
            response_status=status,
            created_us=created_us,
        )
        await self._store.add_record(delivery)

    async def post(self, hook: Webhook, event_type: str, body: bytes) -> int:
        """Sends one event; the answer's status, 0 when there was none in time."""
        import httpx  # only a server that has a webhook pays for it

        if self._http is None:
            self._http = httpx.AsyncClient(timeout=ANSWER_WITHIN_S, follow_redirects=False)
        signature = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-ScaiGrid-Event": event_type,
            "X-ScaiGrid-Signature": f"sha256={signature}",
            "X-ScaiGrid-Timestamp": str(int(time.time())),
        }
        try:
            return int((await self._http.post(hook.url, content=body, headers=headers)).status_code)
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return 0
