"""The tables, and the numbered steps that bring an older database to them."""

from collections.abc import Sequence

from scaiqueue_reference import ordering
from scaiqueue_reference.message import (
    AgentStatus,
    Delivery,
    Document,
    Entry,
    JournalPage,
    Message,
    Queue,
    Record,
    Scope,
    Webhook,
)

MESSAGE_COLUMNS = ", ".join(Message.__struct_fields__)
QUEUE_COLUMNS = ", ".join(Queue.__struct_fields__)
SCOPE_COLUMNS = ", ".join(Scope.__struct_fields__)
JOURNAL_COLUMNS = ", ".join(Entry.__struct_fields__)

PLACES_VERSION = "places_version"  # the setting that every change of a scope or a queue raises

TABLES: dict[type[Record], str] = {
    Document: "documents",
    Webhook: "webhooks",
    Delivery: "deliveries",
    AgentStatus: "agents",
}


def low_where(now_us: int, period_us: int, mark: str) -> tuple[str, list[object]]:
    """The condition and its parameters for messages whose tier is due to rise; `mark` is the driver's placeholder."""
    steps = list(ordering.to_be_aged(now_us, period_us))
    one = f"(priority_tier = {mark} AND score >= {mark} AND score < {mark} AND created_us <= {mark})"
    conditions = [
        "state = 'pending'",
        f"visible_us <= {mark}",
        "queue_id IN (SELECT id FROM queues WHERE ordering = 'priority')",
        f"({' OR '.join([one] * len(steps))})",
    ]
    return " AND ".join(conditions), [now_us, *(value for step in steps for value in step)]


def journal_where(page: JournalPage, mark: str) -> tuple[str, list[object]]:
    """The condition and its parameters of a page of the journal; `mark` is the driver's placeholder."""
    equal = {
        "scope_id": page.scope_id,
        "actor_id": page.actor_id,
        "correlation_id": page.correlation_id,
    }
    conditions = [f"seq > {mark}", f"tenant_id = {mark}"]
    present: list[tuple[str, object]] = [(name, value) for name, value in equal.items() if value is not None]
    conditions += [f"{name} = {mark}" for name, _ in present]
    values: list[object] = [page.after, page.tenant_id, *(value for _, value in present)]
    if page.before_us is not None:
        conditions.append(f"at_us < {mark}")
        values.append(page.before_us)
    if page.event_types:
        conditions.append(f"event_type IN ({', '.join([mark] * len(page.event_types))})")
        values += page.event_types
    return " AND ".join(conditions), values


def taken(record: Scope | Queue | Record) -> str:
    """What to say when a record's name is in use."""
    name = getattr(record, "slug", None) or getattr(record, "name", record.id)
    return f"The name {name!r} is taken."


