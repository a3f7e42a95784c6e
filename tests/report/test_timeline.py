"""Bars are solid only where a message is certainly held, and the ring is where the promise breaks."""

from collections.abc import Callable
from typing import Any

from queueproof.report import characters, svg
from queueproof.report.exchange import Want, pick
from queueproof.report.text import NS_PER_S
from queueproof.report.timeline import Bar, Layout, Shade, lay_out

Builder = Callable[[], Any]
M = "m-1"


def layout_of(run: Any, *evidence: int, check: str = "", slack_s: float = 0.0) -> Layout:
    run.close()
    (picked,), _ = pick(run.path, [Want(operations=frozenset(evidence), message=M)])
    layout = lay_out(picked.exchanges, subjects=picked.subjects, check=check, slack_s=slack_s)
    assert layout is not None
    return layout


def bars(layout: Layout, op: int, shade: Shade) -> list[Bar]:
    return [bar for lane in layout.lanes for bar in lane.bars if bar.exchange.op == op and bar.shade is shade]


def in_seconds(bar: Bar) -> tuple[float, float]:
    return round(bar.start_ns / NS_PER_S, 3), round(bar.end_ns / NS_PER_S, 3)


def test_a_claim_is_held_from_its_answer_to_the_earliest_end_of_its_lock(new_run: Builder) -> None:
    """0.1 to 10 less one in a thousand and two milliseconds; perhaps until 0.1 + 10."""
    run = new_run()
    op = run.claim(0.0, 0.1, M, timeout_s=10)
    layout = layout_of(run, op)
    assert in_seconds(bars(layout, op, Shade.HELD)[0]) == (0.1, 9.988)
    assert in_seconds(bars(layout, op, Shade.MAYBE)[0]) == (9.988, 10.1)


def test_a_complete_ends_the_hold_when_it_leaves_and_the_doubt_when_it_is_answered(new_run: Builder) -> None:
    run = new_run()
    op = run.claim(0.0, 0.1, M)
    run.call("complete", 2.0, 3.0, message=M, scope="sc-1")
    layout = layout_of(run, op)
    assert in_seconds(bars(layout, op, Shade.HELD)[0]) == (0.1, 2.0)
    assert in_seconds(bars(layout, op, Shade.MAYBE)[0]) == (2.0, 3.0)


def test_an_unknown_release_leaves_doubt_to_the_end_of_the_lock(new_run: Builder) -> None:
    run = new_run()
    op = run.claim(0.0, 0.1, M)
    lost = run.call("release", 2.0, 3.0, result="unknown", message=M, scope="sc-1")
    layout = layout_of(run, op)
    assert in_seconds(bars(layout, op, Shade.MAYBE)[0]) == (2.0, 10.1)
    assert bars(layout, lost, Shade.OPEN)


def test_a_refused_complete_ends_nothing(new_run: Builder) -> None:
    run = new_run()
    op = run.claim(0.0, 0.1, M)
    run.call("complete", 2.0, 3.0, result="rejected", message=M, scope="sc-1")
    assert in_seconds(bars(layout_of(run, op), op, Shade.HELD)[0]) == (0.1, 9.988)


def test_the_second_delivery_is_ringed(new_run: Builder) -> None:
    run = new_run()
    a = run.claim(0.0, 0.1, M)
    b = run.claim(5.0, 5.1, M)
    layout = layout_of(run, a, b)
    assert [bar.exchange.op for lane in layout.lanes for bar in lane.bars if bar.ringed] == [b]


def test_the_delivery_that_overtook_is_ringed(new_run: Builder) -> None:
    run = new_run()
    a, b = run.claim(0.0, 0.1, M), run.claim(5.0, 5.1, M)
    layout = layout_of(run, a, b, check="order")
    assert [bar.exchange.op for lane in layout.lanes for bar in lane.bars if bar.ringed] == [a]


