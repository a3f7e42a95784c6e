"""Messages, queues and scopes as they are stored, and what is asked of the rows about them.

Times are µs since 1970 UTC (`_us`); payloads (`body`, `labels`, `hitl_spec`, `response`) are the JSON bytes that came.
"""

from msgspec import Struct

SYSTEM_QUEUES = ("_dead_letter", "_events", "_audit", "_integrity", "_corrections")
DEAD_LETTER = "_dead_letter"
ORDERINGS = ("fifo", "priority", "deadline")
CONSUMER_MODES = ("competing", "broadcast")
OVERFLOW_POLICIES = ("reject", "dead_letter")
TIERS = ("critical", "high", "normal", "low", "background")


class Scope(Struct, frozen=True, kw_only=True):
    """A namespace of queues."""

    id: str
    tenant_id: str
    slug: str
    display_name: str
    description: str
    state: str
    created_us: int
    revision: int = 0  # rises with every change of its documents; 0: it has none


class Queue(Struct, frozen=True, kw_only=True):
    """A queue; `dead_letter_id` is the queue that its exhausted messages move to."""

    id: str
    scope_id: str
    tenant_id: str
    slug: str
    display_name: str
    description: str
    ordering: str
    consumer_mode: str
    max_depth: int  # 0: unlimited
    overflow_policy: str
    max_retries: int  # caps attempts
    state: str
    dead_letter_id: str
    created_us: int

    @property
    def system(self) -> bool:
        """Whether the server made it with the scope."""
        return self.slug.startswith("_")


class Message(Struct, frozen=True, gc=False):
    """One row; the fields stand in the order of the table's columns."""

    id: str
    tenant_id: str
    scope_id: str
    queue_id: str
    origin_queue_id: str  # where it was published: the domain of its idempotency_key
    state: str
    score: int  # its place in the queue, lowest first; ties go by id
    visible_us: int  # not claimable before; 0: at once
    expires_us: int | None  # not claimable from then on
    attempts: int
    message_type: str
    content_type: str
    body: bytes
    labels: bytes | None
    hitl_spec: bytes | None
    priority_tier: str
    priority_score: int
    correlation_id: str | None
    causation_id: str | None
    parent_id: str | None
    source_type: str
    source_id: str
    idempotency_key: bytes | None  # UTF-8: compared byte by byte
    ttl_seconds: float | None
    deadline_us: int | None
    delay_until_us: int | None
    created_us: int
    claimed_by_type: str | None
    claimed_by_id: str | None
    claimed_us: int | None
    lock_until_us: int | None
    finished_us: int | None
    failure_reason: str | None
    response: bytes | None
    dead_lettered_us: int | None


class Draft(Struct, frozen=True, kw_only=True):
    """A message as a producer asks for it."""

    message_type: str
    body: bytes
    content_type: str = "application/json"
    labels: bytes | None = None
    hitl_spec: bytes | None = None
    priority_tier: str = "normal"
    priority_score: int = 500
    correlation_id: str | None = None
    causation_id: str | None = None
    parent_id: str | None = None
    idempotency_key: bytes | None = None
    ttl_seconds: float | None = None
    deadline_us: int | None = None
    delay_until_us: int | None = None


class Actor(Struct, frozen=True):
    """Who does something: a user behind a key, or one of the server's agents."""

    type: str
    id: str


class Entry(Struct, frozen=True):
    """One line of the journal: what happened to a message, or which call was made, when, and by whom."""

    event_type: str
    tenant_id: str
    scope_id: str
    queue_id: str
    message_id: str
    correlation_id: str | None
    message_type: str
    attempts: int
    actor_type: str
    actor_id: str
    at_us: int
    outcome: str = "ok"  # or the error's code

    @classmethod
    def of(cls, event_type: str, message: Message, actor: Actor, at_us: int) -> "Entry":
        """The line for what `actor` did to `message`, which is as it is afterwards."""
        return cls(
            event_type,
            message.tenant_id,
            message.scope_id,
            message.queue_id,
            message.id,
            message.correlation_id,
            message.message_type,
            message.attempts,
            actor.type,
            actor.id,
            at_us,
        )


class Claim(Struct, frozen=True):
    """What a claim writes into the rows that it takes."""

    queue_id: str
    actor: Actor
    visibility_us: int
    event_type: str


class Change(Struct, frozen=True, kw_only=True):
    """A conditional change of one row: it happens only while every guard holds."""

    message: str
    scope_id: str
    states: tuple[str, ...]
    values: dict[str, object]
    event_type: str
    actor: Actor
    owner: str | None = None  # claimed_by_id must be this
    attempts: int | None = None  # attempts must be this: no claim came between
    overdue_us: int | None = None  # the lock must have run out by then


class Inserted(Struct, frozen=True):
    """The row that now stands for a publish, and whether this publish made it."""

    message: Message
    created: bool


class Waiting(Struct, frozen=True, gc=False):
    """A message in the pending order."""

    id: str
    queue_id: str
    score: int
    visible_us: int


class Depth(Struct, frozen=True):
    """A queue's counters."""

    pending: int = 0
    claimed: int = 0


class Page(Struct, frozen=True, kw_only=True):
    """Which messages to list, oldest first, after the id `after`."""

    scope_id: str
    queue_id: str | None = None
    correlation_id: str | None = None
    state: str | None = None
    after: str = ""
    limit: int = 50


class JournalPage(Struct, frozen=True, kw_only=True):
    """Which lines of the journal to read, in their order, after line number `after`."""

    tenant_id: str
    scope_id: str | None = None
    event_types: tuple[str, ...] = ()  # empty: all
    actor_id: str | None = None
    correlation_id: str | None = None
    before_us: int | None = None  # only lines written earlier than this
    after: int = 0
    limit: int = 50


class Document(Struct, frozen=True, kw_only=True):
    """Something that a scope keeps by name and version: a schema, a HITL pattern, a routing rule."""

    id: str
    scope_id: str
    kind: str  # schema | hitl_pattern | routing_rule
    name: str
    version: str
    position: int  # routing rules: the lowest is tried first
    body: bytes  # JSON
    created_us: int


class Webhook(Struct, frozen=True, kw_only=True):
    """Where a tenant's events are sent; `sent_seq` is the last journal line that was dealt with."""

    id: str
    tenant_id: str
    url: str
    events: str  # a JSON array of event types
    secret: str
    status: str  # active | inactive
    max_retries: int
    sent_seq: int
    lease_us: int  # a dispatcher works on it until then
    created_us: int


class Delivery(Struct, frozen=True, kw_only=True):
    """What became of one event at one webhook."""

    id: str
    webhook_id: str
    event_id: str
    event_type: str
    status: str  # success | failed | pending
    attempts: int
    response_status: int  # 0: no answer
    created_us: int


class AgentStatus(Struct, frozen=True, kw_only=True):
    """How a timed duty of the server goes; of several processes the one that wrote last."""

    id: str  # the agent's name
    every_s: float
    passes: int  # since its process started
    done: int  # what they took back, ended, moved or removed
    last_us: int  # when the last pass ended
    error: str  # why it failed, empty when it did not


Record = Document | Webhook | Delivery | AgentStatus
