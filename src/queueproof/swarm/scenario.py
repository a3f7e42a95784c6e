"""What a load is: a scenario read from TOML, checked as a whole, every mistake told at once.

Pure but for reading its file. load/README.md lists the tables, values.py the forms of their values.
"""

import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from queueproof.contract import wire
from queueproof.errors import Mistakes, UsageError
from queueproof.swarm import arrivals, payload
from queueproof.swarm.arrivals import Spacing, Stage
from queueproof.swarm.values import READERS, Wrong, meant, seconds

# Beyond this no schedule makes sense for one run: 100 workers of 10,000/s each.
HIGHEST_RATE: Final = 1_000_000.0
# … and beyond this no disk holds its history: three calls of 375 bytes a message, a terabyte.
MOST_MESSAGES: Final = 1_000_000_000
FEW: Final = 100  # so many arrivals on average are at least one, whatever a Poisson process draws
LONGEST_S: Final = 30 * 86_400.0
MOST_CONSUMERS: Final = 100_000  # or producers of the closed model


def _of(kind: str, default: Any, low: float | None = None, high: float | None = None, choices: Any = ()) -> Any:
    factory = {"default_factory": lambda: default} if isinstance(default, dict | list) else {"default": default}
    return field(**factory, metadata={"kind": kind, "low": low, "high": high, "choices": tuple(choices)})


@dataclass(frozen=True, kw_only=True)
class Queue:
    """[queue]: what is created on the target."""

    count: int = _of("int", 1, 1, 1000)  # so many queues; messages go to them in turn
    ordering: str = _of("choice", "fifo", choices=("fifo", "priority", "deadline"))
    max_retries: int = _of("int", 20, 0, 100)


@dataclass(frozen=True, kw_only=True)
class Producers:
    """[producers]: how messages arrive. The stages say how many."""

    arrivals: Spacing = _of("choice", "constant", choices=("constant", "poisson"))  # noqa: RUF009 -- a field
    preload: int = _of("int", 0, 0, 10_000_000)  # so many messages are published before the load begins
    replay: float = _of("share", 0.0)  # share of messages published a second time under the same idempotency key


@dataclass(frozen=True, kw_only=True)
class Messages:
    """[messages]: what is published."""

    sizes: tuple[tuple[int, float], ...] = _of("sizes", ((128, 1.0),))  # bytes of padding and their weights
    files: str = _of("text", "")  # or: a folder of payloads, taken in turn; relative to the scenario's file
    priorities: dict[str, float] = _of("weights", {}, choices=wire.TIERS)  # noqa: RUF009 -- a field: tier → weight
    keys: bool = _of("bool", False)
    deadline: float = _of("share", 0.0)  # share with a deadline, `deadline_in_s` ahead
    deadline_in_s: float = _of("duration", 3600.0, 1)
    delay: float = _of("share", 0.0)  # share that is to be hidden for `delay_s`
    delay_s: float = _of("duration", 1.0, 0)


@dataclass(frozen=True, kw_only=True)
class Consumers:
    """[consumers]: who claims, and what becomes of a claim."""

    count: int = _of("int", 8, 0, MOST_CONSUMERS)
    batch_size: int = _of("int", 1, 1, 1000)
    visibility_timeout_s: float = _of("duration", 5.0, 0.1, 86_400)
    work_s: float = _of("duration", 0.0, 0, 3600)  # time between a claim and its completion
    idle_s: float = _of("duration", 0.05, 0.001, 60)  # pause after a claim that found nothing
    start_after_s: float = _of("duration", 0.0, 0, 86_400)  # consumers begin so long after the producers
    fail: float = _of("share", 0.0)
    release: float = _of("share", 0.0)
    extend: float = _of("share", 0.0)  # extended once, then completed
    abandon: float = _of("share", 0.0)  # never answered for: the visibility timeout takes it back


