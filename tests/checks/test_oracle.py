"""What the fast checks accuse, no course of events of a correct queue explains."""

import random
from collections.abc import Iterator

import pytest
from checks_oracle import Call, explains

from queueproof.checks.attempts import check_attempts
from queueproof.checks.exclusivity import check_exclusivity
from queueproof.checks.facts import facts_of
from queueproof.checks.order import check_order
from queueproof.checks.terminality import check_terminality
from queueproof.evidence.history import tabulate
from queueproof.evidence.operation import Clock, Invoke, Item, Record, Result, Return

HISTORIES = 1_500
STEP = 250_000_000


def tiny(rng: random.Random) -> tuple[Call, ...]:
    """At most ten calls on one or two messages, their times on a coarse grid with a few milliseconds of jitter."""
    messages = ["a", "b"][: rng.randint(1, 2)]
    calls = []
    for message in messages:
        start = rng.randint(0, 4)
        calls.append(_call(rng, "publish", start, start + rng.randint(0, 2), 0.05, message=message))
    told = dict.fromkeys(messages, 0)
    for _ in range(rng.randint(1, 8)):
        start = rng.randint(1, 16)
        end = start + rng.choice([0, 0, 1, 1, 2, 6])
        verb = rng.choices(["claim", "complete", "fail", "release", "extend"], [6, 1, 1, 1, 1])[0]
        call = _call(rng, verb, start, end, 0.15, message="" if verb == "claim" else rng.choice(messages))
        if verb == "claim" and call.result == "ok":
            items = []
            for message in rng.sample(messages, rng.randint(0, len(messages))):
                told[message] += 1
                items.append((message, rng.choice([None, 1, told[message], told[message], told[message]])))
            call = Call(**{**vars(call), "items": tuple(items)})
        calls.append(call)
    return tuple(sorted(calls, key=lambda call: call.inv))


def _call(rng: random.Random, verb: str, start: int, end: int, unsure: float, *, message: str) -> Call:
    inv = start * STEP + rng.choice([0, 0, 1_000_000, 3_000_000, 4_000_000])
    ret = max(inv, end * STEP + rng.choice([0, 0, 1_000_000, 3_000_000, 4_000_000]))
    result = rng.choices(["ok", "unknown", "rejected"], [1 - unsure, unsure * 0.7, unsure * 0.3])[0]
    return Call(
        verb=verb,
        inv=inv,
        ret=None if result == "unknown" else ret,
        result=result,
        message=message,
        timeout=rng.choice([1, 2, 4, 8]) * STEP,
        limit=2,
    )


def records(calls: tuple[Call, ...], scope: str, op: int) -> Iterator[Record]:
    for number, call in enumerate(calls, op):
        on_message = call.verb not in ("claim", "publish")
        yield Invoke(
            op=number,
            at_ns=call.inv,
            verb=call.verb,
            scope=scope,
            queue="" if on_message else scope,
            message=f"{scope}-{call.message}" if on_message else "",
            token=f"token-{scope}-{call.message}" if call.verb == "publish" else "",
            body="body" if call.verb == "publish" else "",
            timeout_s=call.timeout / 1e9 if call.verb in ("claim", "extend") else None,
            limit=call.limit if call.verb == "claim" else None,
        )
        if call.ret is not None:
            items = tuple(
                Item(id=f"{scope}-{m}", token=f"token-{scope}-{m}", attempts=attempts, body="body")
                for m, attempts in call.items
            )
            message = f"{scope}-{call.message}" if call.verb == "publish" and call.result == "ok" else ""
            yield Return(op=number, at_ns=call.ret, result=Result(call.result), items=items, message=message)


def accused(histories: list[tuple[Call, ...]]) -> dict[int, list[str]]:
    """Number of the history → what it is accused of; all are judged in one call, each in a scope of its own."""
    every: list[Record] = [Clock(domain="here", at_ns=0, wall_us=0, run="oracle")]
    for number, calls in enumerate(histories):
        every += records(calls, f"s{number}", number * 100 + 1)
    facts = facts_of(tabulate(every))
    queues = {f"s{number}": "fifo" for number in range(len(histories))}
    findings = [*check_attempts(facts), *check_exclusivity(facts), *check_terminality(facts)]
    findings += check_order(facts, queues)  # type: ignore[arg-type]
    found: dict[int, list[str]] = {}
    for finding in findings:
        if finding.weight == "violation" and finding.operations:
            found.setdefault((finding.operations[0] - 1) // 100, []).append(f"{finding.requirement}: {finding.proof}")
    return found


def test_what_is_accused_has_no_legal_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queueproof.checks.telling.MOST", 10**9)
    monkeypatch.setattr("queueproof.checks.telling.LOOKED_AT", 10**9)
    rng = random.Random("tiny")
    histories = [tiny(rng) for _ in range(HISTORIES)]
    found = accused(histories)
    wrong = {number: told for number, told in found.items() if explains(histories[number])}
    assert wrong == {}
    assert len(found) > HISTORIES // 10  # the comparison means something


def test_the_oracle_explains_legal_histories_and_no_others() -> None:
    second = 1_000_000_000
    publish = Call("publish", 0, second, "ok", "a")
    first = Call("claim", 2 * second, 2 * second + 1, "ok", timeout=second, items=(("a", 1),))
    early = Call("claim", 2 * second + 2, 2 * second + 3, "ok", timeout=second, items=(("a", 2),))
    late = Call("claim", 2 * second + 2, 9 * second, "ok", timeout=second, items=(("a", 2),))
    release = Call("release", second, None, "unknown", "a")
    assert explains((publish, first))
    assert not explains((publish, first, early))
    assert explains((publish, first, late))
    assert explains((publish, first, release, early))
