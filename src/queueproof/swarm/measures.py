"""What one worker measures: three histograms a verb and plain counters, cut into intervals that are merged exactly.

A cut is plain data (numbers, text, dicts), so that it travels in a Locust message as it is. Adding up the cuts of all
workers gives the whole run; nothing is averaged on the way.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from queueproof.evidence.latency import HIGHEST_US, Histogram, Recorder

KINDS = ("response", "service", "lateness")

# Counted beside the histograms, a verb each: "publish.ok", "publish.error", "publish.code.RATE_LIMITED".
# Of the whole: "started" (arrivals), "empty_claims", "delivered", "redelivered", "damaged", "foreign", "abandoned".


class Verb:
    """The recorders of one verb, and how its calls ended."""

    __slots__ = ("_lateness", "_response", "_service", "errors", "lateness", "ok", "response", "service")

    def __init__(self) -> None:
        self.response, self.service, self.lateness = Recorder(), Recorder(), Recorder()
        self._response, self._service, self._lateness = (r.counts for r in (self.response, self.service, self.lateness))
        self.ok = self.errors = 0  # since the last cut

    def record(self, intended_ns: int, sent_ns: int, ended_ns: int) -> None:
        """One call, answered or not; `sent_ns` 0: it was never sent and has a response time only.

        `Recorder.record` three times, inlined: this runs for every call.
        """
        x = (ended_ns - intended_ns) // 1000
        if not 0 <= x <= HIGHEST_US:
            x = 0 if x < 0 else HIGHEST_US
        b = (x | 2047).bit_length() - 11
        self._response[((b + 1) << 10) + (x >> b) - 1024] += 1
        if sent_ns:
            x = (ended_ns - sent_ns) // 1000
            if not 0 <= x <= HIGHEST_US:
                x = 0 if x < 0 else HIGHEST_US
            b = (x | 2047).bit_length() - 11
            self._service[((b + 1) << 10) + (x >> b) - 1024] += 1
            x = (sent_ns - intended_ns) // 1000
            if not 0 <= x <= HIGHEST_US:
                x = 0 if x < 0 else HIGHEST_US
            b = (x | 2047).bit_length() - 11
            self._lateness[((b + 1) << 10) + (x >> b) - 1024] += 1


class Measures:
    """One worker's recorders and counters."""

    def __init__(self) -> None:
        self.verbs: dict[str, Verb] = {}
        self.end_to_end = Recorder()  # a message's intended start → the answer that delivered it first
        self.dispatch = Recorder()  # an arrival's intended start → given to the sender: the generator's own lateness
        self.counters: Counter[str] = Counter()

    def verb(self, name: str) -> Verb:
        found = self.verbs.get(name)
        if found is None:
            found = self.verbs[name] = Verb()
        return found

    def take_counters(self) -> dict[str, int]:
        """All counts since the last cut."""
        for name, verb in self.verbs.items():
            self.counters[f"{name}.ok"] += verb.ok
            self.counters[f"{name}.error"] += verb.errors
            verb.ok = verb.errors = 0
        taken = {name: number for name, number in self.counters.items() if number}
        self.counters.clear()
        return taken

    def recorders(self) -> list[tuple[str, str, Recorder]]:
        """(verb, kind, recorder) of all."""
        found = [(name, kind, getattr(verb, kind)) for name, verb in self.verbs.items() for kind in KINDS]
        return [*found, ("e2e", "response", self.end_to_end), ("dispatch", "lateness", self.dispatch)]


class Whole:
    """The sum of all cuts of a run."""

    def __init__(self) -> None:
        self.histograms: dict[tuple[str, str], Histogram] = {}
        self.counters: Counter[str] = Counter()

    def add(self, cut: Mapping[str, Any]) -> None:
        """`cut`: {"counts": {"publish": {"response": {bucket: n}}}, "counters": {…}}; keys may have become text."""
        for verb, kinds in cut["counts"].items():
            for kind, counts in kinds.items():
                histogram = self.histograms.setdefault((verb, kind), Histogram())
                histogram.add({int(index): number for index, number in counts.items()})
        self.counters.update(cut["counters"])

    def of(self, verb: str, kind: str) -> Histogram:
        return self.histograms.get((verb, kind), Histogram())
