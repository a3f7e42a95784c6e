"""Plans: sequences of calls as data, drawn by Hypothesis from a seed, each legal on an ideal queue.

A plan knows nothing of the server that it will be run on. Messages are named by the number of their publish, so that a
step keeps its meaning when others are taken out; a step that cannot be done where it stands is passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

MOST_MESSAGES = 9
TIERS = ("critical", "high", "normal", "low", "background")
# Kinds of plans: what they are about, and what their queue is made with.
KINDS: dict[str, dict[str, Any]] = {
    "work": {"ordering": "fifo"},
    "pauses": {"ordering": "fifo"},
    "priorities": {"ordering": "priority"},
    "failures": {"ordering": "fifo", "max_retries": 2},
    "crowds": {"ordering": "fifo"},
    "deadlines": {"ordering": "deadline"},
    "limits": {"ordering": "priority", "max_retries": 2, "limited": True},  # as many places as the plan has messages
}
DELAYED, PAUSED = ("work", "pauses", "deadlines", "limits"), ("pauses", "deadlines")
FAILING = ("failures", "limits")
AWAITED = ("deadlines", "limits")  # where what was delayed is settled as well, once it is due
# Seconds between deadlines that lie far ahead: some of them alike as texts, or in the last digits of a number.
DUE_S = (0, 1, 9, 10, 59, 60, 3600, 86_399, 864_000)
SETTLES = ("complete", "release", "extend", "fail")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call. `message`: the number of the message's publish in the plan; `long`: a hold that outlasts the plan."""

    verb: str  # publish, replay, conflict, claim, complete, fail, release, extend, pause, resume
    message: int = 0
    size: int = 1
    long: bool = True
    fields: tuple[tuple[str, Any], ...] = ()  # publish: what the message is published with

    def told(self) -> str:
        """The step in a few words."""
        hold = "long" if self.long else "short"
        match self.verb:
            case "publish":
                more = ", ".join(f"{name} {value}" for name, value in self.fields if value not in (None, False, 0))
                return f"publish m{self.message}" + (f" ({more})" if more else "")
            case "claim":
                return f"claim {self.size} with a {hold} hold"
            case "extend":
                return f"extend m{self.message} by a {hold} hold"
            case "pause" | "resume":
                return f"{self.verb} the queue"
            case _:
                return f"{self.verb} m{self.message}"


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Steps one after the other, or all at once; after them every short hold is waited out."""

    steps: tuple[Step, ...]
    at_once: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sequence of calls for one fresh queue."""

    kind: str
    number: int
    phases: tuple[Phase, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for phase in self.phases for step in phase.steps)

    def without(self, dropped: Sequence[int]) -> "Plan":
        """The plan less the steps of these positions; a phase that is left empty goes with them."""
        kept, position = [], 0
        for phase in self.phases:
            places = range(position, position + len(phase.steps))
            position += len(phase.steps)
            steps = tuple(step for place, step in zip(places, phase.steps, strict=True) if place not in dropped)
            if steps:
                kept.append(replace(phase, steps=steps))
        return replace(self, phases=tuple(kept))


def draw_plans(kind: str, count: int, seed: int) -> list[Plan]:
    """`count` plans of one kind; the same for the same seed (and version of Hypothesis)."""
    found = drawn(_plans(kind), count + 1, seed)[1:]  # the first is the simplest that there is
    return [replace(plan, number=number) for number, plan in enumerate(found)]


def drawn(strategy: "SearchStrategy[Any]", count: int, seed: int) -> list[Any]:
    """`count` values of a strategy, drawn in one go; nothing is written, nothing is remembered."""
    import tempfile

    import hypothesis
    from hypothesis.configuration import set_hypothesis_home_dir

    set_hypothesis_home_dir(tempfile.gettempdir())  # else it keeps notes in the user's folder
    found: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found[:count]


