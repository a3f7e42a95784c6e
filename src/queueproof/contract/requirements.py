"""The catalogue of requirements: `requirements.toml` with types, and the selections that a run can make of it."""

import difflib
import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Literal

import msgspec

from queueproof.errors import UsageError

Level = Literal["MUST", "SHOULD"]
Profile = Literal["core", "extended", "advisory", "optional"]
Known = Literal["documented", "derived", "inferred"]

# What `--profile NAME` runs. An advisory requirement is told and never fails a server.
PROFILES: Mapping[str, tuple[Profile, ...]] = {
    "core": ("core",),
    "extended": ("core", "extended", "advisory"),
    "all": ("core", "extended", "advisory", "optional"),
}


class Requirement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sentence of the contract that a server can be held to."""

    id: str  # AREA-NUMBER, never reused
    level: Level  # MUST fails a server, SHOULD is told
    profile: Profile
    statement: str
    evidence: tuple[str, ...]  # tags of the pages that state it (docs/contract.md)
    known: Known  # how well: "inferred" never fails a server
    prerequisites: tuple[str, ...] = ()  # where one of these failed, this one is blocked
    control: str = ""  # what a negative case shows first
    since: int = 1  # the catalogue that it came with
    capability: str = ""  # the name under which --require demands it (capabilities.py), "" where none does

    @property
    def area(self) -> str:
        """The part of the id before its number: "VIS"."""
        return self.id.rpartition("-")[0]

    @property
    def gates(self) -> bool:
        """Whether a failure of it, as a MUST, fails the server."""
        return self.level == "MUST" and self.profile != "advisory" and self.known != "inferred"


@cache
def catalogue() -> Mapping[str, Requirement]:
    """Every requirement by id, in the order of the file.

    Raises ValueError when the file contradicts itself (a house test keeps that from happening).
    """
    entries = tomllib.loads(_file())
    newest = entries.pop("catalogue")
    found = {name: msgspec.convert({"id": name, **entry}, Requirement) for name, entry in entries.items()}
    for requirement in found.values():
        unknown = [name for name in requirement.prerequisites if name not in found]
        if unknown:
            raise ValueError(f"{requirement.id} rests on {', '.join(unknown)}, which the catalogue does not hold")
        if not 1 <= requirement.since <= newest:
            raise ValueError(f"{requirement.id} came with catalogue {requirement.since}, and the newest is {newest}")
    return found


@cache
def catalogue_version() -> int:
    """The number of this catalogue: it grows with every release that adds a requirement."""
    return int(tomllib.loads(_file())["catalogue"])


@cache
def catalogue_digest() -> str:
    """Eight digits that are the same wherever every requirement is worded and rated the same."""
    told = "\n".join(f"{r.id} {r.level} {r.profile} {r.known} {r.statement}" for r in catalogue().values())
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _file() -> str:
    return resources.files(__package__).joinpath("requirements.toml").read_text(encoding="utf-8")


def select(profile: str, ids: Iterable[str] = ()) -> tuple[Requirement, ...]:
    """The requirements of a profile, or only those named by `ids`, in the catalogue's order.

    Raises UsageError for a profile or id that does not exist, with the nearest that does.
    """
    wanted = [name.upper() for name in ids]
    known = catalogue()
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no requirement {name}", hint=_nearest(name, known))
    if wanted:
        return tuple(known[name] for name in known if name in wanted)
    if profile not in PROFILES:
        raise UsageError(f"there is no profile {profile!r}", hint=_nearest(profile, PROFILES))
    return tuple(requirement for requirement in known.values() if requirement.profile in PROFILES[profile])


def _nearest(name: str, names: Iterable[str]) -> str:
    options = list(names)
    near = difflib.get_close_matches(name, options, n=3, cutoff=0.5)
    if not near:
        near = [option for option in options if option.split("-")[0] == name.split("-")[0]]
    return f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(options)}"
