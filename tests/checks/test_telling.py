"""A server that is wrong everywhere is told in few words."""

from collections.abc import Callable

import pytest
from checks_story import FULL, Story, got

from queueproof.checks.all import run_all
from queueproof.checks.finding import Finding
from queueproof.checks.telling import LOOKED_AT, MOST

MANY = LOOKED_AT + 200


def backwards(story: Story) -> None:
    for number in range(MANY):
        story.publish(f"m{number}", number, number + 0.1)
    for number in range(MANY):
        story.claim(MANY + number, MANY + number + 0.1, [f"m{MANY - number - 1}"])


def revived(story: Story) -> None:
    for number in range(MANY):
        story.publish(f"m{number}", number, number + 0.1)
        story.claim(number + 0.2, number + 0.3, [f"m{number}"])
        story.complete(f"m{number}", number + 0.4, number + 0.5)
        story.claim(number + 0.6, number + 0.7, [got(f"m{number}", 2)])


def changed(story: Story) -> None:
    for number in range(MANY):
        story.publish(f"m{number}", number, number + 0.1)
        story.claim(number + 0.2, number + 0.3, [got(f"m{number}", body="changed")])


def forgotten(story: Story) -> None:
    for number in range(MANY):
        for again in range(2):
            story.publish(
                f"m{number}-{again}", number + again / 2, number + again / 2 + 0.1, key=f"k{number}", body="X"
            )


def too_many(story: Story) -> None:
    for number in range(MANY):
        story.claim(number, number + 0.1, [f"m{number}", f"n{number}"], limit=1)


def refused(story: Story) -> None:
    for number in range(MANY):
        story.publish(f"m{number}", number, number + 0.1, result="rejected", code=FULL)


@pytest.mark.parametrize(
    ("course", "requirement"),
    [
        (backwards, "ORD-1"),
        (revived, "DONE-4"),
        (changed, "PUB-5"),
        (forgotten, "IDEM-1"),
        (too_many, "CLAIM-5"),
        (refused, "DEPTH-3"),
    ],
)
def test_a_flood_is_cut_short_and_counted(course: Callable[[Story], None], requirement: str) -> None:
    story = Story()
    course(story)
    findings = run_all(story.history(), orderings={"tasks": "fifo"}, limits={"tasks": 5} if course is refused else None)
    assert [finding for finding in findings if finding.check == "harness"] == []
    told = [finding for finding in findings if finding.requirement == requirement]
    assert sum(finding.weight == "violation" for finding in told) == MOST
    (rest,) = (finding for finding in told if finding.weight == "note" and not finding.operations)
    assert rest.summary.startswith(f"and {LOOKED_AT - MOST} more")


def test_no_requirement_hides_behind_another() -> None:
    story = Story()
    for number in range(MOST + 10):
        story.publish(f"m{number}", number, number + 0.1)
        story.claim(number + 0.2, number + 0.3, [f"m{number}"])
        story.claim(number + 0.4, number + 0.5, [got(f"m{number}", 2)])
    story.publish("last", 1000, 1000.1)
    story.claim(1001, 1002, ["last"])
    story.claim(1001, 1002, ["last"])
    found: set[str] = {finding.requirement for finding in run_all(story.history())}
    assert {"VIS-1", "CLAIM-6"} <= found
    assert all(isinstance(finding, Finding) for finding in run_all(story.history()))
