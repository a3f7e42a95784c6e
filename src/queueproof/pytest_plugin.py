"""The pytest door: turns each `async def test_…` of the suite into an item, and all items into one run of the engine.

Every case runs at once in one event loop; each item then reports its own result, so that `-k`, `-v`, `--durations`
and `--junitxml` mean what they always do. Options start with `--qp-`.
"""

import asyncio
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.outcomes import Skipped

from queueproof.conduct import Ran, Settings, conformance
from queueproof.contract.capabilities import declared, with_declared
from queueproof.contract.requirements import Requirement, select
from queueproof.drive.engine import CaseSpec
from queueproof.drive.limits import read_rate
from queueproof.drive.target_file import TargetFile, read_target_file
from queueproof.drive.world import DEFAULT_SEED, DEFAULT_SLACK_S, KEY_NAMES
from queueproof.errors import ExitCode, QueueproofError
from queueproof.evidence.results import CaseResult, Outcome
from queueproof.gate import open_gate
from queueproof.report.cards import Card
from queueproof.report.progress import Progress
from queueproof.report.terminal import render_card, show
from queueproof.verdict.expectations import EXCUSED

_RAN: pytest.StashKey[Ran] = pytest.StashKey()
_ERROR: pytest.StashKey[QueueproofError] = pytest.StashKey()

# What pytest counts as a skip, and what stands for it.
_WORDS = {
    Outcome.NOT_SUPPORTED: ("not supported", "n", "NOT SUPPORTED"),
    Outcome.NOT_RUN: ("not run", "-", "NOT RUN"),
    Outcome.INCONCLUSIVE: ("inconclusive", "?", "INCONCLUSIVE"),
    Outcome.BLOCKED: ("blocked", "b", "BLOCKED"),
    Outcome.FAILED: ("known", "k", "KNOWN"),  # a failure that was expected, or is too new to gate
}


class CaseFailedError(AssertionError):
    """The server broke a requirement; its text is the card."""


class CaseCrashedError(Exception):
    """The harness itself failed on a case."""


