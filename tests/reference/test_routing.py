"""Rules and patterns, without a server."""

from typing import Any

import msgspec
import pytest

from scaiqueue_reference import hitl
from scaiqueue_reference.message import Message
from scaiqueue_reference.routing import Action, Condition, Rule, escalated, first_match, problems, transformed

ARCHIVE = Action("archive")


def _message(**fields: Any) -> Message:
    nothing = dict.fromkeys(Message.__struct_fields__)
    known = {"message_type": "order.new", "priority_tier": "normal", "priority_score": 500, "content_type": "a/b"}
    return Message(**{**nothing, **known, **fields})


@pytest.mark.parametrize(
    ("field", "op", "value", "fits"),
    [
        ("labels.region", "==", "eu", True),
        ("labels.region", "!=", "eu", False),
        ("labels.region", "in", ["us", "eu"], True),
        ("labels.none", "exists", True, False),
        ("labels.none", "exists", False, True),
        ("labels.none", "!=", "x", True),
        ("labels.on", "==", 1, False),
        ("labels.on", "==", True, True),
        ("labels.n", ">", 4.5, True),
        ("labels.n", ">", "4", False),
        ("labels.on", ">=", 0, False),
        ("priority.score", "<=", 500, True),
        ("priority.tier", "==", "normal", True),
        ("type", "==", "order.new", True),
    ],
)
def test_conditions(field: str, op: str, value: Any, fits: bool) -> None:
    """Types count; what is absent is smaller and larger than nothing."""
    rule = Rule(ARCHIVE, (Condition(field, op, value),))
    assert problems(rule) == []
    message = _message(labels=b'{"region": "eu", "on": true, "n": 5}')
    assert (first_match([rule], message, "q") is rule) == fits


def test_the_first_rule_wins_and_a_queue_limits() -> None:
    """Without conditions a rule fits every message of its queue."""
    rules = [Rule(ARCHIVE, queue="other"), Rule(Action("route", queue="x")), Rule(ARCHIVE)]
    assert first_match(rules, _message(), "q") is rules[1]
    assert first_match(rules, _message(), "other") is rules[0]
    assert first_match([], _message(), "q") is None


def test_actions_change_what_they_name() -> None:
    """The highest tier stays the highest; other labels stay."""
    assert escalated(_message(priority_tier="high")).priority_tier == "critical"
    assert escalated(_message(priority_tier="critical")).priority_tier == "critical"
    changed = transformed(_message(labels=b'{"a":1}'), {"labels.b": None, "priority.tier": "low"})
    assert msgspec.json.decode(changed.labels or b"") == {"a": 1, "b": None}
    assert (changed.priority_tier, changed.priority_score) == ("low", 500)


def test_placeholders() -> None:
    """Alone a placeholder becomes the parameter, inside a text its words; names are found at any depth."""
    value = {"a": ["{{ x }}", "n {{x}}{{y}}"], "b": 1}
    assert hitl.holes(value) == {"x", "y"}
    assert hitl.expand(value, {"x": {"k": 1}, "y": 2}) == {"a": [{"k": 1}, "n {'k': 1}2"], "b": 1}
