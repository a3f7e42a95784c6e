"""Starts Locust as a child, watches it, and keeps what it gathered; judges nothing.

Locust replaces the socket module of its process, so it gets one of its own, in a session of its own: Ctrl-C comes here
alone. Once means stop → drain → final and a report; twice means at once. Whatever happens, no process is left.
"""

import contextlib
import dataclasses
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import queueproof
from queueproof.drive.nemesis import Nemesis
from queueproof.errors import HarnessError, UsageError
from queueproof.evidence.results import Results
from queueproof.evidence.run import RunDirectory, manifest_of, new_run_id

LOCUST_LOG: Final = "locust.log"  # in the run directory, as long as it may explain something
GATHERED: Final = "load.json"  # what the child tells; its content is in results.json when the verdict is written
PROGRESS: Final = "QUEUEPROOF_PROGRESS_FD"
JUDGED_HERE: Final = "QUEUEPROOF_PARENT"
# The child tells something every second; so long a silence means that it hangs.
SILENCE_S: Final = 60.0
# Each is a Python with Locust in it, some 80 MB; more than one a core brings nothing.
MOST_A_CORE: Final = 16
START_S: Final = 60.0  # … and so long may it take to start


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What `queueproof load` was asked for. The door has checked scenario, numbers and objectives."""

    scenario: str  # a shipped one's name, or a path
    rate: float | None = None  # arrivals a second at the highest stage
    users: int | None = None  # without rate: the closed model; with it: so many consumers
    duration_s: float | None = None
    processes: int = 1
    objectives: tuple[str, ...] = ()
    abort_on: tuple[str, ...] = ()  # conditions that end the load early (verdict/objectives.py, abort_when)
    settle_s: float | None = None  # how long a drain with nothing missing goes on; None: the scenario's own
    out: Path | None = None
    nemesis: tuple[str, ...] = ()  # faults to strike while it runs (drive/nemesis.py)
    restart_cmd: str = ""  # kills and starts a target that is not ours


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How the child ended."""

    interrupted: bool  # by a signal to this process
    failure: str  # in words, when it ended otherwise than it should; else ""
    aborted: str = ""  # why `abort` ended it early; else ""


Judge = Callable[[Path, Ended], Results]
Live = Callable[[Mapping[str, Any]], None]
Abort = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True)
class LoadRun:
    """A load that is over."""

    directory: RunDirectory
    results: Results


def run_load(
    options: LoadOptions,
    *,
    url: str,
    api_key: str,
    judge: Judge,
    live: Live | None = None,
    abort: Abort = lambda _: "",
    target: Mapping[str, Any] | None = None,
    command: str = "queueproof load",
    nemesis: Nemesis | None = None,
) -> LoadRun:
    """Runs one load against `url`, blocking, and writes its run directory: the exit code is `.results.exit_code`.

    `judge(directory, ended)` makes the results; `live` is given the numbers of every second; `abort` may answer with a
    reason to end the run early; `target` describes the target for the manifest, without secrets; `nemesis` strikes
    while it runs. Signals are handled only in the main thread. Raises UsageError (--out, --processes); after that
    everything ends in results.
    """
    processes_of(options.processes)
    run = new_run_id()
    directory = RunDirectory.create(options.out, "load", run)
    for stale in (GATHERED, LOCUST_LOG):
        (directory.path / stale).unlink(missing_ok=True)
    unset = (None, "", ())
    shown = {name: value for name, value in asdict(options).items() if name != "out" and value not in unset}
    described = target or {"url": url}
    directory.write_manifest(manifest_of(run=run, kind="load", target=described, options=shown, command=command))
    child = _Child(options, url=url, api_key=api_key, run=run, directory=directory.path)
    if nemesis is None:
        ended = child.watch(live, abort)
    else:
        with nemesis.watching(directory.path, run):
            ended = child.watch(_both(nemesis.hear, live), abort)
        if nemesis.problems and not ended.failure:
            ended = dataclasses.replace(ended, failure=nemesis.problems[0])
    results = judge(directory.path, ended)
    directory.write_results(results)
    if not ended.failure:
        for told in (GATHERED, LOCUST_LOG):
            (directory.path / told).unlink(missing_ok=True)
    return LoadRun(directory=directory, results=results)


def processes_of(number: int) -> None:
    """Raises UsageError for a number of Locust processes that this machine cannot have."""
    if number < 1:
        raise UsageError(f"--processes {number} is not above zero", hint="leave it out for one process")
    most = MOST_A_CORE * (os.cpu_count() or 1)
    if number > most:
        raise UsageError(
            f"--processes {number} are more than this machine runs", hint=f"at most {most}; docs/many-machines.md"
        )


def _both(first: Live, second: Live | None) -> Live:
    def live(line: Mapping[str, Any]) -> None:
        first(line)
        if second is not None:
            second(line)

    return live


def locustfile() -> Path:
    """The locustfile that travels with the package, or the checkout's; raises HarnessError when there is none."""
    package = Path(queueproof.__file__).resolve().parent
    for path in (package / "_bundled" / "load" / "locustfile.py", package.parents[1] / "load" / "locustfile.py"):
        if path.is_file():
            return path
    raise HarnessError("load/locustfile.py is missing from this installation", hint="install queueproof again")