@dataclass(frozen=True, kw_only=True)
class Sending:
    """[sending]: the limits of the generator."""

    connections: int = _of("int", 512, 1, 10_000)  # over all workers
    timeout_s: float = _of("duration", 10.0, 0.05, 600)  # from the moment that a request is sent
    connect_timeout_s: float = _of("duration", 5.0, 0.05, 600)
    history: bool = _of("bool", True)  # without it nothing can be said about correctness


@dataclass(frozen=True, kw_only=True)
class Drain:
    """[drain]: how the run ends (docs/checks.md, loss)."""

    limit_s: float = _of("duration", 180.0, 1, 86_400)  # then it is cut short, and losses are inconclusive
    cadence_s: float = _of("duration", 1.0, 0, 3600)  # of the server's visibility timeout enforcer
    slack_s: float = _of("duration", 2.0, 0, 3600)
    settle_s: float = _of("duration", 10.0, 0, 3600)  # looked on for so long, at most, when nothing is missing
    backoff_s: float = _of("duration", 10.0, 0, 3600)  # the longest pause before a failed message comes back


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A whole load."""

    name: str
    about: str = ""
    seed: int = 1
    queue: Queue = Queue()
    producers: Producers = Producers()
    messages: Messages = Messages()
    consumers: Consumers = Consumers()
    sending: Sending = Sending()
    drain: Drain = Drain()
    stages: tuple[Stage, ...] = ()
    objectives: tuple[str, ...] = ()
    users: int = 0  # > 0: the closed model, so many producers that send one message after the other

    @property
    def closed(self) -> bool:
        return self.users > 0

    @property
    def duration_s(self) -> float:
        return arrivals.duration_s(self.stages)

    @property
    def scheduled(self) -> int:
        """How many messages an open load sends."""
        return arrivals.count(self.stages, spacing=self.producers.arrivals, seed=self.seed)


Judge = Callable[[str], str]

_TABLES: Final[dict[str, Any]] = {
    "queue": Queue,
    "producers": Producers,
    "messages": Messages,
    "consumers": Consumers,
    "sending": Sending,
    "drain": Drain,
}
_PLAIN: Final[dict[str, Any]] = {"name": str, "about": str, "seed": int, "objectives": list, "stages": list}


def folder() -> Path:
    """Where the shipped scenarios are: beside the package in a wheel, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    bundled = package / "_bundled" / "load" / "scenarios"
    return bundled if bundled.is_dir() else package.parents[1] / "load" / "scenarios"


def shipped() -> list[str]:
    return sorted(path.stem for path in folder().glob("*.toml"))


def find(name: str) -> Path:
    """The file of a shipped scenario, or `name` itself when it is a path; raises UsageError when it is neither."""
    path = Path(name)
    if path.suffix == ".toml" or path.parent != Path():
        if path.is_file():
            return path
        raise UsageError(f"there is no scenario file {name}", hint=f"or name a shipped one: {', '.join(shipped())}")
    if name in shipped():
        return folder() / f"{name}.toml"
    raise UsageError(
        f'there is no scenario "{name}"{meant(name, shipped())}',
        hint=f"shipped are {', '.join(shipped())}; a file of your own is named by its path, my.toml",
    )


def load(name: str, *, wrong: Judge = lambda _: "") -> Scenario:
    """A scenario by its name or path, its folder of payloads as an absolute path.

    `wrong(objective)` says what is wrong with one, "" for nothing. Raises UsageError with every mistake in it.
    """
    path = find(name)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}", hint="look at a shipped one in load/scenarios") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="name a file that can be read") from error
    return parse({"name": path.stem, **document}, where=str(path), beside=path.resolve().parent, wrong=wrong)


