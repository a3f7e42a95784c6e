"""AUD, HITL, SCH, RATE and events: what stands beside the queue."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

from queueproof.contract import wire
from queueproof.drive.asking import ask, holds, listed
from queueproof.drive.case import Case, proves, spell
from queueproof.drive.client import Exchange
from queueproof.drive.limits import RequestBudget
from queueproof.drive.optional import publish_with
from queueproof.drive.outcomes import Blocked, Inconclusive, NotRun, NotSupported
from queueproof.drive.queue import Message, Queue
from queueproof.evidence.digest import same_json

HOLD_S = 60
# What an audit entry's kind of event may be called.
KINDS = ("event_type", "type", "event", "action", "operation", "verb", "name")
STEPS = ("publish", "claim", "complete")


# ── audit ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@proves("AUD-1")
async def test_a_trace_tells_the_chain_in_order(case: Case) -> None:
    """AUD-1: `GET /scopes/{scope_id}/audit/trace/{correlation_id}` MUST return that chain's audit events in order.

    Of two messages that were published, claimed by one batch where the server gives one, and completed: the three are
    there for each, in this order. An entry's shape is not documented: where the kinds of its events cannot be read,
    this is not judged.
    """
    queue = await case.queue(scope=await case.own_scope())
    messages = await queue.publish_many(2)
    for delivery in await queue.take(*messages, batch_size=2, timeout_s=HOLD_S):
        await queue.complete(delivery)
    for message in messages:
        await told_in_order(case, queue, message)


async def told_in_order(case: Case, queue: Queue, message: Message) -> None:
    """The trace of one message's chain tells its three steps."""

    async def trace() -> list[list[str]]:
        return [steps_of(row) for row in await entries(case, queue, message)]

    steps = await case.eventually(trace, lambda found: all(any(step in entry for entry in found) for step in STEPS))
    if not any(steps):
        raise NotSupported("the kinds of a trace's events cannot be read", evidence=(case.exchanges[-1].op,))
    places = [next((n for n, entry in enumerate(steps) if step in entry), -1) for step in STEPS]
    case.require(
        -1 not in places and places == sorted(places),
        "a chain's trace does not tell its publish, claim and complete in order",
        expected="publish, claim, complete",
        seen=", ".join("/".join(entry) or "…" for entry in steps) or "an empty trace",
        evidence=(message.publish, queue.latest[message].claim, case.exchanges[-1]),
        liveness=-1 in places,
    )


@proves("AUD-1")
async def test_a_trace_tells_of_no_other_chain(case: Case) -> None:
    """AUD-1: `GET /scopes/{scope_id}/audit/trace/{correlation_id}` MUST return that chain's audit events in order.

    And no other chain's: of two chains, where one's correlation id begins with the other's, and of two whose long ids
    differ at their end, each trace tells of its own message (the control) and not of the other's.
    """
    queue = await case.queue(scope=await case.own_scope())
    token = case.world.token()
    chains = [await publish_with(queue, correlation_id=f"{token}.chain{end}") for end in ("", ".2")]
    with contextlib.suppress(NotSupported):  # how long an id may be is not documented
        chains += [await publish_with(queue, correlation_id=f"{token}.{'x' * 60}.{end}") for end in "ab"]
    for ours in chains:
        rows = await trace_of(case, queue, ours)
        others = [row for row in rows if any(tells(row, theirs) for theirs in chains if theirs is not ours)]
        case.require(
            not others,
            "the trace of one chain tells of another",
            expected=f"entries of {correlation_of(ours)} only",
            seen=spell(others),
            evidence=(*(message.publish for message in chains), case.exchanges[-1]),
        )