def _plans(kind: str) -> "SearchStrategy[Plan]":
    from hypothesis import strategies as st

    @st.composite
    def build(draw: "DrawFn") -> Plan:
        ideal = _Ideal(kind)
        phases = []
        for number in range(draw(st.integers(2, 3))):
            at_once = kind == "crowds" and number > 0
            steps = [ideal.publish(draw) for _ in range(draw(st.integers(3, 6)))] if number == 0 else []
            for _ in range(draw(st.integers(5, 9))):
                step = ideal.step(draw, at_once=at_once)
                if step is not None:
                    steps.append(step)
            ideal.lapse()
            phases.append(Phase(steps=tuple(steps), at_once=at_once))
        return Plan(kind=kind, number=0, phases=tuple(phases))

    return build()


@dataclass
class _Ideal:
    """An ideal queue, by which the next step is chosen so that it can be done."""

    kind: str
    published: int = 0
    paused: bool = False
    pending: list[int] = field(default_factory=list)
    held: dict[int, bool] = field(default_factory=dict)  # message: whether its hold is long
    keyed: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)  # what is delayed for so short that it is due in the next phase

    def publish(self, draw: "DrawFn") -> Step:
        from hypothesis import strategies as st

        self.published += 1
        number = self.published
        fields: dict[str, Any] = {"key": draw(st.booleans()), "labels": draw(st.booleans())}
        fields["kilobytes"] = draw(st.sampled_from((0, 0, 0, 0, 2, 9)))
        if KINDS[self.kind]["ordering"] == "priority":
            fields["tier"] = draw(st.sampled_from(("normal", "normal", *TIERS)))
            fields["score"] = draw(st.sampled_from((0, 1, 499, 500, 501, 999, 1000)))
        if self.kind == "deadlines":
            fields["due_s"] = draw(st.sampled_from((None, *DUE_S)))
        delay = draw(st.sampled_from(("", "", "", "", "short", "hour"))) if self.kind in DELAYED else ""
        if delay:
            fields["delay"] = delay
            self.late += [number] if delay == "short" and self.kind in AWAITED else []
        else:
            self.pending.append(number)
        fields["ttl"] = draw(st.sampled_from((0, 0, 0, 3600)))
        if fields["key"]:
            self.keyed.append(number)
        return Step(verb="publish", message=number, fields=tuple(fields.items()))

    def step(self, draw: "DrawFn", *, at_once: bool) -> Step | None:
        from hypothesis import strategies as st

        verbs: list[str] = []
        if self.published < MOST_MESSAGES and not self.paused:
            verbs += ["publish"]
        if self.keyed and not self.paused:
            verbs += ["replay", "conflict"]
        verbs += ["claim"] * (4 if self.pending else 1)
        if self.held:
            verbs += ["complete", "release", "release", "extend", "extend"]
            verbs += ["fail"] * (6 if self.kind in FAILING else 2)
        if self.kind in PAUSED and not at_once:
            verbs += ["resume"] * 3 if self.paused else ["pause"] * 2
        verb = draw(st.sampled_from(verbs))
        match verb:
            case "publish":
                return self.publish(draw)
            case "replay" | "conflict":
                return Step(verb=verb, message=draw(st.sampled_from(self.keyed)))
            case "claim":
                return self.claim(draw, long=draw(st.booleans()))
            case "pause" | "resume":
                self.paused = verb == "pause"
                return Step(verb=verb)
            case _:
                return self.settle(verb, draw(st.sampled_from(sorted(self.held))), long=draw(st.booleans()))

    def claim(self, draw: "DrawFn", *, long: bool) -> Step:
        from hypothesis import strategies as st

        size = draw(st.sampled_from((1, 1, 2, 3, 5)))
        if not self.paused:
            taken, self.pending = self.pending[:size], self.pending[size:]
            self.held |= dict.fromkeys(taken, long)
        return Step(verb="claim", size=size, long=long)

    def settle(self, verb: str, message: int, *, long: bool) -> Step:
        if verb == "extend":
            self.held[message] = long
            return Step(verb=verb, message=message, long=long)
        del self.held[message]
        if verb != "complete":
            self.pending.insert(0, message)
        elif message in self.keyed:
            self.keyed.remove(message)  # whether a key outlives its message is not documented
        return Step(verb=verb, message=message)

    def lapse(self) -> None:
        """The end of a phase: what was held shortly waits again."""
        back = [message for message, long in self.held.items() if not long]
        self.pending = sorted([*back, *self.pending, *self.late])
        self.late = []
        for message in back:
            del self.held[message]
