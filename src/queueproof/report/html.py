"""The run as one self-contained page: no request to anywhere, and nothing that a server said is ever run.

Three walls: every value that a template prints goes through `plain`, then through the escaping of markup, and the
page's own policy allows no script but ours (by its hash) and no connection at all.
"""

from collections import Counter
from typing import Final

from markupsafe import Markup, escape

from queueproof.contract.requirements import Requirement, catalogue
from queueproof.evidence.results import Outcome
from queueproof.report import load, words
from queueproof.report.calls import pack
from queueproof.report.cards import Card, Group
from queueproof.report.chart import over_time, spectrum
from queueproof.report.heat import heat_maps
from queueproof.report.page import digest, environment, file
from queueproof.report.story import Story
from queueproof.report.views import PartView, views

# The page with everything in it; what is left after the cards goes to the list of calls.
_LARGEST: Final = 1_400_000
_DATA: Final = '<script type="application/json" id="calls-data">'
# New failures that are told at once, above everything.
MOST_FIRST: Final = 4
# Of one check so many cards; the others are folded away.
FEW_FINDINGS: Final = 3
PROFILES: Final = ("core", "extended", "advisory", "optional")
COLUMNS: Final = ("core MUST", "extended MUST", "SHOULD", "advisory", "optional")


def html(story: Story, *, contract: str = "") -> str:
    """The page. `contract`: where the annotated contract of the same run lies, beside it; "" leaves the links out."""
    script = file("script.js")
    results = story.results
    columns, grid = _grid(story)
    shown = views(story)
    broken = _broken(story)
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            neighbours=_neighbours,
            story=story,
            groups=Group,
            columns=columns,
            totals=_totals(story),
            grid=grid,
            broken=broken[:MOST_FIRST],
            more_broken=len(broken[MOST_FIRST:]),
            alike=_alike(story),
            few=FEW_FINDINGS,
            views=shown,
            contract=contract,
            expectations=words.EXPECTATIONS,
            style=Markup(file("style.css")),  # noqa: S704 -- our own file
            script=Markup(script),  # noqa: S704 -- our own file
            script_hash=digest(script),
            signs=words.SIGNS,
            names=words.NAMES,
            areas=words.AREAS,
            tone_sign={"good": "✓", "bad": "✗", "unsure": "?"}[story.tone],
            noise=words.noise(results.noise) if results else "",
            clean_up=words.clean_up(results.clean_up) if results else "",
            load_rows=load.rows(results) if results else [],
            load_summary=load.summary(results) if results else [],
            objectives=load.objectives(results) if results else [],
            met=load.MET,
            percentiles=[name for name, _ in load.PERCENTILES],
            over_time=over_time(load.series(results), until_s=load.until_s(results)) if results else "",
            heat=heat_maps(story.path),
            spectrum=spectrum(load.rows(results)) if results else "",
        )
    )
    return _with_calls(page, story, shown)


def _with_calls(page: str, story: Story, shown: dict[str, list[PartView]]) -> str:
    """The page with the list of calls in the room that is left; what a server said cannot spell the place's markup."""
    before, place, after = page.partition(_DATA)
    anchors = {view.exchange.op: view.anchor for parts in shown.values() for part in parts for view in part.exchanges}
    calls = pack(story.path, anchors, budget=max(0, _LARGEST - len(page.encode())))
    note = escape(calls.note)
    return f"{before}{place}{calls.data}{after}".replace("<!-- calls -->", note, 1)


def _broken(story: Story) -> list[Card]:
    """What broke, root causes first, of each check the first: all that a reader has to know at once."""
    firsts = [cards[0] for cards in story.findings_by_check().values() if cards[0].group is Group.NEW]
    return [*story.group(Group.NEW), *firsts]


def _alike(story: Story) -> Counter[str]:
    """Violations by check, as many as there were."""
    found = story.results.findings if story.results else ()
    return Counter(finding.check for finding in found if finding.weight == "violation")


def _neighbours(card: Card) -> tuple[Requirement | None, Requirement | None]:
    """The sentences before and after the card's own, in its part of the contract."""
    if card.requirement is None:
        return None, None
    around = [requirement for requirement in catalogue().values() if requirement.area == card.requirement.area]
    place = around.index(card.requirement)
    return around[place - 1] if place else None, around[place + 1] if place + 1 < len(around) else None


def _grid(story: Story) -> tuple[list[str], list[tuple[str, list[list[Card]]]]]:
    """The names of those COLUMNS that hold anything, and each area with its cards under them."""
    used = sorted({_column(card) for card in story.cards})
    rows = [
        (area, [[card for card in cards if _column(card) == column] for column in used])
        for area, cards in story.areas().items()
    ]
    return [COLUMNS[column] for column in used], rows


def _totals(story: Story) -> list[tuple[str, str, int, int]]:
    """Profile, level, how many passed, of how many: those that occur, the profiles in their order."""
    passed: Counter[tuple[str, str]] = Counter()
    whole: Counter[tuple[str, str]] = Counter()
    for card in story.cards:
        place = (card.profile, card.level)
        whole[place] += 1
        passed[place] += card.outcome is Outcome.PASSED
    order = sorted(whole, key=lambda place: (PROFILES.index(place[0]) if place[0] in PROFILES else 9, place[1]))
    return [(profile, level, passed[profile, level], whole[profile, level]) for profile, level in order]


def _column(card: Card) -> int:
    if card.profile in {"advisory", "optional"}:
        return COLUMNS.index(card.profile)
    return 2 if card.level == "SHOULD" else 0 if card.profile == "core" else 1