@proves("AUD-1")
async def test_a_trace_tells_of_a_failure(case: Case) -> None:
    """AUD-1: `GET /scopes/{scope_id}/audit/trace/{correlation_id}` MUST return that chain's audit events in order.

    Every call that needs a right is logged: the trace of a message that failed has more entries than before, where that
    of another one grows when it is completed (the control). What an entry calls a failure is not documented.
    """
    queue = await case.lasting_queue(scope=await case.own_scope())
    failing, done = messages = await queue.publish_many(2)
    held = {delivery.message: delivery for delivery in await queue.take(*messages, batch_size=2, timeout_s=HOLD_S)}

    def grown(message: Message, before: int) -> Awaitable[list[Any]]:
        return case.eventually(lambda: entries(case, queue, message), lambda rows: len(rows) > before)

    before = {}
    for message in messages:
        await trace_of(case, queue, message)
        # publish and claim, which a slow log may show one after the other
        before[message] = len(await grown(message, 1))
    failed = await queue.act("fail", held[failing], root="FAIL-1", reason="queueproof")
    completed = await queue.complete(held[done])
    if len(await grown(done, before[done])) <= before[done]:
        raise NotSupported("a trace does not tell of a completion", evidence=(completed.op,))
    rows = await grown(failing, before[failing])
    case.require(
        len(rows) > before[failing],
        "the trace of a chain does not tell that its message failed",
        expected=f"an entry more than the {before[failing]} before, as for a message that was completed",
        seen=spell(rows),
        evidence=(failing.publish, failed, case.exchanges[-1]),
        liveness=True,
    )


async def trace_of(case: Case, queue: Queue, message: Message) -> list[dict[str, Any]]:
    """The entries of the message's chain, once they tell of it."""

    async def read() -> list[dict[str, Any]]:
        return [row for row in await entries(case, queue, message) if isinstance(row, dict)]

    rows: list[dict[str, Any]] = await case.eventually(read, lambda found: any(tells(row, message) for row in found))
    if not any(tells(row, message) for row in rows):
        raise NotSupported("the entries of a trace do not say which message they are about")
    return rows


async def entries(case: Case, queue: Queue, message: Message) -> list[Any]:
    """The trace of the message's chain as it is now."""
    exchange = await ask(case, wire.audit_trace(queue.scope, correlation_of(message)))
    rows = wire.rows(exchange.data)
    if not exchange.ok or rows is None:
        raise NotSupported(f"the trace of a chain is answered {exchange.told()}", evidence=(exchange.op,))
    return rows


def steps_of(entry: Any) -> list[str]:
    """Which of the three steps an audit entry is about: its kind of event names one."""
    kinds = [entry[name] for name in KINDS if isinstance(entry.get(name), str)] if isinstance(entry, dict) else []
    words = "".join(character if character.isalpha() else " " for character in " ".join(kinds).lower()).split()
    return [step for step in STEPS if step in words or f"{step}d" in words or f"{step}ed" in words]


@proves("AUD-2")
async def test_the_audit_log_is_filtered(case: Case) -> None:
    """AUD-2: `GET /scopes/{scope_id}/audit?correlation_id=` MUST filter.

    Two chains in two queues, of which one's correlation id begins with the other's: the log of the one holds entries of
    its message (the control) and none of the other's.
    """
    scope = await case.own_scope()
    queues = [await case.queue(scope=scope), await case.queue(scope=scope)]
    token = case.world.token()
    ours, theirs = [await finished(queue, f"{token}.chain{end}") for queue, end in zip(queues, ("", ".2"), strict=True)]
    correlation = correlation_of(ours)

    async def read(**query: str) -> list[dict[str, Any]]:
        rows = await listed(case, lambda **page: wire.audit(scope, **(query | page)))
        if rows is None:
            raise NotSupported("there is no audit log to read", evidence=(case.exchanges[-1].op,))
        return rows

    whole = await case.eventually(read, lambda rows: all(any(tells(row, m) for row in rows) for m in (ours, theirs)))
    if not all(any(tells(row, message) for row in whole) for message in (ours, theirs)):
        raise NotSupported("the audit log's entries do not say which chain they belong to")
    rows = await case.eventually(
        lambda: read(correlation_id=correlation), lambda found: any(tells(row, ours) for row in found)
    )
    case.require(
        any(tells(row, ours) for row in rows),
        "the audit log of a chain lacks the chain",
        expected=f"entries of message {ours.id}",
        seen=spell(rows),
        evidence=(ours.publish, case.exchanges[-1]),
        liveness=True,
    )
    others = [row for row in rows if tells(row, theirs)]
    case.require(
        not others,
        "the audit log of one chain holds entries of another",
        expected=f"entries with correlation_id {correlation} only",
        seen=spell(others),
        evidence=(ours.publish, theirs.publish, case.exchanges[-1]),
    )


