"""The page stands alone: no request, no script but its own, every link lands, and its size has a bound."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from queueproof.evidence.latency import Interval, IntervalLog, Recorder, log_name
from queueproof.evidence.results import CaseResult, FindingResult, Outcome, RequirementResult, Verdict
from queueproof.report.calls import MOST_CALLS
from queueproof.report.cards import Card, Group, build_cards
from queueproof.report.html import html
from queueproof.report.story import load_story

VOID = {"meta", "link", "input", "br", "line", "rect", "circle"}


class Page(HTMLParser):
    """Elements with their attributes, and whether everything opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, tag

    def all(self, name: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]


@pytest.fixture(params=["passing_run", "failing_run", "hostile_run", "load_run", "interrupted_run"])
def page_text(request: pytest.FixtureRequest) -> str:
    return html(load_story(request.getfixturevalue(request.param)))


def test_every_page_is_whole(page_text: str) -> None:
    """What is opened is closed, ids are unique, and every link lands on one of them."""
    page = Page(page_text)
    assert page.open == []
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    for target in page.all("href"):
        assert target == "data:," or (target.startswith("#") and unquote(target[1:]) in ids), target


def test_no_page_asks_for_anything(page_text: str) -> None:
    page = Page(page_text)
    assert page.all("src") == [] and page.all("srcset") == [] and page.all("action") == []
    assert "@import" not in page_text and "url(http" not in page_text
    policy = next(value for value in page.all("content") if "default-src" in value)
    assert "default-src 'none'" in policy and "unsafe-inline" not in policy.partition("script-src")[2]


