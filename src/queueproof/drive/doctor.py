"""Examines a target before a run: what it can do, who may do it, and whether its timed duties are done.

Everything happens in one scope of its own, about as long as the shortest visibility timeout takes; nothing is judged.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from queueproof.contract import wire
from queueproof.contract.skew import clock_skew_s
from queueproof.drive.client import Client, Exchange
from queueproof.drive.limits import RequestBudget, Stated, stated
from queueproof.drive.preflight import check_target
from queueproof.drive.probe import CASE, ask, message, new_queue
from queueproof.drive.recorder import Recorder
from queueproof.drive.rights import rights_of
from queueproof.drive.target import Target
from queueproof.drive.verbs import verbs_of
from queueproof.drive.world import CADENCE_S, World
from queueproof.errors import TargetError
from queueproof.evidence.checkup import Line, Sign
from queueproof.evidence.created import Ledger
from queueproof.evidence.operation import Record, Result

# A lapsed claim that is not back so long after its timeout and the enforcer's second has nobody who brings it back.
BACK_WITHIN_S = 3.0
POLL_S = 0.25
# The wait for an enforcer is worth it up to here; a longer shortest timeout is said instead.
LONGEST_WAIT_S = 5
# The contract's own: limits count over a sliding minute.
WINDOW_S = 60.0
# Beyond this a server's idea of "now" spoils delays and deadlines that a client computes.
SKEW_S = 2.0
SLOW_MS = 250.0
# Whoever asks a doctor waits: what takes longer than this to answer is said to hang, and a limit that asks for a longer
# pause before the first call is said instead of waited out.
ANSWERS_WITHIN_S = 4.0
PATIENCE_S = 3.0
# A whole examination takes about 65 calls; where fewer are left, what each further key may do is not asked for.
FEW_LEFT = 60


class Listening(Client):
    """A client that keeps every exchange, since headers and times are what the doctor is after."""

    heard: list[tuple[Exchange, float]]  # with the Unix time of its end

    async def send(self, request: wire.Request, **options: Any) -> Exchange:
        exchange = await super().send(request, **options)
        self.heard.append((exchange, time.time()))
        return exchange


class _Nowhere:
    """A sink of records that nobody reads: an examination leaves no history."""

    def write(self, record: Record) -> None:
        """Drops it."""


class Examination:
    """One examination of one target; `lines` grows as it goes on, so that an interrupted one has something to say."""

    def __init__(self, target: Target, *, run: str) -> None:
        self.lines: list[Line] = []
        self._held_s: set[int] = set()  # visibility timeouts that claims were given
        recorder = Recorder(_Nowhere(), secrets=(target.key, *target.keys.values()))
        self.client = Listening(
            target.url,
            target.key,
            recorder=recorder,
            budget=RequestBudget(),
            run=run,
            read_timeout_s=ANSWERS_WITHIN_S,
        )
        self.client.heard = []
        self.world = World(
            run=run, client=self.client, keys=target.keys, ours=target.kind != "url", ledger=Ledger()
        )  # fmt: skip

    async def run(self) -> None:
        """Raises TargetError when no run could begin here."""
        try:
            await self._begin()
            queue, lapsing = await self._queue("verbs"), await self._queue("enforcer")
            # The verbs last: some of them pause or close the scope that the others need.
            self._held_s.add(self.world.dialect.timeout_s)
            lines = await asyncio.gather(self._keys(queue), self._enforcer(lapsing))
            self.lines += [line for part in lines for line in part]
            self.lines += await verbs_of(self.world, queue)
            self.lines += _dialect(self.world, min(self._held_s))
        finally:
            self.lines += [*rate_lines(self.client), *_clock(self.client), *_speed(self.client)]

    async def _begin(self) -> None:
        """The first calls: a scope of our own, and the dialect."""
        self.client.patience_s = PATIENCE_S
        try:
            await check_target(self.world)
            self.client.patience_s = None  # it is usable: from here on a limit is kept, however long that takes
            if not self.world.scope:
                raise TargetError("a scope cannot be created", hint=self._last_words("create-scope"))
        except TargetError as error:
            self.lines.append(Line(area="reach", name="HTTP", sign=Sign.BAD, said=error.message, advice=error.hint))
            raise
        first = self.client.heard[0][0].answer
        server = first.headers.get("server", "") if first else ""
        said = "speaks the API" + (f" (server: {server})" if server else "")
        self.lines.append(Line(area="reach", name="HTTP", sign=Sign.GOOD, said=said, value={"server": server}))

    async def _queue(self, name: str) -> str:
        exchange = await ask(self.world, new_queue(self.world, name))
        found = wire.identity(exchange.data) if exchange.ok else ""
        if not found:
            raise TargetError(f"a queue cannot be created ({exchange.told()})", hint=_right("manage", exchange))
        self.world.ledger.queue(self.world.scope, found)
        return found

    def _last_words(self, verb: str) -> str:
        told = [exchange.told() for exchange, _ in self.client.heard if exchange.request.verb == verb]
        return f"the server answered {told[-1]}: give --api-key a key with all rights, or see the server's log"

    async def _keys(self, queue: str) -> list[Line]:
        named = {"api": self.client.key, **self.world.keys}
        thorough = self._left() > FEW_LEFT
        return [
            await rights_of(self.world, queue, name, key, thorough=thorough or name == "api")
            for name, key in named.items()
        ]

    def _left(self) -> float:
        """How many requests the server says that it still takes in its window."""
        said = [stated(exchange.answer, now_s=at_s) for exchange, at_s in self.client.heard if exchange.answer]
        left = [state.remaining for state in said if state.remaining is not None]
        return left[-1] if left else float("inf")

    # ── the enforcer ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _enforcer(self, queue: str) -> list[Line]:
        """Does a claim that nobody settles come back?"""
        timeout_s, held = await self._held(queue)
        if held is None:
            return [_enforcer_line(Sign.ODD, "not looked at: a message could not be published and claimed", None)]
        lapses_ns = held.ret_ns + timeout_s * 1_000_000_000
        if timeout_s > LONGEST_WAIT_S:
            said = f"not looked at: {timeout_s} s is the shortest visibility timeout here"
            return [_enforcer_line(Sign.TOLD, said, None)]
        await asyncio.sleep(max(0.0, (lapses_ns - time.monotonic_ns()) / 1e9))
        end_ns = lapses_ns + round((CADENCE_S + BACK_WITHIN_S) * 1e9)
        while True:
            last = time.monotonic_ns() > end_ns
            again = await self._claim(queue, timeout_s)
            if again.ok and wire.rows(again.data):
                late_s = max(0.0, (again.ret_ns - lapses_ns) / 1e9)
                return [
                    _enforcer_line(Sign.GOOD, f"alive: back {late_s:.1f} s after a timeout of {timeout_s} s", late_s)
                ]
            if last:
                break
            await asyncio.sleep(POLL_S)
        waited_s = (time.monotonic_ns() - lapses_ns) / 1e9
        return [
            _enforcer_line(
                Sign.BAD,
                f"a claim that lapsed {waited_s:.1f} s ago has not come back",
                None,
                "is the process that runs the timed duties up (SCAIGRID_MODE=worker)? Without it VIS-2 fails",
            )
        ]

    async def _held(self, queue: str) -> tuple[int, Exchange | None]:
        """A claim that holds a message for the shortest time that the server takes; that time."""
        if not (await ask(self.world, message(self.world, queue))).ok:
            return 0, None
        for timeout_s in dict.fromkeys((1, self.world.dialect.timeout_s)):
            for _ in range(20):
                claim = await self._claim(queue, timeout_s)
                if claim.ok:
                    self._held_s.add(timeout_s)
                if claim.ok and wire.rows(claim.data):
                    return timeout_s, claim
                if claim.result is Result.REJECTED:
                    break
                await asyncio.sleep(POLL_S / 2)
        return 0, None

    async def _claim(self, queue: str, timeout_s: int) -> Exchange:
        request = wire.claim(self.world.scope, queue, batch_size=1, visibility_timeout_s=timeout_s)
        return await self.client.send(request, case=CASE, urgent=True)


def _enforcer_line(sign: Sign, said: str, late_s: float | None, advice: str = "") -> Line:
    value = {"late_s": round(late_s, 3)} if late_s is not None else None
    return Line(area="enforcer", name="visibility timeout", sign=sign, said=said, value=value, advice=advice)


def _right(name: str, exchange: Exchange) -> str:
    if exchange.status in {401, 403}:
        return f"give --api-key a key with scaiqueue:{name} as well"
    return "the server's log tells more; the request names `doctor` in its User-Agent"


# ── what all answers tell together ────────────────────────────────────────────────────────────────────────────────


def _dialect(world: World, shortest_s: int) -> list[Line]:
    spoken = world.dialect
    told: Mapping[str, tuple[str, Any]] = {
        "shortest timeout": (f"{shortest_s} s, of those tried", shortest_s),
        "batches": (f"up to {spoken.batch_max}, of those tried", spoken.batch_max),
    }
    lines = [Line(area="dialect", name=name, sign=Sign.TOLD, said=s, value=v) for name, (s, v) in told.items()]
    odd = {
        "publish takes no correlation_id": not spoken.correlation,
        "publish demands an idempotency_key": spoken.publish_key_needed,
        "a queue demands max_depth": bool(spoken.queue_fields_needed),
    }
    return lines + [
        Line(area="dialect", name="odd", sign=Sign.ODD, said=said, value=True) for said, is_so in odd.items() if is_so
    ]


def rate_lines(client: Listening) -> list[Line]:
    """What the headers said about rates."""
    said = [stated(exchange.answer, now_s=at_s) for exchange, at_s in client.heard if exchange.answer is not None]
    limits = [state for state in said if state.limit is not None]
    refused = client.budget.rate_limited
    met = f"; met {refused} times meanwhile" if refused else ""
    if not limits:
        told = f"none announced{met}"
        advice = "bound the run with --rate-limit, for example 60/min" if refused else ""
        sign = Sign.ODD if refused else Sign.TOLD
        return [Line(area="rates", name="limit", sign=sign, said=told, value={"refused": refused}, advice=advice)]
    smallest = min(limits, key=lambda state: state.limit or 0)
    window_s = _window_s(limits)
    value = {
        "limit": smallest.limit,
        "window_s": window_s,
        "remaining": limits[-1].remaining,
        "refused": refused,
    }
    left = "" if limits[-1].remaining is None else f", {limits[-1].remaining:g} left now"
    return [
        Line(
            area="rates",
            name="limit",
            sign=Sign.TOLD,
            said=f"{smallest.limit:g} requests in {window_s:g} s{left}{met}",
            value=value,
            advice=f"see how long a run takes: --plan --rate-limit {smallest.limit:g}/{window_s:g}s",
        )
    ]


def _window_s(states: Sequence[Stated]) -> float:
    """The window's length: as far ahead as a reset was ever said to be; the contract's minute where none was."""
    ahead = [state.reset_s for state in states if state.reset_s is not None]
    return float(max(1, round(max(ahead)))) if ahead else WINDOW_S


def _clock(client: Listening) -> list[Line]:
    between = clock_skew_s((e.answer, e.inv_ns, e.ret_ns) for e, _ in client.heard)
    if between is None:
        return [Line(area="clock", name="skew", sign=Sign.TOLD, said="no answer has a Date header")]
    low, high = between
    value = {"ahead_at_least_s": round(low, 3), "ahead_at_most_s": round(high, 3)}
    if low <= SKEW_S and high >= -SKEW_S:
        said = f"right, as far as whole seconds tell (between {low:+.1f} and {high:+.1f} s)"
        return [Line(area="clock", name="skew", sign=Sign.GOOD, said=said, value=value)]
    said = f"the server is {low:.1f} s ahead" if low > 0 else f"the server is {-high:.1f} s behind"
    advice = "set both clocks by NTP: delay_until and deadline are moments of the server's clock"
    return [Line(area="clock", name="skew", sign=Sign.ODD, said=said, value=value, advice=advice)]


def _speed(client: Listening) -> list[Line]:
    """Round trips by verb; the first call made a connection as well, and is left out."""
    answered = [exchange for exchange, _ in client.heard[1:] if exchange.answer is not None and exchange.ok]
    if not answered:
        return []
    lines = []
    for name in ("all", "publish", "claim", "complete"):
        took = [(e.ret_ns - e.inv_ns) / 1e6 for e in answered if name in {"all", e.request.verb}]
        if not took:
            continue
        middle, most = statistics.median(took), max(took)
        slow = name == "all" and middle > SLOW_MS
        lines.append(
            Line(
                area="speed",
                name=name,
                sign=Sign.ODD if slow else Sign.TOLD,
                said=f"{middle:.1f} ms (median), {most:.1f} ms at most, of {len(took)}",
                value={"median_ms": round(middle, 3), "max_ms": round(most, 3), "calls": len(took)},
                advice="give a larger --slack: what is late is told apart from what is slow" if slow else "",
            )
        )
    return lines