def test_a_wrong_answer_is_ringed(new_run: Builder) -> None:
    """The claim was right, the complete of what it held was refused."""
    run = new_run()
    a = run.claim(0.0, 0.1, M)
    refused = run.call("complete", 1.0, 1.1, result="rejected", message=M, scope="sc-1")
    layout = layout_of(run, a, refused)
    assert [bar.exchange.op for lane in layout.lanes for bar in lane.bars if bar.ringed] == [refused]


def test_one_message_twice_in_one_answer_is_ringed_and_said(new_run: Builder) -> None:
    run = new_run()
    layout = layout_of(run, run.publish(0.0, 0.1, M), run.claim(0.5, 0.6, M, M))
    assert layout.ringed and layout.lanes[1].detail == "200, 2 messages, this one 2 times"


def test_what_never_came_cannot_be_ringed(new_run: Builder) -> None:
    run = new_run()
    ops = [run.claim(0.0, 0.1, M), run.claim(11.0, 11.1), run.claim(12.0, 12.1)]
    assert not layout_of(run, *ops).ringed


def test_the_timeout_and_its_slack_are_marked(new_run: Builder) -> None:
    run = new_run()
    layout = layout_of(run, run.claim(0.0, 0.1, M, timeout_s=2), run.claim(1.0, 1.1, M), slack_s=0.5)
    assert [(mark.at_ns / NS_PER_S, mark.label) for mark in layout.lanes[0].marks] == [(2.0, "T"), (2.5, "T + slack")]
    assert layout.end_ns > 2.5 * NS_PER_S


def test_a_lock_of_an_hour_beside_the_matter_does_not_squeeze_the_picture(new_run: Builder) -> None:
    run = new_run()
    a = run.claim(0.0, 0.1, M, timeout_s=2)
    run.claim(2.2, 2.3, M, timeout_s=3_600)
    assert layout_of(run, a).end_ns < 4 * NS_PER_S


def test_forty_empty_claims_share_a_lane(new_run: Builder) -> None:
    run = new_run()
    a = run.claim(0.0, 0.1, M)
    for number in range(30):
        run.claim(1.0 + number / 10, 1.05 + number / 10)
    b = run.claim(5.0, 5.1, M)
    layout = layout_of(run, a, b)
    assert [lane.label for lane in layout.lanes] == ["claim #1", "claim ×30", "claim #32"]
    assert layout.lanes[1].detail == "200, nothing"


def test_the_characters_keep_to_the_width_at_any_width(new_run: Builder) -> None:
    run = new_run()
    layout = layout_of(run, run.claim(0.0, 0.1, M), run.claim(5.0, 5.1, M, code="X" * 200), slack_s=1.0)
    for width in (0, 36, 40, 60, 72, 80, 100, 500):
        for signs in (characters.UNICODE, characters.ASCII):
            lines = characters.draw(layout, width=width, signs=signs)
            assert all(len(line) <= max(36, min(width, 100)) for line in lines), width
    assert all(line.isascii() for line in characters.draw(layout, width=60, signs=characters.ASCII))


def test_the_characters_show_hold_ring_and_deadline(new_run: Builder) -> None:
    run = new_run()
    drawn = "\n".join(characters.draw(layout_of(run, run.claim(0.0, 0.1, M), run.claim(5.0, 5.1, M))))
    assert "█████" in drawn and "◉" in drawn and "┊T" in drawn and "surely held" in drawn


def test_the_svg_links_every_bar_and_shows_no_markup_of_the_server(new_run: Builder) -> None:
    run = new_run()
    op = run.claim(0.0, 0.1, M, answer="<script>alert(1)</script>\x1b", code="<b>")
    drawn = svg.draw(layout_of(run, op), "p1")
    assert f'href="#p1-{op}"' in drawn and "<script" not in drawn and "<b>" not in drawn and "\x1b" not in drawn
    assert 'class="held"' in drawn and "url(#p1-call)" in drawn


def test_no_exchange_is_no_layout() -> None:
    assert lay_out([]) is None