def test_one_script_and_it_is_ours(page_text: str) -> None:
    page = Page(page_text)
    scripts = [attributes.get("type") for tag, attributes in page.elements if tag == "script"]
    assert scripts == ["application/json", None]  # data, which no browser runs, and ours
    handlers = [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert handlers == []


def test_hostile_text_is_seen_and_does_nothing(hostile_run: Path) -> None:
    text = html(load_story(hostile_run))
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text and "\\x1b[31m" in text
    assert "\x1b" not in text and "\x00" not in text and "\u202e" not in text
    assert len(text) < 150_000


def test_the_sentence_comes_first_and_a_card_tells_all(failing_run: Path) -> None:
    text = html(load_story(failing_run))
    order = [
        text.index(words)
        for words in ("Does not conform</h1>", "CLAIM-6 failed; 8 of 17", "At a glance", '<h2 id="new-title"')
    ]
    assert order == sorted(order)
    card = text[text.index('<article class="card failed" id="CLAIM-6"') :]
    for words in (
        "<code>competing</code>",
        "2 requirements wait for it",
        "<mark>7.917</mark>",
        "7.917 &lt; 0.196 + 10",
        'class="ring"',
        "T + slack",
        "Quickstart, Troubleshooting",
        "SCAIGRID_API_KEY",
        "--requirement CLAIM-6",
    ):
        assert words in card, words


def test_an_outcome_is_told_by_sign_and_word(failing_run: Path) -> None:
    """Colour is never the only sign."""
    text = html(load_story(failing_run))
    for sign, word in (("✓", "passed"), ("✗", "failed"), ("⊘", "blocked"), ("?", "inconclusive"), ("–", "not run")):
        assert f'<b aria-hidden="true">{sign}</b>' in text and f'<span class="outcome">{word}</span>' in text


def test_every_requirement_has_its_deep_link(failing_run: Path) -> None:
    story = load_story(failing_run)
    assert {card.id for card in story.cards} <= set(Page(html(story)).all("id"))


def test_no_secret_reaches_a_page(load_run: Path) -> None:
    text = html(load_story(load_run))
    assert "sgk_secret" not in text and "u:p@" not in text


def test_load_shows_spectrum_table_and_margins(load_run: Path) -> None:
    text = html(load_story(load_run))
    assert "Backlog" in text and "<polyline" in text
    assert 'class="spectrum"' in text and "12 % above 40ms" in text and "1 of 2 met" in text
    assert text.count('class="gauge"') == 2 and 'style="width:75.0%"' in text  # 45 of 40 ms, on a bar of 60
    assert re.search(r"and 5 more of check\s+<code>exclusivity</code>", text)


def test_a_very_bad_server_still_fits(new_run: Callable[[], Any]) -> None:
    """A hundred failures of a dozen operations each, every answer markup that escaping makes five times as long."""
    run = new_run()
    evil = "<&>" * 600
    results = []
    for number in range(100):
        message = f"m-{number}"
        ops = tuple(run.claim(n / 10, n / 10 + 0.05, message, answer=evil, request=evil) for n in range(12))
        case = CaseResult(
            name=f"conformance/test_x.py::test_{number}", requirement=f"X-{number}", outcome=Outcome.FAILED,
            summary=evil, expected=evil, seen=evil, proof=evil, evidence=ops,
        )  # fmt: skip
        results.append(
            RequirementResult(id=f"X-{number}", level="MUST", profile="core", outcome=Outcome.FAILED, cases=(case,))
        )
    text = html(load_story(run.finish(Verdict.DOES_NOT_CONFORM, 1, *results)))
    assert len(text.encode()) < 1_500_000


def test_what_broke_stands_first_with_its_sentence_and_its_command(failing_run: Path, load_run: Path) -> None:
    text = html(load_story(failing_run))
    first = text[text.index("What broke") : text.index("At a glance")]
    for words in ("CLAIM-6", "given to two holders", "root cause of 2 blocked", "Promised:", "--requirement CLAIM-6"):
        assert words in first, words
    first = html(load_story(load_run)).partition("What broke")[2][:2_000]
    assert "breaks CLAIM-6" in first and "25 alike" in first


def test_a_command_says_where_its_key_comes_from(new_run: Callable[[], Any]) -> None:
    """Of a server that the run did not start itself: pasted into a shell without the key it would end at once."""
    for kind, told in (("url", True), ("embedded", False)):
        run = new_run()
        manifest = run.directory.manifest()
        run.directory.write_manifest(msgspec.structs.replace(manifest, target={**manifest.target, "kind": kind}))
        failed = RequirementResult(
            id="CLAIM-6", level="MUST", profile="core", outcome=Outcome.FAILED, summary="no", expectation="new"
        )
        text = html(load_story(run.finish(Verdict.DOES_NOT_CONFORM, 1, failed)))
        assert ("SCAIGRID_API_KEY</code>" in text) is told
        assert "no expectation covers it" not in text  # there is no expectations file


def test_profiles_and_levels_are_summed_up(failing_run: Path) -> None:
    text = html(load_story(failing_run))
    assert re.search(r"<dt>core MUST</dt><dd>8<span> of 14</span>", text)
    assert "<dt>extended SHOULD</dt><dd>0<span> of 1</span>" in text


def test_an_expectation_that_no_longer_holds_is_told(failing_run: Path) -> None:
    """A failure whose expectation ran out is new; one that matched is known; a pass outlives it."""
    story = load_story(failing_run)

    def grouped(outcome: str, expectation: str) -> Card:
        result = RequirementResult(
            id="IDEM-3", level="MUST", profile="core", outcome=Outcome(outcome), expectation=expectation
        )
        return build_cards([result], [], story.manifest)[0][0]

    assert [grouped("failed", name).group for name in ("new", "unmatched", "expired", "known")] == [
        *(Group.NEW,) * 3,
        Group.KNOWN,
    ]
    passed = [grouped("passed", name).group for name in ("fixed", "stale", "expired")]
    assert passed == [Group.FIXED, Group.STALE, Group.STALE]
    text = html(replace(story, cards=(grouped("failed", "expired"),)))
    assert "Expired: the expectation&#39;s last day is over" in text


def test_a_sentence_stands_between_its_neighbours(failing_run: Path) -> None:
    card = html(load_story(failing_run)).partition('id="CLAIM-6" aria')[2]
    assert "<span>CLAIM-5</span>" in card and "<span>CLAIM-7</span>" in card


def test_a_note_is_no_failure_and_no_pass(new_run: Callable[[], Any]) -> None:
    run = new_run()
    op = run.claim(0.1, 0.2)
    finding = FindingResult(
        check="order", requirement="ORD-1", summary="overtook", operations=(op,), proof="1 < 2", weight="note"
    )
    story = load_story(run.finish(Verdict.OBJECTIVES_MET, 0, findings=(finding,)))
    text = html(story)
    assert 'class="said">note</span>' in text and "What broke" not in text


def test_every_call_is_in_the_page_as_data(failing_run: Path) -> None:
    data = json.loads(re.search(r'id="calls-data">(.*?)</script>', html(load_story(failing_run)))[1])  # type: ignore[index]
    assert [row[0] for row in data["rows"]] == ["1", "2", "3", "4", "5"]
    verbs = [data["texts"][row[1]] for row in data["rows"]]
    assert verbs == ["publish", "claim", "claim", "claim", "complete"]


def test_more_calls_than_a_page_holds(new_run: Callable[[], Any]) -> None:
    """Ten thousand stay, those without an ok first; the rest is counted."""
    run = new_run()
    for number in range(MOST_CALLS + 50):
        run.call("claim", number / 100, number / 100 + 0.001, result="rejected" if number == MOST_CALLS + 49 else "ok")
    text = html(load_story(run.finish(Verdict.CONFORMS, 0)))
    assert "10,000 of 10,050 calls: those that were not answered ok, then the earliest." in text
    assert '"10050"' in text and '"10049"' not in text
    assert len(text.encode()) < 1_500_000


def test_heat_maps_are_drawn_from_the_interval_logs(load_run: Path) -> None:
    log = IntervalLog(load_run / log_name("claim", "response"), start_s=1_000.0)
    for second in range(3):
        recorder = Recorder()
        for value in (900, 1_000, 50_000):
            recorder.record(value)
        log.write(Interval(start_s=1_000.0 + second, length_s=1.0, counts=recorder.cut()))
    log.close()
    text = html(load_story(load_run))
    assert 'class="heat"' in text and "0 to 1 s: 3 calls, p50" in text
    (load_run / log_name("claim", "response")).write_text("1,1,1,nonsense\n2,1,1,nonsense\n")
    assert 'class="heat"' not in html(load_story(load_run))


def test_a_cut_answer_tells_its_whole_size(new_run: Callable[[], Any]) -> None:
    """The recorder keeps 2,000 of fifty million characters; the page, which shows fewer, still says how many."""
    run = new_run()
    op = run.claim(0.1, 0.2, answer="x" * 2_000 + "… (50000000 characters)")
    broken = RequirementResult(id="CLAIM-1", level="MUST", profile="core", outcome=Outcome.FAILED, evidence=(op,))
    text = html(load_story(run.finish(Verdict.DOES_NOT_CONFORM, 1, broken)))
    assert "… (cut: 50,000,000 characters in all)" in text and "x" * 2_000 not in text


def test_an_answer_without_end_tells_that_it_was_given_up(new_run: Callable[[], Any]) -> None:
    run = new_run()
    why = "the answer is larger than 32 MiB (of 50,000,000 bytes)"
    cut = "x" * 1_900 + "… (more than 33554432 bytes)"
    op = run.claim(0.1, 0.2, result="unknown", status=200, why=why, answer=cut)
    broken = RequirementResult(id="CLAIM-1", level="MUST", profile="core", outcome=Outcome.FAILED, evidence=(op,))
    text = html(load_story(run.finish(Verdict.DOES_NOT_CONFORM, 1, broken)))
    assert "… (cut: more than 33,554,432 bytes in all)" in text and why in text and "x" * 1_900 not in text


def test_a_command_to_copy_is_whole(new_run: Callable[[], Any]) -> None:
    run = new_run()
    op = run.claim(0.1, 0.2, request='{"a":"' + "y" * 1_300 + '"}')
    broken = RequirementResult(id="CLAIM-1", level="MUST", profile="core", outcome=Outcome.FAILED, evidence=(op,))
    page = Page(html(load_story(run.finish(Verdict.DOES_NOT_CONFORM, 1, broken))))
    assert any("y" * 1_300 + "\"}'" in command for command in page.all("data-copy"))
