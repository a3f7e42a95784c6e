"""The annotated contract: every sentence of it in its place, coloured and signed by what a run came to.

What a report leaves out is seen here: the sentences that the run did not try at all.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from queueproof.contract.requirements import Requirement, catalogue
from queueproof.evidence.results import Outcome, RequirementResult, Results
from queueproof.report import words
from queueproof.report.page import digest, environment, file

UNTESTED: Final = "untested"


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """One requirement, and what became of it; `outcome` "untested" where the run did not select it."""

    requirement: Requirement
    outcome: str
    summary: str = ""
    known_failure: str = ""

    @property
    def sign(self) -> str:
        return "·" if self.outcome == UNTESTED else words.SIGNS[Outcome(self.outcome)]

    @property
    def word(self) -> str:
        return self.outcome.replace("-", " ")


def contract_page(results: Results | None, *, name: str, about: str = "", report: str = "", back: str = "") -> str:
    """The page. `name`: of the implementation. `about`: its run, in words.

    `report`, `back`: where its report, or the matrix that it belongs to, lies; "" leaves the link out.
    """
    outcomes = {result.id: result for result in results.requirements} if results else {}
    sentences = [_sentence(requirement, outcomes) for requirement in catalogue().values()]
    areas: dict[str, list[Sentence]] = {}
    for sentence in sentences:
        areas.setdefault(sentence.requirement.area, []).append(sentence)
    seen = Counter(sentence.outcome for sentence in sentences)
    counts = [(outcome, seen[outcome]) for outcome in (*(each.value for each in Outcome), UNTESTED) if seen[outcome]]
    script = file("pages.js")
    return (
        environment()
        .get_template("contract.html.j2")
        .render(
            name=name,
            about=about,
            report=report,
            back=back,
            areas=areas,
            area_names=words.AREAS,
            counts=counts,
            sign=_sign,
            tried=sum(number for outcome, number in counts if outcome in _TRIED),
            total=len(sentences),
            style=Markup(file("style.css") + file("pages.css")),  # noqa: S704 -- our own files
            script=Markup(script),  # noqa: S704 -- our own file
            script_hash=digest(script),
        )
    )


_TRIED: Final = frozenset({Outcome.PASSED.value, Outcome.FAILED.value})


def _sign(outcome: str) -> str:
    return "·" if outcome == UNTESTED else words.SIGNS[Outcome(outcome)]


def _sentence(requirement: Requirement, outcomes: Mapping[str, RequirementResult]) -> Sentence:
    result = outcomes.get(requirement.id)
    if result is None:
        return Sentence(requirement=requirement, outcome=UNTESTED)
    return Sentence(
        requirement=requirement,
        outcome=result.outcome.value,
        summary=result.summary if result.outcome is not Outcome.PASSED else "",
        known_failure=result.known_failure,
    )