class NoOutcome(Skipped):
    """A case that neither passed nor failed, or failed as was expected; `outcome` says which it is."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        super().__init__(why, _use_item_location=True)
        self.outcome = outcome


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("queueproof", "queueproof: conformance of a ScaiQueue server")
    text = group.addoption
    text("--qp-url", default="", help="the server's base address (default: the target file's, or SCAIGRID_HOST)")
    text("--qp-target", default="", help="a server to start when there is no address: embedded, services or stack")
    text("--qp-api-key", default="", help="API key with all rights (default: SCAIGRID_API_KEY)")
    for name in KEY_NAMES:
        text(f"--qp-{name}-key", default="", help=f"a key with fewer rights (default: QUEUEPROOF_{name.upper()}_KEY)")
    text("--qp-profile", default="core", help="core, extended or all")
    text("--qp-requirement", action="append", default=[], metavar="ID", help="only this one; may be repeated")
    text("--qp-require", action="append", default=[], metavar="CAPABILITY", help="must be there; may be repeated")
    text("--qp-target-file", type=Path, default=None, metavar="FILE", help="TOML with url and capabilities")
    text("--qp-expectations", type=Path, default=None, metavar="FILE", help="failures that are known")
    text("--qp-update-expectations", action="store_true", help="write what failed into that file")
    text("--qp-fail-on", default="must", choices=("must", "should"), help="which failures fail the run")
    text("--qp-allow-inconclusive", action="store_true", help="what cannot be told does not fail the run")
    text("--qp-slack", type=float, default=DEFAULT_SLACK_S, metavar="SECONDS", help="allowed beyond a timeout")
    text("--qp-seed", type=int, default=DEFAULT_SEED, metavar="N", help="what plans, bodies and keys are drawn from")
    text("--qp-webhook-host", default="", metavar="NAME", help="how the target reaches this machine, for events")
    text("--qp-rate-limit", default="", metavar="RATE", help="at most so many requests, like 60/min")
    text("--qp-out", type=Path, default=None, metavar="DIR", help="the run directory (default: a new one in reports/)")
    text("--qp-junit", type=Path, default=None, metavar="FILE", help="where junit.xml is copied to")
    text("--qp-command", default="", help="how to run the same again, for the report")
    text("--qp-silent", action="store_true", help="print nothing of the cases: the caller tells the run's story")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(id): the requirement of the contract that the case is about")
    try:
        _selected(config)
        open_gate(config.getoption("--qp-expectations"), update=config.getoption("--qp-update-expectations"))
    except QueueproofError as error:
        raise pytest.UsageError(str(error)) from error


def _selected(config: pytest.Config) -> tuple[Requirement, ...]:
    """What the options choose; with --qp-requirement nothing else, otherwise what is declared as well."""
    named = config.getoption("--qp-requirement")
    chosen = select(config.getoption("--qp-profile"), named)
    required = _required(config)
    return chosen if named else with_declared(chosen, required)


def _target_file(config: pytest.Config) -> TargetFile:
    return read_target_file(config.getoption("--qp-target-file"))


def _required(config: pytest.Config) -> tuple[str, ...]:
    return declared([*config.getoption("--qp-require"), *_target_file(config).capabilities])


# ── collection ────────────────────────────────────────────────────────────────────────────────────────────────────


class CaseItem(pytest.Item):
    """One case: a plain async test to its reader, a task of the engine when it runs."""

    def __init__(self, *, spec: CaseSpec, **more: Any) -> None:
        super().__init__(**more)
        self.spec = spec
        self.result: CaseResult | None = None
        self.card = ""
        self.excuse = ""  # why its failure does not gate
        self.add_marker(pytest.mark.requirement(spec.requirement))
        self.user_properties.append(("requirement", spec.requirement))

    def runtest(self) -> None:
        if self.result is None:
            raise NoOutcome(Outcome.NOT_RUN, "the run ended before it")
        outcome, summary = self.result.outcome, self.result.summary
        self.user_properties.append(("outcome", outcome.value))
        if outcome is Outcome.FAILED and self.excuse:
            raise NoOutcome(outcome, f"{self.excuse}: {summary}")
        if outcome is Outcome.FAILED:
            raise CaseFailedError(summary)
        if outcome is Outcome.HARNESS_ERROR:
            raise CaseCrashedError(f"{summary} ({self.result.seen})")
        if outcome is not Outcome.PASSED:
            raise NoOutcome(outcome, summary)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The card alone: a traceback through the harness would tell nothing about the server."""
        if isinstance(excinfo.value, CaseFailedError):
            return self.card or str(excinfo.value)
        if isinstance(excinfo.value, CaseCrashedError):
            return f"the harness itself failed: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        code = getattr(self.spec.function, "__code__", None)
        return self.path, code.co_firstlineno if code else 0, f"{self.spec.requirement} {self.name}"


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module, name: str, obj: object) -> pytest.Item | None:
    requirement = getattr(obj, "__requirement__", None)
    if not name.startswith("test_") or requirement is None or not callable(obj):
        return None
    spec = CaseSpec(name=f"{collector.path.name}::{name}", requirement=requirement, function=obj)
    item: CaseItem = CaseItem.from_parent(collector, name=name, spec=spec)
    return item


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = {requirement.id for requirement in _selected(config)}
    kept = [item for item in items if not isinstance(item, CaseItem) or item.spec.requirement in wanted]
    dropped = [item for item in items if item not in kept]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


# ── the run ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Runs all cases at once, then lets each item report."""
    cases = [item for item in session.items if isinstance(item, CaseItem)]
    if session.config.option.collectonly or not cases:
        return None
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        raise session.Interrupted(f"{session.testsfailed} files of the suite could not be read")
    if len(cases) < len(session.items):
        raise pytest.UsageError("cases of the suite and other tests cannot share one run: name conformance/ alone")
    progress = Progress(len(cases), sys.stderr, quiet=session.config.getoption("verbose") > 0)

    def done(result: CaseResult) -> None:
        progress.done(failed=result.outcome is Outcome.FAILED)

    try:
        ran = asyncio.run(conformance(_settings(session.config), [item.spec for item in cases], done=done))
    except QueueproofError as error:
        session.config.stash[_ERROR] = error
        raise pytest.UsageError(str(error)) from error
    finally:
        progress.close()
    session.config.stash[_RAN] = ran
    _report(session, cases, ran)
    return True


