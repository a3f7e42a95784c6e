"""Stories of answers that are too long."""

from checks_story import Story, requirements

from queueproof.checks.batch import check_batch


def test_more_than_asked_for_violates() -> None:
    story = Story()
    story.claim(1, 1.1, ["a", "b", "c"], limit=2)
    (finding,) = check_batch(story.history())
    assert finding.requirement == "CLAIM-5"
    assert finding.operations == (1,)
    assert finding.proof == "3 items > batch_size 2"


def test_as_many_or_fewer_is_right() -> None:
    story = Story()
    story.claim(1, 1.1, ["a", "b"], limit=2)
    story.claim(2, 2.1, ["c"], limit=2)
    story.claim(3, 3.1, [], limit=2)
    assert requirements(check_batch(story.history())) == []


def test_a_limit_below_one_means_whatever_the_server_takes_it_for() -> None:
    story = Story()
    story.claim(1, 1.1, ["a"], limit=0)
    assert requirements(check_batch(story.history())) == []
