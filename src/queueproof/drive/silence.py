"""Whether a server still answers: one that died, or hangs, ends a run instead of being waited for by every case."""

import time
from datetime import UTC, datetime

# A failover or a restart may take this long; after it nobody waits any more.
SILENCE_S = 30.0
# Under a low limit a few lost answers in a row fill that time as well.
CALLS_UNANSWERED = 10


class Silence:
    """Counts the calls that ended since the last answer, of whatever status."""

    def __init__(self) -> None:
        self._answered_ns = time.monotonic_ns()
        self._answered_at = datetime.now(UTC)
        self._silent_ns = 0  # since when calls have gone unanswered: a run that sends nothing hears nothing either
        self._unanswered = 0

    def note(self, *, answered: bool, sent_ns: int) -> None:
        """One call ended that was sent then (ns of the monotonic clock)."""
        if answered:
            self._unanswered = 0
            self._answered_ns = time.monotonic_ns()
            self._answered_at = datetime.now(UTC)
            return
        if not self._unanswered:
            self._silent_ns = max(sent_ns, self._answered_ns)
        self._unanswered += 1

    @property
    def word(self) -> str:
        """Says since when nothing was answered; empty while the server may only pause."""
        silent_s = (time.monotonic_ns() - self._silent_ns) / 1e9
        if self._unanswered < CALLS_UNANSWERED or silent_s < SILENCE_S:
            return ""
        return f"the server has answered nothing since {self._answered_at:%H:%M:%S} UTC"
