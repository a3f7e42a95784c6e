"""The few operations beside a failure are found in a history of any size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queueproof.evidence.operation import Invoke
from queueproof.report.exchange import Want, as_curl, exchanges, pick

Builder = Callable[[], Any]


def test_the_evidence_comes_with_what_else_touched_its_message(new_run: Builder) -> None:
    """The publish, and the complete, of the message that both claims delivered; not the other message's."""
    run = new_run()
    published = run.publish(0.0, 0.01, message="m")
    other = run.publish(0.0, 0.01, message="another", queue="q-2", token="t-2")
    a = run.claim(0.2, 0.21, "m", "x", attempts=1)
    b = run.claim(3.0, 3.01, "m", attempts=2)
    done = run.call("complete", 4.0, 4.01, scope="sc-1", message="m")
    run.close()
    (picked,), notes = pick(run.path, [Want(operations=frozenset({a, b}))])
    assert picked.subjects == ("m",)
    assert [exchange.op for exchange in picked.exchanges] == [published, a, b, done]
    assert [exchange.evidence for exchange in picked.exchanges] == [False, True, True, False]
    assert notes == [] and other not in {exchange.op for exchange in picked.exchanges}


def test_of_the_same_queue_only_the_nearest_calls_are_shown(new_run: Builder) -> None:
    """Two deliveries of one message, among fifty calls about others."""
    run = new_run()
    first = run.claim(0.0, 0.1, "m-1")
    others = [run.claim(1 + number / 10, 1.05 + number / 10, f"x-{number}") for number in range(50)]
    second = run.claim(7.0, 7.1, "m-1", attempts=2)
    run.close()
    [picked], _ = pick(run.path, [Want(operations=frozenset({first, second}))])
    shown = [exchange.op for exchange in picked.exchanges]
    assert shown[0] == first and shown[-1] == second and len(shown) == 8
    assert set(shown[1:-1]) <= set(others) and picked.omitted == 44


def test_claims_of_the_same_queue_meanwhile_are_shown_too(new_run: Builder) -> None:
    run = new_run()
    a = run.claim(0.0, 0.01, "m")
    empty = run.claim(1.0, 1.01)
    b = run.claim(2.0, 2.01, "m")
    after = run.claim(9.0, 9.01)
    run.close()
    (picked,), _ = pick(run.path, [Want(operations=frozenset({a, b}))])
    assert [exchange.op for exchange in picked.exchanges] == [a, empty, b]
    assert after not in {exchange.op for exchange in picked.exchanges}


def test_of_ten_thousand_operations_only_the_nearest_are_kept(new_run: Builder) -> None:
    run = new_run()
    a = run.claim(0.0, 0.01, "m")
    for number in range(10_000):
        run.call("extend", 1.0 + number / 10_000, 1.5, message="m", scope="sc-1", timeout_s=10.0)
    b = run.claim(2.5, 2.6, "m")
    run.close()
    (picked,), _ = pick(run.path, [Want(operations=frozenset({a, b}))], cap=10)
    assert len(picked.exchanges) == 10
    assert picked.omitted == 10_002 - 10
    assert {a, b} <= {exchange.op for exchange in picked.exchanges}


def test_an_operation_that_no_file_holds_is_counted(new_run: Builder) -> None:
    run = new_run()
    a = run.claim(0.0, 0.01, "m")
    run.close()
    (picked,), _ = pick(run.path, [Want(operations=frozenset({a, 999}))])
    assert (len(picked.exchanges), picked.missing) == (1, 1)


def test_nothing_asked_reads_nothing(tmp_path: Path) -> None:
    """A passing run's history is not opened at all."""
    (tmp_path / "history-0.ndjson").write_text("no history\n" * 2)
    picked, notes = pick(tmp_path, [Want(operations=frozenset())])
    assert picked[0].exchanges == () and notes == []


def test_a_file_that_breaks_off_in_its_middle_is_told_and_used_as_far_as_it_goes(new_run: Builder) -> None:
    run = new_run()
    a = run.claim(0.0, 0.01, "m")
    run.close()
    with (run.path / "history-0.ndjson").open("ab") as history:
        history.write(b"garbage\n{}\n")
    (picked,), notes = pick(run.path, [Want(operations=frozenset({a}))])
    assert [exchange.op for exchange in picked.exchanges] == [a]
    assert len(notes) == 1 and "line 4" in notes[0]


def test_a_call_without_an_answer_is_kept(new_run: Builder) -> None:
    run = new_run()
    a = run.call("claim", 0.0, None)
    run.close()
    (exchange,) = exchanges(run.path, [])
    assert (exchange.op, exchange.until_ns, exchange.answer) == (a, None, None)


@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "\n; rm -rf ~", "\u202e", "\x7f", "\U000e0001"])
def test_a_copied_command_types_nothing_else(text: str) -> None:
    """The key comes from the environment; what does not print is a JSON escape."""
    command = as_curl(Invoke(op=1, at_ns=0, verb="publish", method="POST", path="/v1/'x", request=f'{{"a":"{text}"}}'))
    assert '"$SCAIGRID_HOST"' in command and "Bearer $SCAIGRID_API_KEY" in command
    assert command.replace(" \\\n  ", " ").isprintable()