async def finished(queue: Queue, correlation: str) -> Message:
    """A message of that chain, which went its whole way."""
    message = await publish_with(queue, correlation_id=correlation)
    await queue.complete(await queue.take_one(message, timeout_s=HOLD_S))
    return message


def correlation_of(message: Message) -> str:
    if not message.correlation:
        raise NotSupported("publish takes no correlation_id", evidence=(message.publish.op,))
    return message.correlation


def tells(entry: dict[str, Any], message: Message) -> bool:
    """Whether an audit entry is about this message."""
    return holds(entry, message.id) or holds(entry, message.correlation)


# ── review by people ──────────────────────────────────────────────────────────────────────────────────────────────

CONTEXT = {"type": "context", "title": "The order", "content": "Order {{order_id}} for {{amount}}"}
INPUT = {"type": "input", "field": "comment", "required": False}
# What is not documented of a pattern: how its version is spelled, what an option is, which kinds of input there are.
VERSIONS: tuple[Any, ...] = (1, "1", "1.0.0")
OPTIONS: tuple[Any, ...] = (
    ["approve", "reject"],
    [{"id": "approve", "label": "Approve"}, {"id": "reject", "label": "Reject"}],
)
INPUT_KINDS = ("text", "string", "textarea", "boolean")


@proves("HITL-1")
async def test_a_review_pattern_is_accepted(case: Case) -> None:
    """HITL-1: A pattern body as in section 8 MUST be accepted by `POST /scopes/{scope_id}/hitl-patterns`.

    A context and a decision, then an input as well. What the contract leaves open (versions, options, kinds of input)
    is tried in several spellings; a pattern that is refused in all of them is no proof, unless the refusal is about
    the section's type. Accepted is what the answer or the list of patterns shows (the control).
    """
    scope = await case.own_scope()
    accepted: tuple[Any, Any] | None = None
    for version, options in ((version, options) for version in VERSIONS for options in OPTIONS):
        refused = await pattern(case, scope, version, [CONTEXT, decision(options)])
        if refused is None:
            accepted = (version, options)
            break
    else:
        raise NotSupported("a pattern is refused in every spelling", evidence=(case.exchanges[-1].op,))
    version, options = accepted
    for kind in INPUT_KINDS:
        refused = await pattern(case, scope, version, [CONTEXT, decision(options), {**INPUT, "kind": kind}])
        if refused is None:
            return
        case.require(
            "kind" in refused.lower() or "type" not in refused.lower(),
            "a pattern with a section of type input is refused for that type",
            expected="a 2xx answer, as for the same pattern without that section",
            seen=refused,
            evidence=case.exchanges[-2:],
        )
    raise NotSupported("no kind of input that was tried is taken", evidence=(case.exchanges[-1].op,))


def decision(options: Any) -> dict[str, Any]:
    return {"type": "decision", "field": "verdict", "options": options}


