"""Before the first case: can the target be used at all, and which of the ways to be right does it have?

Only what makes every further call pointless ends the run here (exit 3); whatever breaks a promise is left to the case
that is about that promise.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from queueproof.contract import wire
from queueproof.drive.client import Client, Exchange
from queueproof.drive.queue import QUICKSTART_PRIORITY
from queueproof.drive.world import World
from queueproof.errors import TargetError
from queueproof.evidence.digest import digest
from queueproof.evidence.operation import Result

# Whether a server takes short timeouts or large batches is not documented: the first that is not refused is used.
SHORT_TIMEOUTS_S = (2, 5, 10, 30, 60)
BATCHES = (100, 10, 1)
CASE = "preflight"
TRIES = 4


async def check_target(world: World) -> None:
    """Creates the scope that the cases share, and learns the dialect on a queue of its own.

    Raises TargetError when nothing usable answers.
    """
    slug = world.slug("cases")
    world.ledger.intend(slug)
    request = wire.create_scope(slug, f"queueproof {world.run}")
    exchange = await _reach(world.client, request)
    if exchange.result is Result.REJECTED:
        world.ledger.refused(slug)
    _usable(exchange)
    if not exchange.ok:
        return
    world.scope = wire.identity(exchange.data)
    if world.scope:
        world.ledger.created(slug, world.scope)
        await _learn(world)


async def _reach(client: Client, request: wire.Request) -> Exchange:
    """The first call's exchange, as far as some tries bring one that settles whether the target can be used."""
    exchange = await client.send(request, case=CASE)
    for attempt in range(TRIES - 1):
        if exchange.ok or exchange.result is Result.REJECTED:
            break
        if exchange.hangs:
            break  # three more waits would tell no more
        await asyncio.sleep(0.2 * 2**attempt)
        exchange = await client.send(request, case=CASE)
    return exchange


def _usable(exchange: Exchange) -> None:
    """Raises TargetError when it says that no call will ever come through."""
    answer = exchange.answer
    if answer is None:
        raise TargetError(f"the target cannot be used: {exchange.why}", hint=_advice(exchange.why))
    if 300 <= answer.status < 400:
        raise TargetError(
            f"the target redirects to {answer.headers.get('location', 'an unnamed place')}",
            hint="give the address that it redirects to as --url (without the path /v1/…)",
        )
    if not answer.json and answer.text.lstrip()[:1] == "<":
        raise TargetError(
            f"the target answered {answer.status} with a web page instead of JSON",
            hint="is --url the API's base address, without a path, and is the API behind no login page?",
        )
    if answer.status == 401:
        raise TargetError(f"the target refused the key ({exchange.told()})", hint="check --api-key or SCAIGRID_API_KEY")
    if answer.status == 403:
        raise TargetError(
            f"the key may not create scopes ({exchange.told()})",
            hint="give --api-key a key with scaiqueue:manage, publish, consume and view",
        )
    if answer.status in {502, 503, 504}:
        raise TargetError(
            f"the target says that it is not available ({exchange.told()})",
            hint="is it still starting, or its database away?",
        )
    if answer.status == 429:
        asked_s = wire.retry_after_s(answer, now_s=time.time())
        said = "" if asked_s is None else f", and asks to wait {asked_s:.0f} s"
        raise TargetError(
            f"the target takes no request now: it answers 429{said}",
            hint="ask for a higher rate limit, or come back later",
        )
    if answer.status in {404, 405}:
        raise TargetError(
            f"the target answers, but POST {wire.BASE}/scopes gives {exchange.told()}",
            hint="is --url the API's base address? The path /v1/modules/scaiqueue is added by queueproof",
        )


def _advice(why: str) -> str:
    text = why.lower()
    if "certificate" in text or "ssl" in text or "tls" in text:
        return "check the server's certificate, or whether it speaks https at this port at all"
    if "no answer" in text:
        return "the server took the connection and said nothing: is it overloaded, or no HTTP server?"
    if "no http" in text or "cut off" in text:
        return "is this an HTTP server, and is the scheme right (http or https)?"
    if "in time" in text:
        return "is the server running, are host and port right, and is a firewall in between?"
    return "is the server running, and are host, port and scheme (http or https) right?"


