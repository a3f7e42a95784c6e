"""Faults during a load: which, when and for how long, struck from a thread of this process and always healed.

Each fault's start and stop are marks in a history file of their own, on the same clock as the calls. Nothing is judged
here (verdict/nemesis.py): a server may be unavailable while it is struck, but may not forget or hand out twice.
"""

import contextlib
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from queueproof.drive.local import Handle, Server
from queueproof.drive.proxy import Proxy
from queueproof.errors import UsageError
from queueproof.evidence.history import HistoryWriter
from queueproof.evidence.operation import Mark

NAMES: Final = (
    "kill-server",
    "pause-server",
    "restart-redis",
    "flush-redis",
    "kill-database",
    "kill-agents",
    "cut-connections",
    "slow-network",
)
BY_PROXY: Final = frozenset({"cut-connections", "slow-network"})
MARK: Final = "nemesis"
WRITER: Final = (1 << 20) - 1  # number of its history file; workers count from 1
# What a client's calls need to be seen as good again, and what two faults need to be told apart.
QUIET_S: Final = 3.0
STRIKE_S: Final = 2.0
BEYOND_S: Final = 1.0  # a paused server is paused for the visibility timeout and this much more
CUT_SHARE: Final = (
    0.3  # of the requests while connections are cut, half of them before and half after the server's work
)
SLOW_S: Final = 0.2  # added to each way while the network is slow


@dataclass(frozen=True, kw_only=True)
class Strike:
    """One fault's place in the load, s after its start."""

    name: str
    at_s: float
    for_s: float


def known(names: Sequence[str]) -> None:
    """Raises UsageError for a fault that does not exist."""
    for name in names:
        if name not in NAMES:
            raise UsageError(f"there is no nemesis {name!r}", hint=f"choose from {', '.join(NAMES)}")


def plan(names: Sequence[str], *, duration_s: float, visibility_timeout_s: float) -> list[Strike]:
    """One fault after the other, soon after the load's start: what heals slowly has the most of its time after it.

    The names are known ones. Raises UsageError for a load too short for them.
    """
    lengths = [visibility_timeout_s + BEYOND_S if name == "pause-server" else STRIKE_S for name in names]
    needed_s = sum(lengths) + QUIET_S * (len(names) + 1)
    if names and needed_s > duration_s:
        raise UsageError(
            f"a load of {duration_s:g} s is too short for {', '.join(names)}",
            hint=f"give --duration {needed_s:.0f}s or more",
        )
    quiet_s = (duration_s - sum(lengths) - QUIET_S) / max(1, len(names))
    found, at_s = [], QUIET_S
    for name, length_s in zip(names, lengths, strict=True):
        found.append(Strike(name=name, at_s=at_s, for_s=length_s))
        at_s += length_s + quiet_s
    return found


Heal = Callable[[], None]
Act = Callable[[], Heal]


def acts(names: Sequence[str], *, server: Server | None, restart_cmd: str, proxy: Proxy | None) -> dict[str, Act]:
    """How each fault is struck on this target, and what heals it. Raises UsageError for one that it cannot suffer."""
    handles: Mapping[str, Handle] = server.handles if server is not None else {}
    found: dict[str, Act] = {}
    for name in names:
        act = _act(name, handles, restart_cmd, proxy)
        if act is None:
            raise UsageError(f"--nemesis {name} cannot be done to this target", hint=_needs(name))
        found[name] = act
    return found


def _needs(name: str) -> str:
    if name == "kill-server":
        return "use a target that queueproof starts, or give the command that kills and starts it as --restart-cmd"
    if name == "pause-server":
        return "use a target that queueproof starts: --target embedded, services or stack"
    if name in {"flush-redis", "kill-agents"}:
        return "use --target services or stack, which have a Redis, and agents in a process of their own"
    return "use --target services, whose Redis and database are processes of this machine"