class _Child:
    """The Locust process and what came of it."""

    def __init__(self, options: LoadOptions, *, url: str, api_key: str, run: str, directory: Path) -> None:
        self._arguments = _arguments(options, url=url, run=run, directory=directory)
        self._environment = _environment(api_key)
        self._directory = directory
        self._signals = 0
        self._aborted = ""
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, live: Live | None, abort: Abort) -> Ended:
        """Runs it to its end."""
        reading, writing = os.pipe()
        try:
            with (self._directory / LOCUST_LOG).open("wb") as log, self._handling():
                process = self._process = subprocess.Popen(  # noqa: S603 -- our own arguments, no shell
                    self._arguments,
                    cwd=self._directory,  # a locust.conf of the user's folder is not ours
                    env={**self._environment, PROGRESS: str(writing)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,),
                    start_new_session=True,
                )
                if self._signals:  # it came before there was a process to tell
                    process.terminate()
                try:
                    silent = self._follow(process, reading, live, abort)
                finally:
                    _end_all(process)
        finally:
            os.close(reading)
            os.close(writing)
        failure = self._failure(process.returncode, silent)
        return Ended(interrupted=self._signals > 0, failure=failure, aborted=self._aborted)

    def _follow(self, process: "subprocess.Popen[bytes]", reading: int, live: Live | None, abort: Abort) -> bool:
        """Reads progress until the child ends; True when it had fallen silent."""
        heard, pending, patience_s = time.monotonic(), b"", START_S
        while process.poll() is None:
            if self._signals > 1:
                return False
            if time.monotonic() - heard > patience_s:
                return True
            if not select.select([reading], [], [], 0.1)[0]:
                continue
            pending += os.read(reading, 65536)
            *lines, pending = pending.split(b"\n")
            heard, patience_s = time.monotonic(), SILENCE_S
            for line in lines:
                self._hear(process, json.loads(line), live, abort)
        return False

    def _hear(
        self, process: "subprocess.Popen[bytes]", line: Mapping[str, Any], live: Live | None, abort: Abort
    ) -> None:
        if live is not None:
            live(line)
        if not self._aborted and (reason := abort(line)):
            self._aborted = reason
            process.terminate()

    def _failure(self, code: int, silent: bool) -> str:
        if self._signals:
            return ""
        if silent:
            return f"the load said nothing for {SILENCE_S:g} s and was ended; see {LOCUST_LOG}"
        if code or not (self._directory / GATHERED).exists():
            return f"Locust ended with exit code {code}: {_last_words(self._directory / LOCUST_LOG)}"
        return ""

    @contextlib.contextmanager
    def _handling(self) -> Iterator[None]:
        """SIGINT and SIGTERM are ours for as long as the child runs."""
        handlers = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                handlers[number] = signal.signal(number, self._signalled)
        except ValueError:  # not the main thread: whoever called has the signals
            pass
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _signalled(self, *_: Any) -> None:
        """The first asks the load to stop and drain; the second ends it at once."""
        self._signals += 1
        process = self._process
        if process is None or process.poll() is not None:
            return
        if self._signals == 1:
            process.terminate()
        else:
            _end_all(process)


def _arguments(options: LoadOptions, *, url: str, run: str, directory: Path) -> list[str]:
    scenario = options.scenario
    if scenario.endswith(".toml"):
        scenario = str(Path(scenario).resolve())
    closed = options.users is not None and options.rate is None
    values = {
        "--host": url,
        "--qp-scenario": scenario,
        "--qp-run": run,
        "--qp-out": str(directory.resolve()),
        "--users": str(options.users if closed else 1),
        "--spawn-rate": str(options.users if closed else 1),
        "--loglevel": "WARNING",
    }
    if options.rate is not None:
        values["--qp-rate"] = repr(options.rate)
        values["--qp-consumers"] = str(options.users or 0)
    if options.duration_s is not None:
        values["--qp-duration"] = f"{options.duration_s:g}s"
    if options.settle_s is not None:
        values["--qp-settle"] = repr(options.settle_s)
    if options.processes > 1:
        port = str(_free_port())
        values |= {"--processes": str(options.processes), "--master-bind-host": "127.0.0.1"}
        values |= {"--master-bind-port": port, "--master-port": port}
    found = [sys.executable, "-m", "locust", "-f", str(locustfile()), "--headless", "--only-summary"]
    for name, value in values.items():
        found += [name, value]
    return [*found, *(["--qp-closed"] if closed else [])]


def _environment(api_key: str) -> dict[str, str]:
    """The child's: no settings of the user's own Locust, this package first, the key out of the process list."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    package = str(Path(queueproof.__file__).resolve().parents[1])
    path = os.pathsep.join([package, kept["PYTHONPATH"]]) if kept.get("PYTHONPATH") else package
    absolute = os.pathsep.join(str(Path(part).resolve()) for part in path.split(os.pathsep) if part)
    key = {"SCAIGRID_API_KEY": api_key} if api_key else {}
    return {**kept, **key, "PYTHONPATH": absolute, JUDGED_HERE: "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_all(process: "subprocess.Popen[bytes]") -> None:
    """Ends whatever is left of the child's session: Locust's own children would outlive a killed parent."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_words(log: Path) -> str:
    try:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1].strip() if lines else "it said nothing"
