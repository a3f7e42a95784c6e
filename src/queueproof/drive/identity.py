"""What a target tells of itself, and which optional verbs it was seen to have: for the record, never judged."""

import asyncio
from collections.abc import Iterable
from typing import Final

from queueproof.contract import wire
from queueproof.contract.capabilities import CAPABILITIES
from queueproof.drive.client import Client
from queueproof.evidence.results import CaseResult, Outcome

# Headers in which servers name themselves and their version.
HEADERS: Final = ("server", "x-powered-by", "x-version", "x-api-version", "x-app-version")
MEMBERS: Final = ("version", "build", "commit", "service", "name")
DEAD_LETTER: Final = "dead-letter"
WITHIN_S: Final = 3.0
LONGEST: Final = 120


async def ask(client: Client) -> dict[str, str]:
    """Headers and, from `/health` (which needs no key), the members that name the server's version.

    Empty where it says nothing; never raises for what a server does.
    """
    told = {name: value[:LONGEST] for name, value in client.headers.items() if name in HEADERS and value}
    try:
        async with asyncio.timeout(WITHIN_S):
            exchange = await client.send(wire.health(), case="preflight", authorization="")
    except TimeoutError:
        return told
    document = exchange.answer.document if exchange.ok and exchange.answer else None
    for place in (document, document.get("data") if isinstance(document, dict) else None):
        if isinstance(place, dict):
            found = {name: place[name] for name in MEMBERS if isinstance(place.get(name), str | int)}
            told = {name: str(value)[:LONGEST] for name, value in found.items()} | told
    return told


def capabilities(client: Client, cases: Iterable[CaseResult]) -> dict[str, bool]:
    """By name, the capabilities that were seen to work, and those that a case found absent; the others are untold."""
    cases = list(cases)
    lacking = {verb for case in cases for verb in case.lacks}
    passed = {case.requirement for case in cases if case.outcome is Outcome.PASSED}
    seen = {}
    for name, capability in CAPABILITIES.items():
        shown = bool(capability.verbs & client.worked)
        if name == DEAD_LETTER:  # no verb's name, but something that a list shows
            shown = any(one.id in passed for one in capability.requirements)
        if shown or capability.verbs & lacking:
            seen[name] = shown and name not in lacking
    return seen