def _act(name: str, handles: Mapping[str, Handle], restart_cmd: str, proxy: Proxy | None) -> Act | None:
    if name in BY_PROXY and proxy is not None:
        return lambda: _by_proxy(proxy, name)
    if name == "kill-server" and restart_cmd:
        return lambda: _by_command(restart_cmd)
    if name == "pause-server" and "server" in handles:
        return lambda: _paused(handles["server"])
    if name == "flush-redis" and "redis" in handles:
        return lambda: _flushed(handles["redis"])
    part = {"kill-server": "server", "restart-redis": "redis", "kill-database": "database", "kill-agents": "agents"}
    handle = handles.get(part.get(name, ""))
    return (lambda: _killed(handle)) if handle is not None and handle.restartable else None


def _killed(handle: Handle) -> Heal:
    handle.kill()
    return handle.start


def _paused(handle: Handle) -> Heal:
    handle.signal(signal.SIGSTOP)
    return lambda: handle.signal(signal.SIGCONT)


def _flushed(handle: Handle) -> Heal:
    handle.flush()
    return lambda: None


def _by_proxy(proxy: Proxy, name: str) -> Heal:
    proxy.cut(CUT_SHARE) if name == "cut-connections" else proxy.delay(SLOW_S)

    def heal() -> None:
        proxy.cut(0.0)
        proxy.delay(0.0)

    return heal


def _by_command(command: str) -> Heal:
    """The command is given a minute; it is to kill the server and start it again."""
    done = subprocess.run(command, shell=True, capture_output=True, timeout=60, check=False)  # noqa: S602 -- the user's
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise OSError(f"--restart-cmd ended with exit code {done.returncode}: {words[-1] if words else 'no word'}")
    return lambda: None


@dataclass
class Nemesis:
    """Strikes while a load runs: `hear` its lines of progress, between `watching` a run directory."""

    strikes: Sequence[Strike]
    acts: Mapping[str, Act]
    problems: list[str] = field(default_factory=list)  # what could not be struck or healed, in words
    _begun: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)  # the load, not its drain
    _end: threading.Event = field(default_factory=threading.Event)
    _begun_s: float = 0.0

    def hear(self, line: Mapping[str, Any]) -> None:
        """A line of the load's progress: its clock starts with the phase "load"; after it nothing more is struck."""
        if line["phase"] == "load" and line["elapsed_s"] > 0 and not self._begun.is_set():
            self._begun_s = time.monotonic() - line["elapsed_s"]
            self._begun.set()
        elif line["phase"] not in {"prepare", "load"}:
            self._over.set()

    @contextlib.contextmanager
    def watching(self, directory: Path, run: str) -> Iterator[None]:
        """Strikes from a thread of its own; when the block is left, everything is healed."""
        history = HistoryWriter(directory / "history-nemesis.ndjson", run=run, writer=WRITER)
        thread = threading.Thread(target=self._strike_all, args=(history,), name="nemesis", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._begun.set()
            self._end.set()
            thread.join()
            history.close()

    def _strike_all(self, history: HistoryWriter) -> None:
        self._begun.wait()
        for strike in self.strikes:
            if self._wait(strike.at_s):
                break
            self._strike(strike, history)
        self._end.wait()  # what this thread has started again ends with it (PR_SET_PDEATHSIG)

    def _strike(self, strike: Strike, history: HistoryWriter) -> None:
        _mark(history, strike.name, "start")
        try:
            heal = self.acts[strike.name]()
            self._wait(time.monotonic() - self._begun_s + strike.for_s)
            heal()
        except (OSError, subprocess.SubprocessError) as error:
            self.problems.append(f"nemesis {strike.name}: {error}")
        _mark(history, strike.name, "stop")

    def _wait(self, until_s: float) -> bool:
        """Waits for a moment of the load; True when the load was over before it."""
        return self._over.wait(max(0.0, self._begun_s + until_s - time.monotonic()))


def _mark(history: HistoryWriter, name: str, phase: str) -> None:
    history.write(Mark(at_ns=time.monotonic_ns(), name=MARK, detail=json.dumps({"name": name, "phase": phase})))
