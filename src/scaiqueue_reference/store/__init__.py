"""The durable rows: what every kind of store offers to the broker.

Rows are the truth. When a method that writes returns, its effect is on disk; when it raises `Unavailable`, the effect
is there as a whole or not at all: a connection that breaks at the commit does not say which. Every write of a message
adds its line to the journal in the same transaction.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, TypeVar

from scaiqueue_reference.message import (
    AgentStatus,
    Change,
    Claim,
    Delivery,
    Depth,
    Document,
    Entry,
    Inserted,
    JournalPage,
    Message,
    Page,
    Queue,
    Record,
    Scope,
    Waiting,
    Webhook,
)

R = TypeVar("R", Document, Webhook, Delivery, AgentStatus)


class Store(Protocol):
    """Durable rows of scopes, queues, messages and the journal."""

    journal_lag_us: int  # younger journal lines than this may still be joined by one with a smaller number

    async def open(self) -> int:
        """Connects, migrates, loads; the newest `created_us` of any message, 0 when there is none."""

    async def close(self) -> None:
        """Writes what is under way, then disconnects."""

    async def ping(self) -> None:
        """Raises Unavailable when the rows cannot be read."""

    async def setting(self, name: str, default: str) -> str:
        """The kept value of a setting; `default` is kept when there was none."""

    async def scope(self, scope_id: str) -> Scope | None:
        """One scope, None when there is none."""

    async def scopes(self, tenant_id: str) -> list[Scope]:
        """A tenant's scopes, oldest first."""

    async def add_scope(self, scope: Scope, queues: Sequence[Queue]) -> None:
        """Keeps a scope and its system queues; raises SlugTaken."""

    async def save_scope(self, scope: Scope) -> None:
        """Keeps a scope's new fields."""

    async def delete_scope(self, scope_id: str) -> None:
        """Deletes a scope with its queues and messages."""

    async def queue(self, queue_id: str) -> Queue | None:
        """One queue, None when there is none."""

    async def place(self, queue_id: str) -> tuple[Scope, Queue] | None:
        """A queue with its scope, both as they are now: what publish and claim look at first."""

    async def tenant(self, scope_id: str) -> str | None:
        """Whose the scope is (it never changes), None when there is no such scope."""

    async def queues(self, scope_id: str) -> list[Queue]:
        """A scope's queues, oldest first."""

    async def add_queue(self, queue: Queue) -> None:
        """Keeps a queue; raises SlugTaken."""

    async def save_queue(self, queue: Queue) -> None:
        """Keeps a queue's new fields."""

    async def delete_queue(self, queue_id: str) -> None:
        """Deletes a queue with its messages."""

    async def depths(self, scope_id: str) -> Mapping[str, Depth]:
        """Counters by queue id; a queue without messages is left out."""

    async def insert(self, message: Message, event_type: str, *, capacity: int) -> Inserted:
        """Keeps a message, or finds the one that carries its idempotency_key; raises QueueFull at `capacity` (> 0)."""

    async def claim(self, ids: Sequence[str], claim: Claim) -> list[Message]:
        """Claims those of `ids` that are claimable now, in the order of `ids`."""

    async def change(self, change: Change) -> Message | None:
        """Changes one row; the row afterwards, or None when a guard did not hold."""

    async def message(self, scope_id: str, message_id: str) -> Message | None:
        """One message, None when there is none in the scope."""

    async def messages(self, page: Page) -> list[Message]:
        """One page of messages, oldest first."""

    def waiting(self, queue_id: str | None = None) -> AsyncIterator[Sequence[Waiting]]:
        """Every message (of one queue) that waits for a claim, in chunks, in no order."""

    async def waiting_counts(self) -> Mapping[str, int]:
        """How many messages wait for a claim, by queue id."""

    async def candidates(self, queue_id: str, limit: int, now_us: int) -> list[str]:
        """Ids of the next claimable messages by the rows alone (the way when the pending order is away)."""

    async def overdue(self, now_us: int, limit: int) -> list[Message]:
        """Claimed messages whose lock has run out."""

    async def expired(self, now_us: int, limit: int) -> list[Message]:
        """Waiting messages whose lifetime is over."""

    async def newest_key(self, queue_id: str) -> str | None:
        """The greatest idempotency_key of a queue, None when it has none."""

    async def finished(self, before_us: int, limit: int) -> list[Message]:
        """Messages that were completed or expired before then, and are not archived."""

    async def low(self, now_us: int, period_us: int, limit: int) -> list[Message]:
        """Messages of priority queues that have waited so long that they belong into a higher tier."""

    async def purge_messages(self, before_us: int, limit: int) -> int:
        """Deletes archived messages that ended before then, and their idempotency keys with them; how many."""

    async def purge_journal(self, before_us: int, limit: int) -> int:
        """Deletes the journal's oldest lines, and deliveries, that were written before then; how many."""

    async def append(self, entries: Sequence[Entry]) -> None:
        """Adds lines to the journal that belong to no change of a message."""

    async def journal(self, page: JournalPage) -> list[tuple[int, Entry]]:
        """Lines of the journal with their numbers."""

    async def responses(self, ids: Sequence[str]) -> Mapping[str, bytes | None]:
        """The responses of messages by id."""

    async def records(self, table: type[R], /, **where: object) -> list[R]:
        """Records whose columns are equal to `where`, oldest first."""

    async def add_record(self, record: Record) -> None:
        """Keeps a new record; raises SlugTaken when its name is."""

    async def save_record(self, record: Record, /, **where: object) -> bool:
        """Keeps a record's new fields if its columns still equal `where`; whether they did."""

    async def remove_records(self, table: type[Record], /, **where: object) -> None:
        """Removes records whose columns are equal to `where`."""
