"""How to run a thing again: a command made from the manifest, never with a key in it."""

import re
import shlex
from typing import Final

from queueproof.evidence.run import Manifest
from queueproof.report.text import plain

# Options that belong to the run that was, not to the one that repeats a part of it.
_PLACES: Final = frozenset({"--out", "--junit"})
_OWN: Final = _PLACES | {"--requirement", "--profile", "--update-expectations"}
_FLAGS: Final = frozenset({"--update-expectations", "--plan", "--allow-inconclusive"})
_KEY: Final = re.compile(r"^--([a-z]+-)*(key|token|secret|password)$")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]*@")


def command_of(manifest: Manifest | None) -> str:
    """The whole run's command, as the manifest has it; what looks like a secret is taken out all the same."""
    if manifest is None:
        return "queueproof conformance"
    words = _words(manifest.command)
    return _joined(_without(words, _PLACES)) if words else f"queueproof {manifest.kind}"


def command_for(manifest: Manifest | None, requirement: str) -> str:
    """The command that runs one requirement against the same target."""
    if manifest is None or manifest.kind != "conformance":
        return command_of(manifest)
    words = _words(manifest.command)
    if not words:
        url = manifest.target.get("url")
        started = manifest.target.get("started") or manifest.target.get("kind") in {"embedded", "services", "stack"}
        words = ["queueproof", "conformance", *(["--url", str(url)] if url and not started else [])]
    if "--" in words:
        words = words[: words.index("--")]
    return _joined([*_without(words, _OWN), "--requirement", requirement])


def harmless(value: str) -> str:
    """An address without the credentials that a user may have written into it."""
    return _CREDENTIALS.sub("", value)


def is_secret(name: str) -> bool:
    """Whether an option of this name holds a key."""
    return bool(_KEY.match(f"--{name.replace('_', '-')}"))


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an unbalanced quote
        return command.split()


def _without(words: list[str], options: frozenset[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
            continue
        name, joined, _ = word.partition("=")
        if name in options or _KEY.match(name):
            skip = not joined and name not in _FLAGS
            continue
        kept.append(harmless(word))
    return kept


def _joined(words: list[str]) -> str:
    return plain(shlex.join(words), 1_000)
