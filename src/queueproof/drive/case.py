"""What a case is written with: a scope and queues of its own, and calls that end the case when they cannot go on.

A call that the contract promises to succeed, and that does not, ends the case: as a violation where the case is about
that very promise, else as blocked by it. What the network spoils is tried again, or starts the case anew.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from queueproof.contract import wire
from queueproof.drive.client import Exchange
from queueproof.drive.outcomes import Blocked, Disturbed, Inconclusive, NotRun, NotSupported, Violation
from queueproof.drive.queue import LASTING_RETRIES, UNAVAILABLE, Queue
from queueproof.drive.world import World
from queueproof.evidence.margins import KEY_LIFETIME_NS
from queueproof.evidence.operation import Result

Function = TypeVar("Function", bound=Callable[..., Awaitable[None]])

# A valid request that is answered with a fault of the server's own this often, with pauses, is refused by it.
TRIES = 5
FIRST_PAUSE_S = 0.15
# Platform codes that say nothing about the request (docs/contract.md, section 2.6).
QUOTA = frozenset({"QUOTA_EXCEEDED", "BUDGET_EXCEEDED"})

# So many scopes or queues may be more than a server takes; how many it has to take is promised nowhere.
MANY = 16
# Cases that move at the same time may fill a new scope before one of them finds a place there.
SUCCESSORS = 40
# What a server that forgot a key would break.
OF_KEYS = frozenset({"IDEM-1", "IDEM-2", "IDEM-3", "IDEM-7", "IDEM-8"})

QUICKSTART_QUEUE = {"consumer_mode": "competing", "ordering": "fifo"}


def proves(requirement: str) -> Callable[[Function], Function]:
    """Marks an `async def test_…(case: Case)` as a case of `requirement`; its docstring quotes the statement."""

    def mark(function: Function) -> Function:
        function.__requirement__ = requirement  # type: ignore[attr-defined]
        return function

    return mark


class Case:
    """One run of one case."""

    def __init__(self, world: World, requirement: str, name: str) -> None:
        self.world = world
        self.requirement = requirement
        self.name = name
        self.exchanges: list[Exchange] = []  # every call of this case, in the order of their ends

    # ── verdicts ──────────────────────────────────────────────────────────────────────────────────────────────────

    def require(
        self,
        condition: object,
        summary: str,
        *,
        expected: str,
        seen: object,
        proof: str = "",
        evidence: Sequence[int | Exchange] = (),
        liveness: bool = False,
    ) -> None:
        """Ends the case as violated unless the condition holds."""
        if not condition:
            if not liveness:
                self._remembered(self.requirement, evidence)
            raise Violation(
                summary,
                expected=expected,
                seen=seen if isinstance(seen, str) else spell(seen),
                proof=proof,
                evidence=_operations(evidence),
                liveness=liveness,
            )

    def refuse(
        self,
        root: str,
        summary: str,
        *,
        expected: str,
        seen: str,
        evidence: Sequence[int | Exchange],
        proof: str = "",
        liveness: bool = False,
    ) -> NoReturn:
        """Ends the case because the promise `root` was not kept: violated if the case is about it, else blocked.

        `liveness`: something did not come (yet), which by itself proves nothing about the root. What a key is accused
        of has to have come while it was surely remembered.
        """
        if not liveness:
            self._remembered(root, evidence)
        operations = _operations(evidence)
        if root == self.requirement:
            raise Violation(summary, expected=expected, seen=seen, proof=proof, evidence=operations, liveness=liveness)
        raise Blocked(root, summary, expected=expected, seen=seen, proof=proof, evidence=operations, liveness=liveness)

    def _remembered(self, root: str, evidence: Sequence[int | Exchange]) -> None:
        """Ends the case as disturbed where a key may have been forgotten for its age by the last of these calls."""
        if root not in OF_KEYS:
            return
        calls = [call for call in evidence if isinstance(call, Exchange)]
        publishes = [call.inv_ns for call in calls if call.request.verb == "publish"]
        if publishes and max(call.ret_ns for call in calls) - min(publishes) > KEY_LIFETIME_NS:
            raise Disturbed("it took so long that a key may have been forgotten meanwhile")

    def permitted(self, exchange: Exchange) -> None:
        """Ends the case as not run where the key lacks a right, or as inconclusive where a quota of its is used up."""
        if exchange.code in QUOTA or exchange.status == 402:
            raise Inconclusive(f"the server's quota is used up: {exchange.told()}", evidence=(exchange.op,))
        if exchange.status in {401, 403}:
            if exchange.request.verb in self.world.client.granted:
                raise Disturbed(f"{exchange.request.verb}, which has worked, was answered {exchange.told()}")
            raise NotRun(
                f"the key may not do this ({exchange.request.verb}: {exchange.told()}): "
                "give one with scaiqueue:manage, publish, consume and view",
                evidence=(exchange.op,),
            )

    def key(self, name: str) -> str:
        """A key with fewer rights; ends the case as not run when it was not given."""
        if name not in self.world.keys:
            raise NotRun(f"it needs a key: give --{name}-key or QUEUEPROOF_{name.upper()}_KEY")
        return self.world.keys[name]

    # ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def send(self, request: wire.Request, **options: Any) -> Exchange:
        """One call, whatever comes of it (options: Client.send), unless the server answers nothing any more."""
        exchange = await self.world.client.send(request, case=self.requirement, **options)
        self.exchanges.append(exchange)
        if exchange.answer is None and self.world.client.silence.word:
            raise Inconclusive(self.world.client.silence.word, evidence=(exchange.op,))
        return exchange

    async def lose(self, request: wire.Request, *, fields: Mapping[str, Any] | None = None) -> Exchange:
        """One call whose answer is lost on purpose, after the server said by its status that it was done with it.

        Ends the case as disturbed when the status tells no success: then nothing is known of the call's effect.
        """
        exchange = await self.world.client.lose(request, case=self.requirement, fields=fields)
        self.exchanges.append(exchange)
        if exchange.answer is None or not exchange.answer.success:
            raise Disturbed(f"{request.verb}, whose answer was to be lost, got none: {exchange.told()}")
        return exchange

    async def persist(
        self,
        request: Callable[[], wire.Request],
        root: str,
        doing: str,
        *,
        optional: bool = False,
        fields: Callable[[], dict[str, Any]] | None = None,
        blame: Callable[[Exchange], str] = lambda _: "",
        **options: Any,
    ) -> Exchange:
        """A call that must succeed, tried again while only the network or a passing fault is in the way.

        `request` makes a new request for each try; `root` is the promise that it rests on; `optional`: a verb whose
        path the contract does not document, so that its absence is no fault. `fields`: what the history should know
        of the call, asked for after `request`. `blame`: the promise that an answer breaks when it is not `root`'s.
        """
        exchange: Exchange | None = None
        refusals = 0
        perhaps = False  # an earlier try may have had its effect, so that a later refusal may be its echo
        for attempt in range(TRIES):
            outgoing = request()
            exchange = await self.send(outgoing, fields=fields() if fields else None, **options)
            if exchange.ok:
                return exchange
            if optional and exchange.unsupported:
                raise NotSupported(f"{doing}: answered {exchange.told()}", evidence=(exchange.op,))
            if exchange.refused:
                if perhaps:
                    raise Disturbed(f"{doing}: refused after a try whose answer was lost", evidence=(exchange.op,))
                break
            perhaps = perhaps or exchange.result is Result.UNKNOWN
            refusals += exchange.answer is not None and exchange.status not in UNAVAILABLE
            self.world.client.retried += 1
            await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
        assert exchange is not None
        if exchange.status in UNAVAILABLE and not exchange.refused:
            raise Inconclusive(f"{doing}: answered {exchange.told()} each of {TRIES} times", evidence=(exchange.op,))
        self.permitted(exchange)
        if exchange.result is Result.REJECTED or refusals == TRIES:
            not_json = exchange.answer is not None and exchange.answer.success
            self.refuse(
                "ENV-1" if not_json else blame(exchange) or root,
                f"{doing} was answered {exchange.told()}" + (", and no JSON" if not_json else ""),
                expected="a 2xx answer with a JSON body",
                seen=exchange.answer.text[:300] or exchange.told() if exchange.answer else exchange.told(),
                evidence=(exchange,),
            )
        raise Disturbed(f"{doing}: {exchange.why}", evidence=(exchange.op,))

    async def eventually(
        self, read: Callable[[], Awaitable[Any]], accept: Callable[[Any], bool], *, within_s: float | None = None
    ) -> Any:
        """The first value of `read()` that is accepted, or the last one read when the time is over.

        For what may trail behind (rows, counters): a reading proves nothing until it had its time.
        """
        end = time.monotonic() + (self.world.slack_s if within_s is None else within_s)
        while True:
            last = time.monotonic() > end
            value = await read()
            if last or accept(value):
                return value
            await asyncio.sleep(self.world.pause_s(0.2))

    # ── places ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def scope(self) -> str:
        """The scope that the run's cases share."""
        async with self.world.lock:
            if self.world.no_scope is not None:  # once was enough: what refused it to one case refuses it to all
                raise self.world.no_scope
            if not self.world.scope:
                try:
                    self.world.scope = await self.own_scope("cases")
                except (Violation, Blocked) as end:
                    self.world.no_scope = Blocked("SCOPE-1", end.summary, evidence=end.evidence)
                    raise
                except Inconclusive as end:
                    self.world.no_scope = end
                    raise
        return self.world.scope

    async def own_scope(self, hint: str = "") -> str:
        """A scope that no other case sees."""
        slug = ""

        def request() -> wire.Request:
            nonlocal slug
            slug = self.world.slug(hint or self.requirement)
            self.world.ledger.intend(slug)
            return wire.create_scope(slug, f"queueproof {self.world.run} {self.requirement}")

        try:
            exchange = await self.persist(request, "SCOPE-1", "creating a scope")
        except (Violation, Blocked) as end:
            made = sum(bool(created.id) for created in self.world.ledger.scopes.values())
            if made < MANY or not self.exchanges[-1].refused:
                raise
            raise Inconclusive(f"the server takes no more than {made} scopes: {self.exchanges[-1].told()}") from end
        scope = wire.identity(exchange.data)
        if not scope:
            self.refuse(
                "SCOPE-1",
                "a scope was created, but the answer holds no data.id",
                expected="data.id, a string",
                seen=exchange.answer.text[:300] if exchange.answer else "",
                evidence=(exchange,),
            )
        self.world.ledger.created(slug, scope)
        return scope

    async def queue(self, *, scope: str = "", root: str = "QUEUE-1", **fields: Any) -> Queue:
        """A new queue (the quickstart's own shape, changed by `fields`; None leaves a field out).

        Where the scope that the cases share takes no more queues, it gets a successor.
        """
        home = scope or await self.scope()
        chosen = self._chosen(fields)
        home, exchange = await self._placed(home, root, fields, moves=not scope)
        found = wire.identity(exchange.data)
        if not found:
            self.refuse(
                "QUEUE-1",
                "a queue was created, but the answer holds no data.id",
                expected="data.id, a string",
                seen=exchange.answer.text[:300] if exchange.answer else "",
                evidence=(exchange,),
            )
        self.world.ledger.queue(home, found)
        return Queue(self, home, found, chosen, exchange)

    async def _placed(self, home: str, root: str, fields: Mapping[str, Any], *, moves: bool) -> tuple[str, Exchange]:
        """A queue's creation and its scope: `home`, or, where that is full and it `moves`, one of its successors."""
        full = ""
        for _ in range(SUCCESSORS if moves else 1):
            try:
                return home, await self._queue_in(home, root, fields)
            except (Violation, Blocked, Inconclusive):
                if not await self._is_full(home):
                    raise
            full = self.exchanges[-1].told()
            home = await self._successor(home) if moves else ""
            if not home:
                break
        raise Inconclusive(f"the server takes no more than {len(self.world.queues)} queues: {full}")

    async def _queue_in(self, home: str, root: str, fields: Mapping[str, Any]) -> Exchange:
        def request() -> wire.Request:
            return wire.create_queue(home, self.queue_form(**fields))

        def blame(exchange: Exchange) -> str:
            return "SCOPE-1" if exchange.status == 404 else ""  # the id that the scope's creation gave leads nowhere

        return await self.persist(request, root, f"creating a queue with {spell(self._chosen(fields))}", blame=blame)

    async def _is_full(self, home: str) -> bool:
        """Whether, with many queues there, the plainest one more is refused: then a refusal is not about its form."""
        if len(self.world.queues) < MANY:
            return False
        plain = await self.send(wire.create_queue(home, self.queue_form()))
        if plain.ok and wire.identity(plain.data):
            self.world.ledger.queue(home, wire.identity(plain.data))
        return plain.result is Result.REJECTED and plain.status not in {401, 403, 404, *UNAVAILABLE}

    async def _successor(self, home: str) -> str:
        """The scope that cases share after this one, which takes no more queues; "" when a new one takes none."""
        async with self.world.lock:
            if self.world.scope == home:
                scope = await self.own_scope("cases")
                if await self._is_full(scope):
                    return ""
                self.world.scope = scope
            return self.world.scope

    def queue_form(self, **fields: Any) -> dict[str, Any]:
        """A queue's creation: the quickstart's members under a new slug, changed by `fields` as in `queue`."""
        named = {"slug": self.world.slug(self.requirement), "display_name": f"queueproof {self.requirement}"}
        return {name: value for name, value in (named | self._chosen(fields)).items() if value is not None}

    def _chosen(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        needed = {"max_depth": 0} if "max_depth" in self.world.dialect.queue_fields_needed else {}
        return {**QUICKSTART_QUEUE, **needed, **fields}

    async def lasting_queue(self, **fields: Any) -> Queue:
        """A queue whose messages may lapse often before they are dead-lettered, where a server lets that be said."""
        if "max_retries" not in self.world.dialect.queue_fields_refused:
            try:
                return await self.queue(root="max_retries", max_retries=LASTING_RETRIES, **fields)
            except Blocked as end:
                if end.root != "max_retries":
                    raise
                self.world.dialect.queue_fields_refused |= {"max_retries"}
        return await self.queue(**fields)


def spell(value: Any, limit: int = 300) -> str:
    """A value as a reader wants to see it: JSON where it is JSON, and no longer than `limit`."""
    try:
        text = wire.encode(value).decode()
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"


def _operations(evidence: Sequence[int | Exchange]) -> tuple[int, ...]:
    return tuple(part if isinstance(part, int) else part.op for part in evidence)