async def _learn(world: World) -> None:
    """Settles the dialect, as far as the server keeps its promises; the rest keeps its default."""
    queue = await _queue(world)
    if not queue:
        return
    begun_ns = time.monotonic_ns()
    await _publish(world, queue)
    await _timeout(world, queue, begun_ns, time.monotonic_ns())
    await _batch(world, queue)


async def _queue(world: World) -> str:
    fields: dict[str, Any] = {"consumer_mode": "competing", "ordering": "fifo"}
    for more in ({}, {"max_depth": 0}):
        slug = world.slug("preflight")
        named = {"slug": slug, "display_name": "queueproof preflight", **fields, **more}
        exchange = await _try(world, wire.create_queue(world.scope, named))
        if exchange.ok:
            world.dialect.queue_fields_needed = frozenset(more)
            queue = wire.identity(exchange.data)
            world.ledger.queue(world.scope, queue)
            return queue
    return ""


async def _publish(world: World, queue: str) -> None:
    """Are correlation ids taken, and are publishes without an idempotency key?"""
    for correlation, keyed in ((True, False), (False, False), (True, True), (False, True)):
        token = world.token()
        message: dict[str, Any] = {
            "type": "qp.preflight",
            "body": {"qp": token},
            "priority": QUICKSTART_PRIORITY,
            "labels": {"qp": "yes"},
        }
        message |= {"correlation_id": token} if correlation else {}
        message |= {"idempotency_key": token} if keyed else {}
        fields = {"token": token, "body": digest(message["body"]), "key": token if keyed else None}
        begun_ns = time.monotonic_ns()  # of the first try: a later one may be answered with what that one made
        exchange = await _try(world, wire.publish(world.scope, queue, message), fields=fields)
        if exchange.ok:
            made = exchange.data.get("created_at") if isinstance(exchange.data, dict) else None
            world.client.skew.stamped(made, begun_ns, exchange.ret_ns)
            world.dialect.correlation, world.dialect.publish_key_needed = correlation, keyed
            return


async def _timeout(world: World, queue: str, begun_ns: int, ended_ns: int) -> None:
    """Which holds are taken; what the claim brings was published between the two, and tells the server's clock."""
    for timeout_s in SHORT_TIMEOUTS_S:
        request = wire.claim(world.scope, queue, batch_size=1, visibility_timeout_s=timeout_s)
        exchange = await _try(world, request, fields={"timeout_s": timeout_s, "limit": 1})
        if exchange.ok:
            world.dialect.timeout_s = timeout_s
            for item in wire.rows(exchange.data) or []:
                world.client.skew.stamped(
                    item.get("created_at") if isinstance(item, dict) else None, begun_ns, ended_ns
                )
                await world.client.send(wire.complete(world.scope, wire.identity(item)), case=CASE)
            return


async def _batch(world: World, queue: str) -> None:
    for size in BATCHES:
        request = wire.claim(world.scope, queue, batch_size=size, visibility_timeout_s=world.dialect.timeout_s)
        exchange = await _try(world, request, fields={"timeout_s": world.dialect.timeout_s, "limit": size})
        if exchange.ok:
            world.dialect.batch_max = size
            return


async def _try(world: World, request: wire.Request, fields: Mapping[str, Any] | None = None) -> Exchange:
    """A call whose refusal tells something; what the network spoils is tried again."""
    exchange = await world.client.send(request, case=CASE, fields=fields)
    for attempt in range(TRIES - 1):
        if exchange.ok or exchange.result is Result.REJECTED:
            break
        await asyncio.sleep(0.1 * 2**attempt)
        exchange = await world.client.send(request, case=CASE, fields=fields)
    return exchange