def parse(
    document: Mapping[str, Any], *, where: str = "the scenario", beside: Path = Path(), wrong: Judge = lambda _: ""
) -> Scenario:
    """A decoded document as a Scenario; `beside`: what its paths are relative to; `wrong`: as for `load`.

    Raises UsageError that lists every mistake.
    """
    mistakes: list[str] = []
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key in _TABLES:
            values[key] = _table(key, _TABLES[key], value, mistakes)
        elif key in _PLAIN:
            values[key] = _plain(key, value, mistakes)
        else:
            mistakes.append(f"{key}: unknown{meant(key, [*_TABLES, *_PLAIN])}")
    if not document.get("stages"):
        mistakes.append('stages: at least one is needed, [[stages]] with rate = 100 and duration = "10s"')
    mistakes += [told for one in values.get("objectives") or () if isinstance(one, str) and (told := wrong(one))]
    _payloads(values, beside, mistakes)
    if not mistakes:
        _together(values, mistakes)
    if mistakes:
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        plural = "mistake" if len(mistakes) == 1 else "mistakes"
        raise UsageError(f"{where} has {len(mistakes)} {plural}:\n{lines}", hint="load/README.md lists what is known")
    return Scenario(**values)


def adjusted(
    scenario: Scenario,
    *,
    rate: float | None = None,
    duration_s: float | None = None,
    users: int | None = None,
    settle_s: float | None = None,
) -> Scenario:
    """The scenario with the command line's numbers.

    `rate`: the highest of its stages comes to this, the others in proportion; `duration_s`: all stages together come
    to this; `users` without `rate`: the closed model; with it: so many consumers; `settle_s`: [drain] settle_s. Raises
    UsageError.
    """
    wrong = Mistakes()
    for name, value, most in (
        ("--rate", rate, HIGHEST_RATE),
        ("--duration", duration_s, LONGEST_S),
        ("--users", users, MOST_CONSUMERS),
    ):
        if value is not None and not value > 0:
            hint = f"leave {name} out for the scenario's own"
            wrong.add(UsageError(f"{name} {value:g} is not above zero", hint=hint))
        elif value is not None and value > most:
            wrong.add(UsageError(f"{name} {value:g} is more than one run can have", hint=f"at most {most:g}"))
    top = max(max(stage.rate, stage.to_rate) for stage in scenario.stages)
    if rate is not None and not top:
        hint = "leave --rate out, or give a stage a rate"
        wrong.add(UsageError(f"--rate says nothing for {scenario.name}, which only preloads", hint=hint))
    wrong.tell()
    faster = 1.0 if rate is None else rate / top
    longer = 1.0 if duration_s is None else duration_s / scenario.duration_s
    stages = tuple(
        Stage(duration_s=s.duration_s * longer, rate=s.rate * faster, to_rate=s.to_rate * faster)
        for s in scenario.stages
    )
    consumers = scenario.consumers
    if users is not None and rate is not None:
        consumers = dataclasses.replace(consumers, count=users)
    closed = users if users is not None and rate is None else scenario.users
    drain = scenario.drain if settle_s is None else dataclasses.replace(scenario.drain, settle_s=settle_s)
    found = dataclasses.replace(scenario, stages=stages, consumers=consumers, users=closed, drain=drain)
    _sends_something(found)
    return found


def _sends_something(scenario: Scenario) -> None:
    """Raises UsageError for a load of no message at all, which would prove nothing, and for one without an end."""
    messages = sum(stage.area for stage in scenario.stages)
    if scenario.closed:
        return
    if messages > MOST_MESSAGES:
        raise UsageError(
            f"{messages:.3g} messages are more than one run can have", hint=f"at most {MOST_MESSAGES:g}: a shorter one"
        )
    if messages < FEW and not scenario.scheduled and not scenario.producers.preload:
        raise UsageError(
            f"not one message would be sent in {scenario.duration_s:g} s", hint="give a higher --rate or --duration"
        )


# ── reading values ────────────────────────────────────────────────────────────────────────────────────────────────


def _table(name: str, kind: Any, table: Any, mistakes: list[str]) -> Any:
    if not isinstance(table, Mapping):
        mistakes.append(f"{name}: a table is wanted, [{name}]")
        return None
    known = {f.name: f for f in dataclasses.fields(kind)}
    values = {}
    for key, value in table.items():
        if key not in known:
            mistakes.append(f"{name}.{key}: unknown{meant(key, known)}")
            continue
        values[key] = _value(f"{name}.{key}", value, known[key].metadata, mistakes)
    return kind(**values)


