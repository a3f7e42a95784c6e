"""A queue as a case sees it: publish into it, claim from it, watch it, and settle what was claimed."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from queueproof.contract import wire
from queueproof.contract.wire import ABSENT
from queueproof.drive.client import Exchange
from queueproof.drive.delivery import Claim, Delivery, Message, S, double_hold
from queueproof.drive.missing import retried_out, undelivered
from queueproof.drive.outcomes import UNDOCUMENTED, Disturbed, Inconclusive
from queueproof.drive.rows import read_counters, read_row
from queueproof.drive.settling import act, complete
from queueproof.evidence.digest import digest
from queueproof.evidence.operation import Result

if TYPE_CHECKING:
    from queueproof.drive.case import Case

# More deliveries than any case needs, and well inside the 0 to 100 that a sibling product allows.
LASTING_RETRIES = 50
# Between two claims that came back empty.
POLL_S = 0.1
# What has not come in so many claims takes longer, and each further one might be the one whose answer is lost.
SOON, SELDOM_S = 15, 0.25
UNAVAILABLE = wire.UNAVAILABLE
# A valid claim that is answered with a fault of the server's own this often in a row is refused by it.
FAULTS_IN_A_ROW = 6
# A claim may be empty though a message waits; so many in a row are no chance any more (0.2 to the fifth: 0.03 %).
EMPTY_IN_A_ROW = 5
# Where holds do not hold, the same messages come without an end; that accuses nobody, and ends the waiting.
OTHERS_AT_MOST = 100
# How long a backoff may be is not documented, whether of a fail or of a release: so long may what was given back take.
BACKOFF_S = 20.0
# For a lost claim's hold to lapse a case waits this long; beyond it a new start is quicker.
LONGEST_UNSURE_S = 6
# Where no claim at all is answered for so long, a case ends: whatever waits for one would never see it.
LONGEST_UNANSWERED_S = 30
FEWEST_UNANSWERED = 2  # two lost answers far apart are weather
__all__ = ["BACKOFF_S", "Claim", "Delivery", "Message", "Queue", "S", "double_hold"]

QUICKSTART_PRIORITY = {"tier": "normal", "score": 500}


class Queue:
    """One queue of one case."""

    def __init__(self, case: "Case", scope: str, queue: str, fields: Mapping[str, Any], created: Exchange) -> None:
        self.case = case
        self.scope = scope
        self.id = queue
        self.fields = fields
        self.created = created
        self.ordering = str(fields.get("ordering", ""))  # by which the order check judges it; "" for not at all
        self.unmodelled = False  # paused, drained or otherwise beyond what the checks model
        self.world = case.world
        self._by_id: dict[str, Message] = {}
        self._by_token: dict[str, Message] = {}
        self._faults = 0  # claims in a row that a fault of the server's own answered
        self._unanswered: list[Exchange] = []  # the claims since the last that was answered
        self.done: dict[Message, Exchange] = {}  # the completions that were acknowledged
        self.counts: Counter[Message] = Counter()  # deliveries seen of each message
        self.latest: dict[Message, Delivery] = {}  # the last delivery seen of each message
        self.failed: set[Message] = set()  # what a fail was acknowledged for
        self.refused: dict[str, str] = {}  # token of a refused publish: the promise that its delivery breaks
        self._perhaps: set[str] = set()  # tokens of publishes whose result is unknown
        self._under_way: set[str] = set()  # tokens of publishes that are not answered yet
        self.unsure_until_ns = 0  # an unknown claim may hold something until then
        self.world.queues.append(self)

    @property
    def known(self) -> list[Message]:
        """Every message that was acknowledged here, oldest first."""
        return list(self._by_id.values())

    @property
    def lasting(self) -> bool:
        """Whether its messages may certainly lapse, or be given back, often (`Case.lasting_queue`)."""
        shown = self.created.data
        return isinstance(shown, dict) and shown.get("max_retries") == LASTING_RETRIES

    # ── publish ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def publish(self, body: Any = ABSENT, *, root: str = "PUB-1", **fields: Any) -> Message:
        """Publishes one message and has it acknowledged; `body` is the body, or makes it of its token; a
        field that is None is left out.

        Without an idempotency key, a try whose result is unknown is followed by another message: the first one may
        be there all the same, and is completed wherever it turns up.
        """
        token, correlation, sent = "", "", {}
        keyed = fields.get("idempotency_key", self.world.dialect.publish_key_needed or None) is not None

        def request() -> wire.Request:
            nonlocal token, correlation, sent
            if token and not keyed:
                self._perhaps.add(token)
                self._under_way.discard(token)
                token = ""
            token = token or self.world.token()
            self._under_way.add(token)
            correlation = f"{token}.{self.case.requirement}" if self.world.dialect.correlation else ""
            content = {"qp": token, "case": self.case.requirement} if body is ABSENT else body
            sent = {"type": "qp.case", "priority": QUICKSTART_PRIORITY, "labels": {"qp": "yes"}}
            if correlation:
                sent["correlation_id"] = correlation
            if self.world.dialect.publish_key_needed:
                sent["idempotency_key"] = token
            sent |= fields
            sent = {name: value for name, value in sent.items() if value is not None}
            sent["body"] = content(token) if callable(content) else content
            return wire.publish(self.scope, self.id, sent)

        exchange = await self.case.persist(
            request, root, "publishing", fields=lambda: self.described(token, sent), blame=self._blame
        )
        found = wire.identity(exchange.data)
        if not found:
            self.case.refuse(
                "PUB-1",
                "a publish was acknowledged, but the answer holds no data.id",
                expected="data.id, a string",
                seen=exchange.answer.text[:300] if exchange.answer else "",
                evidence=(exchange,),
            )
        earlier = self._by_id.get(found)
        if earlier is not None and "idempotency_key" not in sent:
            self.case.refuse(
                "IDEM-6",
                "a publish without an idempotency key was answered with the id of an earlier message",
                expected="a new message",
                seen=f"id {found}, given before to {earlier.token}",
                evidence=(earlier.publish, exchange),
            )
        message = Message(
            id=found,
            token=token,
            body=sent.get("body"),
            fields=sent,
            publish=exchange,
            correlation=str(sent.get("correlation_id", "")),
        )
        if earlier is None:
            self._by_id[found] = message
        self._by_token.setdefault(token, message)
        self._under_way.discard(token)
        return message

    def _blame(self, exchange: Exchange) -> str:
        """The promise that a refused publish breaks when it is not about publishing itself."""
        if exchange.code == wire.QUEUE_FULL:
            depth = self.fields.get("max_depth")
            if depth and self.unsettled:
                raise Disturbed("a call of unknown result may have left a message that takes a place")
            return "QUEUE-2" if depth is None else "DEPTH-3" if depth else "QUEUE-5"
        if exchange.status == 404 and not self._by_id:
            return "QUEUE-1"  # the id that the queue's creation gave leads nowhere
        return ""

    async def publish_many(self, count: int, **fields: Any) -> list[Message]:
        """`count` messages, one after the other: each is acknowledged before the next is sent."""
        return [await self.publish(**fields) for _ in range(count)]

    def described(self, token: str, sent: Mapping[str, Any]) -> dict[str, Any]:
        rank = None
        priority = sent.get("priority")
        if self.fields.get("ordering") == "priority" and isinstance(priority, dict):
            rank = wire.rank(priority.get("tier", "normal"), priority.get("score", 500))
        key = sent.get("idempotency_key")
        return {
            "token": token if wire.token(sent.get("body")) == token else "",
            "body": digest(sent.get("body")),
            "rest": digest({name: value for name, value in sent.items() if name not in ("body", "idempotency_key")}),
            "key": key if isinstance(key, str) else None,
            "rank": rank,
            "untimed": any(name in sent for name in ("delay_until", "ttl_seconds", "deadline")),
        }

    # ── claim ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def claim(
        self,
        batch_size: int = 1,
        timeout_s: float | None = None,
        *,
        burst: bool = False,
        refused: str = "CLAIM-1",
        key: str | None = None,
    ) -> Claim:
        """One claim, with the run's own key or another. An empty answer comes back as no deliveries, in whichever way
        the server says "nothing".

        Deliveries of messages that an unknown publish left behind are completed and not returned. Ends the case when
        claims are refused, are no list, or hand out what was never published here.
        """
        hold_s = self.world.dialect.timeout_s if timeout_s is None else timeout_s
        size = min(batch_size, self.world.dialect.batch_max)
        request = wire.claim(self.scope, self.id, batch_size=size, visibility_timeout_s=hold_s)
        fields = {"timeout_s": hold_s, "limit": size}
        exchange = await self.case.send(request, urgent=True, burst=burst, key=key, fields=fields)
        if not exchange.ok:
            return self._no_claim(exchange, hold_s, refused)
        self._unanswered = []
        items = wire.rows(exchange.data)
        if items is None:
            if exchange.data is None or (exchange.answer is not None and not exchange.answer.json):
                items = []  # 204, or data: null: CLAIM-2 has a case of its own
            else:
                self._no_items("CLAIM-1", "a claim's data is no list", exchange)
        deliveries = []
        for position, item in enumerate(items):
            if not isinstance(item, dict) or not wire.identity(item):
                self._no_items("CLAIM-3", "a claimed item is no object with an id", exchange)
            found = wire.token(item.get("body"))
            message = self._by_id.get(wire.identity(item)) or self._by_token.get(found)
            if message is not None and message.id != wire.identity(item):
                self.case.refuse(
                    self._blame_id(message),
                    "a message is handed out under another id than the one by which it is known",
                    expected=f"id {message.id}",
                    seen=f"id {wire.identity(item)}",
                    evidence=(message.publish, exchange),
                )
            if message is not None:
                deliveries.append(
                    Delivery(message=message, item=item, claim=exchange, timeout_s=hold_s, position=position)
                )
            elif self._perhaps and (not found or found in self._perhaps):
                await self.case.send(wire.complete(self.scope, wire.identity(item)))
            elif not self._under_way or (found and found not in self._under_way):
                self._stranger(item, exchange)  # else it was claimed before its publish was answered, and lapses
        self._faults = 0
        self.latest |= {delivery.message: delivery for delivery in deliveries}
        self.counts.update(delivery.message for delivery in deliveries)
        return Claim(exchange=exchange, deliveries=deliveries)

    def _blame_id(self, message: Message) -> str:
        """The promise that a delivery under another id breaks."""
        if self.case.requirement.startswith(("IDEM-", "GHOST-")):
            return self.case.requirement
        if "idempotency_key" in message.fields and len(sent := self._publishes_of(message)) > 1:
            if any(call.result is Result.UNKNOWN for call in sent):
                raise Disturbed(
                    "a replay whose answer was lost may have found its key forgotten, as it may be in the end"
                )
            return "IDEM-2"  # a twin of it, then, unless its key may have been forgotten for its age
        if message in self.failed:
            return "FAIL-2"
        if message in self.latest:
            return "VIS-3"
        return "IDEM-2" if "idempotency_key" in message.fields else "PUB-1"

    def _publishes_of(self, message: Message) -> list[Exchange]:
        """The case's publishes with the message's token: replays, all but the first."""
        publishes = (call for call in self.case.exchanges if call.request.verb == "publish")
        return [call for call in publishes if message.token.encode() in (call.request.body or b"")]

    def adopt(self, identity: str, message: Message) -> Message:
        """Makes another id known under which the server holds a body of `message` as a message of its own."""
        twin = replace(message, id=identity)
        self._by_id[identity] = twin
        return twin

    def _no_claim(self, exchange: Exchange, hold_s: float, refused: str) -> Claim:
        """A claim that brought nothing: not sent, unknown, or refused."""
        if exchange.refused:
            if exchange.status == 404 and self._by_id:  # "nothing there" on a queue that was claimed from before
                self._unanswered = []
                return Claim(exchange=exchange)
            self.case.permitted(exchange)
            root = refused if self._by_id or refused == UNDOCUMENTED else "CLAIM-2"
            self._no_items(root, "a claim was refused", exchange)
        self._unanswered.append(exchange)
        silent_ns = exchange.ret_ns - self._unanswered[0].inv_ns
        if len(self._unanswered) > FEWEST_UNANSWERED and silent_ns > LONGEST_UNANSWERED_S * S:
            raise Inconclusive(f"for {LONGEST_UNANSWERED_S} s no claim was answered: {exchange.told()}")
        if exchange.result is Result.UNKNOWN:
            fault = exchange.answer is not None and exchange.status not in UNAVAILABLE
            self._faults = self._faults + 1 if fault else 0
            if self._faults >= FAULTS_IN_A_ROW:
                self._no_items("CLAIM-2", f"claims were answered {exchange.told()}, again and again", exchange)
            self.unsure_until_ns = max(self.unsure_until_ns, exchange.ret_ns + round(hold_s * S))
        return Claim(exchange=exchange)

    def _no_items(self, root: str, summary: str, exchange: Exchange) -> NoReturn:
        self.case.refuse(
            root,
            summary,
            expected="a 2xx answer whose data is a list of messages",
            seen=exchange.answer.text[:300] if exchange.answer else exchange.why,
            evidence=(exchange,),
        )

    def _stranger(self, item: Mapping[str, Any], exchange: Exchange) -> None:
        root = self.refused.get(wire.token(item.get("body")))
        if root is not None:
            self.case.refuse(
                root,
                "a claim handed out a message whose publish was refused",
                expected="nothing of a refused publish",
                seen=f"id {wire.identity(item)}",
                evidence=(exchange,),
            )
        ours = wire.token(item.get("body")).startswith(f"qp.{self.world.run}.")
        self.case.refuse(
            "CLAIM-9" if ours else "PHANTOM-1",
            "a claim handed out a message of another queue"
            if ours
            else "a claim handed out what nobody published here",
            expected=f"messages that were published to queue {self.id}",
            seen=f"id {wire.identity(item)}",
            evidence=(exchange,),
        )

    async def take(
        self,
        *messages: Message,
        batch_size: int = 1,
        timeout_s: float | None = None,
        root: str = "CLAIM-1",
        within_s: float | None = None,
        doing: str = "an acknowledged message was not delivered",
    ) -> list[Delivery]:
        """Claims until each of `messages` was delivered; every delivery that was seen on the way, in order.

        Servers may hand out fewer than asked and be late by the slack, so it goes on until `within_s` (default: the
        slack, and a timeout more after a claim whose result is unknown). Ends the case when one never comes.
        """
        found: list[Delivery] = []
        missing = set(messages)
        empty = 0  # claims in a row, sent after the time was over, that brought nothing
        barren = 0  # claims in a row that brought nothing
        others = 0  # claims sent after the time was over that brought only what had come before
        allowed_s = self.world.bound_s if within_s is None else within_s
        end_ns = time.monotonic_ns() + round(allowed_s * S)
        while missing:
            last = self._over(end_ns, allowed_s)
            claim = await self.claim(batch_size, timeout_s, refused=UNDOCUMENTED if root == UNDOCUMENTED else "CLAIM-1")
            found += claim.deliveries
            fresh = set(missing)
            missing -= {delivery.message for delivery in claim.deliveries}
            empty = empty + 1 if last and claim.sure and not claim.deliveries else 0
            others += bool(last and claim.deliveries and not any(d.message in fresh for d in claim.deliveries))
            if missing and others >= OTHERS_AT_MOST:
                raise Disturbed("what had been delivered before came again and again in the place of what is missing")
            if missing and empty >= EMPTY_IN_A_ROW:
                await undelivered(self, min(missing, key=lambda m: m.publish.ret_ns), claim, root, doing)
            barren = 0 if claim.deliveries else barren + 1
            if missing and barren:
                await asyncio.sleep(self.pause_s(POLL_S if barren < SOON else SELDOM_S))
        return found

    def _over(self, end_ns: int, allowed_s: float) -> bool:
        """Whether waiting for a message may end: its time is over, and that of each unknown claim that may hold it.

        An unknown claim with a long hold is not waited for: the case starts anew.
        """
        now_ns = time.monotonic_ns()
        if now_ns > end_ns and self.unsure_until_ns > now_ns + LONGEST_UNSURE_S * S:
            raise Disturbed("a claim whose answer was lost may hold the message for long")
        return now_ns > max(end_ns, self.unsure_until_ns + round(allowed_s * S) if self.unsure_until_ns else 0)

    def pause_s(self, usual_s: float = POLL_S) -> float:
        """How long to wait before the next of many claims: longer where the server counts requests."""
        return self.world.pause_s(usual_s)

    def holding(self, *deliveries: Delivery) -> None:
        """Ends the case as disturbed when one of the holds that a judgement rests on may be over by now."""
        now_ns = time.monotonic_ns()
        if any(now_ns > delivery.held_until_ns for delivery in deliveries):
            raise Disturbed("it took so long that a hold may have lapsed meanwhile")

    @property
    def unsettled(self) -> bool:
        """Whether a call of unknown result may have left something here that the case does not know of."""
        return bool(self.unsure_until_ns or self._perhaps)

    async def take_one(self, message: Message, **options: Any) -> Delivery:
        """The next delivery of one message."""
        return [delivery for delivery in await self.take(message, **options) if delivery.message is message][-1]

    async def given_back(self, message: Message, *, timeout_s: float | None = None) -> Delivery:
        """The next delivery of a message; one that was handed out before was released, which may back off."""
        if message not in self.latest:
            return await self.take_one(message, timeout_s=timeout_s)
        doing = "a released message was not delivered"
        return await self.take_one(message, timeout_s=timeout_s, root="VIS-6", within_s=BACKOFF_S, doing=doing)

    async def retried_out(self, message: Message) -> None:
        """Ends the case as inconclusive when an absent message may have used up its retries by lapsing."""
        await retried_out(self, message)

    async def watch(
        self, until_ns: int, *, batch_size: int = 10, timeout_s: float | None = None, every_s: float = POLL_S
    ) -> AsyncIterator[Claim]:
        """Claims again and again until `until_ns`, and once after it."""
        while True:
            last = time.monotonic_ns() >= until_ns
            yield await self.claim(batch_size, timeout_s)
            if last:
                return
            await asyncio.sleep(max(0.0, min(self.pause_s(every_s), (until_ns - time.monotonic_ns()) / S)))

    # ── settle ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def complete(
        self, delivery: Delivery, *, response: Any = ABSENT, root: str = "DONE-1", faults: str = ""
    ) -> Exchange:
        """Completes what was claimed. A try of unknown result is repeated; a refusal after one is no fault."""
        return await complete(self, delivery, response=response, root=root, faults=faults)

    async def act(self, verb: str, delivery: Delivery, *, root: str, **values: Any) -> Exchange:
        """`verb`: "fail", "release" or "extend" on what was claimed; an optional path, so its absence is no fault."""
        return await act(self, verb, delivery, root=root, **values)

    # ── read ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def read(self, message: Message) -> Mapping[str, Any]:
        """The message's row; ends as not supported where the server shows none."""
        return await read_row(self, message)

    async def counters(self) -> tuple[int, int]:
        """(`depth_pending`, `depth_claimed`) as the queue's row says; ends as not supported where it does not."""
        return await read_counters(self)
