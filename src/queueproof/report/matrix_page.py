"""Writes a matrix: a static page, Markdown, a badge and an annotated contract each implementation."""

from pathlib import Path
from typing import Final

from markupsafe import Markup

from queueproof.errors import UsageError
from queueproof.evidence.results import Outcome, RequirementResult
from queueproof.report import words
from queueproof.report.badge import badge
from queueproof.report.cards import Group
from queueproof.report.contract_page import contract_page
from queueproof.report.markdown import code, text
from queueproof.report.matrix import Implementation, Matrix
from queueproof.report.page import digest, environment, file
from queueproof.report.text import count

PAGE, MARKDOWN, BADGES = "index.html", "matrix.md", "badges"
_SIGNS: Final = {"good": "✓", "bad": "✗", "unsure": "?"}
# What a sorted column shows first.
_WORST: Final = (
    Outcome.FAILED,
    Outcome.BLOCKED,
    Outcome.HARNESS_ERROR,
    Outcome.INCONCLUSIVE,
    Outcome.NOT_RUN,
    Outcome.NOT_SUPPORTED,
    Outcome.PASSED,
)


def write_matrix(matrix: Matrix, out: Path) -> list[Path]:
    """Writes everything into the folder `out`; the files. Raises UsageError when it cannot be written."""
    files = {PAGE: page(matrix), MARKDOWN: markdown(matrix)}
    for each in matrix.implementations:
        files[f"{BADGES}/{each.slug}.svg"] = badge(each)
        files[f"contract-{each.slug}.html"] = contract_page(
            each.results, name=each.name, about=_about(each), back=f"{PAGE}#{each.slug}"
        )
    try:
        (out / BADGES).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (out / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to {out}: {error.strerror or error}", hint="name a folder that can be written: --out DIR"
        ) from error
    return [out / name for name in files]


def sentence(matrix: Matrix) -> str:
    """What the whole comes to: "2 of 3 conform; they differ on 4 of 96 requirements." """
    good = sum(each.tone == "good" for each in matrix.implementations)
    differ = sum(row.differs for row in matrix.rows)
    told = f"{good} of {len(matrix.implementations)} conform"
    if len(matrix.implementations) > 1:
        told += f"; they differ on {differ} of {count(len(matrix.rows), 'requirement')}"
    asked = sum(seen.differs for seen in matrix.observations)
    told += f" and {count(asked, 'observation')}" if asked else ""
    return f"{told}."


def page(matrix: Matrix) -> str:
    script = file("pages.js")
    return (
        environment()
        .get_template("matrix.html.j2")
        .render(
            matrix=matrix,
            known=Group.KNOWN,
            sentence=sentence(matrix),
            signs=words.SIGNS,
            names=words.NAMES,
            areas=words.AREAS,
            tone_signs=_SIGNS,
            outcomes=[outcome for outcome in Outcome if any(outcome in each.counts for each in matrix.implementations)],
            standings=sorted({name for row in matrix.rows for name in (row.level, row.profile)}, key=str.lower),
            weights={outcome: len(_WORST) - place for place, outcome in enumerate(_WORST)},
            views={},
            story=None,
            contract="",
            expectations={},
            neighbours=None,
            style=Markup(file("style.css") + file("pages.css")),  # noqa: S704 -- our own files
            script=Markup(script),  # noqa: S704 -- our own file
            script_hash=digest(script),
        )
    )


def _about(each: Implementation) -> str:
    told = [each.identity, each.url, f"{each.date} UTC" if each.date else "", each.partial]
    return " · ".join(filter(None, told))


def markdown(matrix: Matrix) -> str:
    """The same as tables for a README or a pull request."""
    heads = [text(each.name, 80) for each in matrix.implementations]
    blocks = ["# Implementations against the contract", text(sentence(matrix)), _identities(matrix)]
    lines = [f"| Requirement | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for row in matrix.rows:
        cells = " | ".join(_cell(each, cell) for each, cell in zip(matrix.implementations, row.cells, strict=True))
        lines.append(f"| {code(row.id)} {row.level}, {text(row.profile)} | {cells} |")
    blocks += ["## Requirements", "\n".join(lines)]
    if matrix.observations:
        lines = [f"| Question | | {' | '.join(heads)} |", f"| --- | --- |{' --- |' * len(heads)}"]
        for seen in matrix.observations:
            values = " | ".join(text(value, 200) or "· not seen" for value in seen.values)
            differs = "≠" if seen.differs else "="
            lines.append(f"| {code(seen.id)} {text(seen.statement, 300)} | {differs} | {values} |")
        blocks += ["## Observations", "\n".join(lines)]
    return "\n\n".join(blocks) + "\n"


def _cell(each: Implementation, cell: RequirementResult | None) -> str:
    if cell is None:
        return "· not tried"
    known = " (known)" if each.groups[cell.id] is Group.KNOWN else ""
    return f"{words.SIGNS[cell.outcome]} {words.NAMES[cell.outcome]}{known}"


def _identities(matrix: Matrix) -> str:
    lines = [
        "| Implementation | Verdict | Tried | Revision | Date (UTC) | Again |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in matrix.implementations:
        verdict = f"{_SIGNS[each.tone]} {each.verdict}"
        tried = text(each.partial) or "all"
        revision = text(each.identity) or "not told"
        lines.append(
            f"| {text(each.name, 80)} | {verdict} | {tried} | {revision} | {each.date or 'not told'} "
            f"| {code(each.command, 300)} |"
        )
    return "\n".join(lines)
