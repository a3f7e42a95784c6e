"""The names under which the journal tells what happened to a message.

The first four are the event types of the contract; the others stand in the audit log only.
"""

PUBLISHED = "scaiqueue.message.published"
CLAIMED = "scaiqueue.message.claimed"
COMPLETED = "scaiqueue.message.completed"
DEAD_LETTERED = "scaiqueue.message.dead_lettered"

FAILED = "scaiqueue.message.failed"
RELEASED = "scaiqueue.message.released"
EXTENDED = "scaiqueue.message.extended"
RECLAIMED = "scaiqueue.message.reclaimed"
EXPIRED = "scaiqueue.message.expired"

EVENTS = (PUBLISHED, CLAIMED, COMPLETED, DEAD_LETTERED)