def _value(where: str, value: Any, wanted: Mapping[str, Any], mistakes: list[str]) -> Any:
    read = READERS[wanted["kind"]]
    found = read(value, wanted["choices"])
    if isinstance(found, Wrong):
        mistakes.append(f"{where}: {found.why}, not {value!r}")
        return value
    low, high = wanted["low"], wanted["high"]
    if isinstance(found, int | float) and low is not None and found < low:
        mistakes.append(f"{where}: {found:g} is below {low:g}")
    if isinstance(found, int | float) and high is not None and found > high:
        mistakes.append(f"{where}: {found:g} is above {high:g}")
    return found


def _plain(key: str, value: Any, mistakes: list[str]) -> Any:
    if not isinstance(value, _PLAIN[key]) or isinstance(value, bool):
        mistakes.append(f"{key}: {_PLAIN[key].__name__} is wanted, not {value!r}")
        return None
    if key == "stages":
        return tuple(stage for n, table in enumerate(value, 1) if (stage := _stage(n, table, mistakes)))
    if key == "objectives":
        mistakes.extend(f"objectives: text is wanted, not {one!r}" for one in value if not isinstance(one, str))
        return tuple(value)
    return value


def _stage(number: int, table: Any, mistakes: list[str]) -> Stage | None:
    where, before = f"stages[{number}]", len(mistakes)
    if not isinstance(table, Mapping):
        mistakes.append(f"{where}: a table is wanted, [[stages]]")
        return None
    mistakes += [
        f"{where}.{key}: unknown{meant(key, ['rate', 'to', 'duration'])}"
        for key in table
        if key not in {"rate", "to", "duration"}
    ]
    mistakes += [f"{where}.{key}: missing" for key in ("rate", "duration") if key not in table]
    length = seconds(table.get("duration", 1))
    if length is None or not 0 < length <= LONGEST_S:
        mistakes.append(f'{where}.duration: text such as "10s" is wanted, not {table.get("duration")!r}')
    rates = [table.get("rate", 1), table.get("to", table.get("rate", 1))]
    for key, rate in zip(("rate", "to") if "to" in table else ("rate",), rates, strict=False):
        if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 <= rate <= HIGHEST_RATE:
            mistakes.append(f"{where}.{key}: a rate between 0 and {HIGHEST_RATE:g} a second is wanted, not {rate!r}")
    if len(mistakes) > before or length is None:
        return None
    return Stage(duration_s=length, rate=float(rates[0]), to_rate=float(rates[1]))


def _payloads(values: dict[str, Any], beside: Path, mistakes: list[str]) -> None:
    """Makes the folder of payloads absolute: whoever reads it works elsewhere. Its files are read once, to be sure."""
    messages = values.get("messages")
    if not isinstance(messages, Messages) or not isinstance(messages.files, str) or not messages.files:
        return
    files = str(beside / messages.files)
    values["messages"] = dataclasses.replace(messages, files=files)
    try:
        payload.Paddings(((0, 1.0),), files, seed=1)
    except UsageError as error:
        mistakes.append(error.message)


def _together(values: Mapping[str, Any], mistakes: list[str]) -> None:
    """What only shows when several values are seen at once."""
    consumers: Consumers = values.get("consumers", Consumers())
    queue: Queue = values.get("queue", Queue())
    producers: Producers = values.get("producers", Producers())
    if consumers.fail + consumers.release + consumers.abandon > 1:
        mistakes.append("consumers: fail, release and abandon together are more than all claims")
    if queue.ordering == "priority" and not values.get("messages", Messages()).priorities:
        mistakes.append('messages.priorities: missing, though queue.ordering is "priority"')
    if not any(stage.area >= 0.5 for stage in values["stages"]) and not producers.preload:
        mistakes.append("stages: not one message would be sent")
    if consumers.abandon == 1:
        mistakes.append("consumers.abandon: 1 would leave every message for ever")
