"""How much two clocks may differ before a time says anything: named once, for checks and cases alike.

A server's clock may run a little fast against ours, and it rounds: a lock is certainly over, or certainly still held,
only outside these margins.
"""

# Far beyond the drift of any disciplined clock over a timeout of minutes.
CLOCK_DRIFT = 0.001
# A clock read in whole milliseconds, at both ends.
CLOCK_STEP_NS = 2_000_000
# Publishes closer than this may have got one time stamp, or stamps of two clocks: told, not judged (docs/checks.md).
FIFO_GATE_NS = 5_000_000
# A server may raise messages that have waited (priority_aging, its formula is unknown): only fresh ones are compared.
FRESH_NS = 5_000_000_000
# So late after its publish was answered a message may be seen by claims that go by rank (an index that trails).
SIGHT_NS = 1_000_000_000
# How long an idempotency key is kept is promised nowhere. The shortest window that a queue service is known to take is
# 20 s (Azure Service Bus, duplicate detection): what comes later than this proves nothing.
KEY_LIFETIME_NS = 15_000_000_000


def certain_hold_ns(timeout_ns: int) -> int:
    """How long a lock of `timeout_ns`, counted from its claim's invocation, is held for certain."""
    return int(timeout_ns * (1 - CLOCK_DRIFT)) - CLOCK_STEP_NS