# Payloads and the idempotency key are BLOBs: they are kept, and keys are compared, byte by byte.
SQLITE: Sequence[Sequence[str]] = (
    (
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE scopes (
            id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, slug TEXT NOT NULL, display_name TEXT NOT NULL,
            description TEXT NOT NULL, state TEXT NOT NULL, created_us INTEGER NOT NULL,
            revision INTEGER NOT NULL, UNIQUE (tenant_id, slug)
        ) WITHOUT ROWID""",
        """CREATE TABLE queues (
            id TEXT PRIMARY KEY, scope_id TEXT NOT NULL, tenant_id TEXT NOT NULL, slug TEXT NOT NULL,
            display_name TEXT NOT NULL, description TEXT NOT NULL, ordering TEXT NOT NULL, consumer_mode TEXT NOT NULL,
            max_depth INTEGER NOT NULL, overflow_policy TEXT NOT NULL, max_retries INTEGER NOT NULL,
            state TEXT NOT NULL, dead_letter_id TEXT NOT NULL, created_us INTEGER NOT NULL,
            UNIQUE (scope_id, slug)
        ) WITHOUT ROWID""",
        """CREATE TABLE mod_scaiqueue_messages (
            id TEXT NOT NULL, tenant_id TEXT NOT NULL, scope_id TEXT NOT NULL, queue_id TEXT NOT NULL,
            origin_queue_id TEXT NOT NULL, state TEXT NOT NULL, score INTEGER NOT NULL, visible_us INTEGER NOT NULL,
            expires_us INTEGER, attempts INTEGER NOT NULL, message_type TEXT NOT NULL, content_type TEXT NOT NULL,
            body BLOB NOT NULL, labels BLOB, hitl_spec BLOB, priority_tier TEXT NOT NULL,
            priority_score INTEGER NOT NULL, correlation_id TEXT, causation_id TEXT, parent_id TEXT,
            source_type TEXT NOT NULL, source_id TEXT NOT NULL, idempotency_key BLOB, ttl_seconds NUMERIC,
            deadline_us INTEGER, delay_until_us INTEGER, created_us INTEGER NOT NULL, claimed_by_type TEXT,
            claimed_by_id TEXT, claimed_us INTEGER, lock_until_us INTEGER, finished_us INTEGER, failure_reason TEXT,
            response BLOB, dead_lettered_us INTEGER
        )""",
        "CREATE UNIQUE INDEX message_id ON mod_scaiqueue_messages (id)",
        """CREATE UNIQUE INDEX message_key ON mod_scaiqueue_messages (origin_queue_id, idempotency_key)
            WHERE idempotency_key IS NOT NULL""",
        "CREATE INDEX message_order ON mod_scaiqueue_messages (queue_id, state, score, id)",
        "CREATE INDEX message_page ON mod_scaiqueue_messages (queue_id, id)",
        """CREATE INDEX message_chain ON mod_scaiqueue_messages (scope_id, correlation_id, id)
            WHERE correlation_id IS NOT NULL""",
        "CREATE INDEX message_lock ON mod_scaiqueue_messages (lock_until_us) WHERE lock_until_us IS NOT NULL",
        "CREATE INDEX message_life ON mod_scaiqueue_messages (expires_us) WHERE expires_us IS NOT NULL",
        "CREATE INDEX message_end ON mod_scaiqueue_messages (finished_us) WHERE state IN ('completed', 'expired')",
        """CREATE TABLE journal (
            seq INTEGER PRIMARY KEY, event_type TEXT NOT NULL, tenant_id TEXT NOT NULL, scope_id TEXT NOT NULL,
            queue_id TEXT NOT NULL, message_id TEXT NOT NULL, correlation_id TEXT, message_type TEXT NOT NULL,
            attempts INTEGER NOT NULL, actor_type TEXT NOT NULL, actor_id TEXT NOT NULL, at_us INTEGER NOT NULL,
            outcome TEXT NOT NULL
        )""",
        """CREATE TABLE documents (
            id TEXT PRIMARY KEY, scope_id TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
            position INTEGER NOT NULL, body BLOB NOT NULL, created_us INTEGER NOT NULL,
            UNIQUE (scope_id, kind, name, version)
        ) WITHOUT ROWID""",
        """CREATE TABLE webhooks (
            id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, url TEXT NOT NULL, events TEXT NOT NULL, secret TEXT NOT NULL,
            status TEXT NOT NULL, max_retries INTEGER NOT NULL, sent_seq INTEGER NOT NULL, lease_us INTEGER NOT NULL,
            created_us INTEGER NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE deliveries (
            id TEXT PRIMARY KEY, webhook_id TEXT NOT NULL, event_id TEXT NOT NULL, event_type TEXT NOT NULL,
            status TEXT NOT NULL, attempts INTEGER NOT NULL, response_status INTEGER NOT NULL,
            created_us INTEGER NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX delivery_webhook ON deliveries (webhook_id, id)",
        "CREATE INDEX journal_chain ON journal (scope_id, correlation_id, seq) WHERE correlation_id IS NOT NULL",
        "CREATE INDEX journal_tenant ON journal (tenant_id, seq)",
        "CREATE INDEX journal_scope ON journal (scope_id, seq)",
    ),
    (
        "CREATE INDEX message_archived ON mod_scaiqueue_messages (finished_us) WHERE state = 'archived'",
        """CREATE TABLE agents (
            id TEXT PRIMARY KEY, every_s REAL NOT NULL, passes INTEGER NOT NULL, done INTEGER NOT NULL,
            last_us INTEGER NOT NULL, error TEXT NOT NULL
        ) WITHOUT ROWID""",
    ),
)

_ID = "VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin"
# nopad: 'a' and 'a ' are two values; bin: so are 'a' and 'A', and the forms of unicode.
_TEXT = "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
_LONG = "TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
_WORD = "VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin"
_NAME = "VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin"

MARIADB: Sequence[Sequence[str]] = (
    (
        f"CREATE TABLE IF NOT EXISTS settings (name {_WORD} PRIMARY KEY, value {_LONG} NOT NULL) ENGINE=InnoDB",
        f"""CREATE TABLE IF NOT EXISTS scopes (
            id {_ID} PRIMARY KEY, tenant_id {_TEXT} NOT NULL, slug {_TEXT} NOT NULL, display_name {_TEXT} NOT NULL,
            description {_LONG} NOT NULL, state {_WORD} NOT NULL, created_us BIGINT NOT NULL,
            revision BIGINT NOT NULL, UNIQUE KEY scope_slug (tenant_id, slug)
        ) ENGINE=InnoDB""",
        f"""CREATE TABLE IF NOT EXISTS queues (
            id {_ID} PRIMARY KEY, scope_id {_ID} NOT NULL, tenant_id {_TEXT} NOT NULL, slug {_TEXT} NOT NULL,
            display_name {_TEXT} NOT NULL, description {_LONG} NOT NULL, ordering {_WORD} NOT NULL,
            consumer_mode {_WORD} NOT NULL, max_depth BIGINT NOT NULL, overflow_policy {_WORD} NOT NULL,
            max_retries INT NOT NULL, state {_WORD} NOT NULL, dead_letter_id {_ID} NOT NULL,
            created_us BIGINT NOT NULL, UNIQUE KEY queue_slug (scope_id, slug)
        ) ENGINE=InnoDB""",
        f"""CREATE TABLE IF NOT EXISTS mod_scaiqueue_messages (
            id {_ID} PRIMARY KEY, tenant_id {_TEXT} NOT NULL, scope_id {_ID} NOT NULL, queue_id {_ID} NOT NULL,
            origin_queue_id {_ID} NOT NULL, state {_WORD} NOT NULL, score BIGINT NOT NULL, visible_us BIGINT NOT NULL,
            expires_us BIGINT, attempts INT NOT NULL, message_type {_TEXT} NOT NULL, content_type {_TEXT} NOT NULL,
            body LONGBLOB NOT NULL, labels LONGBLOB, hitl_spec LONGBLOB, priority_tier {_WORD} NOT NULL,
            priority_score INT NOT NULL, correlation_id {_TEXT}, causation_id {_TEXT}, parent_id {_TEXT},
            source_type {_WORD} NOT NULL, source_id {_TEXT} NOT NULL, idempotency_key VARBINARY(1020),
            ttl_seconds DOUBLE, deadline_us BIGINT, delay_until_us BIGINT, created_us BIGINT NOT NULL,
            claimed_by_type {_WORD}, claimed_by_id {_TEXT}, claimed_us BIGINT, lock_until_us BIGINT,
            finished_us BIGINT, failure_reason {_LONG}, response LONGBLOB, dead_lettered_us BIGINT,
            UNIQUE KEY message_key (origin_queue_id, idempotency_key),
            KEY message_order (queue_id, state, score, id), KEY message_page (queue_id, id),
            KEY message_chain (scope_id, correlation_id, id), KEY message_lock (lock_until_us),
            KEY message_life (expires_us), KEY message_end (state, finished_us)
        ) ENGINE=InnoDB""",
        f"""CREATE TABLE IF NOT EXISTS journal (
            seq BIGINT AUTO_INCREMENT PRIMARY KEY, event_type {_NAME} NOT NULL,
            tenant_id {_TEXT} NOT NULL, scope_id {_ID} NOT NULL, queue_id {_ID} NOT NULL, message_id {_ID} NOT NULL,
            correlation_id {_TEXT}, message_type {_TEXT} NOT NULL, attempts INT NOT NULL, actor_type {_WORD} NOT NULL,
            actor_id {_TEXT} NOT NULL, at_us BIGINT NOT NULL, outcome {_NAME} NOT NULL,
            KEY journal_scope (scope_id, seq), KEY journal_chain (scope_id, correlation_id, seq),
            KEY journal_tenant (tenant_id, seq)
        ) ENGINE=InnoDB""",
        f"""CREATE TABLE IF NOT EXISTS documents (
            id {_ID} PRIMARY KEY, scope_id {_ID} NOT NULL, kind {_WORD} NOT NULL, name {_TEXT} NOT NULL,
            version {_TEXT} NOT NULL, position INT NOT NULL, body LONGBLOB NOT NULL, created_us BIGINT NOT NULL,
            UNIQUE KEY document_name (scope_id, kind, name, version)
        ) ENGINE=InnoDB""",
        f"""CREATE TABLE IF NOT EXISTS webhooks (
            id {_ID} PRIMARY KEY, tenant_id {_TEXT} NOT NULL, url {_LONG} NOT NULL, events {_LONG} NOT NULL,
            secret {_TEXT} NOT NULL, status {_WORD} NOT NULL, max_retries INT NOT NULL, sent_seq BIGINT NOT NULL,
            lease_us BIGINT NOT NULL, created_us BIGINT NOT NULL
        ) ENGINE=InnoDB""",
        f"""CREATE TABLE IF NOT EXISTS deliveries (
            id {_ID} PRIMARY KEY, webhook_id {_ID} NOT NULL, event_id {_ID} NOT NULL, event_type {_NAME} NOT NULL,
            status {_WORD} NOT NULL, attempts INT NOT NULL, response_status INT NOT NULL, created_us BIGINT NOT NULL,
            KEY delivery_webhook (webhook_id, id)
        ) ENGINE=InnoDB""",
    ),
    (
        f"""CREATE TABLE IF NOT EXISTS agents (
            id {_ID} PRIMARY KEY, every_s DOUBLE NOT NULL, passes BIGINT NOT NULL, done BIGINT NOT NULL,
            last_us BIGINT NOT NULL, error {_LONG} NOT NULL
        ) ENGINE=InnoDB""",
    ),
    (f"INSERT IGNORE INTO settings (name, value) VALUES ('{PLACES_VERSION}', '1')",),  # noqa: S608
)