def _report(session: pytest.Session, cases: list[CaseItem], ran: Ran) -> None:
    results = {result.name: result for result in ran.cases}
    cards = {card.id: card for card in ran.story.cards} if ran.story else {}
    excused = {
        one.id: one.known_failure or one.remark for one in ran.results.requirements if one.expectation in EXCUSED
    }
    for item in cases:
        item.result = results.get(item.spec.name)
        if item.result is not None and item.result.outcome is Outcome.FAILED:
            item.excuse = excused.get(item.spec.requirement, "")
            item.card = _card(cards.get(item.spec.requirement))
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        if session.shouldstop:
            break


def _card(card: Card | None) -> str:
    return render_card(card) if card is not None else ""


def _settings(config: pytest.Config) -> Settings:
    option = config.getoption
    keys = {
        name: option(f"--qp-{name}-key") or os.environ.get(f"QUEUEPROOF_{name.upper()}_KEY", "") for name in KEY_NAMES
    }
    return Settings(
        selected=_selected(config),
        url=(option("--qp-url") or _target_file(config).url or os.environ.get("SCAIGRID_HOST", ""))
        if not option("--qp-target")
        else "",
        kind=option("--qp-target"),
        key=option("--qp-api-key") or os.environ.get("SCAIGRID_API_KEY", ""),
        keys={name: key for name, key in keys.items() if key},
        slack_s=option("--qp-slack"),
        seed=option("--qp-seed"),
        webhook_host=option("--qp-webhook-host"),
        rate=read_rate(option("--qp-rate-limit")) if option("--qp-rate-limit") else None,
        fail_on=option("--qp-fail-on"),
        observe=not option("--qp-requirement"),  # one promise is looked at alone, and quickly
        allow_inconclusive=option("--qp-allow-inconclusive"),
        required=_required(config),
        expectations=option("--qp-expectations"),
        update_expectations=option("--qp-update-expectations"),
        out=option("--qp-out"),
        junit=option("--qp-junit"),
        command=option("--qp-command"),
        options={
            "profile": option("--qp-profile"),
            "requirement": option("--qp-requirement"),
            "require": list(_required(config)),
            "expectations": option("--qp-expectations").name if option("--qp-expectations") else "",
            "slack_s": option("--qp-slack"),
            "seed": option("--qp-seed"),
            "fail_on": option("--qp-fail-on"),
            "allow_inconclusive": option("--qp-allow-inconclusive"),
        },
    )


# ── reporting ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if isinstance(item, CaseItem):
        if call.excinfo is not None and isinstance(call.excinfo.value, NoOutcome):
            report.queueproof_outcome = call.excinfo.value.outcome  # type: ignore[attr-defined]
        if call.when == "call" and item.result is not None:
            report.duration = item.result.duration_s
    return report


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    if config.getoption("--qp-silent"):
        return (report.outcome, "", "")
    outcome = getattr(report, "queueproof_outcome", None)
    return _WORDS.get(outcome) if outcome is not None else None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    ran = config.stash.get(_RAN, None)
    if ran is not None and ran.story is not None and not config.getoption("--qp-silent"):
        terminalreporter.ensure_newline()
        show(ran.story)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """pytest's own exit codes know less (docs/first-run.md): what is no pass there is none here."""
    ran = session.config.stash.get(_RAN, None)
    if ran is None:
        return
    code = ran.results.exit_code
    if code == ExitCode.INTERRUPTED:
        session.exitstatus = pytest.ExitCode.INTERRUPTED
    elif code and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
