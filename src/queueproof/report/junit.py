"""JUnit XML as GitLab, Jenkins and GitHub show it: a suite an area, a test case a requirement, the card as its text.

Only what gates is a failure: a known failure, or a SHOULD that is only told, is skipped with its reason; an entry of
the expectations file that no longer holds is a failure, even where the requirement passes. So the pipeline's colour and
the exit code agree. ElementTree writes the XML; `plain` has taken out what XML cannot hold.
"""

from xml.etree import ElementTree

from queueproof.evidence.results import Outcome
from queueproof.report import words
from queueproof.report.cards import Card, Group
from queueproof.report.load import objectives
from queueproof.report.story import Story
from queueproof.report.terminal import render_card
from queueproof.report.text import plain

_NAME_LIMIT = 160


def junit(story: Story) -> str:
    """The document, with its XML declaration."""
    root = ElementTree.Element("testsuites", name="queueproof")
    for area, cards in story.areas().items():
        suite = _suite(root, story, f"{area} {words.AREAS.get(area, '')}".strip())
        for card in cards:
            _requirement(suite, card, story)
    if story.findings:
        suite = _suite(root, story, "Findings over the whole history")
        for card in story.findings:
            _requirement(suite, card, story)
    if story.results and story.results.objectives:
        _objectives(_suite(root, story, "Objectives"), story)
    if story.results is None:
        _cut_off(_suite(root, story, "Run"), story)
    _sum_up(root)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suite(root: ElementTree.Element, story: Story, name: str) -> ElementTree.Element:
    suite = ElementTree.SubElement(root, "testsuite", name=plain(name, _NAME_LIMIT))
    manifest = story.manifest
    if manifest:
        suite.set("timestamp", plain(manifest.started.removesuffix("Z"), 40))
    properties = ElementTree.SubElement(suite, "properties")
    _property(properties, "run", story.run)
    _property(properties, "verdict", story.verdict)
    if manifest:
        _property(properties, "target", story.target)
        _property(properties, "queueproof", manifest.version)
    _property(properties, "reproduce", story.command)
    return suite


def _property(parent: ElementTree.Element, name: str, value: str) -> None:
    if value:
        ElementTree.SubElement(parent, "property", name=name, value=plain(value, 500))


def _requirement(suite: ElementTree.Element, card: Card, story: Story) -> None:
    """Class and name are the same in every run, whatever was seen: by them a CI server tells old failures from new."""
    duration_s = sum(part.duration_s for part in card.parts)
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"queueproof.{plain(card.area, 60)}",
        name=plain(f"{card.id} {card.statement or card.title}", _NAME_LIMIT),
        time=f"{duration_s:.3f}",
    )
    source = next((part.source.partition("::")[0] for part in card.parts if "::" in part.source), "")
    if source and story.manifest and story.manifest.suite:
        case.set("file", plain(f"{story.manifest.suite}/{source}", 200))
    properties = ElementTree.SubElement(case, "properties")
    for name, value in (("requirement", card.id), ("level", card.level), ("profile", card.profile)):
        _property(properties, name, value)
    _property(properties, "expectation", card.expectation)
    _property(properties, "outcome", words.NAMES[card.outcome])
    _outcome(case, card)


def _outcome(case: ElementTree.Element, card: Card) -> None:
    """The one element that says what became of it; none for a pass."""
    if card.group in {Group.PASSED, Group.FIXED}:
        return
    message = plain(card.summary or words.NAMES[card.outcome], 400)
    if card.group is Group.NEW:
        _told(case, "failure", card, message, f"{card.level or 'finding'} failed")
    elif card.group is Group.STALE:
        _told(case, "failure", card, plain(card.remark, 400), "the expectation no longer holds")
    elif card.group is Group.HARNESS:
        _told(case, "error", card, message, "harness error")
    else:
        ElementTree.SubElement(case, "skipped", message=_why_skipped(card, message))
        if card.outcome is Outcome.FAILED:
            ElementTree.SubElement(case, "system-out").text = render_card(card)


def _told(case: ElementTree.Element, tag: str, card: Card, message: str, kind: str) -> None:
    ElementTree.SubElement(case, tag, message=message, type=kind).text = render_card(card)


def _why_skipped(card: Card, message: str) -> str:
    if card.group is Group.KNOWN:
        kind = "known failure" if card.outcome is Outcome.FAILED else f"expected to be {words.NAMES[card.outcome]}"
        return plain(f"{kind}: {card.known_failure}", 400)
    if card.group is Group.PROVISIONAL:
        return plain(f"provisional, {words.NAMES[card.outcome]}: {card.remark}", 400)
    if card.note:
        return f"note: {message}"
    if card.group is Group.TOLD:
        return f"failed, but does not gate: {message}"
    if card.group is Group.BLOCKED and card.root:
        return plain(f"blocked by {card.root}: {message}", 400)
    return f"{words.NAMES[card.outcome]}: {message}"


def _objectives(suite: ElementTree.Element, story: Story) -> None:
    for objective in objectives(story.results) if story.results else ():
        case = ElementTree.SubElement(
            suite, "testcase", classname="queueproof.objectives", name=objective.expression, time="0.000"
        )
        if objective.met is None:
            ElementTree.SubElement(case, "skipped", message="nothing was measured")
        elif not objective.met:
            said = f"{objective.expression}: {objective.value or 'missed'}"
            ElementTree.SubElement(case, "failure", message=said, type="objective missed").text = objective.margin


def _cut_off(suite: ElementTree.Element, story: Story) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname="queueproof.run", name="verdict", time="0.000")
    ElementTree.SubElement(case, "error", message=plain(story.sentence, 400), type="no verdict")


def _sum_up(root: ElementTree.Element) -> None:
    """Counts and times of each suite and of all, as every reader of the format expects them."""
    names = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    for level in (*root.findall("testsuite"), root):
        cases = level.findall(".//testcase")
        level.set("tests", str(len(cases)))
        for plural, tag in names.items():
            if level is not root or tag != "skipped":  # which the format's schema does not know there
                level.set(plural, str(sum(case.find(tag) is not None for case in cases)))
        level.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")