async def pattern(case: Case, scope: str, version: Any, sections: list[dict[str, Any]]) -> str | None:
    """Registers a pattern under a new name; the refusal's text, None when it is accepted."""
    fields = {
        "name": case.world.slug("pattern"),
        "version": version,
        "spec": {"sections": sections, "timeout_s": 3600},
    }
    exchange = await ask(case, wire.add_hitl_pattern(scope, fields))
    if exchange.unsupported:
        raise NotSupported(f"patterns are answered {exchange.told()}", evidence=(exchange.op,))
    if not exchange.ok:
        return refusal(exchange)
    if not holds(exchange.data, fields["name"]):
        rows = await listed(case, lambda **page: wire.list_hitl_patterns(scope, **page))
        if not any(holds(row, fields["name"]) for row in rows or []):
            raise NotSupported("neither the answer nor the list shows an accepted pattern", evidence=(exchange.op,))
    return None


def refusal(exchange: Exchange) -> str:
    """What an error says, without the words that every error has (such as the member names `type` or `kind`)."""
    error = exchange.answer.error if exchange.answer else {}
    return spell([exchange.status, error.get("message"), error.get("details")])


@proves("HITL-2")
async def test_a_review_spec_is_returned(case: Case) -> None:
    """HITL-2: A message published with `hitl_spec` MUST return it on read.

    On its row, by whichever way a row can be read, or on the claimed item, and again when it is redelivered. Members
    that the server adds are its own; a spec that it refuses is passed over, since its shape on publish is not
    documented.
    """
    queue = await case.lasting_queue()
    published: list[tuple[Message, dict[str, Any]]] = []
    for options in OPTIONS:
        spec = {"sections": [{**CONTEXT, "content": "Order 4711"}, decision(options)], "timeout_s": 3600}
        try:
            published.append((await queue.publish(root="hitl_spec", hitl_spec=spec), spec))
        except Blocked as end:
            if end.root != "hitl_spec":
                raise
    if not published:
        raise NotSupported("publish takes no hitl_spec", evidence=(case.exchanges[-1].op,))
    again_s = case.world.dialect.timeout_s + case.world.bound_s
    for root, within_s in (("CLAIM-1", None), ("VIS-2", again_s)):
        for message, spec in published:
            delivery = await queue.take_one(message, root=root, within_s=within_s)
            row = await queue.read(message)
            kept = next((place["hitl_spec"] for place in (row, delivery.item) if place.get("hitl_spec")), None)
            case.require(
                within(spec, kept),
                "a message does not return the hitl_spec that it was published with",
                expected=spell(spec),
                seen=spell(kept),
                evidence=(message.publish, delivery.claim),
            )


