"""The catalogue of requirements as a page, docs/requirements.md, made from the data."""

import sys
from collections.abc import Iterator, Mapping
from itertools import groupby

from queueproof.contract.requirements import Requirement, catalogue

HEAD = """# The requirements

What a server is held to, sentence by sentence: {count} requirements, of which {gating} can fail a server. This page is
made from `src/queueproof/contract/requirements.toml` by `python -m queueproof.report.catalogue > docs/requirements.md`.

A requirement is never renumbered and its id is never given to another. **Gates** tells whether a failure fails the
server: a MUST of the profiles core, extended and optional does, unless it rests on our own reading (*inferred*); a
SHOULD is told, and fails a run only with `--fail-on should`. **Known**: *documented* (the pages named after it say it),
*derived* (it follows from what they say), *inferred* (our reading).
"""


def page(requirements: Mapping[str, Requirement]) -> str:
    """The page, a section an area, in the order of the catalogue."""
    every = list(requirements.values())
    parts = [HEAD.format(count=len(every), gating=sum(one.gates for one in every))]
    for area, members in groupby(sorted(every, key=lambda one: one.area), key=lambda one: one.area):
        parts.append(f"## {area}\n")
        parts += [line for one in members for line in _entry(one)]
    return "\n".join(parts)


def _entry(one: Requirement) -> Iterator[str]:
    gates = "gates" if one.gates else "is told"
    yield f"### {one.id}\n\n{one.statement}\n"
    facts = [f"{one.level}, profile {one.profile}, {gates}", f"{one.known}: {', '.join(one.evidence)}"]
    facts += [f"rests on {', '.join(one.prerequisites)}"] if one.prerequisites else []
    facts += [f"control: {one.control}"] if one.control else []
    facts += [f"demanded by `--require {one.capability}`"] if one.capability else []
    facts += [f"since catalogue {one.since}"] if one.since > 1 else []
    yield "".join(f"- {fact}\n" for fact in facts)


if __name__ == "__main__":
    sys.stdout.write(page(catalogue()))
