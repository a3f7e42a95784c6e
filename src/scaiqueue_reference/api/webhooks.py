"""Handlers of the calls about webhooks, which belong to a tenant and not to a scope."""

import json
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from scaiqueue_reference import events
from scaiqueue_reference.api import requests
from scaiqueue_reference.api.call import Call, Result
from scaiqueue_reference.api.paging import LARGEST_PAGE, limit_of
from scaiqueue_reference.api.views import moment
from scaiqueue_reference.clock import Clock, resource_id
from scaiqueue_reference.errors import Invalid, NotFound
from scaiqueue_reference.message import Delivery, JournalPage, Webhook
from scaiqueue_reference.store import Store
from scaiqueue_reference.webhooks import Dispatcher

_Retries = Annotated[int, Meta(ge=0, le=20)]
_STATUSES = ("active", "inactive")
_DELIVERIES = ("success", "failed", "pending")


class WebhookRequest(Struct):
    """POST /v1/webhooks"""

    url: Annotated[str, Meta(min_length=1, max_length=2000)]
    events: list[str]
    secret: requests.Short
    status: str = "active"
    max_retries: _Retries = 5


class WebhookUpdate(Struct):
    """PUT /v1/webhooks/{webhook_id}: only what is sent changes"""

    url: Annotated[str, Meta(min_length=1, max_length=2000)] | UnsetType = UNSET
    events: list[str] | UnsetType = UNSET
    secret: requests.Short | UnsetType = UNSET
    status: str | UnsetType = UNSET
    max_retries: _Retries | UnsetType = UNSET


class WebhookHandlers:
    """Each method answers one endpoint."""

    def __init__(self, store: Store, clock: Clock, dispatcher: Dispatcher) -> None:
        self._store = store
        self._clock = clock
        self._dispatcher = dispatcher

    async def create(self, call: Call) -> Result:
        """201 with the webhook, without its secret; it gets the events from now on."""
        fields = _checked(requests.given(requests.decode(WebhookRequest, call.body)))
        created_us = self._clock.tick_us()
        hook = Webhook(
            id=resource_id("wh", created_us),
            tenant_id=call.tenant,
            sent_seq=await self._last_line(call.tenant),
            lease_us=0,
            created_us=created_us,
            **fields,
        )
        await self._store.add_record(hook)
        return Result(_view(hook), 201)

    async def _last_line(self, tenant_id: str) -> int:
        number = 0
        while lines := await self._store.journal(JournalPage(tenant_id=tenant_id, after=number, limit=10_000)):
            number = lines[-1][0]
        return number

    async def list_all(self, call: Call) -> Result:
        """The tenant's webhooks."""
        hooks = await self._store.records(Webhook, tenant_id=call.tenant)
        return Result([_view(hook) for hook in hooks], paged=True)

    async def read(self, call: Call) -> Result:
        """One webhook."""
        return Result(_view(await self._find(call)))

    async def update(self, call: Call) -> Result:
        """The changed webhook."""
        fields = _checked(requests.given(requests.decode(WebhookUpdate, call.body)))
        while True:
            hook = await self._find(call)
            changed = msgspec.structs.replace(hook, **fields)
            if await self._store.save_record(changed, sent_seq=hook.sent_seq, lease_us=hook.lease_us):
                return Result(_view(changed))

    async def delete(self, call: Call) -> Result:
        """The id of what was deleted."""
        hook = await self._find(call)
        await self._store.remove_records(Delivery, webhook_id=hook.id)
        await self._store.remove_records(Webhook, id=hook.id)
        return Result({"id": hook.id, "deleted": True})

    async def test(self, call: Call) -> Result:
        """Sends a made-up event at once; the status of the answer, 0 when there was none."""
        hook = await self._find(call)
        body = {"event_type": "scaiqueue.webhook.test", "event_id": "evt_test", "tenant_id": call.tenant, "payload": {}}
        status = await self._dispatcher.post(hook, "scaiqueue.webhook.test", msgspec.json.encode(body))
        return Result({"delivered": 200 <= status < 300, "response_status": status})

    async def deliveries(self, call: Call) -> Result:
        """What became of the events, newest first; filters: status, limit."""
        hook, query = await self._find(call), call.query()
        where: dict[str, object] = {"webhook_id": hook.id}
        if "status" in query:
            where["status"] = requests.one_of("status", query["status"], _DELIVERIES)
        found = await self._store.records(Delivery, **where)
        shown = found[::-1][: limit_of(query, LARGEST_PAGE)]
        return Result([_delivery_view(delivery) for delivery in shown], paged=True)

    async def _find(self, call: Call) -> Webhook:
        found = await self._store.records(Webhook, tenant_id=call.tenant, id=call.params["webhook_id"])
        if not found:
            raise NotFound("webhook", call.params["webhook_id"])
        return found[0]


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    if "url" in fields:
        try:
            parts = urlsplit(fields["url"])
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable:
            raise Invalid(("url", "must be a URL with http or https"))
    if "events" in fields:
        unknown = [name for name in fields["events"] if name not in events.EVENTS]
        if unknown or not fields["events"]:
            raise Invalid(("events", f"must be of {', '.join(events.EVENTS)}"))
        fields["events"] = json.dumps(fields["events"])
    if "status" in fields:
        requests.one_of("status", fields["status"], _STATUSES)
    return fields


def _view(hook: Webhook) -> dict[str, Any]:
    return {
        "id": hook.id,
        "url": hook.url,
        "events": json.loads(hook.events),
        "status": hook.status,
        "max_retries": hook.max_retries,
        "created_at": moment(hook.created_us),
    }


def _delivery_view(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "response_status": delivery.response_status or None,
        "created_at": moment(delivery.created_us),
    }
