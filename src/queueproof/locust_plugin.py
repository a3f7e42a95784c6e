"""The door for Locust: its options and hooks, and the user class that a locustfile names.

A locustfile imports this module and declares a subclass of `QueueUser`; `locust -f load/locustfile.py --host URL`
then runs a scenario, with Locust's web page, `--processes`, `--master` and `--worker`. The exit code is the verdict's,
and the run directory is the same as with `queueproof load`.
"""

import os
from pathlib import Path
from typing import Any

import gevent
from locust import User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from queueproof.errors import Mistakes, QueueproofError, UsageError
from queueproof.evidence.run import MANIFEST, RunDirectory, manifest_of
from queueproof.swarm import scenario
from queueproof.swarm.attachment import Attachment
from queueproof.verdict import load_judge, objectives

JUDGED_ELSEWHERE = "QUEUEPROOF_PARENT"  # set by `queueproof load`, which judges when Locust has ended


def _options(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("queueproof")
    add: Any = group.add_argument
    add("--qp-scenario", default="steady", help="a shipped scenario, or the path of a .toml file")
    add("--qp-rate", type=float, default=0, help="messages a second at the highest stage (0: the scenario's own)")
    add("--qp-duration", default="", help='such as "30s" (empty: the scenario\'s own)')
    add("--qp-consumers", type=int, default=0, help="how many consumers (0: the scenario's own; with --qp-rate)")
    add("--qp-settle", type=float, default=None, help="[drain] settle_s, in seconds (default: the scenario's own)")
    add("--qp-closed", action="store_true", help="the closed model: Locust's users publish one message after the other")
    add("--qp-objective", action="append", default=[], help='such as "publish.response.p99 < 50ms"; may be repeated')
    add("--qp-out", default="", help="run directory (default: reports/…)")
    add("--qp-api-key", default="", env_var="SCAIGRID_API_KEY", help="key for the target")
    add("--qp-run", default="", help="id of the run, when its directory exists already")


def _init(environment: Environment, **_: Any) -> None:
    environment.queueproof = Attachment(  # type: ignore[attr-defined]
        environment,
        over=lambda path: _over(environment, path),
        wrong=objectives.mistake,
        check=lambda: _check(environment),
    )
    if not environment.host and os.environ.get("SCAIGRID_HOST"):
        environment.host = os.environ["SCAIGRID_HOST"]


def _check(environment: Environment) -> None:
    """Raises UsageError when no server is named, and for objectives that could not be judged when the load is over."""
    wrong = Mistakes()
    if not environment.host:
        wrong.add(UsageError("no server is named", hint="give --host http://127.0.0.1:8000, or set SCAIGRID_HOST"))
    options: Any = environment.parsed_options
    wrong.read(lambda: objectives.parse_all(options.qp_objective))
    wrong.tell()


def _over(environment: Environment, path: Path) -> None:
    """A load has ended: its verdict becomes Locust's exit code."""
    if os.environ.get(JUDGED_ELSEWHERE):
        environment.process_exit_code = 0
        return
    options: Any = environment.parsed_options
    directory = RunDirectory(path)
    try:
        if not (path / MANIFEST).exists():
            told = load_judge.gathered(path)
            chosen = {"scenario": options.qp_scenario, "rate": options.qp_rate, "duration": options.qp_duration}
            target = {"url": environment.host}
            directory.write_manifest(
                manifest_of(run=told.get("run", ""), kind="load", target=target, options=chosen, command="locust")
            )
        wanted = [*scenario.load(options.qp_scenario).objectives, *options.qp_objective]
        results = load_judge.judge(path, objectives=objectives.parse_all(wanted))
        directory.write_results(results)
        environment.process_exit_code = results.exit_code
        os.write(2, f"{load_judge.told(results)}\n{path}\n".encode())
    except QueueproofError as error:
        environment.process_exit_code = int(error.exit_code)
        os.write(2, f"{error}\n".encode())


class QueueUser(User):
    """A producer of the closed model; in the open model, where the schedule produces, it stands by."""

    abstract = True

    @task
    def publish(self) -> None:
        attachment: Attachment = self.environment.queueproof
        worker = attachment.worker
        if worker is None or not attachment.closed_model or not worker.publish_once():
            gevent.sleep(0.1)


_hooks: Any = events  # Locust's events have no types
_hooks.init_command_line_parser.add_listener(_options)
_hooks.init.add_listener(_init)