def within(sent: Any, kept: Any) -> bool:
    """Whether all of `sent` is in `kept`; objects may have more members."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        return all(name in kept and within(value, kept[name]) for name, value in sent.items())
    if isinstance(sent, list) and isinstance(kept, list):
        return len(sent) == len(kept) and all(within(a, b) for a, b in zip(sent, kept, strict=True))
    return same_json(sent, kept)


# ── schemas ───────────────────────────────────────────────────────────────────────────────────────────────────────


@proves("SCH-1")
async def test_schemas_have_names_and_versions(case: Case) -> None:
    """SCH-1: Schemas MUST be addressable by name + version.

    Two versions of one name: a list shows both, or each is read by its name and version and is the one asked for; and
    where it shows its schema, that is the one it was registered with. How a schema is registered and read is not
    documented: where neither can be done, this is not judged. A message that names no schema is taken and handed out
    as before.
    """
    scope = await case.own_scope()
    name = case.world.slug("schema")
    spelled = await two_versions(case, scope, name)
    queue = await case.queue(scope=scope)
    await queue.take_one(await queue.publish(), timeout_s=60)
    rows = await case.eventually(lambda: versions_listed(case, scope, name), lambda found: set(spelled) <= found)
    read = [await ask(case, wire.read_schema(scope, name, version)) for version in spelled]
    for version, exchange in zip(spelled, read, strict=True):
        data = exchange.data if isinstance(exchange.data, dict) else {}
        case.require(
            not exchange.ok or spelled_version(data.get("version", version)) == version,
            "a schema is read by its name and version, and another version comes",
            expected=f"version {version} of {name}",
            seen=spell(exchange.data),
            evidence=(*case.exchanges[:3], exchange),
        )
        schema = data.get("schema")
        title = schema.get("title") if isinstance(schema, dict) else None
        case.require(
            not exchange.ok or title is None or title == titled(version),
            "a version of a schema shows another one's schema",
            expected=titled(version),
            seen=spell(title),
            evidence=(*case.exchanges[:3], exchange),
        )
    if set(spelled) <= rows:
        return
    if not all(exchange.ok for exchange in read):
        raise NotSupported("schemas can be read neither by name and version nor in a list", evidence=(read[0].op,))


async def two_versions(case: Case, scope: str, name: str) -> tuple[str, str]:
    """Registers two versions of a schema; their versions as text."""
    for first, second in ((1, 2), ("1", "2"), ("1.0.0", "2.0.0")):
        for version in (first, second):
            schema = {"type": "object", "title": titled(version)}
            exchange = await ask(case, wire.add_schema(scope, {"name": name, "version": version, "schema": schema}))
            if not exchange.ok:
                break
        else:
            return str(first), str(second)
    raise NotSupported(f"schemas are answered {exchange.told()}", evidence=(exchange.op,))


def titled(version: int | str) -> str:
    """What the schema of a version calls itself."""
    return f"version {version}"


async def versions_listed(case: Case, scope: str, name: str) -> set[str]:
    """The versions of a name that the list of schemas shows."""
    rows = await listed(case, lambda **page: wire.list_schemas(scope, **page)) or []
    return {spelled_version(row.get("version")) for row in rows if row.get("name") == name}


def spelled_version(value: Any) -> str:
    """A version as text; the number 1.0 is 1."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


# ── rates ─────────────────────────────────────────────────────────────────────────────────────────────────────────

READS_AT_ONCE = 40
READS = 40


class Ear(RequestBudget):
    """The run's own budget, sharing its state, that keeps the answers 429 for a case to judge."""

    def __init__(self, budget: RequestBudget) -> None:
        self.__dict__ = budget.__dict__
        self.heard: list[wire.Answer] = []

    def learn(self, answer: wire.Answer) -> None:
        if answer.status == 429 and not answer.code.startswith("SCAIQUEUE_"):
            self.heard.append(answer)
        super().learn(answer)


@proves("RATE-1")
async def test_a_rate_limit_says_when_to_come_back(case: Case) -> None:
    """RATE-1: A 429 MUST carry `Retry-After` and code `RATE_LIMITED`; the harness MUST wait and retry, not fail.

    Looked for in what the server answers while forty reads are made, or fewer when it limits them before. Each read is
    answered in the end (the harness waited and tried again).
    """
    scope = await case.scope()
    client = case.world.client
    budget, ear = client.budget, Ear(client.budget)
    client.budget = ear
    try:
        for _ in range(READS // READS_AT_ONCE):
            reads = [ask(case, wire.read_scope(scope), burst=True) for _ in range(READS_AT_ONCE)]
            answers = await asyncio.gather(*reads)
            if ear.heard:
                break
    finally:
        client.budget = budget
    spoken = [answer for answer in ear.heard if answer.json]
    for answer in spoken:
        after = answer.headers.get("retry-after", "")
        case.require(
            after and answer.code == "RATE_LIMITED",
            "a 429 does not say what it is and when to come back",
            expected="Retry-After, and code RATE_LIMITED",
            seen=f"Retry-After {after or 'missing'}, code {answer.code or 'missing'}",
            evidence=answers[:1],
        )
    if not spoken:
        raise NotRun(f"the server limited none of {READS} reads")
    if not all(exchange.ok for exchange in answers):
        raise Inconclusive("a read was not answered after its rate limit had passed")
